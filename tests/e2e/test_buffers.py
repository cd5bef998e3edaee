"""Bodies that are held back between client and upstream server: `buffer`."""

import hashlib
import os
import socket
import subprocess
import threading

import pytest

pytestmark = pytest.mark.variants("hooks", "release")

BODY = bytes(range(251)) * 1200  # 301,200 bytes
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
OK_AND_STAY = OK.replace(b"Connection: close\r\n", b"")


class Listener:
    """An upstream server whose connections the test serves itself."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.settimeout(20)
        self.address = "127.0.0.1:%d" % self.socket.getsockname()[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def accept(self):
        connection, _ = self.socket.accept()
        connection.settimeout(20)
        return connection, connection.makefile("rb")


@pytest.fixture
def upstream():
    with Listener() as listener:
        yield listener


def start(start_server, listener, *lines, pool="", limit=""):
    block = "".join(f"        {line}\n" for line in lines)
    return start_server(workers=1, top=f"pool app {{\n    server {listener.address}{limit}\n{pool}}}",
                        site=f"max_body off\nroute /* {{\n    proxy app {{\n{block}    }}\n}}")


def connect(server):
    connection = socket.create_connection(("127.0.0.1", server.port))
    connection.settimeout(20)
    return connection


def read_head(stream):
    first, fields = stream.readline().decode().strip(), {}
    while (line := stream.readline()).strip():
        name, _, value = line.decode().partition(":")
        fields[name.lower()] = value.strip()
    return first, fields


def read_body(stream, fields):
    if fields.get("transfer-encoding") != "chunked":
        return stream.read(int(fields.get("content-length", 0)))
    body = bytearray()
    while length := int(stream.readline(), 16):
        body += stream.read(length)
        stream.read(2)
    assert stream.readline() == b"\r\n"
    return body


def serve_one(listener, answer=OK):
    """Path and body of the one request of a fresh connection."""
    connection, stream = listener.accept()
    first, fields = read_head(stream)
    body = read_body(stream, fields)
    connection.sendall(answer)
    connection.close()
    return first.split()[1], body


def send_framed(connection, path, body, is_chunked, fields=""):
    framing = "Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {len(body)}"
    connection.sendall(f"POST {path} HTTP/1.1\r\nHost: a\r\n{fields}{framing}\r\n\r\n".encode())


def framed(data, is_chunked):
    return b"%x\r\n%s\r\n" % (len(data), data) if is_chunked else data


def revive(server):
    revivals = server.worker(0)["revivals"]
    server.kill_worker(0)
    server.wait_for(lambda s: (s.worker(0) or {}).get("revivals") == revivals + 1)


@pytest.mark.parametrize("is_chunked", [False, True], ids=["by length", "in chunks"])
@pytest.mark.parametrize("limits", ["400k", "20k file 1m"])
@pytest.mark.parametrize("body", [b"small", BODY], ids=["small", "large"])
def test_a_server_is_not_asked_before_the_body_is_whole(start_server, upstream, limits, is_chunked, body):
    server = start(start_server, upstream, f"buffer request {limits}")
    with connect(server) as slow, connect(server) as quick:
        send_framed(slow, "/slow", body, is_chunked)
        slow.sendall(framed(body[:len(body) // 2], is_chunked))
        send_framed(quick, "/quick", b"", False)
        assert serve_one(upstream) == ("/quick", b"")
        slow.sendall(framed(body[len(body) // 2:], is_chunked) + (b"0\r\n\r\n" if is_chunked else b""))
        assert serve_one(upstream) == ("/slow", body)
        assert slow.recv(100).startswith(b"HTTP/1.1 200 ")


def test_the_body_that_is_held_back_survives_workers(start_server, upstream):
    server = start(start_server, upstream, "buffer request 64k file 1m")
    with connect(server) as client:
        send_framed(client, "/", BODY, False)
        for at in range(0, len(BODY), 50000):
            client.sendall(BODY[at:at + 50000])
            revive(server)
        assert serve_one(upstream) == ("/", BODY)
        assert client.recv(100).startswith(b"HTTP/1.1 200 ")


def test_a_client_that_waits_for_100_gets_it_from_us(start_server, upstream):
    server = start(start_server, upstream, "buffer request 64k")
    with connect(server) as client:
        send_framed(client, "/", b"hello", False, "Expect: 100-continue\r\n")
        stream = client.makefile("rb")
        assert read_head(stream)[0] == "HTTP/1.1 100 Continue"
        client.sendall(b"hello")
        assert serve_one(upstream, b"HTTP/1.1 100 Continue\r\n\r\n" + OK) == ("/", b"hello")
        assert read_head(stream)[0] == "HTTP/1.1 200 OK"


@pytest.mark.parametrize("is_chunked", [False, True], ids=["by length", "in chunks"])
def test_a_longer_body_is_streamed_from_there_on(start_server, upstream, is_chunked):
    server = start(start_server, upstream, "buffer request 20k file 100k")
    with connect(server) as client:
        send_framed(client, "/", BODY, is_chunked)
        client.sendall(framed(BODY[:200000], is_chunked))
        connection, stream = upstream.accept()  # though the rest is not there
        _, fields = read_head(stream)
        client.sendall(framed(BODY[200000:], is_chunked) + (b"0\r\n\r\n" if is_chunked else b""))
        assert read_body(stream, fields) == BODY
        connection.sendall(OK)
        assert client.recv(100).startswith(b"HTTP/1.1 200 ")
        connection.close()


def test_a_body_that_is_held_back_goes_to_another_server_when_one_refuses(start_server, upstream):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        refusing = f"    server 127.0.0.1:{nobody.getsockname()[1]} weight 100\n"
        server = start(start_server, upstream, "buffer request 20k file 1m", pool=refusing)
        with connect(server) as client:
            send_framed(client, "/", BODY, False)
            client.sendall(BODY)
            assert serve_one(upstream) == ("/", BODY)
        server.wait_for_log("event=upstream_failed .*outcome=another_try")


def test_a_client_that_breaks_off_costs_the_server_nothing(start_server, upstream):
    server = start(start_server, upstream, "buffer request 20k file 1m")
    with connect(server) as client:
        send_framed(client, "/gone", BODY, False)
        client.sendall(BODY[:100000])
    server.wait_for(lambda s: s.worker(0)["connections"] == 0)
    with connect(server) as client:
        send_framed(client, "/next", b"", False)
        assert serve_one(upstream) == ("/next", b"")


@pytest.mark.parametrize("framing", ["by length", "in chunks", "by its end"])
def test_a_slow_client_does_not_hold_the_connection_to_the_server(start_server, upstream, framing):
    size, answer = 30_000_000, {"by length": b"Content-Length: 30000000", "in chunks": b"Transfer-Encoding: chunked",
                                "by its end": b"Connection: close"}[framing]
    server = start(start_server, upstream, "buffer response 64k file 1g", limit=" max 1")
    want, got = hashlib.sha256(), hashlib.sha256()
    with connect(server) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        connection, stream = upstream.accept()
        read_head(stream)
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + answer + b"\r\n\r\n")
        for at in range(0, size, 100_000):  # nobody reads it
            data = hashlib.sha256(b"%d" % at).digest() * 3125
            want.update(data)
            connection.sendall(framed(data, framing == "in chunks"))
        if framing == "in chunks":
            connection.sendall(b"0\r\n\r\n")
        if framing == "by its end":
            connection.shutdown(socket.SHUT_WR)
        else:
            with connect(server) as other:  # it waits until the one connection is free
                other.sendall(b"GET /other HTTP/1.1\r\nHost: a\r\n\r\n")
                assert read_head(stream)[0] == "GET /other HTTP/1.1"
                connection.sendall(OK_AND_STAY)
                assert other.recv(100).startswith(b"HTTP/1.1 200 ")
        revive(server)
        answer_stream = client.makefile("rb")
        _, fields = read_head(answer_stream)
        got.update(read_body(answer_stream, fields))
        assert got.digest() == want.digest()
        connection.close()


def test_a_limit_of_files_makes_bodies_stream_and_loses_nothing(start_server, upstream):
    """As a full disk does: space is asked for before a byte counts."""
    server = start(start_server, upstream, "buffer request 20k file 1g", "buffer response 20k file 1g")
    for pid in server.worker_pids():
        owner = os.stat(f"/proc/{pid}")
        subprocess.run(["prlimit", "--pid", str(pid), "--fsize=50000"], check=True, user=owner.st_uid, group=owner.st_gid,
                       extra_groups=[])
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (50 * len(BODY)) + 50 * BODY
    got = []
    with connect(server) as client:
        serving = threading.Thread(target=lambda: got.append(serve_one(upstream, answer)))
        serving.start()
        send_framed(client, "/", BODY, False)
        client.sendall(BODY)
        server.wait_for_log("event=buffer_failed .*outcome=streamed")
        stream = client.makefile("rb")
        _, fields = read_head(stream)
        assert read_body(stream, fields) == 50 * BODY
        serving.join()
    assert got == [("/", BODY)]
