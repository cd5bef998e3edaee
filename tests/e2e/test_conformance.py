"""Every row of the table in conformance.py: sent whole, byte by byte, and with another request right behind it."""

import os
import pathlib
import random
import shutil
import socket
import tempfile

import conformance
import holdfast
import pytest
from conformance import CASES

pytestmark = pytest.mark.variants("hooks", "asan")

SUCCESSOR = b"GET /echo/successor HTTP/1.1\r\nHost: a\r\n\r\n"
CONFIG = """workers 1
control {control}
test_hooks on
max_request_line 2k
max_headers 40
max_body 100
site 127.0.0.1:{port} {
    files {www}
    route /echo/* {
        respond 200 "{{method}} {{host}} {{path}} {{query}}"
    }
}
""".replace("{{", "{").replace("}}", "}")


@pytest.fixture(scope="module")
def server():
    """One for all rows: none of them may harm the next."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="hf-"))
    folder.chmod(0o755)
    server = holdfast.Server(folder, CONFIG)
    (server.www / "index.html").write_bytes(b"index\n")
    (server.www / "file").write_bytes(b"a file\n")
    server.start()
    yield server
    try:
        status = server.status()["workers"][0]
        assert (status["revivals"], status["poisoned"]) == (0, 0), server.log()
        server.stop()
    finally:
        server.end_everything()
        shutil.rmtree(folder, ignore_errors=True)


def converse(server, pieces):
    """Sends the pieces, then our FIN; returns all that comes back until the server's. Nothing may be reset."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            connection.sendall(piece)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while more := connection.recv(65536):
            received += more
    return received


def answers(received, methods):
    """The answers in what was received: [(status, fields, body)]. `100 Continue` is none."""
    found = []
    while received:
        head, separator, received = received.partition(b"\r\n\r\n")
        assert separator, f"half a header: {head!r}"
        line, *lines = head.decode("latin-1").split("\r\n")
        version, status, _ = line.split(" ", 2)
        assert version == "HTTP/1.1"
        if status == "100" and not lines:
            continue
        fields = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in lines)}
        assert len(fields) == len(lines), f"a field twice: {lines}"
        has_body = int(status) not in (204, 304) and methods(len(found)) != "HEAD"
        length = int(fields["content-length"]) if has_body else 0
        assert len(received) >= length, "half a body"
        found.append((int(status), fields, received[:length]))
        received = received[length:]
    return found


def judge(case, found):
    """The answer to the case itself."""
    status, fields, body = found[0]
    assert status == case.status, f"RFC {case.section}: {status} {body!r}"
    assert case.body is None or body == case.body, f"RFC {case.section}"
    assert (fields.get("connection") != "close") == case.stays, f"RFC {case.section}: {fields}"
    if status in (204, 405):
        assert {"GET", "HEAD"} <= set(fields["allow"].split(", ")), "RFC 9110 10.2.1"
    assert "date" in fields, "RFC 9110 6.6.1"


def rows(test):
    """All rows; a sample of them, another one for each split, where each costs several times as much."""
    cases = CASES
    if os.environ.get("HOLDFAST_VARIANT") == "asan" and os.environ.get("HOLDFAST_SOAK") != "1":
        cases = random.Random(os.environ.get("HOLDFAST_SEED", "1") + test.__name__).sample(CASES, len(CASES) // 4)
    return pytest.mark.parametrize("case", cases, ids=[case.name.replace(" ", "-") for case in cases])(test)


def no_head(_):
    return ""


@rows
def test_it_is_answered_so(server, case):
    received = converse(server, [case.request])
    found = answers(received, no_head)
    judge(case, found)
    assert len(found) == 1 and b"100 Continue" not in received


@rows
def test_it_is_answered_so_byte_by_byte(server, case):
    pieces = [case.request[i:i + 1] for i in range(len(case.request))]
    if len(pieces) > 3000:  # what is long is long in one place
        pieces = pieces[:200] + [b"".join(pieces[200:-200])] + pieces[-200:]
    found = answers(converse(server, pieces), no_head)
    judge(case, found)
    assert len(found) == 1


@rows
def test_nothing_is_smuggled_behind_it(server, case):
    found = answers(converse(server, [case.request + SUCCESSOR]), no_head)
    judge(case, found)
    if case.stays:
        assert len(found) == 2 and found[1][2] == b"GET a /echo/successor ", found[1:]
    else:
        assert len(found) == 1, f"what stands behind it was answered: {found[1:]}"
    assert b"smuggled" not in b"".join(body for _, _, body in found)


@rows
def test_nothing_is_smuggled_by_what_stands_before_it(server, case):
    found = answers(converse(server, [SUCCESSOR + case.request]), no_head)
    assert found[0][2] == b"GET a /echo/successor "
    judge(case, found[1:])
    assert len(found) == 2


def test_every_row_names_its_section_and_no_two_are_the_same():
    assert len({case.name for case in CASES}) == len({case.request for case in CASES}) == len(CASES)
    for case in CASES:
        assert case.section == "paths.md" or case.section.split()[0] in ("3986", "6585", "9110", "9112", "9113")


# What one connection cannot say in one breath


def test_the_body_is_asked_for_when_the_client_waits(server):
    """RFC 9110 section 10.1.1."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(conformance.post(b"Expect: 100-continue\r\nContent-Length: 5\r\n"))
        file = connection.makefile("rb")
        assert file.readline() == b"HTTP/1.1 100 Continue\r\n" and file.readline() == b"\r\n"
        connection.sendall(b"hello" + SUCCESSOR)
        connection.shutdown(socket.SHUT_WR)
        found = answers(file.read(), no_head)
    assert [body for _, _, body in found] == [conformance.HASH_OF_HELLO, b"GET a /echo/successor "]


def test_a_body_that_is_not_wanted_is_not_asked_for(server):
    """RFC 9110 section 10.1.1: the final status comes instead of 100."""
    for line, length, status in ((b"POST /file HTTP/1.1", 5, 405), (b"POST /echo/x HTTP/1.1", 1000, 413)):
        request = conformance.post(b"Expect: 100-continue\r\nContent-Length: %d\r\n" % length, line=line)
        found = answers(converse(server, [request]), no_head)
        assert [answer[0] for answer in found] == [status] and found[0][1]["connection"] == "close"


def test_a_response_to_head_has_the_header_of_get_and_no_body(server):
    """RFC 9110 section 9.3.2."""
    head = conformance.get(line=b"HEAD /file HTTP/1.1")
    found = answers(converse(server, [head + head + SUCCESSOR]), lambda i: "HEAD" if i < 2 else "GET")
    assert [len(body) for _, _, body in found] == [0, 0, 22] and found[0][1]["content-length"] == "7"


def test_a_large_upload_that_is_refused_early_can_read_why(server):
    """RFC 9110 section 15.5.14, RFC 9112 section 9.6: closing with input unread would reset the connection and destroy
    the answer on its way."""
    size = 20 << 20
    request = conformance.post(b"Content-Length: %d\r\n" % size, line=b"POST /echo/x HTTP/1.1")
    found = answers(converse(server, [request] + [b"x" * 65536] * (size // 65536)), no_head)
    assert [answer[0] for answer in found] == [413]


def test_whoever_stops_in_the_middle_of_a_request_gets_no_answer(server):
    """RFC 9112 section 8: an incomplete request is not served."""
    for request in (b"", b"\r\n", b"GET /echo/x HTTP/1.1\r\nHost: a\r\n",
                    conformance.post(b"Content-Length: 5\r\n", b"hell"), conformance.chunked(b"5\r\nhello\r\n0\r\n")):
        assert converse(server, [request]) == b"", request


def test_a_pipeline_is_answered_in_its_order(server):
    """RFC 9112 section 9.3.2."""
    requests = b"".join(conformance.get(line=b"GET /echo/%d HTTP/1.1" % i) for i in range(500))
    found = answers(converse(server, [requests]), no_head)
    assert [body for _, _, body in found] == [b"GET a /echo/%d " % i for i in range(500)]
