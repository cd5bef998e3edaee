"""Connections change hands between the workers of a running server, on the word of a test, while clients go on and workers
are killed: no client notices anything. Only builds with test hooks know that word."""

import asyncio
import collections
import contextlib
import itertools
import os
import pathlib
import random
import re
import subprocess

import pytest
from backend import Echo
from clients import kill, until
from counting_upstream import GREETING, CountingUpstream
from killers import BUILD, SOAK, Killing, Load, long_or_short, wait_settled
from moving import Moving, hand_over, handovers
from test_deaths import Witnesses
from test_killing import check_all_roles_worked, check_nothing_is_left_open, descriptor_counts
from test_proxy_killing import HELD, check_nothing_is_left, converse, counts, executed, start_pair
from test_tcp_killing import lines, start
from tunnels import Tunnel, Upgraded, tunnel

assert start and start_pair  # fixtures
pytestmark = [pytest.mark.variants("hooks", "asan"), pytest.mark.limit(240)]
KILLED = pytest.mark.parametrize("killed", [True] if BUILD == "asan" else [False, True], ids=lambda killed: "killed" if killed else "alive")


@contextlib.contextmanager
def killing(server, seed, wanted):
    """Workers are killed, or not."""
    if not wanted:
        yield
        return
    with Killing(server, seed) as kills:
        yield
    assert kills.kills > 20, f"only {kills.kills} kills"


@pytest.fixture
def mix(variant, seed):
    part = 4 if variant == "asan" else 1
    return {"keepalive": long_or_short(500, 100) // part, "downloads": long_or_short(50, 10) // part, "fresh": 20,
            "idle": 50, "posts": long_or_short(50, 10) // part, "seconds": long_or_short(30, 5), "seed": seed,
            "think_ms": 100}


def test_clients_in_every_state_change_hands_and_back(start_victim, documents):
    server = start_victim(workers=2)
    wait_settled(server)
    witnesses = Witnesses(server, documents)
    server.wait_for(lambda _: sum(slot["connections"] for slot in handovers(server).values()) == 3)
    for source, target in ((0, 1), (1, 0), (0, 1)):
        after = hand_over(server, source, target)
        assert after[source]["connections"] == 0 and after[target]["connections"] == 3, after
        assert after[source]["refused"] == 0, after
    witnesses.all_live()


def test_who_has_changed_hands_outlives_his_new_worker(start_victim, documents):
    server = start_victim(workers=2)
    wait_settled(server)
    witnesses = Witnesses(server, documents)
    server.wait_for(lambda _: sum(slot["connections"] for slot in handovers(server).values()) == 3)
    hand_over(server, 0, 1)
    kill(server.worker(1)["pid"])
    wait_settled(server)
    hand_over(server, 1, 0)
    kill(server.worker(0)["pid"])
    wait_settled(server)
    witnesses.all_live()


# What a worker asks of the kernel on the way, and how often at most.
CALLS = {"recvmmsg": 6, "sendmmsg": 2, "sendto": 3, "recvfrom": 6, "epoll_ctl": 10, "epoll_wait": 8, "close": 10, "mmap": 2, "munmap": 2,
         "newfstatat": 2, "setsockopt": 4}


@contextlib.contextmanager
def killed_at(pid, call, number):
    """A SIGKILL when the worker's loop is about to make that call for the so many-th time."""
    tracer = subprocess.Popen(["strace", "-qq", "-o", os.devnull, "-p", str(pid), "-e", f"trace={call}",
                               "-e", f"inject={call}:signal=KILL:when={number}"])

    def is_attached():
        try:
            return re.search(r"TracerPid:\t[1-9]", pathlib.Path(f"/proc/{pid}/status").read_text())
        except OSError:
            return True  # it was in the middle of that call, and is dead already

    until(is_attached, "strace has attached")
    yield
    tracer.terminate()  # it lets go of whom it did not kill
    tracer.wait(10)


@pytest.mark.variants("hooks")
def test_either_worker_may_die_at_each_system_call_of_a_handover(start_victim, documents, seed, record_property):
    server = start_victim(workers=2)
    points = [point for call, most in CALLS.items() for point in itertools.product(("sender", "receiver"), [call], range(1, most + 1))]
    random.Random(seed).shuffle(points)
    reached = 0
    for role, call, number in points[:long_or_short(None, 40)]:
        victim = wait_settled(server)["workers"][0 if role == "sender" else 1]["pid"]
        witnesses = Witnesses(server, documents)
        server.wait_for(lambda _: sum(slot["connections"] for slot in handovers(server).values()) == 3)
        hand_over(server, 1, 0)
        with killed_at(victim, call, number):
            after = hand_over(server, 0, 1)
        wait_settled(server)
        now = handovers(server)
        has_died = wait_settled(server)["workers"][0 if role == "sender" else 1]["pid"] != victim
        reached += has_died
        words = f"{role} at {call} {number}, seed {seed}: {after}, {now}"
        assert now[0]["connections"] + now[1]["connections"] == 3 and not now[0]["refused"], words
        witnesses.all_live()
        server.wait_for(lambda _: not sum(slot["connections"] for slot in handovers(server).values()))
    assert reached >= long_or_short(35, 10), f"only {reached} deaths"
    assert "event=revival_odd" not in server.log()
    record_property("points", f"{reached} deaths of {len(points)} points")


@KILLED
def test_no_client_notices_that_all_connections_go_to_and_fro(start_victim, mix, seed, killed, record_property):
    server = start_victim(workers=2)
    wait_settled(server)
    before = descriptor_counts(server)
    with Moving(server) as moving, killing(server, seed, killed):
        result = Load(server, **mix).finish()
    check_all_roles_worked(result, mix)
    check_nothing_is_left_open(server, before)
    told = moving.has_moved(at_least=500)
    record_property("moved", told)


@KILLED
@pytest.mark.parametrize("kind", ["tcp", "unix"] if SOAK else ["unix"] if BUILD == "asan" else ["tcp"])
def test_proxied_requests_change_hands_and_are_executed_once(start_pair, kind, seed, killed, variant, record_property):
    server = start_pair(kind)
    wait_settled(server)
    before = descriptor_counts(server)
    part = 4 if variant == "asan" else 1
    mix = {"keepalive": 50 // part, "downloads": 20 // part, "fresh": 50 // part, "idle": 50 // part, "posts": 20 // part,
           "seconds": long_or_short(30, 5), "seed": seed, "think_ms": 100}
    with Moving(server) as moving, killing(server, seed, killed):
        result = Load(server, **mix).finish()
    check_nothing_is_left(server, before)
    server.behind.stop()  # all lines are written
    twice = {name: count for name, count in executed(server).items() if count != 1}
    assert not twice, f"executed more than once: {twice}"
    assert sum(executed(server).values()) >= result["successes"]
    told = moving.has_moved(at_least=500)
    record_property("moved", told)


@KILLED
@pytest.mark.parametrize("held", HELD if SOAK or BUILD == "hooks" else ["in files"])
def test_uploads_event_streams_and_slow_downloads_change_hands(start_pair, folder, held, killed, variant, seed, record_property):
    with CountingUpstream(folder) as upstream:
        folder.chmod(0o755)
        server = start_pair(upstream=upstream.addresses["tcp"], how=HELD[held])
        wait_settled(server)
        before = descriptor_counts(server)
        with Moving(server) as moving, killing(server, seed, killed):
            done = asyncio.run(converse(server.port, long_or_short(30, 5), 4 if variant == "asan" else 1, seed))
        assert all(done.values()), done
        executions = asyncio.run(counts(upstream.addresses["tcp"]))
        assert len(executions) == done["post"] + done["slow"]
        assert set(executions.values()) == {1}
        check_nothing_is_left(server, before)
        told = moving.has_moved(at_least=100)
        record_property("moved", f"{told}; {done}")


@KILLED
def test_upgraded_connections_change_hands(start_pair, folder, killed, variant, seed, record_property):
    with CountingUpstream(folder) as upstream:
        folder.chmod(0o755)
        server = start_pair(upstream=upstream.addresses["tcp"])
        wait_settled(server)
        before = descriptor_counts(server)
        with Moving(server) as moving, killing(server, seed, killed):
            tunnels, echoed = asyncio.run(tunnel(Upgraded, server.targets, long_or_short(30, 5),
                                                 25 if variant == "asan" else 100, seed))
        assert tunnels >= 25 and echoed > 1_000_000
        check_nothing_is_left(server, before)
        told = moving.has_moved(at_least=500)
        record_property("moved", f"{told}; {tunnels} tunnels, {echoed} bytes")


@KILLED
def test_tcp_connections_change_hands_and_have_a_line_each(start, folder, killed, variant, seed, record_property):
    with Echo(folder, GREETING) as echo:
        server = start(echo.addresses["tcp"])
        wait_settled(server)
        with Moving(server) as moving, killing(server, seed, killed):
            tunnels, echoed = asyncio.run(tunnel(Tunnel, server.targets, long_or_short(30, 5),
                                                 25 if variant == "asan" else 100, seed))
        assert tunnels >= 25 and echoed > 1_000_000
        server.wait_for(lambda s: all(worker["connections"] == 0 for worker in s.status()["workers"]))
        told = moving.has_moved(at_least=500)
        written = lines(server)
    assert collections.Counter(line["end"] for line in written) == {"complete": tunnels}
    assert sum(line["received"] for line in written) == echoed
    assert sum(line["sent"] for line in written) == echoed + tunnels * len(GREETING)
    record_property("moved", f"{told}; {tunnels} tunnels, {echoed} bytes")
