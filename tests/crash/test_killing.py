"""Loads of many kinds of clients, while processes are SIGKILLed: no client may notice anything.

Every byte of every answer is verified by the load itself; see tests/tools/mixload.h for what counts as noticing."""

import random

import holdfast
import pytest
from killers import (ACCEPT, ACCEPT_BY_BUILD, SOAK, Load, descriptor_counts, descriptor_names, long_or_short, memory_kib,
                     role_pids, signal_and_wait, wait_settled)

pytestmark = [pytest.mark.variants("hooks", "release", "asan"), pytest.mark.limit(240 if SOAK else 60)]


@pytest.fixture
def mix(hooks, variant, seed):
    """The clients of a load: the issue's own numbers in a soak, a fifth of them in a check."""
    part = 4 if variant == "asan" else 1
    mix = {"keepalive": long_or_short(500, 100) // part, "downloads": long_or_short(50, 10) // part, "fresh": 20,
           "idle": 50, "seconds": long_or_short(60, 5), "seed": seed, "think_ms": long_or_short(400, 100)}
    if hooks:
        mix["posts"] = long_or_short(50, 10) // part
    return mix


def check_all_roles_worked(result, mix):
    for role, count in (("keepalive", "keepalive"), ("post", "posts"), ("fresh", "fresh"), ("idle", "idle")):
        if mix.get(count):
            assert result["answers"][role] > 0, f"no answer for {role}: {result['answers']}"
    if mix["downloads"]:
        assert result["bytes_received"] > 1_000_000


# What stays of each worker when all have left: spare extents of the arena, the ring of the access log, the heap's
# high-water mark. A leak of a few bytes a request is more in a soak.
MEMORY_SPARE_KIB = 1024


def check_nothing_is_left_open(server, before, memory_before=None):
    """Connections, descriptors, processes, memory: at the end as at the start."""
    server.wait_for(lambda s: all(worker["connections"] == 0 for worker in s.status()["workers"]))
    wait_settled(server)
    try:
        server.wait_for(lambda s: descriptor_counts(s) == before, 20)
    except AssertionError:
        pytest.fail(f"descriptors: {before} before, now\n" + "\n".join(descriptor_names(server)))
    assert len(role_pids(server, "worker")) == len(role_pids(server, "keeper")) == server.slots
    assert len(role_pids(server, "master")) == 1
    if memory_before:  # housekeeping gives it back within seconds
        server.wait_for(lambda s: memory_kib(s) <= memory_before + server.slots * MEMORY_SPARE_KIB, 20)


@pytest.mark.parametrize("accept", ACCEPT_BY_BUILD)
def test_no_client_notices_that_workers_are_killed_every_50_ms(start_victim, mix, accept, variant,
                                                               record_property):
    server = start_victim(workers=2, accept=accept)
    status = wait_settled(server)
    before, memory_before = descriptor_counts(server), memory_kib(server)
    keepers = ",".join(str(worker["keeper_pid"]) for worker in status["workers"])
    result = Load(server, **mix, kill_worker=keepers, kill_every_ms=50).finish()
    check_all_roles_worked(result, mix)
    assert result["kills"] >= mix["seconds"] * 20 * 0.5, f"only {result['kills']} kills: {result}"
    check_nothing_is_left_open(server, before, memory_before if variant != "asan" else None)
    deaths, revivals = (sum(worker[name] for worker in server.status()["workers"]) for name in ("deaths", "revivals"))
    assert deaths >= result["kills"] * 0.9, f"{deaths} deaths after {result['kills']} kills"
    assert revivals >= result["kills"] * 0.5, f"only {revivals} revivals were through before the next kill"
    for name in ("successes", "kills", "bytes_received", "latency_ms"):
        record_property(name, str(result[name]))
    record_property("memory_kib", f"{memory_before} before, {memory_kib(server)} after")


@pytest.mark.dear("hooks")
@pytest.mark.parametrize("accept", ACCEPT)
def test_no_client_notices_that_keepers_are_killed(start_victim, mix, seed, accept):
    server = start_victim(workers=2, accept=accept)
    wait_settled(server)
    lot = random.Random(seed)
    load, kills = Load(server, **mix), 0
    while load.is_running():
        # Only a keeper whose worker is there: both dead together is the promise's own exception.
        status = wait_settled(server)
        signal_and_wait(server, lot.choice(status["workers"])["keeper_pid"])
        kills += 1
    check_all_roles_worked(load.finish(), mix)
    assert kills >= mix["seconds"] // 2, f"only {kills} keepers were killed"


@pytest.mark.dear("release")
@pytest.mark.parametrize("accept", ACCEPT)
def test_no_client_notices_that_the_master_is_killed(start_victim, mix, accept):
    server = start_victim(workers=2, accept=accept)
    wait_settled(server)
    load, kills = Load(server, **mix), 0
    while load.is_running():
        master = server.wait_for(lambda s: role_pids(s, "master"))[0]
        signal_and_wait(server, master)
        kills += 1
        server.wait_for(lambda s: s.run("status", "--json").returncode == 0 or not load.is_running(), 20)
    check_all_roles_worked(load.finish(), mix)
    assert kills >= 2
    wait_settled(server)


@pytest.mark.parametrize("accept", ACCEPT_BY_BUILD)
def test_no_client_notices_that_workers_keepers_and_the_master_are_killed_in_turn(start_victim, mix, accept, seed):
    server = start_victim(workers=2, accept=accept)
    lot = random.Random(seed)
    load, kills = Load(server, **mix), 0
    while load.is_running():
        status = wait_settled(server, 20)
        worker = lot.choice(status["workers"])
        victims = lot.choice([[worker["pid"]], [worker["keeper_pid"]], [status["master"]["pid"]],
                              [status["master"]["pid"], worker["pid"]],
                              [status["master"]["pid"], worker["keeper_pid"]],
                              [other["pid"] for other in status["workers"]],
                              [other["keeper_pid"] for other in status["workers"]]])
        for pid in victims:
            if pid in holdfast.processes():
                signal_and_wait(server, pid)
            kills += 1
    check_all_roles_worked(load.finish(), mix)
    assert kills >= 3
    wait_settled(server)


@pytest.mark.dear("hooks")
@pytest.mark.parametrize("accept", ACCEPT)
def test_a_server_with_one_worker_survives_its_kills_too(start_victim, mix, accept):
    server = start_victim(workers=1, accept=accept)
    status = wait_settled(server)
    before = descriptor_counts(server)
    mix["seconds"] = long_or_short(20, 4)
    result = Load(server, **mix, kill_worker=status["workers"][0]["keeper_pid"], kill_every_ms=20).finish()
    check_all_roles_worked(result, mix)
    assert result["kills"] > 20
    check_nothing_is_left_open(server, before)
