"""Planted faults (builds with test hooks): the request that crashed a worker is not run a second time, and nobody else
pays for it."""

import re
import threading

import pytest
from killers import Client, signal_and_wait, wait_settled

pytestmark = [pytest.mark.variants("hooks")]

SMALL = "/small-012"
WAYS = ["segv", "abort", "bus", "ill", "fpe", "exit"]


@pytest.fixture
def server(start_victim):
    return start_victim(workers=1, top="watchdog 1s\ncrash_limit 20 per 10s", plants_crashes=True)


@pytest.fixture
def small(documents):
    return (documents / SMALL[1:]).read_bytes()


def open_witness(server, small):
    client = Client(server)
    assert client.get(SMALL)[2] == small
    return client


def witness_lives(client, small):
    answer = client.get(SMALL)
    assert answer is not None and answer[0] == 200 and answer[2] == small
    assert client.is_quiet()


@pytest.mark.parametrize("how", WAYS)
def test_a_planted_crash_gives_that_request_500_and_nobody_else_anything(how, server, small):
    witnesses = [open_witness(server, small) for _ in range(5)]
    half = Client(server)
    half.socket.sendall(b"GET " + SMALL.encode())
    guilty = Client(server)
    answer = guilty.get(f"/_test/crash?how={how}")
    assert answer is not None, "the connection of the request that crashed must get an answer"
    assert answer[0] == 500
    for witness in witnesses:
        witness_lives(witness, small)
    half.socket.sendall(b" HTTP/1.1\r\nHost: crash.example\r\n\r\n")
    assert half.answer()[2] == small
    status = wait_settled(server)["workers"][0]
    assert status["poisoned"] == 1 and status["revivals"] == 1
    assert len(re.findall("event=request_poisoned", server.log())) == 1
    assert len(re.findall("event=worker_died .*cause=", server.log())) == 1


def test_a_second_crash_on_the_same_connection_closes_it(server, small):
    witness = open_witness(server, small)
    guilty = Client(server)
    assert guilty.get("/_test/crash?how=segv")[0] == 500
    witness_lives(guilty, small)  # it may go on until it does it again
    guilty.send("/_test/crash?how=segv")
    assert guilty.answer() is None
    witness_lives(witness, small)
    assert wait_settled(server)["workers"][0]["poisoned"] == 2


def test_the_neighbours_of_a_crashing_request_in_a_pipeline_get_their_answers(server, small):
    client = Client(server)
    for path in (SMALL, "/_test/crash?how=segv", SMALL):
        client.send(path)
    first, second, third = client.answer(), client.answer(), client.answer()
    assert (first[0], second[0], third[0]) == (200, 500, 200)
    assert first[2] == small and third[2] == small
    assert client.is_quiet()


@pytest.mark.parametrize("path", ["/_test/hang", "/_test/loop"])
def test_a_request_that_never_ends_is_ended(path, server, small):
    witness, waiting = open_witness(server, small), Client(server)
    guilty = Client(server)
    guilty.send(path)
    waiting.send(SMALL)
    assert guilty.answer()[0] == 500
    assert waiting.answer()[2] == small, "who waited behind it is served"
    witness_lives(witness, small)
    assert len(re.findall("event=worker_hung", server.log())) == 1
    assert len(re.findall("event=request_poisoned", server.log())) == 1
    assert wait_settled(server)["workers"][0]["poisoned"] == 1


def test_a_worker_that_hangs_beside_its_dead_keeper_is_ended_and_the_slot_starts_again(start_victim, documents, small):
    """The promise's exception: nobody is left who holds its connections. The other slot's live."""
    server = start_victim(workers=2, top="watchdog 30s\n")
    guilty = Client(server)
    guilty.send("/_test/hang")
    hung = server.wait_for(lambda s: next((worker for worker in s.status()["workers"] if worker["connections"]), None))
    others = [Client(server) for _ in range(8)]
    for client in others:
        assert client.get(SMALL)[2] == small
    signal_and_wait(server, hung["keeper_pid"])
    server.wait_for_log(rf"event=worker_hung slot={hung['slot']} pid={hung['pid']} .*dead keeper.* next=SIGKILL", timeout=20)
    server.wait_for_log(rf"event=slot_lost slot={hung['slot']} ")
    assert guilty.answer() is None, "closed"
    for client in others:
        witness_lives(client, small)
    after = wait_settled(server)["workers"][hung["slot"]]
    assert after["pid"] != hung["pid"] and after["keeper_pid"] != hung["keeper_pid"]


def test_a_crash_in_a_pool_thread_blames_the_request_of_that_thread(server, small):
    witness = open_witness(server, small)
    slow, guilty = Client(server), Client(server)
    slow.send("/_test/pool-slow")
    guilty.send("/_test/pool-crash")
    assert guilty.answer()[0] == 500
    answer = slow.answer()
    assert answer[0] == 200 and answer[2] == b"slow\n", "its job is run again, it is not to blame"
    witness_lives(witness, small)
    assert wait_settled(server)["workers"][0]["poisoned"] == 1
    assert len(re.findall("event=request_poisoned", server.log())) == 1


def test_a_sigkill_in_the_middle_of_a_pool_job_costs_nobody_anything(server, small):
    slow = [Client(server) for _ in range(6)]
    for client in slow:
        client.send("/_test/pool-slow")
    worker = wait_settled(server)["workers"][0]
    signal_and_wait(server, worker["pid"])
    for client in slow:
        answer = client.answer()
        assert answer[0] == 200 and answer[2] == b"slow\n"
    assert wait_settled(server)["workers"][0]["poisoned"] == 0


def test_a_crash_loop_backs_off_says_so_and_serves_again(start_victim, small):
    server = start_victim(workers=1, top="crash_limit 3 per 10s", plants_crashes=True)
    witness = open_witness(server, small)
    for _ in range(3):
        assert Client(server).get("/_test/crash?how=abort")[0] == 500
    witness_lives(witness, small)  # the limit is reached, not passed
    last = Client(server)
    last.send("/_test/crash?how=abort")
    server.wait_for_log("event=crash_loop .*slot=0")
    assert last.answer() is None, "the slot starts again empty"
    fresh = Client(server)  # waits in the queue until the backoff is over
    assert fresh.get(SMALL)[2] == small
    wait_settled(server)
    assert len(re.findall("event=crash_loop", server.log())) == 1


def test_kills_from_outside_are_never_a_crash_loop(start_victim, small):
    server = start_victim(workers=1, top="crash_limit 3 per 10s")
    witness = open_witness(server, small)
    for _ in range(20):
        signal_and_wait(server, wait_settled(server)["workers"][0]["pid"])
    witness_lives(witness, small)
    assert "event=crash_loop" not in server.log()


def test_crashes_on_many_connections_at_once_hit_those_requests_only(start_victim, small):
    server = start_victim(workers=2, top="crash_limit 50 per 10s", plants_crashes=True)
    witnesses = [open_witness(server, small) for _ in range(20)]
    statuses = []

    def crash(how):
        statuses.append(Client(server).get(f"/_test/crash?how={how}")[0])

    threads = [threading.Thread(target=crash, args=(how,)) for how in WAYS[:5] * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [500] * 10
    for witness in witnesses:
        witness_lives(witness, small)
