"""The reverse proxy, between a client and upstream servers that answer by script: what is passed on, byte by byte."""

import os
import pathlib
import re
import socket
import threading

import pytest
from clients import Client, bytes_of, request
from proxied import ask, config, is_at_rest, read_answer, read_head, value
from upstream import Upstream, by_path

pytestmark = pytest.mark.variants("hooks", "asan")


@pytest.fixture
def upstream():
    with Upstream() as server:
        yield server


@pytest.fixture
def unix_upstream(folder):
    with Upstream(path=folder / "app.sock") as server:
        yield server


@pytest.fixture
def proxied(start_server, upstream):
    """A server that passes everything on to `upstream`."""
    server = start_server(config=config(upstream))
    yield server
    server.wait_for(is_at_rest)


def chunked(data, size):
    parts = [data[at:at + size] for at in range(0, len(data), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def echo(call):
    call.answer(200, call.read_body())


# Requests and answers of all shapes


def test_a_request_without_a_body_is_passed_on_and_its_answer_comes_back(proxied, upstream):
    upstream.script = lambda call: call.answer(200, b"hello\n", "Content-Type: text/plain\r\nX-One: 1\r\nX-One: 2\r\n")
    answer = ask(proxied, request("/a?b=c", headers="X-Two: a\r\nx-two: b\r\n"))
    assert (answer.status, answer.body, answer.is_whole) == (200, b"hello\n", True)
    assert [text for name, text in answer.fields if name == "x-one"] == ["1", "2"]
    assert value(answer.fields, "content-type") == "text/plain"
    assert value(answer.fields, "content-length") == "6"
    assert value(answer.fields, "date")
    seen = upstream.requests[0]
    assert seen.line == "GET /a?b=c HTTP/1.1"
    assert seen.value("host") == "test.example" and seen.values("x-two") == ["a", "b"]
    assert seen.value("content-length") is None and seen.value("transfer-encoding") is None


def test_a_head_request_has_the_length_and_no_body(proxied, upstream):
    upstream.script = lambda call: call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    with Client(proxied) as client:
        for _ in range(2):
            client.send(method="HEAD")
            answer = read_answer(client, "HEAD")
            assert (answer.status, value(answer.fields, "content-length")) == (200, "1000")
    assert upstream.requests[0].method == "HEAD"
    assert upstream.connections == 1


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_that_has_no_body_by_its_status_ends_with_its_head(proxied, upstream, status):
    length = "Content-Length: 5\r\n" if status == 304 else ""
    upstream.script = lambda call: call.send(f"HTTP/1.1 {status} X\r\nETag: \"a\"\r\n{length}\r\n".encode())
    with Client(proxied) as client:
        for _ in range(2):
            client.send()
            answer = read_answer(client)
            assert (answer.status, value(answer.fields, "etag")) == (status, '"a"')
            assert value(answer.fields, "transfer-encoding") is None
            assert value(answer.fields, "content-length") == ("5" if status == 304 else None)
    assert upstream.connections == 1


@pytest.mark.parametrize("size", [0, 1, 100, 16383, 16384, 16385, 32768, 1000000])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_bodies_of_all_sizes_come_back_as_they_were_sent(proxied, upstream, size, framing):
    body = bytes_of(size, size)
    if framing == "length":
        upstream.script = echo
        data = request("/", "POST", f"Content-Length: {size}\r\n", body)
    else:
        upstream.script = lambda call: call.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                                 + chunked(call.read_body(), 7001))
        data = request("/", "POST", "Transfer-Encoding: chunked\r\n", chunked(body, 5000))
    with Client(proxied) as client:
        for _ in range(2):
            sender = threading.Thread(target=client.send_bytes, args=(data,))
            sender.start()
            answer = read_answer(client)
            sender.join()
            assert answer.status == 200 and answer.is_whole and answer.body == body
    assert [seen.body for seen in upstream.requests] == [body] * 2
    assert upstream.connections == 1


def test_a_chunked_request_may_be_cut_at_every_byte(proxied, upstream):
    upstream.script = echo
    data = request("/", "POST", "Transfer-Encoding: chunked\r\nTrailer: X-End\r\n",
                   b"5\r\nhello\r\n6;a=\"b\"\r\n world\r\n0\r\nX-End: yes\r\n\r\n")
    head = len(request("/", "POST", "Transfer-Encoding: chunked\r\nTrailer: X-End\r\n"))
    with Client(proxied) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(head, len(data)):
            seen = len(upstream.requests)
            client.send_bytes(data[:at])
            upstream.wait_for_requests(seen + 1)  # so the pieces are not received together
            client.send_bytes(data[at:])
            answer = read_answer(client)
            assert (answer.status, answer.body) == (200, b"hello world"), at
    assert all(seen.body == b"hello world" and seen.trailers == b"X-End: yes\r\n" for seen in upstream.requests)
    assert upstream.connections == 1


def test_a_chunked_answer_may_be_cut_at_every_byte(proxied, upstream):
    data = (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-End\r\n\r\n"
            b"5\r\nhello\r\n6;a=\"b\"\r\n world\r\n0\r\nX-End: yes\r\n\r\n")
    gate = threading.Semaphore(0)
    cuts = iter(range(1, len(data)))

    def in_two(call):
        call.connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        at = next(cuts)
        call.send(data[:at])
        gate.acquire(timeout=0.002)  # long enough that most pieces arrive alone
        call.send(data[at:])

    upstream.script = in_two
    with Client(proxied) as client:
        for _ in range(1, len(data)):
            client.send()
            answer = read_answer(client)
            assert (answer.status, answer.body, answer.trailers) == (200, b"hello world", ["X-End: yes"])
            assert answer.is_whole
    assert upstream.connections == 1


def test_trailers_that_may_not_be_trailers_are_left_out_both_ways(proxied, upstream):
    trailers = b"X-Sum: 1\r\nContent-Length: 7\r\nTransfer-Encoding: x\r\nHost: evil\r\nX-Last: 2\r\n\r\n"
    upstream.script = lambda call: (call.read_body(), call.send(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nb\r\n0\r\n" + trailers))
    answer = ask(proxied, request("/", "POST", "TE: trailers\r\nConnection: TE\r\nTransfer-Encoding: chunked\r\n",
                                  b"1\r\na\r\n0\r\n" + trailers))
    assert answer.is_whole and answer.trailers == ["X-Sum: 1", "X-Last: 2"]
    assert upstream.requests[0].trailers == b"X-Sum: 1\r\nX-Last: 2\r\n"
    assert upstream.requests[0].value("te") == "trailers"


def test_100_continue_is_passed_on_before_the_body_is_sent(proxied, upstream):
    def script(call):
        assert call.request.value("expect") == "100-continue"
        call.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        call.answer(200, call.read_body())

    upstream.script = script
    with Client(proxied) as client:
        client.send(method="POST", headers="Expect: 100-continue\r\nContent-Length: 5\r\n")
        assert read_head(client) == (100, [])
        client.send_bytes(b"hello")
        assert read_answer(client).body == b"hello"


def test_a_final_answer_instead_of_100_comes_through_and_the_body_is_never_sent(proxied, upstream):
    def script(call):
        call.send(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno")
        call.close()

    upstream.script = script
    with Client(proxied) as client:
        client.send(method="POST", headers="Expect: 100-continue\r\nContent-Length: 5\r\n")
        answer = read_answer(client)
        assert (answer.status, answer.body) == (403, b"no")
        assert value(answer.fields, "connection") == "close"
        assert client.has_ended()
    assert len(upstream.requests) == 1


def test_100_that_nobody_asked_for_is_not_passed_on(proxied, upstream):
    upstream.script = lambda call: (call.send(b"HTTP/1.1 100 Continue\r\n\r\n"), call.answer(200, b"x"))
    answer = ask(proxied, request())
    assert (answer.status, answer.body) == (200, b"x")


def test_103_is_passed_on_as_often_as_it_comes(proxied, upstream):
    upstream.script = lambda call: (call.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x\r\nX: y\r\n\r\n"
                                              b"HTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\n"), call.answer(200, b"x"))
    with Client(proxied) as client:
        client.send()
        assert read_head(client) == (103, [("link", "</a>")])
        assert read_head(client) == (103, [("link", "</b>")])
        assert read_answer(client).body == b"x"
        client.send(version="1.0", headers="Connection: keep-alive\r\n")  # which has none: RFC 9110 section 15.2
        assert read_answer(client).status == 200


def test_an_answer_that_ends_with_its_connection_is_whole(proxied, upstream):
    body = bytes_of(1, 100000)
    upstream.script = lambda call: (call.send(b"HTTP/1.1 200 OK\r\n\r\n" + body), call.close())
    with Client(proxied) as client:
        for _ in range(2):
            client.send()
            answer = read_answer(client)
            assert value(answer.fields, "transfer-encoding") == "chunked"
            assert answer.is_whole and answer.body == body
    assert upstream.connections == 2


def test_a_client_of_http_1_0_gets_no_chunks(proxied, upstream):
    upstream.script = lambda call: call.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                             b"5\r\nhello\r\n0\r\nX-End: a\r\n\r\n")
    with Client(proxied) as client:
        client.send(version="1.0", headers="Connection: keep-alive\r\n")
        answer = read_answer(client)
        assert value(answer.fields, "transfer-encoding") is None
        assert value(answer.fields, "connection") == "close"
        assert answer.body == b"hello"
    assert upstream.requests[0].line.endswith(" HTTP/1.1")
    assert upstream.requests[0].value("via") == "1.0 holdfast"


def test_a_client_of_http_1_0_may_keep_its_connection(proxied, upstream):
    upstream.script = lambda call: call.answer(200, b"hello")
    with Client(proxied) as client:
        for _ in range(2):
            client.send(version="1.0", headers="Connection: keep-alive\r\n")
            answer = read_answer(client)
            assert (answer.body, value(answer.fields, "connection")) == (b"hello", "keep-alive")


def test_an_upstream_of_http_1_0_is_understood_and_its_connection_is_not_used_again(proxied, upstream):
    upstream.script = lambda call: (call.send(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"), call.close())
    with Client(proxied) as client:
        for _ in range(2):
            client.send()
            answer = read_answer(client)
            assert (answer.body, value(answer.fields, "via")) == (b"hello", "1.0 holdfast")
    assert upstream.connections == 2


def test_an_upstream_of_http_1_0_that_says_keep_alive_is_used_again(proxied, upstream):
    upstream.script = lambda call: call.send(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx")
    with Client(proxied) as client:
        for _ in range(2):
            client.send()
            assert read_answer(client).body == b"x"
    assert upstream.connections == 1


@pytest.mark.parametrize("size", [1000, 50_000_000])
def test_an_answer_may_come_while_the_request_is_still_sent(proxied, upstream, size):
    """The client stops when it sees the answer, or sends on; either way it can read it."""
    def script(call):
        call.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
        call.close()

    upstream.script = script
    with Client(proxied) as client:
        client.send(method="POST", headers=f"Content-Length: {size}\r\n")

        def send():
            try:
                client.send_bytes(b"x" * (size - 1))
            except OSError:
                pass  # it sends no more once it is told

        sender = threading.Thread(target=send)
        sender.start()
        answer = read_answer(client)
        assert (answer.status, answer.body) == (413, b"big")
        client.socket.shutdown(socket.SHUT_RDWR)
        sender.join()
    assert len(upstream.requests) == 1


def test_an_answer_may_begin_before_the_request_is_whole_and_both_go_on(proxied, upstream):
    def script(call):
        call.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(100):
            part = call.connection.exactly(1000)
            call.request.body += part
            call.send(b"%x\r\n%s\r\n" % (len(part), part))
        call.request.is_whole = True
        call.send(b"0\r\n\r\n")

    upstream.script = script
    body = bytes_of(3, 100_000)
    with Client(proxied) as client:
        client.send(method="POST", headers="Content-Length: 100000\r\n")
        status, _ = read_head(client)
        assert status == 200
        for at in range(0, 100_000, 1000):
            client.send_bytes(body[at:at + 1000])
            assert client.file.readline() == b"3e8\r\n"
            assert client.file.read(1002) == body[at:at + 1000] + b"\r\n"
        assert client.file.read(5) == b"0\r\n\r\n"
        client.send()
        assert read_head(client)[0] == 200
    assert upstream.connections == 1


def test_pipelined_requests_are_answered_in_their_order(proxied, upstream):
    upstream.script = lambda call: call.answer(200, call.request.target.encode() + call.read_body())
    with Client(proxied) as client:
        client.send_bytes(b"".join(request(f"/{i}", "POST", "Content-Length: 3\r\n", b"abc") + request(f"/{i}/get")
                                   for i in range(50)))
        for i in range(50):
            assert read_answer(client).body == f"/{i}abc".encode()
            assert read_answer(client).body == f"/{i}/get".encode()
    assert upstream.connections == 1
    assert [seen.target for seen in upstream.requests] == [f"/{i}{x}" for i in range(50) for x in ("", "/get")]


def test_a_client_that_sends_no_more_gets_its_answer(proxied, upstream):
    gate = threading.Event()
    upstream.script = lambda call: (call.wait(gate), call.answer(200, b"late"))
    with Client(proxied) as client:
        client.send()
        client.socket.shutdown(socket.SHUT_WR)
        upstream.wait_for_requests(1)
        gate.set()
        assert read_answer(client).body == b"late"


def test_connections_to_the_upstream_are_kept_and_shared_by_clients(start_server, upstream):
    server = start_server(config=config(upstream))
    for _ in range(20):
        assert ask(server, request()).status == 200
    assert (upstream.connections, len(upstream.requests)) == (1, 20)


def test_without_keepalive_each_request_has_a_connection_of_its_own(start_server, upstream):
    server = start_server(config=config(upstream, pool="keepalive off"))
    with Client(server) as client:
        for _ in range(3):
            client.send()
            assert read_answer(client).status == 200
    assert upstream.connections == 3
    assert upstream.requests[0].value("connection") == "close"
    upstream.wait_for(lambda upstream: upstream.ended == 3)


def test_an_idle_connection_is_closed_when_its_time_is_over(start_server, upstream):
    server = start_server(config=config(upstream, pool="keepalive 4 for 50ms"))
    assert ask(server, request()).status == 200
    upstream.wait_for(lambda upstream: upstream.ended == 1)
    server.wait_for(is_at_rest)


def test_an_upstream_that_says_close_is_believed(proxied, upstream):
    upstream.script = lambda call: call.answer(200, b"x", "Connection: close\r\n")
    with Client(proxied) as client:
        for _ in range(2):
            client.send()
            answer = read_answer(client)
            assert (answer.body, value(answer.fields, "connection")) == (b"x", None)
    assert upstream.connections == 2


def test_an_upstream_behind_a_unix_socket_is_asked_all_the_same(start_server, unix_upstream):
    unix_upstream.script = echo
    server = start_server(config=config(unix_upstream))
    body = bytes_of(9, 300_000)
    with Client(server) as client:
        for _ in range(3):
            client.send(method="POST", headers=f"Content-Length: {len(body)}\r\n", body=body)
            assert read_answer(client).body == body
    assert unix_upstream.connections == 1


# Much of it


def memory_of(server):
    """What its workers hold in RAM of their own and of the arena, in bytes."""
    total = 0
    for pid in server.worker_pids():
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
        total += sum(int(number) for number in re.findall(r"^Rss(?:Anon|Shmem):\s+(\d+)", text, re.MULTILINE)) * 1024
    return total


@pytest.mark.alone
@pytest.mark.variants("hooks")
def test_a_body_of_100_mb_goes_both_ways_in_a_few_blocks(start_server, upstream):
    proxied = start_server(config=config(upstream, site="    max_body off"))
    size, block = 100_000_000, os.urandom(1_000_000)

    def script(call):
        call.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size // len(block)):
            data = call.connection.exactly(len(block))
            assert data == block
            call.send(data)
        call.request.is_whole = True

    upstream.script = lambda call: call.answer()
    assert ask(proxied, request()).status == 200
    upstream.script = script
    before = memory_of(proxied)
    with Client(proxied) as client:
        client.send(method="POST", headers=f"Content-Length: {size}\r\n")
        for _ in range(size // len(block)):
            client.send_bytes(block)
            if client.file.peek(1)[:5] == b"HTTP/":
                assert read_head(client)[0] == 200
            assert client.file.read(len(block)) == block
    assert memory_of(proxied) < before + 2_000_000


def test_a_client_that_reads_slowly_stops_the_upstream(start_server, upstream):
    """Without that, all of the answer would lie in memory, or in nothing."""
    sent = [0]
    block = b"x" * 65536

    def script(call):
        call.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (2000 * len(block)))
        call.connection.socket.settimeout(0.5)
        try:
            for _ in range(2000):
                call.send(block)
                sent[0] += len(block)
        except TimeoutError:
            stopped.set()
            call.reset()

    stopped = threading.Event()
    upstream.script = script
    server = start_server(config=config(upstream))
    with Client(server, receive_buffer=65536) as client:
        client.send()
        assert stopped.wait(30)
        assert sent[0] < 40_000_000
        assert server.status()["workers"][0]["blocks"] <= 4
    server.wait_for(is_at_rest)


def test_an_upstream_that_reads_slowly_stops_the_client(start_server):
    gate = threading.Event()

    def script(call):
        call.wait(gate)
        call.answer(200, b"")

    with Upstream(receive_buffer=65536, script=script) as upstream:
        server = start_server(config=config(upstream, site="    max_body off"))
        with Client(server) as client:
            client.send(method="POST", headers="Content-Length: 100000000\r\n")
            client.socket.settimeout(0.5)
            sent = 0
            try:
                while sent < 100_000_000:
                    sent += client.socket.send(b"x" * 65536)
            except TimeoutError:
                pass
            assert sent < 40_000_000
            assert server.status()["workers"][0]["blocks"] <= 4
            client.socket.settimeout(30)
            gate.set()
            client.send_bytes(b"x" * (100_000_000 - sent))
            assert read_answer(client).status == 200
        assert len(upstream.requests[0].body) == 100_000_000


def test_many_fields_are_passed_on_both_ways(proxied, upstream):
    fields = "".join(f"X-{i}: {i}\r\n" for i in range(80))
    upstream.script = lambda call: call.answer(200, b"", fields)
    answer = ask(proxied, request(headers=fields))
    for seen in (answer.fields, upstream.requests[0].fields):
        assert [text for name, text in seen if re.fullmatch(r"x-\d+", name)] == [str(i) for i in range(80)]


@pytest.mark.parametrize("length", [7000, 14000, 14800])
def test_a_long_field_is_passed_on_both_ways_or_refused_whole(proxied, upstream, length):
    upstream.script = lambda call: call.answer(200, b"y", f"X-Long: {'b' * length}\r\n")
    answer = ask(proxied, request())
    assert answer.status in (200, 502)
    if answer.status == 200:
        assert value(answer.fields, "x-long") == "b" * length
    else:
        assert length > 14000 and value(answer.fields, "holdfast-error") == "upstream_header_too_large"
    upstream.script = lambda call: call.answer(200, b"y")
    answer = ask(proxied, request(headers=f"X-Long: {'a' * length}\r\n"))
    if answer.status == 200:
        assert upstream.requests[-1].value("x-long") == "a" * length
    else:
        assert length > 7000 and answer.status == 431


# What is changed on the way


def test_fields_of_one_connection_alone_are_not_passed_on(proxied, upstream):
    upstream.script = lambda call: call.answer(
        200, b"", "Connection: x-mine, keep-alive\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: a\r\n"
        "Upgrade: h2c\r\nX-Other: 2\r\n")
    answer = ask(proxied, request(headers="Connection: X-Secret , cookie,te, keep-alive\r\nX-Secret: 1\r\nCookie: a=b\r\n"
                                          "Keep-Alive: 5\r\nProxy-Connection: a\r\nUpgrade: h2c\r\nTE: gzip\r\n"
                                          "X-Other: 2\r\n"))
    names = [name for name, _ in answer.fields]
    assert "x-other" in names and not set(names) & {"x-mine", "keep-alive", "proxy-connection", "upgrade", "connection"}
    seen = upstream.requests[0]
    assert seen.value("x-other") == "2"
    assert seen.value("cookie") == "a=b"  # which Connection cannot take away
    for name in ("x-secret", "keep-alive", "proxy-connection", "upgrade", "te", "connection"):
        assert seen.value(name) is None, name


def test_an_upgrade_that_nobody_asked_for_is_an_error(proxied, upstream):
    upstream.script = lambda call: call.send(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
    answer = ask(proxied, request(headers="Upgrade: websocket\r\n"))  # which Connection does not name
    assert (answer.status, value(answer.fields, "holdfast-error")) == (502, "upstream_unasked_upgrade")
    assert upstream.requests[0].value("upgrade") is None


FORGED = ("X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.example\r\n"
          "X-Forwarded-Port: 1\r\nX-Real-IP: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\n")


def test_what_a_stranger_says_of_clients_is_replaced(proxied, upstream):
    ask(proxied, request(headers=FORGED))
    seen = upstream.requests[0]
    assert seen.value("x-forwarded-for") == "127.0.0.1"
    assert seen.value("x-forwarded-proto") == "http"
    assert seen.value("x-forwarded-host") == "test.example"
    assert seen.value("forwarded") == 'for=127.0.0.1;host="test.example";proto=http'
    assert seen.value("x-forwarded-port") is None and seen.value("x-real-ip") is None
    assert seen.value("via") == "1.1 holdfast"


def test_a_stranger_does_not_get_through_by_another_spelling(proxied, upstream):
    """CGI and its heirs see X_Forwarded_For and X-Forwarded-For as one."""
    ask(proxied, request(headers=FORGED.replace("-", "_").replace("X_Real_IP: 1.2.3.4", "X_Real-IP: 1.2.3.4")
                         + "X_Request_Id: theirs\r\nX_Other: kept\r\n"))
    names = [name.lower().replace("_", "-") for name, _ in upstream.requests[0].fields]
    for name in ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded", "x-request-id"):
        assert names.count(name) == 1, name
    assert "x-forwarded-port" not in names and "x-real-ip" not in names
    assert upstream.requests[0].value("x_other") == "kept"


def test_a_request_of_http_1_0_becomes_a_whole_one_of_http_1_1(proxied, upstream):
    ask(proxied, b"POST /x HTTP/1.0\r\nContent-Length: 2\r\nExpect: 100-continue, whatever\r\n\r\nhi")
    seen = upstream.requests[0]
    assert seen.value("host") == f"127.0.0.1:{upstream.port}"  # it names none, and must
    assert seen.value("expect") is None and seen.value("via") == "1.0 holdfast"


def test_what_a_trusted_proxy_says_of_clients_is_kept_and_added_to(start_server, upstream):
    server = start_server(config=config(upstream, site="    trust 127.0.0.0/8"))
    ask(server, request(headers=FORGED + "X-Forwarded-For: 5.6.7.8\r\nVia: 1.1 other\r\n"))
    seen = upstream.requests[0]
    assert seen.value("x-forwarded-for") == "1.2.3.4, 5.6.7.8, 127.0.0.1"
    assert seen.value("x-forwarded-proto") == "https"
    assert seen.value("x-forwarded-host") == "evil.example"
    assert seen.value("forwarded") == 'for=1.2.3.4, for=127.0.0.1;host="test.example";proto=http'
    assert seen.value("via") == "1.1 other, 1.1 holdfast"


def test_the_configuration_changes_the_header_that_is_sent_on(start_server, upstream):
    server = start_server(config=config(upstream, site="""
    trust 127.0.0.0/8
    request_header set X-Real-IP {client.address}
    request_header set X-Forwarded-Port 443
    request_header set X-Forwarded-Proto https
    request_header set X-User "{request.header.x-login} of {host}"
    request_header add X-More {path}
    request_header remove Cookie
    request_header remove Forwarded"""))
    ask(server, request("/a", method="POST", body=b"hi",
                        headers="X-Forwarded-For: 192.0.2.1\r\nX-Real-IP: 1.2.3.4\r\nX_Real_IP: 1.2.3.4\r\nX-Login: me\r\n"
                                "X-User: root\r\nx_user: root\r\nX-More: 1\r\nCookie: a=b\r\nContent-Length: 2\r\n"))
    seen = upstream.requests[0]
    assert seen.value("x-real-ip") == "192.0.2.1" and seen.value("x_real_ip") is None
    assert (seen.value("x-forwarded-port"), seen.value("x-forwarded-proto")) == ("443", "https")
    assert seen.value("x-user") == "me of test.example" and seen.value("x_user") is None
    assert seen.values("x-more") == ["1", "/a"]
    assert seen.value("cookie") is None and seen.value("forwarded") is None
    assert seen.value("x-forwarded-for") == "192.0.2.1, 127.0.0.1" and seen.value("content-length") == "2"


def test_a_header_that_gets_too_long_by_the_configuration_is_refused_and_no_server_is_asked(start_server, upstream):
    server = start_server(config=config(upstream, site="    request_header add X-A {query.a}\n"
                                                       "    request_header add X-B {query.a}\n"
                                                       "    request_header add X-C {query.a}"))
    assert ask(server, request("/?a=" + "x" * 5000)).status == 431
    assert ask(server, request("/?a=b")).status == 200
    assert [seen.line for seen in upstream.requests] == ["GET /?a=b HTTP/1.1"]


def test_the_request_id_and_the_trace_go_on_to_the_upstream(proxied, upstream):
    ask(proxied, request(headers="traceparent: 00-11111111111111111111111111111111-2222222222222222-01\r\n"
                                 "tracestate: a=b\r\nX-Request-Id: mine-1\r\n"))
    ask(proxied, request())
    ours, other = upstream.requests
    assert ours.value("x-request-id") == "mine-1"
    assert re.fullmatch(r"00-1{32}-[0-9a-f]{16}-01", ours.value("traceparent"))
    assert ours.value("tracestate") == "a=b"
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]", other.value("traceparent"))
    assert other.value("x-request-id")


@pytest.mark.parametrize("policy, host", [("", "test.example"), ("host client", "test.example"),
                                          ("host upstream", None), ("host app.example", "app.example")])
def test_the_host_is_what_the_configuration_wants(start_server, upstream, policy, host):
    server = start_server(config=config(upstream, proxy=policy))
    ask(server, request())
    assert upstream.requests[0].value("host") == (host or upstream.address)


def test_the_host_of_an_absolute_target_is_the_clients(proxied, upstream):
    ask(proxied, b"GET http://other.example:81/x?y HTTP/1.1\r\nHost: test.example\r\n\r\n")
    seen = upstream.requests[0]
    assert seen.line == "GET /x?y HTTP/1.1"
    assert seen.value("host") == "other.example:81"


def test_max_forwards_counts_down_and_ends_here(proxied, upstream):
    upstream.script = lambda call: call.answer(200, b"")
    for left, method, expected in [("5", "OPTIONS", "4"), ("5", "GET", None)]:
        ask(proxied, request(method=method, headers=f"Max-Forwards: {left}\r\n"))
        assert upstream.requests[-1].value("max-forwards") == expected
    count = len(upstream.requests)
    answer = ask(proxied, request(method="OPTIONS", headers="Max-Forwards: 0\r\n"))
    assert answer.status == 204
    assert len(upstream.requests) == count


PATHS = [  # as sent, and as passed on
    ("/", "/"), ("/a%20b", "/a%20b"), ("/a%2Db?x=%2f/../y", "/a%2Db?x=%2f/../y"), ("/%7Ea/", "/%7Ea/"),
    ("/a?", "/a?"), ("/a;b=c", "/a;b=c"), ("/a/../b", "/b"), ("/a/./b", "/a/b"), ("//a//b", "/a/b"),
    ("/a/%2e%2e/b", "/b"), ("/a/.", "/a/"), ("/a//?x", "/a/?x"), ("/...", "/..."), ("/a/../b%20c", "/b%20c"),
    ("/a/../%3f%25", "/%3F%25"),
]


@pytest.mark.parametrize("sent, passed", PATHS)
def test_a_path_is_passed_on_as_docs_paths_says(proxied, upstream, sent, passed):
    ask(proxied, request(sent))
    assert upstream.requests[0].target == passed


def test_a_path_that_a_route_changes_is_passed_on_changed_and_encoded(start_server, upstream):
    site = """
    route /api/* {
        strip /api
        proxy app
    }
    route /old/* {
        rewrite /new/{rest}
        proxy app
    }
"""
    server = start_server(config=config(upstream, site=site))
    for sent, passed in [("/api/a%20b?q=%20", "/a%20b?q=%20"), ("/api/%2e/%7e", "/~"), ("/old/x%2fy", None),
                         ("/old/x?y", "/new/x?y"), ("/api", "/")]:
        count = len(upstream.requests)
        ask(server, request(sent))
        assert [seen.target for seen in upstream.requests[count:]] == ([passed] if passed else []), sent


def test_header_changes_of_a_route_reach_proxied_answers(start_server, upstream):
    site = """
    header set X-Path {path}
    header set X-Fixed always
    header add Vary Accept
    header remove X-Powered-By
"""
    upstream.script = lambda call: call.answer(200, b"x", "X-Powered-By: y\r\nVary: A\r\nX-Fixed: never\r\n")
    server = start_server(config=config(upstream, site=site))
    for path in ("/one", "/two"):
        fields = ask(server, request(path)).fields
        assert value(fields, "x-path") == path
        assert value(fields, "x-fixed") == "always"
        assert [text for name, text in fields if name == "vary"] == ["A", "Accept"]
        assert value(fields, "x-powered-by") is None
    server.wait_for(is_at_rest)


def test_header_changes_that_speak_of_the_request_reach_errors_of_ours_too(start_server):
    with Upstream() as gone:
        address = gone.address
    server = start_server(config=config(address, site="    header set X-Path {path}"))
    with Client(server) as client:
        for path in ("/one", "/two"):
            client.send(path)
            answer = read_answer(client)
            assert (answer.status, value(answer.fields, "holdfast-error")) == (502, "upstream_connect_refused")
            assert value(answer.fields, "x-path") == path
    server.wait_for(is_at_rest)


def test_max_body_holds_for_chunks_that_are_passed_on(start_server, upstream):
    server = start_server(config=config(upstream, top="", site="    max_body 10k"))
    answer = ask(server, request("/", "POST", "Transfer-Encoding: chunked\r\n", chunked(b"x" * 20000, 1000)))
    assert answer.status == 413
    upstream.wait_for(lambda upstream: upstream.ended == upstream.connections)
    assert not any(seen.is_whole for seen in upstream.requests)
    server.wait_for(is_at_rest)


def test_scripts_may_be_chosen_by_path(start_server, upstream):
    upstream.script = by_path({"/a": lambda call: call.answer(200, b"a"), "/b": lambda call: call.answer(201, b"b")})
    server = start_server(config=config(upstream))
    assert [ask(server, request(path)).status for path in ("/a", "/b?x")] == [200, 201]
