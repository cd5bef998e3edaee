"""The line of an upgraded connection: bytes both ways, its whole time, and how it ended."""

import json
import os
import signal
import socket
import time

import pytest
from backend import Backend, read_exactly, read_to_end, reset

pytestmark = [pytest.mark.variants("hooks", "release")]


@pytest.fixture
def start(start_server):
    def start(backend, lines=(), drain="10s"):
        return start_server(config="\n".join(["workers 1", "control {control}", f"drain {drain}", "pool back {",
                                              f"server {backend.address}", *lines, "}", "site 127.0.0.1:{port} {",
                                              "proxy back", "access_log {folder}/site.log json", "}", ""]))

    return start


def upgrade(server, backend):
    """Both ends of an upgraded connection."""
    client = socket.create_connection(("127.0.0.1", server.port), 20)
    client.sendall(b"GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
    upstream = backend.accept()
    request = b""
    while b"\r\n\r\n" not in request:
        request += upstream.recv(1)
    upstream.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n")
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += client.recv(1)
    assert answer.startswith(b"HTTP/1.1 101 ")
    return client, upstream


def talk(client, upstream):
    client.sendall(b"12345")
    assert read_exactly(upstream, 5) == b"12345"
    upstream.sendall(b"123")
    assert read_exactly(client, 3) == b"123"


def the_line(server):
    path = server.folder / "site.log"
    server.wait_for(lambda _: path.exists() and path.read_text())
    [line] = [json.loads(line) for line in path.read_text().splitlines()]
    assert (line["status"], line["bytes"], line["received"], line["target"]) == (101, 3, 5, "/chat")
    return line


@pytest.mark.parametrize("is_killed", [False, True])
def test_of_one_that_both_have_ended(start, is_killed):
    with Backend() as backend:
        server = start(backend)
        begun = time.monotonic()
        client, upstream = upgrade(server, backend)
        talk(client, upstream)
        if is_killed:
            server.kill_worker(0)
        time.sleep(0.3)  # its duration
        client.close()
        assert read_to_end(upstream) == b""
        upstream.close()
        line = the_line(server)
        assert (line["end"], line["reason"]) == ("complete", None)
        assert 300 <= line["ms"] <= (time.monotonic() - begun) * 1000


@pytest.mark.parametrize("whose,end", [("client", ("client_reset", None)), ("server", ("upstream_failed", "upstream_reset"))])
def test_of_one_that_is_reset(start, whose, end):
    with Backend() as backend:
        server = start(backend)
        client, upstream = upgrade(server, backend)
        talk(client, upstream)
        reset(client if whose == "client" else upstream)
        line = the_line(server)
        assert (line["end"], line["reason"]) == end


def test_of_one_that_was_quiet_for_too_long(start):
    with Backend() as backend:
        server = start(backend, lines=["timeout tunnel 1s"])
        client, upstream = upgrade(server, backend)
        talk(client, upstream)
        line = the_line(server)
        assert (line["end"], line["reason"]) == ("tunnel_idle", None)


def test_of_one_that_the_server_stopped(start):
    with Backend() as backend:
        server = start(backend, drain="1s")
        client, upstream = upgrade(server, backend)
        talk(client, upstream)
        os.kill(server.pid, signal.SIGTERM)
        server.wait_exit()
        assert the_line(server)["end"] == "stopped"
