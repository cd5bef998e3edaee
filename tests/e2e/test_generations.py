"""Two generations of slots at once: what reload and upgrade will stand on. The test hooks of the control socket begin a
generation beside the present one, and retire the former."""

import json
import signal
import threading

import pytest
from clients import Client, bytes_of, deaths_told, fetch, kill, parent_of, pids_of, until, word
from test_control import Control

pytestmark = pytest.mark.variants("hooks", "asan")

BIG = 12_000_000


@pytest.fixture
def server(start_server):
    server = start_server(workers=2, drain="30s")
    (server.www / "small").write_bytes(b"small\n")
    (server.www / "big").write_bytes(bytes_of(1, BIG))
    return server


def command(server, name):
    """Asks until a master answers; the answer."""

    def ask(_):
        try:
            client = Control(server.control)
        except OSError:
            return None
        try:
            return client.ask(name)
        except BrokenPipeError:
            return None
        finally:
            client.close()

    return server.wait_for(ask, 20)


def slots(server, generation=None):
    done = server.run("status", "--json")
    if done.returncode:
        return []
    return [slot for slot in json.loads(done.stdout)["workers"] if generation in (None, slot["generation"])]


def whole(slot):
    return (slot["state"] in ("ready", "draining") and word(slot["pid"], 1) == "worker"
            and parent_of(slot["pid"]) == slot["keeper_pid"])


def wait_generations(server, *generations):
    """Waits until exactly these have their two slots, each with keeper and worker."""

    def look(_):
        found = slots(server)
        return len(found) == 2 * len(generations) and {slot["generation"] for slot in found} == set(generations) \
            and all(whole(slot) for slot in found) and found

    return server.wait_for(look, 20)


def begin_generation(server, *then):
    assert command(server, "test-begin-generation")["ok"] is True
    return wait_generations(server, *then)


class Witnesses:
    """Connections that the first generation holds: idle, in the middle of a head, in the middle of a download."""

    def __init__(self, server):
        self.idle = [Client(server) for _ in range(12)]
        self.half = [Client(server) for _ in range(4)]
        self.downloads = [Client(server, receive_buffer=65536) for _ in range(2)]
        for client in self.idle:
            assert client.get("/small").body == b"small\n"
        for client in self.half:
            client.send_bytes(b"GET /small HTTP/1.1\r\nHo")
        for client in self.downloads:
            client.send("/big")
            assert client.head()[0] == 200

    def still_idle(self, close=False):
        for client in self.idle:
            answer = client.get("/small")
            assert answer is not None and answer.body == b"small\n"
            assert answer.headers.get("connection") == ("close" if close else None)

    def finish(self, close):
        for client in self.half:
            client.send_bytes(b"st: a\r\n\r\n")
            answer = client.answer()
            assert answer.body == b"small\n" and answer.headers.get("connection") == ("close" if close else None)
        for client in self.downloads:
            assert client.file.read(BIG) == bytes_of(1, BIG)

    def all_end(self):
        for client in self.idle + self.half + self.downloads:
            assert client.has_ended()


def accepted(server, generation):
    return sum(slot["accepted"] for slot in slots(server, generation))


def test_both_generations_accept_and_the_old_one_keeps_its_connections(server):
    witnesses = Witnesses(server)
    before = slots(server)
    after = begin_generation(server, 1, 2)
    assert [(slot["pid"], slot["keeper_pid"]) for slot in after if slot["generation"] == 1] == \
        [(slot["pid"], slot["keeper_pid"]) for slot in before], "nobody of the first was touched"
    assert {(slot["generation"], slot["slot"]) for slot in after} == {(1, 0), (1, 1), (2, 0), (2, 1)}
    were = [accepted(server, generation) for generation in (1, 2)]
    for _ in range(300):
        assert fetch(server, "/small").body == b"small\n"
    assert all(accepted(server, generation) > was for generation, was in zip((1, 2), were)), "both take new ones"
    assert accepted(server, 1) + accepted(server, 2) == sum(were) + 300
    witnesses.still_idle()
    witnesses.finish(close=False)


def test_the_former_generation_finishes_what_it_has_and_leaves(server):
    witnesses = Witnesses(server)
    first = begin_generation(server, 1, 2)
    old = [pid for slot in first if slot["generation"] == 1 for pid in (slot["pid"], slot["keeper_pid"])]
    assert command(server, "test-retire-former")["result"] == {"retired": 2}
    server.wait_for(lambda s: all(slot["state"] == "draining" for slot in slots(s, 1)))
    witnesses.finish(close=True)
    witnesses.all_end()
    wait_generations(server, 2)
    for _ in range(20):
        assert fetch(server, "/small").headers.get("connection") is None
    assert not [pid for pid in old if word(pid, 0)], "they have left"
    for slot in first:
        if slot["generation"] == 1:
            server.wait_for(lambda s, pid=slot["keeper_pid"]: len(deaths_told(s, pid)) == 1)
    assert command(server, "test-retire-former")["result"] == {"retired": 0}


def test_no_connection_is_refused_while_generations_come_and_go(server):
    stop, wrong, good = threading.Event(), [], []

    def call():
        while not stop.is_set():
            try:
                answer = fetch(server, "/small")
                assert answer is not None and answer.body == b"small\n", answer
                good.append(1)
            except (OSError, AssertionError) as error:
                wrong.append(repr(error))

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    try:
        for generation in range(2, 7):
            begin_generation(server, generation - 1, generation)
            command(server, "test-retire-former")
            wait_generations(server, generation)
    finally:
        stop.set()
        for caller in callers:
            caller.join()
    assert not wrong, (len(good), wrong[:5])
    assert len(good) > 100


@pytest.mark.parametrize("victim", ["worker", "keeper"])
def test_deaths_in_both_generations_are_nobody_s_loss(victim, server):
    witnesses = Witnesses(server)
    begin_generation(server, 1, 2)
    newer = [Client(server) for _ in range(12)]
    for client in newer:
        assert client.get("/small").status == 200
    for _ in range(3):
        for pid in pids_of(server, victim):
            kill(pid)
        wait_generations(server, 1, 2)
        witnesses.still_idle()
        for client in newer:
            assert client.get("/small").body == b"small\n"
    witnesses.finish(close=False)


@pytest.mark.parametrize("times", range(3))
def test_a_master_that_dies_while_it_makes_a_generation_is_followed_by_one_that_goes_on(times, server):
    witnesses = Witnesses(server)
    master = pids_of(server, "master")[0]
    assert command(server, "test-begin-generation")["ok"] is True
    until(lambda: len(pids_of(server, "keeper")) >= 2 + times, "so far it has got")
    kill(master)
    for _ in range(2):
        kill(server.wait_for(lambda s: pids_of(s, "master"))[0])
    wait_generations(server, 1, 2)
    witnesses.still_idle()
    witnesses.finish(close=False)


def test_a_master_that_dies_while_the_former_generation_leaves_is_followed_by_one_that_goes_on(server):
    witnesses = Witnesses(server)
    first = begin_generation(server, 1, 2)
    assert command(server, "test-retire-former")["ok"] is True
    kill(pids_of(server, "master")[0])
    witnesses.finish(close=True)
    kill(server.wait_for(lambda s: pids_of(s, "master"))[0])
    witnesses.all_end()
    kill(server.wait_for(lambda s: pids_of(s, "master"))[0])
    wait_generations(server, 2)
    for slot in first:
        if slot["generation"] == 1:
            server.wait_for(lambda s, pid=slot["keeper_pid"]: deaths_told(s, pid))
            assert len(deaths_told(server, slot["keeper_pid"])) == 1


def test_a_stop_ends_both_generations(server):
    witnesses = Witnesses(server)
    begin_generation(server, 1, 2)
    server.remember_processes()
    signalled = threading.Thread(target=server.stop, args=(signal.SIGTERM,))
    signalled.start()
    server.wait_for(lambda s: slots(s) and all(slot["state"] == "draining" for slot in slots(s)))
    witnesses.finish(close=True)
    witnesses.all_end()
    signalled.join()
    assert not server.is_running()
