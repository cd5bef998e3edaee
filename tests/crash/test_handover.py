"""Connections change hands between the workers of a running server, on the word of a test, while clients go on and workers
are killed: no client notices anything. Only builds with test hooks know that word."""

import pytest
from clients import kill
from killers import Killing, Load, long_or_short, wait_settled
from test_deaths import Witnesses
from test_generations import command
from test_killing import check_all_roles_worked, check_nothing_is_left_open, descriptor_counts

pytestmark = [pytest.mark.variants("hooks", "asan"), pytest.mark.limit(240)]


def handovers(server):
    return {slot["slot"]: slot for slot in command(server, "test-handovers")["result"]}


def hand_over(server, source, target):
    """All that slot `source` has now goes to slot `target`; waits until that is over."""
    before = handovers(server)
    assert command(server, f"test-hand-over {source} {target}")["ok"]

    def is_over(_):
        now = handovers(server)
        has_begun = all(now[slot]["links_seen"] > before[slot]["links_seen"] for slot in now)
        return now if has_begun and not any(slot["links"] for slot in now.values()) else None

    return server.wait_for(is_over, 20)


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


def test_no_client_notices_that_all_connections_go_to_and_fro(start_victim, mix, record_property):
    server = start_victim(workers=2)
    wait_settled(server)
    before = descriptor_counts(server)
    load, turns = Load(server, **mix), 0
    while load.is_running():
        hand_over(server, turns % 2, 1 - turns % 2)
        turns += 1
    after = handovers(server)
    check_all_roles_worked(load.finish(), mix)
    check_nothing_is_left_open(server, before)
    moved = sum(slot["given"] for slot in after.values())
    assert moved == sum(slot["received"] for slot in after.values())
    assert moved >= 1000 and not any(slot["refused"] for slot in after.values()), after
    record_property("moved", f"{moved} in {turns} turns; longest freeze {max(slot['longest_ns'] for slot in after.values()) / 1e6:.1f} ms")


def test_no_client_notices_that_workers_are_killed_while_connections_go_to_and_fro(start_victim, mix, seed, record_property):
    server = start_victim(workers=2)
    wait_settled(server)
    before = descriptor_counts(server)
    load, turns = Load(server, **mix), 0
    with Killing(server, seed) as killing:
        while load.is_running():
            hand_over(server, turns % 2, 1 - turns % 2)
            turns += 1
    check_all_roles_worked(load.finish(), mix)
    after = handovers(server)
    check_nothing_is_left_open(server, before)
    assert killing.kills >= mix["seconds"] * 5, f"only {killing.kills} kills"
    assert sum(slot["given"] for slot in after.values()) >= 500, after
    record_property("moved", f"{after} in {turns} turns, {killing.kills} kills")
