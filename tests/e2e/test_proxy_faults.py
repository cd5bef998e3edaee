"""What an upstream server can do wrong: each gets its status, its reason and its time, nothing is sent twice that may not
be, and nothing stays behind."""

import json
import os
import re
import socket
import threading
import time

import pytest
from clients import Client, bytes_of, descriptors, request
from proxied import ask, config, is_at_rest, read_answer, read_head, value
from upstream import Ended, Upstream

pytestmark = [pytest.mark.variants("hooks", "asan"), pytest.mark.dear("hooks")]

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def upstream():
    with Upstream() as server:
        yield server


@pytest.fixture
def front(start_server, upstream):
    """Starts a server in front of `upstream`; at the end nothing may be left of what went wrong."""
    servers = []

    def start(**options):
        options.setdefault("pool", "    eject off\n    retries 2 within 10s budget 100")
        server = start_server(config=config(upstream, top="access_log {folder}/access.log json", **options))
        upstream.script, script = lambda call: call.answer(), upstream.script
        assert ask(server, request()).status == 200
        upstream.close_idle()
        upstream.wait_for(lambda upstream: upstream.ended == upstream.connections)
        server.wait_for(is_at_rest)
        server.wait_for(lambda server: '"connections":[]' in server.run("connections", "--json").stdout)
        upstream.script = script
        del upstream.requests[:]
        servers.append((server, descriptors(server.worker_pids()[0])))
        return server

    yield start
    upstream.script = lambda call: call.answer()
    for server, before in servers:
        assert ask(server, request()).status == 200  # it goes on
        upstream.close_idle()
        server.wait_for(is_at_rest)
        server.wait_for(lambda server, before=before: descriptors(server.worker_pids()[0]) == before)


def told(server, path="/"):
    """The line of the access log of the last request for this path, those of the fixture excepted."""
    def look(_):
        lines = [json.loads(line) for line in (server.folder / "access.log").read_text().splitlines()[1:]]
        return [line for line in lines if line.get("path", line.get("target")) == path]

    return server.wait_for(look)[-1]


def assert_error(server, answer, status, reason, failure=None):
    assert (answer.status, value(answer.fields, "holdfast-error")) == (status, reason)
    assert answer.is_whole and f"reason: {reason}\n".encode() in answer.body
    server.wait_for_log(f"event=upstream_failed .*reason={failure or reason} ")


# No answer at all


def test_a_server_that_refuses_is_502(start_server):
    with Upstream() as gone:
        address = gone.address
    server = start_server(config=config(address))
    assert_error(server, ask(server, request()), 502, "upstream_connect_refused")
    assert_error(server, ask(server, request("/", "POST", "Content-Length: 300000\r\n", b"x" * 300000)), 502,
                 "upstream_connect_refused")
    server.wait_for(is_at_rest)


def test_a_unix_socket_that_is_not_there_is_502(start_server, folder):
    server = start_server(config=config(f"unix:{folder}/none.sock"))
    assert_error(server, ask(server, request()), 502, "upstream_connect_refused")
    server.wait_for(is_at_rest)


def test_the_reason_in_the_header_can_be_turned_off(start_server):
    with Upstream() as gone:
        address = gone.address
    server = start_server(config=config(address, proxy="        error_header off"))
    answer = ask(server, request())
    assert answer.status == 502 and value(answer.fields, "holdfast-error") is None
    server.wait_for_log("event=upstream_failed .*reason=upstream_connect_refused ")


def test_a_name_that_is_not_known_is_503_and_never_blocks_the_start(start_server):
    server = start_server(config=config("nowhere.invalid:80", site="    header set X-Path {path}",
                                        top="resolver 127.0.0.1:1"))
    with Client(server) as client:
        for _ in range(3):
            client.send()
            answer = read_answer(client)
            assert answer.status == 503
            assert value(answer.fields, "holdfast-error") in ("pool_empty", "dns_failed")
            assert value(answer.fields, "x-path") == "/"
    server.wait_for(is_at_rest)


def test_a_connection_that_is_not_made_in_time_is_504(start_server):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        filling = []
        for _ in range(3):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
            filling.append(one)
        address = "127.0.0.1:%d" % listener.getsockname()[1]
        server = start_server(config=config(address, pool="    timeout connect 200ms\n    retries off"))
        began = time.monotonic()
        assert_error(server, ask(server, request()), 504, "upstream_connect_timeout")
        assert 0.19 < time.monotonic() - began < 5
        for one in filling:
            one.close()
    server.wait_for(is_at_rest)


def test_a_unix_socket_whose_queue_is_full_is_504_and_waited_for_without_spinning(start_server, folder):
    path = str(folder / "full.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        os.chmod(path, 0o666)
        listener.listen(0)
        one = socket.socket(socket.AF_UNIX)
        one.connect(path)
        server = start_server(config=config(f"unix:{path}", pool="    timeout connect 300ms\n    retries off"))
        began = time.monotonic()
        assert_error(server, ask(server, request()), 504, "upstream_connect_timeout")
        assert 0.29 < time.monotonic() - began < 5
        one.close()
    server.wait_for(is_at_rest)


@pytest.mark.parametrize("where", ["pool", "route"])
@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nX: "])
def test_a_server_that_never_answers_is_504(front, upstream, sent, where):
    never = threading.Event()
    upstream.script = lambda call: (call.send(sent), call.wait(never))
    timeout = "timeout first_byte 200ms"
    server = front(proxy=f"        {timeout}") if where == "route" else front(pool=f"    {timeout}\n    eject off")
    began = time.monotonic()
    assert_error(server, ask(server, request()), 504, "upstream_timeout")
    assert 0.19 < time.monotonic() - began < 5
    assert len(upstream.requests) == 1  # which may have been executed: it is not sent again
    never.set()


def test_the_whole_exchange_has_a_time(front, upstream):
    never = threading.Event()

    def script(call):
        call.send(CHUNKED)
        while not never.wait(0.02):
            call.send(b"1\r\nx\r\n")

    upstream.script = script
    server = front(pool="    timeout whole 500ms\n    eject off")
    with Client(server) as client:
        client.send()
        began = time.monotonic()
        answer = read_answer(client)
        assert answer.status == 200 and not answer.is_whole
        assert 0.4 < time.monotonic() - began < 5
    never.set()
    server.wait_for_log("event=upstream_failed .*reason=upstream_too_slow outcome=response_cut")


def test_a_server_that_drips_its_head_has_until_the_first_byte_timeout(front, upstream):
    never = threading.Event()

    def script(call):
        for byte in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 10000:
            if never.wait(0.01):
                call.close()
            call.send(bytes([byte]))

    upstream.script = script
    server = front(pool="    timeout first_byte 300ms\n    eject off")
    assert_error(server, ask(server, request()), 504, "upstream_timeout")
    never.set()


def test_a_server_that_drips_its_answer_in_time_is_waited_for(front, upstream):
    gate = threading.Event()

    def script(call):
        call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n")
        for _ in range(20):
            gate.wait(0.05)
            call.send(b"y")

    upstream.script = script
    server = front(pool="    timeout between 500ms\n    eject off")
    answer = ask(server, request())
    assert (answer.status, answer.body, answer.is_whole) == (200, b"y" * 20, True)


# Answers that are not whole


def cut(call, data, how):
    call.read_body()
    call.send(data)
    if how == "reset":
        call.reset()
    call.close()


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("sent", [b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nX: y\r\n"])
def test_half_a_head_is_502(front, upstream, sent, how):
    upstream.script = lambda call: cut(call, sent, how)
    server = front()
    answer = ask(server, request())
    assert answer.status == 502
    assert value(answer.fields, "holdfast-error") in ("upstream_broke_off", "upstream_reset")
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("how", ["close", "reset", "silence"])
@pytest.mark.parametrize("sent", [HEAD, HEAD + b"x" * 50, CHUNKED, CHUNKED + b"5\r\nhe", CHUNKED + b"5\r\nhello\r\n",
                                  CHUNKED + b"5\r\nhello\r\n0\r\nX-Tr"],
                         ids=["head", "half", "head of chunks", "half a chunk", "chunk", "half a trailer"])
def test_half_a_body_is_a_cut_and_no_clean_end(front, upstream, sent, how):
    never = threading.Event()

    def script(call):
        if how == "silence":
            call.send(sent)
            call.wait(never)
        cut(call, sent, how)

    upstream.script = script
    server = front(pool="    timeout between 200ms\n    eject off")
    with Client(server) as client:
        client.send()
        answer = read_answer(client)
        assert answer.status == 200 and not answer.is_whole
        if how != "reset":  # which may come before what was sent is read
            assert answer.body == sent.partition(b"\r\n\r\n")[2].replace(b"5\r\n", b"").partition(b"\r\n")[0]
    never.set()
    reason = {"close": "upstream_broke_off", "reset": "upstream_(reset|broke_off)", "silence": "upstream_stalled"}[how]
    server.wait_for_log(f"event=upstream_failed .*reason={reason} outcome=response_cut")
    assert re.fullmatch(reason, told(server)["reason"])
    assert len(upstream.requests) == 1


def test_a_cut_answer_without_framing_ends_with_a_reset_for_a_client_of_http_1_0(front, upstream):
    """Its end is the end of the connection: a FIN would say that all is there."""
    upstream.script = lambda call: cut(call, CHUNKED + b"5\r\nhello\r\n", "close")
    server = front()
    with Client(server) as client:
        client.send(version="1.0")
        with pytest.raises(ConnectionResetError):
            read_answer(client)


def test_a_close_delimited_answer_that_is_reset_is_cut(front, upstream):
    gate = threading.Event()

    def script(call):
        call.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
        call.wait(gate)
        call.reset()

    upstream.script = script
    server = front()
    with Client(server) as client:
        client.send()
        assert read_head(client)[0] == 200
        assert client.file.read(10) == b"5\r\nhello\r\n"
        gate.set()
        assert client.has_ended()


# Answers that are none, or more than one


GARBAGE = [b"hello\r\n\r\n", b"\x16\x03\x01\x00\xa5" + b"\0" * 50 + b"\r\n\r\n", b"HTTP/1.1 xyz OK\r\n\r\n", b"HTTP/2.0 200 OK\r\n\r\n",
           b"HTTP/1.1 200 OK\r\nNo colon\r\n\r\n", b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length : 5\r\n\r\nhello",
           b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
           b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello", b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
           b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
           b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
           b"HTTP/1.1 099 No\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n"]


@pytest.mark.parametrize("sent", GARBAGE)
def test_an_answer_that_is_none_is_502(front, upstream, sent):
    upstream.script = lambda call: cut(call, sent, "close")
    server = front()
    answer = ask(server, request())
    assert answer.status == 502 and answer.is_whole
    reason = value(answer.fields, "holdfast-error")
    assert reason.startswith("upstream_")
    server.wait_for_log(f"event=upstream_failed .*reason={reason} outcome=error_answered")
    assert told(server)["reason"] == reason
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("sent", [b"X\r\n", b"5\r\nhelloX", b"ffffffffffffffffff\r\n", b"-1\r\n", b"5\nhello\r\n"])
def test_chunks_that_are_none_cut_the_answer(front, upstream, sent):
    upstream.script = lambda call: cut(call, CHUNKED + b"2\r\nok\r\n" + sent + b"0\r\n\r\n", "close")
    server = front()
    with Client(server) as client:
        client.send()
        answer = read_answer(client)
        assert answer.status == 200 and not answer.is_whole
        assert answer.body.startswith(b"ok")


def test_a_head_that_is_too_large_is_502(front, upstream):
    upstream.script = lambda call: cut(call, b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20000 + b"\r\n\r\n", "close")
    server = front()
    assert_error(server, ask(server, request()), 502, "upstream_header_too_large")


EXTRA = {
    "a byte": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello!",
    "another answer": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello" * 2,
    "a body with 204": b"HTTP/1.1 204 No\r\n\r\nhello",
    "behind chunks": CHUNKED + b"5\r\nhello\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
}


@pytest.mark.parametrize("sent", EXTRA.values(), ids=EXTRA.keys())
def test_bytes_behind_an_answer_are_never_taken_for_the_next_one(front, upstream, sent):
    upstream.script = lambda call: call.send(sent)
    server = front()
    with Client(server) as client:
        for _ in range(3):
            client.send()
            answer = read_answer(client)
            assert (answer.status, answer.body) in ((200, b"hello"), (204, b""))
    assert upstream.connections == 4 and len(upstream.requests) == 3


@pytest.mark.parametrize("length", [16384 - 100, 16384, 32768])
def test_bytes_behind_an_answer_that_fills_the_ring_are_found_too(front, upstream, length):
    """The answer ends where the ring does: what follows is in the socket, and there will be no further event."""
    head = b"HTTP/1.1 200 OK\r\nX: %s\r\nContent-Length: 100\r\n\r\n"
    first = head % (b"x" * (length - 100 - len(head) + 2)) + b"y" * 100

    def script(call):
        if call.request.target == "/first":
            call.send(first + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        else:
            call.answer(200, b"good")

    upstream.script = script
    server = front()
    with Client(server) as client:
        for _ in range(5):
            client.send("/first")
            answer = read_answer(client)
            if length < 15000:
                assert answer.status == 200 and answer.body == b"y" * 100
            client.send("/next")
            assert read_answer(client).body == b"good"


@pytest.mark.parametrize("size", [16384, 32768, 65536])
def test_bytes_behind_a_body_that_fills_the_ring_are_found_too(front, upstream, size):
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %05d\r\n\r\n"
    body = b"y" * (size - len(head) - 1)
    first = head % len(body) + body
    assert len(first) == size

    def script(call):
        if call.request.target == "/first":
            call.send(first + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        else:
            call.answer(200, b"good")

    upstream.script = script
    server = front()
    with Client(server) as client:
        for _ in range(10):
            client.send("/first")
            assert read_answer(client).body == body
            client.send("/next")
            assert read_answer(client).body == b"good"


def test_an_answer_that_is_followed_by_a_reset_is_whole(front, upstream):
    body = b"x" * 1000

    def script(call):
        call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + body)
        call.reset()

    upstream.script = script
    server = front()
    with Client(server) as client:
        for i in range(20):
            client.send("/", "POST", "Content-Length: 3\r\n", b"abc")
            answer = read_answer(client)
            assert (answer.status, answer.body) == (200, body), i
            upstream.wait_for(lambda upstream, i=i: upstream.ended >= i + 2)  # the reset is there; its event need not be
    assert len(upstream.requests) == 20


# Once more, or never


def closes_at_reuse(call):
    """Answers the first request of a connection; ends it when another one comes, as if it had timed out just then."""
    seen = [one for one in call.upstream.requests if one.connection == call.request.connection]
    call.read_body()
    if len(seen) > 1:
        call.close()
    call.answer(200, b"" if call.request.method == "HEAD" else b"ok")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_an_idempotent_request_is_sent_once_more_when_a_reused_connection_ends(front, upstream, method):
    upstream.script = closes_at_reuse
    server = front()
    with Client(server) as client:
        for i in range(3):
            client.send("/", method, f"X-Id: {i}\r\nContent-Length: 2\r\n" if method == "PUT" else f"X-Id: {i}\r\n",
                        b"ab" if method == "PUT" else b"")
            answer = read_answer(client, method)
            assert answer.status == 200
    assert [upstream.executions[str(i)] for i in range(3)] == [1, 2, 2]
    server.wait_for_log("reason=upstream_closed outcome=another_try")


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_request_that_may_not_be_repeated_is_never_sent_twice(front, upstream, method, how):
    def script(call):
        seen = [one for one in call.upstream.requests if one.connection == call.request.connection]
        call.read_body()
        if len(seen) > 1:
            call.reset() if how == "reset" else call.close()
        call.answer(200, b"ok")

    upstream.script = script
    server = front()
    statuses = []
    with Client(server) as client:
        for i in range(4):
            client.send("/", method, f"X-Id: {i}\r\nContent-Length: 2\r\n", b"ab")
            answer = read_answer(client)
            statuses.append(answer.status)
            if answer.status != 200:
                assert (answer.status, value(answer.fields, "holdfast-error")) == (
                    502, "upstream_closed" if how == "close" else "upstream_reset")
    assert statuses == [200, 502, 200, 502]
    assert all(upstream.executions[str(i)] == 1 for i in range(4))


def test_a_get_that_ended_a_fresh_connection_is_not_sent_again(front, upstream):
    upstream.script = lambda call: call.close()
    server = front()
    assert_error(server, ask(server, request()), 502, "upstream_closed")
    assert len(upstream.requests) == 1


def test_a_get_whose_answer_had_begun_is_not_sent_again(front, upstream):
    def script(call):
        seen = [one for one in call.upstream.requests if one.connection == call.request.connection]
        if len(seen) > 1:
            call.send(b"H")
            call.close()
        call.answer(200, b"ok")

    upstream.script = script
    server = front()
    assert ask(server, request()).status == 200
    assert_error(server, ask(server, request()), 502, "upstream_broke_off")
    assert len(upstream.requests) == 2


def test_idle_connections_that_end_are_nobodys_failure_and_cost_no_request(front, upstream):
    server = front()
    for _ in range(10):
        answer = ask(server, request("/", "POST", "Content-Length: 2\r\n", b"ab"))
        assert answer.status == 200
        ended = upstream.ended
        upstream.close_idle()
        upstream.wait_for(lambda upstream, ended=ended: upstream.ended > ended)
        server.wait_for(is_at_rest)
    assert "upstream_failed" not in server.log()


def test_a_request_that_was_never_connected_goes_to_another_server(start_server):
    with Upstream() as gone:
        address = gone.address
    with Upstream(script=lambda call: call.answer(200, call.read_body())) as good:
        server = start_server(config=config(address, good, pool="    retries 2 within 10s budget 100\n    eject off"))
        body = bytes_of(4, 100_000)
        with Client(server) as client:
            for i in range(10):
                client.send("/", "POST", f"X-Id: {i}\r\nContent-Length: {len(body)}\r\n", body)
                answer = read_answer(client)
                assert (answer.status, answer.body) == (200, body)
        assert all(good.executions[str(i)] == 1 for i in range(10))
        good.close_idle()
        server.wait_for(is_at_rest)


def test_a_server_that_fails_always_is_put_aside_and_the_others_get_all(start_server):
    with Upstream() as gone:
        address = gone.address
    with Upstream() as good:
        server = start_server(config=config(address, good, pool="    retries 2 within 10s budget 100\n    eject 2"))
        for _ in range(20):
            assert ask(server, request()).status == 200
        assert len(re.findall("event=upstream_failed", server.log())) <= 3


# A pool that is full


def test_who_finds_no_place_waits_in_the_queue_and_is_served(start_server, upstream):
    gate = threading.Semaphore(0)
    upstream.script = lambda call: (gate.acquire(timeout=30), call.answer(200, call.read_body()))
    server = start_server(config="workers 1\ncontrol {control}\npool app {\n    server %s max 1\n    queue 2 for 20s\n}\n"
                                 "site 127.0.0.1:{port} {\n    header set X-Path {path}\n    proxy app\n}\n"
                                 % upstream.address)
    clients = [Client(server) for _ in range(4)]
    for i, client in enumerate(clients[:3]):
        client.send(f"/{i}", "POST", "Content-Length: 5\r\n", b"hello")
        if i == 0:
            upstream.wait_for_requests(1)
        server.wait_for(lambda server, i=i: server.status()["workers"][0]["connections"] >= i + 1)
    clients[3].send("/3")
    answer = read_answer(clients[3])
    assert (answer.status, value(answer.fields, "holdfast-error")) == (503, "pool_full")
    for client in clients[:3]:
        gate.release()
    for i, client in enumerate(clients[:3]):
        answer = read_answer(client)
        assert (answer.status, answer.body, value(answer.fields, "x-path")) == (200, b"hello", f"/{i}")
    for client in clients:
        client.close()
    upstream.close_idle()
    server.wait_for(is_at_rest)


def test_who_waits_too_long_in_the_queue_gets_503(start_server, upstream):
    gate = threading.Event()
    upstream.script = lambda call: (call.wait(gate), call.answer())
    server = start_server(config="workers 1\ncontrol {control}\npool app {\n    server %s max 1\n    queue 2 for 200ms\n}\n"
                                 "site 127.0.0.1:{port} {\n    proxy app\n}\n" % upstream.address)
    with Client(server) as first, Client(server) as second:
        first.send()
        upstream.wait_for_requests(1)
        began = time.monotonic()
        second.send()
        answer = read_answer(second)
        assert (answer.status, value(answer.fields, "holdfast-error")) == (503, "pool_full")
        assert 0.19 < time.monotonic() - began < 5
        gate.set()
        assert read_answer(first).status == 200
        second.send()
        assert read_answer(second).status == 200
    upstream.close_idle()
    server.wait_for(is_at_rest)


# A client that goes away


@pytest.mark.parametrize("sent", [b"", HEAD + b"half"])
def test_a_client_that_goes_away_takes_its_upstream_connection_with_it(front, upstream, sent):
    never = threading.Event()
    ended = threading.Event()

    def script(call):
        call.send(sent)
        try:
            assert call.connection.file.read(1) == b""
        except ConnectionResetError:
            pass  # part of the answer was not read any more
        ended.set()
        call.close()

    upstream.script = script
    server = front()
    client = Client(server)
    client.send()
    upstream.wait_for_requests(1)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    assert ended.wait(10)
    never.set()


def test_a_client_that_sends_no_more_of_its_body_gets_the_answer_that_was_on_its_way(front, upstream):
    def script(call):
        with pytest.raises(Ended):
            call.read_body()
        call.send(b"HTTP/1.1 413 Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
        call.close()

    upstream.script = script
    server = front()
    with Client(server) as client:
        client.send("/", "POST", "Content-Length: 1000000\r\n", b"x" * 300_000)
        client.socket.shutdown(socket.SHUT_WR)
        answer = read_answer(client)
        assert (answer.status, answer.body) == (413, b"big")
        assert client.has_ended()


def test_a_client_that_breaks_off_its_body_ends_the_request_upstream(front, upstream):
    ended = threading.Event()

    def script(call):
        try:
            call.read_body()
        finally:
            ended.set()

    upstream.script = script
    server = front()
    client = Client(server)
    client.send("/", "POST", "X-Id: a\r\nContent-Length: 100\r\n", b"half")
    upstream.wait_for_requests(1)
    client.close()
    assert ended.wait(10)
    assert upstream.executions["a"] == 0
    assert told(server)["end"] == "client_closed"
    assert "upstream_failed" not in server.log()
