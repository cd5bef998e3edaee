"""The TCP proxy: what goes in comes out, whoever ends first, however; limits, queues, logs, counters; TCP and Unix sockets on
either side, and workers that are killed in between."""

import collections
import json
import os
import re
import select
import signal
import socket
import subprocess
import threading
import time

import holdfast
import pytest
from backend import Backend, Echo, read_exactly, read_to_end, reset
from counting_upstream import pattern
from name_server import NameServer

pytestmark = [pytest.mark.variants("hooks", "release", "asan")]

SIDES = [("tcp", "tcp"), ("tcp", "unix"), ("unix", "tcp"), ("unix", "unix")]


@pytest.fixture
def start(start_server):
    """start(*servers, lines=…): a server that passes connections on to these addresses. `pool`: lines of the pool, `lines` of
    the `tcp` block."""

    def start(*servers, pool=(), lines=(), top="", workers=1, drain="10s", listen="127.0.0.1:{port} unix:{folder}/tcp.sock"):
        servers = [f"server {address}" for address in servers]
        text = "\n".join([f"workers {workers}", "control {control}", f"drain {drain}", top, "pool back {", *servers, *pool, "}",
                          f"tcp {listen} {{", "proxy back", "access_log {folder}/tcp.log json", *lines, "}", ""])
        return start_server(config=text)

    return start


def connect(server, kind="tcp", timeout=20):
    client = socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET)
    client.settimeout(timeout)
    client.connect(str(server.folder / "tcp.sock") if kind == "unix" else ("127.0.0.1", server.port))
    return client


def pair(server, backend, kind="tcp"):
    """Both ends of a connection that is passed on."""
    client = connect(server, kind)
    return client, backend.accept()


def revive(server, slot=0):
    revivals = server.worker(slot)["revivals"]
    server.kill_worker(slot)
    server.wait_for(lambda s: (s.worker(slot) or {}).get("revivals") == revivals + 1)


def log_lines(server, count):
    """All lines of the log, once there are so many."""
    path = server.folder / "tcp.log"
    server.wait_for(lambda _: path.exists() and len(path.read_text().splitlines()) >= count)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(lines) == count
    return lines


def is_reset(connection):
    """Reads to the end; whether that is a reset."""
    try:
        read_to_end(connection)
    except ConnectionResetError:
        return True
    return False


def is_turned_away(server, kind="tcp"):
    """Whether whoever connects now is reset; that may be while it still connects."""
    try:
        return is_reset(connect(server, kind))
    except ConnectionResetError:
        return True


def says_nothing(connection, seconds=0.2):
    return not select.select([connection], [], [], seconds)[0]


def listed(server, protocol="tcp"):
    answer = json.loads(server.run("connections", "--json").stdout)["connections"]
    return [item for item in answer if item["protocol"] == protocol]


# Bytes


@pytest.mark.parametrize("front, back", SIDES)
def test_bytes_pass_both_ways_and_the_line_says_how_many(start, folder, front, back):
    with Backend(back, folder) as backend:
        server = start(backend.address)
        client, upstream = pair(server, backend, front)
        client.sendall(b"ping")
        assert read_exactly(upstream, 4) == b"ping"
        upstream.sendall(b"pong!")
        assert read_exactly(client, 5) == b"pong!"
        client.shutdown(socket.SHUT_WR)
        assert read_to_end(upstream) == b""
        upstream.sendall(b"bye")
        upstream.close()
        assert read_to_end(client) == b"bye"
        client.close()
        line = log_lines(server, 1)[0]
    assert (line["end"], line["received"], line["sent"], line["tries"]) == ("complete", 4, 8, 1)
    assert line["client"] == ("127.0.0.1" if front == "tcp" else None)
    assert line["listener"] == (f"127.0.0.1:{server.port}" if front == "tcp" else f"unix:{server.folder}/tcp.sock")
    assert (line["pool"], line["server"]) == ("back", backend.address)
    assert 0 < line["ms"] < 20_000 and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])


def test_a_server_that_speaks_first_is_heard(start):
    with Backend() as backend:
        server = start(backend.address)
        client, upstream = pair(server, backend)
        upstream.sendall(b"220 ready\r\n")
        assert read_exactly(client, 11) == b"220 ready\r\n"


@pytest.mark.parametrize("front, back", SIDES)
@pytest.mark.parametrize("who", ["client", "server"])
def test_either_side_may_end_first_and_the_other_goes_on(start, folder, front, back, who):
    with Backend(back, folder) as backend:
        server = start(backend.address)
        client, upstream = pair(server, backend, front)
        first, last = (client, upstream) if who == "client" else (upstream, client)
        first.sendall(b"all I have to say")
        first.shutdown(socket.SHUT_WR)
        assert read_to_end(last) == b"all I have to say"
        for _ in range(3):
            last.sendall(b"more")
            assert read_exactly(first, 4) == b"more"
            revive(server)
        assert says_nothing(first)
        last.shutdown(socket.SHUT_WR)
        assert read_to_end(first) == b""
        assert log_lines(server, 1)[0]["end"] == "complete"


def test_a_client_that_has_said_all_before_the_server_is_there_is_heard(start, folder):
    """As `echo something | nc` does."""
    for kind in ("tcp", "unix"):
        with Backend() as backend:
            server = start(backend.address)
            client = connect(server, kind)
            client.sendall(b"a message")
            client.shutdown(socket.SHUT_WR)
            assert read_to_end(backend.accept()) == b"a message"


def send_in_thread(connection, start, length):
    def send():
        for at in range(start, start + length, 1 << 16):
            connection.sendall(pattern(at, min(1 << 16, start + length - at)))
        connection.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return thread


def check_pattern(connection, start, length):
    at = start
    while data := connection.recv(1 << 18):
        assert data == pattern(at, len(data)), f"wrong bytes at {at}"
        at += len(data)
    assert at == start + length


@pytest.mark.parametrize("front, back", SIDES)
def test_bulk_in_both_directions_at_once(start, folder, front, back):
    with Backend(back, folder) as backend:
        server = start(backend.address)
        client, upstream = pair(server, backend, front)
        length = 20_000_000
        threads = [send_in_thread(client, 0, length), send_in_thread(upstream, 7, length)]
        reading = threading.Thread(target=check_pattern, args=(upstream, 0, length), daemon=True)
        reading.start()
        check_pattern(client, 7, length)
        reading.join(20)
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive()
        line = log_lines(server, 1)[0]
    assert (line["received"], line["sent"], line["end"]) == (length, length, "complete")


@pytest.mark.parametrize("who", ["client", "server"])
def test_a_reader_that_stops_holds_up_the_writer_and_nobody_else(start, who):
    with Backend() as backend:
        server = start(backend.address)
        client, upstream = pair(server, backend)
        writer, reader = (client, upstream) if who == "server" else (upstream, client)
        writer.setblocking(False)
        written = 0
        while select.select([], [writer], [], 1)[1]:
            written += writer.send(pattern(written, 1 << 16))
        assert written < 30_000_000, "somebody holds what nobody reads"
        other, its_upstream = pair(server, backend)
        other.sendall(b"are you there")
        assert read_exactly(its_upstream, 13) == b"are you there"
        revive(server)
        at = 0
        while at < written:
            data = reader.recv(1 << 20)
            assert data == pattern(at, len(data))
            at += len(data)
        writer.setblocking(True)
        writer.sendall(pattern(written, 1000))
        assert read_exactly(reader, 1000) == pattern(written, 1000)


def test_an_urgent_byte_passes_in_line(start):
    with Backend() as backend:
        server = start(backend.address)
        client, upstream = pair(server, backend)
        client.sendall(b"before")
        client.send(b"!", socket.MSG_OOB)
        client.sendall(b"behind")
        assert read_exactly(upstream, 13) == b"before!behind"
        revive(server)
        upstream.send(b"?", socket.MSG_OOB)
        upstream.sendall(b"answer")
        assert read_exactly(client, 7) == b"?answer"
        client.sendall(b"x")
        assert read_exactly(upstream, 1) == b"x"


# Resets


@pytest.mark.parametrize("who", ["client", "server"])
def test_a_reset_is_passed_on_behind_what_came_before(start, who):
    with Backend() as backend:
        server = start(backend.address)
        client, upstream = pair(server, backend)
        first, last = (client, upstream) if who == "client" else (upstream, client)
        first.sendall(pattern(0, 200_000))
        server.wait_for(lambda s: sum(item["received"] for item in listed(s) + listed(s, "tcp_upstream")) == 200_000)
        reset(first)
        server.wait_for(lambda s: not listed(s) or listed(s)[0]["state"] == "cut")
        assert read_exactly(last, 200_000) == pattern(0, 200_000)
        assert is_reset(last)
        line = log_lines(server, 1)[0]
    assert line["end"] == ("client_reset" if who == "client" else "upstream_reset")


def test_a_reset_of_a_tcp_client_ends_a_unix_server_s_connection(start, folder):
    with Backend("unix", folder) as backend:
        server = start(backend.address)
        client, upstream = pair(server, backend)
        client.sendall(b"half a")
        assert read_exactly(upstream, 6) == b"half a"
        reset(client)
        try:
            assert read_to_end(upstream) == b""
        except ConnectionResetError:
            pass
        assert log_lines(server, 1)[0]["end"] == "client_reset"


def test_a_client_that_leaves_while_it_waits_takes_no_place(start):
    with Backend() as backend:
        server = start(f"{backend.address} max 1", pool=["queue 10 for 30s"])
        client, upstream = pair(server, backend)
        waiting = connect(server)
        server.wait_for(lambda s: sorted(item["state"] for item in listed(s)) == ["pass", "wait"])
        reset(waiting)
        server.wait_for(lambda s: len(listed(s)) == 1)
        client.close()
        upstream.close()
        assert sorted(line["end"] for line in log_lines(server, 2)) == ["client_reset", "complete"]
        assert not backend.has_another()


# Servers that cannot be reached


def closed_port():
    return f"127.0.0.1:{holdfast.free_port()}"


@pytest.mark.parametrize("front", ["tcp", "unix"])
def test_a_refused_connection_ends_with_a_reset_and_the_reason(start, front):
    server = start(closed_port(), pool=["retries off"])
    assert is_turned_away(server, front) or front == "unix"
    line = log_lines(server, 1)[0]
    assert (line["end"], line["received"], line["sent"]) == ("connect_refused", 0, 0)
    server.wait_for_log("event=upstream_failed .*reason=connect_refused outcome=closed")


def test_a_unix_server_that_is_not_there_is_refused(start, folder):
    server = start(f"unix:{folder}/nobody.sock")
    assert is_turned_away(server)
    assert log_lines(server, 1)[0]["end"] == "connect_refused"


def test_another_server_is_tried_when_a_connection_is_not_made(start):
    with Backend() as backend:
        server = start(closed_port(), closed_port(), backend.address)
        for _ in range(4):
            client, upstream = pair(server, backend)
            client.sendall(b"hello")
            assert read_exactly(upstream, 5) == b"hello"
            client.close()
            assert read_to_end(upstream) == b""
            upstream.close()
        tries = [line["tries"] for line in log_lines(server, 4)]
        assert max(tries) == 3 and all(line["server"] == backend.address for line in log_lines(server, 4))
        server.wait_for_log("reason=connect_refused outcome=another_try")


def test_no_other_server_is_tried_once_one_has_taken_the_connection(start):
    with Backend() as one, Backend() as two:
        server = start(one.address, f"{two.address} backup")
        client, upstream = pair(server, one)
        client.sendall(b"once")
        assert read_exactly(upstream, 4) == b"once"
        reset(upstream)
        assert is_reset(client)
        assert not two.has_another()


def silent_server():
    """An address whose queue is full, so that it takes nobody."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    address = listener.getsockname()
    held = [listener]
    for _ in range(8):
        held.append(socket.socket())
        held[-1].setblocking(False)
        held[-1].connect_ex(address)
    return f"127.0.0.1:{address[1]}", held


@pytest.mark.parametrize("timeout,dies,least,most", [("500ms", False, 0.4, 5), ("2s", True, 1.9, 8)], ids=["worker lives", "worker dies"])
def test_a_server_that_does_not_take_the_connection_is_left_in_time(start, timeout, dies, least, most):
    address, held = silent_server()
    server = start(address, lines=[f"timeout connect {timeout}"], pool=["retries off"])
    begun = time.monotonic()
    client = connect(server)
    server.wait_for(lambda s: [item["state"] for item in listed(s)] == ["connect"])
    if dies:
        revive(server)
    assert is_reset(client)
    assert least < time.monotonic() - begun < most
    assert log_lines(server, 1)[0]["end"] == "connect_timeout"
    del held


def test_the_next_server_is_asked_when_one_is_silent(start):
    address, held = silent_server()
    with Backend() as backend:
        server = start(address, f"{backend.address} backup", lines=["timeout connect 300ms"])
        client, upstream = pair(server, backend)
        client.sendall(b"hello")
        assert read_exactly(upstream, 5) == b"hello"
    del held


def test_a_server_that_keeps_refusing_is_put_aside(start):
    with Backend() as backend:
        dead = closed_port()
        server = start(dead, backend.address, pool=["eject 2 per 10s for 1m"])
        for _ in range(8):
            client, upstream = pair(server, backend)
            client.close()
            upstream.close()
        log_lines(server, 8)
        states = {item["address"]: item["state"] for item in server.status()["pools"][0]["servers"]}
        assert states == {dead: "ejected", backend.address: "up"}


def wait_for_talk(backend, words):
    """Checks are accepted, too: they say nothing."""
    for _ in range(1000):
        try:
            if backend.accept().recv(100) == words:
                return
        except ConnectionResetError:
            pass
    raise AssertionError("nobody says that")


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_a_check_that_only_connects_finds_a_server_that_is_away_and_back(start, folder, kind):
    with Backend(kind, folder) as backend, Backend() as other:
        server = start(backend.address, f"{other.address} backup",
                       pool=["check connect every 100ms {", "fall 2", "timeout 1s", "}", "eject off"])

        def wait_for(wanted):
            server.wait_for(lambda s: {item["address"]: item["state"] for item in s.status()["pools"][0]["servers"]}
                            [backend.address] == wanted)

        wait_for("up")
        server.wait_for(lambda s: s.status()["pools"][0]["servers"][0]["checks"] > 2)
        address = backend.socket.getsockname()
        backend.socket.close()
        if kind == "unix":
            backend.path.unlink()
        wait_for("down")
        client = connect(server)
        client.sendall(b"hello")
        wait_for_talk(other, b"hello")
        if kind == "tcp":
            backend.socket = socket.create_server(address)
        else:
            backend.socket = socket.socket(socket.AF_UNIX)
            backend.socket.bind(address)
            backend.path.chmod(0o777)
            backend.socket.listen()
        wait_for("up")
        client = connect(server)
        client.sendall(b"here")
        wait_for_talk(backend, b"here")


def test_names_are_looked_up_again_and_open_connections_stay(start):
    with NameServer() as names, Backend() as one, Backend() as two:
        ports = [int(backend.address.rpartition(":")[2]) for backend in (one, two)]
        names.set("db.example", "A", ["127.0.0.1"], ttl=60)
        names.set("_db._tcp.example", "SRV", [(1, 10, ports[0], "db.example")], ttl=1)
        server = start("srv:_db._tcp.example", top=f"resolver {names.address}")
        client, upstream = pair(server, one)  # it has waited for the name
        names.set("_db._tcp.example", "SRV", [(1, 10, ports[1], "db.example")], ttl=1)
        server.wait_for(lambda s: any(item["address"] == two.address and item["state"] == "up"
                                      for item in s.status()["pools"][0]["servers"]))
        later, its_upstream = pair(server, two)
        for ends in ((client, upstream), (later, its_upstream)):
            ends[0].sendall(b"hello")
            assert read_exactly(ends[1], 5) == b"hello"


# Servers that are full


@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_has_no_more_connections_than_its_limit_and_others_wait(start, workers):
    with Backend() as backend:
        server = start(f"{backend.address} max 2", pool=["queue 100 for 20s"], workers=workers)
        clients = [connect(server) for _ in range(6)]
        open_ones = [backend.accept(), backend.accept()]
        for _ in range(4):
            assert says_nothing(backend.socket, 0.1)
            revive(server)
            open_ones.pop(0).close()  # its client follows, when it has read that
            for client in select.select(clients, [], [], 10)[0]:
                assert client.recv(1) == b""
                client.close()
                clients.remove(client)
            open_ones.append(backend.accept())
        for client in clients:
            client.close()
        for upstream in open_ones:
            upstream.close()
        ends = collections.Counter(line["end"] for line in log_lines(server, 6))
    assert ends == {"complete": 6}


def test_who_waits_longest_is_first_also_after_a_death(start):
    with Backend() as backend:
        server = start(f"{backend.address} max 1", pool=["queue 10 for 20s"])
        clients = []
        for i in range(4):
            clients.append(connect(server))
            clients[-1].sendall(b"%d" % i)
            server.wait_for(lambda s: len(listed(s)) == len(clients))
        revive(server)
        for i in range(4):
            upstream = backend.accept()
            assert read_exactly(upstream, 1) == b"%d" % i
            upstream.close()
            clients[i].close()


def test_a_queue_is_bounded_in_number_and_in_time(start):
    with Backend() as backend:
        server = start(f"{backend.address} max 1", pool=["queue 1 for 2s"])
        client, upstream = pair(server, backend)
        begun = time.monotonic()
        waiting = connect(server)
        server.wait_for(lambda s: len(listed(s)) == 2)
        assert is_turned_away(server) and time.monotonic() - begun < 1.5
        assert is_reset(waiting) and 1.9 < time.monotonic() - begun < 8
        client.sendall(b"still here")
        assert read_exactly(upstream, 10) == b"still here"
        assert [line["end"] for line in log_lines(server, 2)] == ["pool_full"] * 2


def test_a_pool_that_sites_use_too_has_one_limit(start):
    with Backend() as backend:
        server = start(f"{backend.address} max 1", pool=["queue off"],
                       top="site unix:{folder}/site.sock {\n    proxy back\n}")
        client, upstream = pair(server, backend)
        with socket.socket(socket.AF_UNIX) as web:
            web.connect(str(server.folder / "site.sock"))
            web.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert web.recv(12) == b"HTTP/1.1 503"
        assert len(server.status()["pools"]) == 1


# Whom a client comes to


def test_servers_are_chosen_as_the_pool_says(start):
    with Backend() as one, Backend() as two:
        server = start(f"{one.address} weight 3", two.address)
        backends = {one.socket: 0, two.socket: 0}
        kept = []
        for _ in range(40):
            kept.append(connect(server))
            ready = select.select(list(backends), [], [], 10)[0][0]
            kept.append(ready.accept()[0])
            backends[ready] += 1
        assert list(backends.values()) == [30, 10]


def test_one_client_always_comes_to_the_same_server(start):
    backends = [Backend() for _ in range(4)]
    server = start(*(backend.address for backend in backends), pool=["balance hash client"])
    for address in ("127.0.0.1", "127.0.0.2", "127.0.0.3"):
        seen = set()
        for _ in range(5):
            client = socket.create_connection(("127.0.0.1", server.port), 20, source_address=(address, 0))
            ready = select.select([backend.socket for backend in backends], [], [], 10)[0][0]
            seen.add(ready)
            ready.accept()[0].close()
            client.close()
        assert len(seen) == 1
    for backend in backends:
        backend.close()


def test_the_one_with_the_fewest_connections_is_chosen(start):
    with Backend() as one, Backend() as two:
        server = start(one.address, two.address, pool=["balance least"])
        kept = []
        for _ in range(10):
            kept.append(connect(server))
        taken = collections.Counter()
        for _ in range(10):
            ready = select.select([one.socket, two.socket], [], [], 10)[0][0]
            taken[ready] += 1
            kept.append(ready.accept()[0])
        assert sorted(taken.values()) == [5, 5]


# Limits


def test_an_idle_connection_ends_after_its_time_and_one_that_says_something_does_not(start):
    with Backend() as backend:
        server = start(backend.address, lines=["timeout idle 1s"])
        client, upstream = pair(server, backend)
        quiet, its_upstream = pair(server, backend)
        begun = time.monotonic()
        while time.monotonic() - begun < 2.5:
            client.sendall(b".")
            assert read_exactly(upstream, 1) == b"."
            time.sleep(0.2)  # the pace of a talk
        assert is_reset(quiet) and is_reset(its_upstream)
        assert log_lines(server, 1)[0]["end"] == "idle_timeout"
        client.sendall(b"!")
        assert read_exactly(upstream, 1) == b"!"


def test_the_idle_time_outlives_the_worker(start):
    with Backend() as backend:
        server = start(backend.address, lines=["timeout idle 2s"])
        client, upstream = pair(server, backend)
        client.sendall(b".")
        assert read_exactly(upstream, 1) == b"."
        begun = time.monotonic()
        revive(server)
        assert is_reset(client) and 1.5 < time.monotonic() - begun < 8
        assert log_lines(server, 1)[0]["end"] == "idle_timeout"


def test_without_a_time_limit_a_quiet_connection_stays(start):
    with Backend() as backend:
        server = start(backend.address, lines=["timeout idle off"])
        client, upstream = pair(server, backend)
        revive(server)
        assert says_nothing(client, 1.5)
        client.sendall(b".")
        assert read_exactly(upstream, 1) == b"."


def test_a_block_has_its_number_of_connections(start):
    with Backend() as backend:
        server = start(backend.address, lines=["max_connections 2"])
        first, second = pair(server, backend), pair(server, backend)
        assert is_turned_away(server)
        revive(server)
        assert is_turned_away(server)
        for end in first:
            end.close()
        server.wait_for(lambda s: len(listed(s)) == 1)
        third = pair(server, backend)
        third[0].sendall(b"in")
        assert read_exactly(third[1], 2) == b"in"
        ends = collections.Counter(line["end"] for line in log_lines(server, 3))
    assert ends == {"too_many_connections": 2, "complete": 1}


def test_an_address_has_its_number_of_connections(start):
    with Backend() as backend:
        server = start(backend.address, top="max_connections_per_client 2", workers=2)
        kept = [pair(server, backend), pair(server, backend)]
        assert is_turned_away(server)
        other = socket.create_connection(("127.0.0.1", server.port), 20, source_address=("127.0.0.9", 0))
        other.sendall(b"in")
        assert read_exactly(backend.accept(), 2) == b"in"
        assert log_lines(server, 1)[0]["end"] == "too_many_connections_from_address"
        del kept


# The end of the server


def test_at_a_stop_connections_go_on_until_the_time_is_over(start):
    with Backend() as backend:
        server = start(backend.address, drain="2s")
        client, upstream = pair(server, backend)
        other, its_upstream = pair(server, backend)
        os.kill(server.pid, signal.SIGTERM)
        server.wait_for_log("event=drain_started")
        client.sendall(b"goes on")
        assert read_exactly(upstream, 7) == b"goes on"
        other.close()
        assert read_to_end(its_upstream) == b""
        its_upstream.close()
        assert is_reset(client) and is_reset(upstream)
        server.wait_exit()
        assert [line["end"] for line in log_lines(server, 2)] == ["complete", "drained"]


def test_a_stop_ends_at_once_when_the_last_connection_has_ended(start):
    with Backend() as backend:
        server = start(backend.address, drain="60s")
        client, upstream = pair(server, backend)
        os.kill(server.pid, signal.SIGTERM)
        server.wait_for_log("event=drain_started")
        client.close()
        assert read_to_end(upstream) == b""
        upstream.close()
        server.wait_exit(timeout=20)


# What is told


def test_connections_are_listed_with_their_servers(start, folder):
    with Backend() as backend:
        server = start(backend.address)
        client, upstream = pair(server, backend)
        client.sendall(b"12345")
        assert read_exactly(upstream, 5) == b"12345"
        upstream.sendall(b"123")
        assert read_exactly(client, 3) == b"123"
        item, leg = listed(server)[0], listed(server, "tcp_upstream")[0]
        assert (item["state"], item["received"], item["sent"], item["kind"]) == ("pass", 5, 3, "tcp")
        assert item["partner"] == {"fd": leg["fd"], "address": backend.address}
        assert leg["partner"] == {"fd": item["fd"], "address": item["client"]}
        assert (leg["received"], leg["sent"], leg["client"]) == (3, 5, backend.address)
        assert f"> {backend.address}" in server.run("connections").stdout


def metrics(server):
    with socket.socket(socket.AF_UNIX) as web:
        web.connect(str(server.folder / "status.sock"))
        web.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        text = read_to_end(web).decode()
    return {name: float(value) for name, value in re.findall(r"^(holdfast_tcp_[^ ]*) (\S+)$", text, re.MULTILINE)}


def test_what_is_counted_outlives_workers(start):
    with Backend() as backend:
        server = start(backend.address, workers=2, top="site unix:{folder}/status.sock {\n    route /metrics {\n        metrics\n"
                       "    }\n}")
        open_ones = []
        for i in range(6):
            client, upstream = pair(server, backend)
            client.sendall(b"12345")
            assert read_exactly(upstream, 5) == b"12345"
            upstream.sendall(b"123")
            assert read_exactly(client, 3) == b"123"
            revive(server, i % 2)
            if i < 2:
                open_ones += [client, upstream]
            elif i < 4:
                client.close()
                upstream.close()
            else:
                reset(client)
                assert is_reset(upstream)
        log_lines(server, 4)
        told = metrics(server)
    assert told["holdfast_tcp_connections_total"] == 6 and told["holdfast_tcp_connections"] == 2
    assert told['holdfast_tcp_bytes_total{direction="to_server"}'] == 30
    assert told['holdfast_tcp_bytes_total{direction="to_client"}'] == 18
    assert told['holdfast_tcp_ends_total{reason="complete"}'] == 2
    assert told['holdfast_tcp_ends_total{reason="client_reset"}'] == 2


def test_the_text_of_a_line_is_for_people(start_server):
    with Backend() as backend:
        server = start_server(config="workers 1\ncontrol {control}\ntcp 127.0.0.1:{port} {\n    proxy %s\n"
                              "    access_log {folder}/tcp.log\n}\n" % backend.address)
        client, upstream = pair(server, backend)
        port = client.getsockname()[1]
        client.sendall(b"12345")
        client.close()
        assert read_to_end(upstream) == b"12345"
        upstream.close()
        path = server.folder / "tcp.log"
        server.wait_for(lambda _: path.exists() and path.read_text())
        assert re.fullmatch(rf"127\.0\.0\.1:{port} \[\d\d/\w{{3}}/\d{{4}}:\d\d:\d\d:\d\d \+0000\] 127\.0\.0\.1:{server.port} "
                            rf"{backend.address} {backend.address} 0 5 \d+\.\d{{3}} 1 complete\n", path.read_text())


# Many, and the command


def test_a_thousand_connections_at_once(start, folder):
    count = 1000 if holdfast.build_folder().name != "build-asan" else 200
    with Echo(folder) as echo:
        server = start(echo.addresses["tcp"], workers=2)
        clients = [connect(server) for _ in range(count)]
        for i, client in enumerate(clients):
            client.sendall(b"I am %04d" % i)
        for i, client in enumerate(clients):
            assert read_exactly(client, 9) == b"I am %04d" % i
        revive(server, 0)
        revive(server, 1)
        for i, client in enumerate(clients):
            client.sendall(b"still %04d" % i)
            client.shutdown(socket.SHUT_WR)
        for i, client in enumerate(clients):
            assert read_to_end(client) == b"still %04d" % i
            client.close()
        assert {line["end"] for line in log_lines(server, count)} == {"complete"}


def test_the_command_needs_no_configuration(build, folder):
    with Backend() as backend:
        port = holdfast.free_port()
        command = [build / "holdfast", "tcp", f"127.0.0.1:{port}", backend.address, "--workers", "1", "--control",
                   folder / "control.sock"]
        with subprocess.Popen([str(word) for word in command], stderr=subprocess.PIPE, text=True) as process:
            try:
                assert any("event=ready" in line for line in iter(process.stderr.readline, ""))
                client = socket.create_connection(("127.0.0.1", port), 20)
                client.sendall(b"hello")
                assert read_exactly(backend.accept(), 5) == b"hello"
                client.close()
                backend.accepted[0].close()
            finally:
                process.send_signal(signal.SIGTERM)
                process.stderr.read()
        assert process.returncode == 0
