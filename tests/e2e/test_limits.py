"""Limits, seen from the clients: who is closed when there is no room, who waits, who is turned away."""

import select
import socket
import time

import pytest
from clients import Client, fetch, request

pytestmark = pytest.mark.variants("hooks", "release", "asan")

CONFIG = """workers 1
control {control}
drain 1s
%s
site 127.0.0.1:{port} {
    files {www}
}
"""


@pytest.fixture
def start(start_server):
    def start(top, **arguments):
        server = start_server(config=CONFIG % top, **arguments)
        (server.www / "index.html").write_bytes(b"index\n")
        (server.www / "large.bin").write_bytes(b"x" * (32 << 20))
        return server

    return start


def asked(server):
    """A connection that has had one answer and is idle now."""
    client = Client(server)
    assert client.get("/").status == 200
    return client


def begun(server):
    """A connection in the middle of a header, as slow attackers leave it."""
    client = Client(server)
    client.send_bytes(b"GET / HTTP/1.1\r\nHost: slow.example\r\nX-")
    return client


def close_all(clients):
    for client in clients:
        client.close()


def ended(clients):
    """Which of them the server has closed, by their places."""
    places = {client.socket.fileno(): place for place, client in enumerate(clients)}
    poll = select.poll()
    for number in places:
        poll.register(number, select.POLLIN)
    return sorted(places[number] for number, _ in poll.poll(0))


@pytest.mark.parametrize("death", ["", "and the worker has died meanwhile"], ids=["alive", "revived"])
def test_the_oldest_idle_connections_make_room_for_new_ones(start, death):
    server = start("max_connections 40")
    clients = [asked(server) for _ in range(40)]
    order = list(range(1, 40)) + [0]
    assert clients[0].get("/").status == 200  # now it is the youngest
    if death:
        server.kill_worker(0)
        server.wait_for(lambda s: s.status()["workers"][0]["revivals"] == 1)
    for count in range(1, 11):
        clients.append(asked(server))
        assert ended(clients) == sorted(order[:count])
    assert all(clients[place].has_ended() for place in order[:10])
    for client in clients[11:]:
        assert client.get("/").status == 200
    assert server.status()["workers"][0]["connections"] == 40
    server.wait_for_log("event=connections_closed")
    close_all(clients)


def test_connections_that_work_are_not_closed_for_others_and_those_wait(start):
    server = start("max_connections 5")
    busy = [Client(server, receive_buffer=4096) for _ in range(5)]
    for client in busy:
        client.send("/large.bin")
        assert client.head()[0] == 200
    with Client(server) as waiting:
        waiting.send("/")
        assert waiting.is_quiet(0.3)
        busy[0].close()
        assert waiting.answer().status == 200
        assert ended(busy[1:]) == [0, 1, 2, 3], "there is still something to read on each"
    for client in busy[1:]:
        assert len(client.file.read(1 << 20)) == 1 << 20
    close_all(busy)


@pytest.mark.limit(120)
def test_thousands_of_begun_headers_leave_room_for_others(start):
    server = start("max_connections 2000\nheader_timeout 60s")
    downloads = [Client(server, receive_buffer=4096) for _ in range(5)]
    for client in downloads:
        client.send("/large.bin")
        assert client.head()[0] == 200
    slow = [begun(server) for _ in range(3000)]
    server.wait_for(lambda s: s.status()["workers"][0]["connections"] == 2000)
    worst = 0
    for _ in range(20):
        started = time.monotonic()
        assert fetch(server).status == 200
        worst = max(worst, time.monotonic() - started)
    assert worst < 10, "the slow ones have a minute each"
    for client in downloads:
        assert len(client.file.read(1 << 20)) == 1 << 20
    assert len(ended(slow[-1000:])) < 1000, "only as many are closed as are needed"
    assert server.status()["workers"][0]["revivals"] == 0
    close_all(slow + downloads)


def test_the_end_of_the_descriptors_is_the_end_of_the_oldest_idle_connections_only(start):
    server = start("", prefix=["prlimit", "--nofile=400"])
    clients = []
    for _ in range(500):
        clients.append(asked(server))
    gone = ended(clients)
    assert gone and gone == list(range(len(gone))), "the oldest, and in their order"
    for client in clients[len(gone):]:
        assert client.get("/").status == 200
    assert server.status()["workers"][0]["revivals"] == 0
    close_all(clients)


def connect_from(server, address):
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=20, source_address=(address, 0))
    connection.sendall(request("/"))
    return connection


def status_of(connection):
    line = connection.makefile("rb").readline()
    return int(line.split()[1]) if line else None


@pytest.mark.parametrize("death", ["", "and the worker has died meanwhile"], ids=["alive", "revived"])
def test_one_address_has_no_more_than_its_connections(start, death):
    server = start("max_connections_per_client 5")
    mine = [connect_from(server, "127.0.0.2") for _ in range(5)]
    assert [status_of(connection) for connection in mine] == [200] * 5
    if death:
        server.kill_worker(0)
        server.wait_for(lambda s: s.status()["workers"][0]["revivals"] == 1)
    with Client(server) as other:  # from 127.0.0.1
        assert other.get("/").status == 200
    with socket.create_connection(("127.0.0.1", server.port), source_address=("127.0.0.2", 0)) as silent:
        silent.settimeout(20)
        received = b"".join(iter(lambda: silent.recv(4096), b""))  # it says nothing, and is told all the same
        assert received.startswith(b"HTTP/1.1 503 ") and b"too_many_connections_from_address" in received
    mine.pop().close()

    def is_served(_):
        with connect_from(server, "127.0.0.2") as connection:
            return status_of(connection) == 200

    server.wait_for(is_served)
    for connection in mine:
        connection.close()


def test_who_was_turned_away_does_not_count_while_its_answer_lingers(start):
    server = start("max_connections_per_client 2")
    mine = [connect_from(server, "127.0.0.2") for _ in range(2)]
    assert [status_of(connection) for connection in mine] == [200] * 2
    refused = [connect_from(server, "127.0.0.2") for _ in range(3)]  # they stay open on our side
    assert [status_of(connection) for connection in refused] == [503] * 3
    for connection in mine:
        connection.close()
    server.wait_for(lambda s: s.status()["workers"][0]["connections"] == 3)
    with connect_from(server, "127.0.0.2") as again:
        assert status_of(again) == 200
    for connection in refused:
        connection.close()
