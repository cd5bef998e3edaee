"""Every death of every process, from outside: the client that waits, the one in the middle of a request and the one
that comes later see nothing of it, and the log names each death once, with its cause."""

import re
import select
import signal

import pytest
from clients import deaths_told
from killers import (Client, argument, monotonic_ns, parent, role_pids, signal_and_wait, wait_settled)

pytestmark = [pytest.mark.variants("hooks", "release"), pytest.mark.dear("release")]

DEADLY = [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS]
SMALL = "/small-012"  # 4096 bytes


def name(value):
    return value.name if isinstance(value, signal.Signals) else str(value)


class Witnesses:
    """Clients in every state that a death may find them in."""

    def __init__(self, server, documents):
        self.server = server
        self.small = (documents / SMALL[1:]).read_bytes()
        self.large = (documents / "big-2m").read_bytes()
        self.idle, self.half, self.slow = Client(server), Client(server), Client(server)
        self.check(self.idle.get(SMALL), self.small)
        self.half.socket.sendall(f"GET {SMALL} HTTP/1.1\r\nHost: cr".encode())
        self.slow.send("/big-2m")  # its answer is not read yet: the socket buffer is full

    @staticmethod
    def check(answer, body):
        assert answer is not None, "the server has closed"
        assert answer[0] == 200, answer
        assert answer[2] == body, "a wrong byte"

    def all_live(self):
        self.check(self.idle.get(SMALL), self.small)
        self.half.socket.sendall(b"ash.example\r\n\r\n")
        self.check(self.half.answer(), self.small)
        self.check(self.slow.answer(), self.large)
        self.check(self.slow.get(SMALL), self.small)
        for client in (self.idle, self.half, self.slow):
            assert client.is_quiet(), "bytes after the last answer, or the end"
            client.close()
        fresh = Client(self.server)
        self.check(fresh.get(SMALL), self.small)
        fresh.close()


@pytest.mark.parametrize("deadly", DEADLY, ids=name)
def test_no_client_sees_a_worker_die(deadly, start_victim, documents):
    server = start_victim(workers=1)
    worker = wait_settled(server)["workers"][0]
    witnesses = Witnesses(server, documents)
    signal_and_wait(server, worker["pid"], deadly)
    witnesses.all_live()
    after = wait_settled(server)["workers"][0]
    assert after["pid"] != worker["pid"] and after["keeper_pid"] == worker["keeper_pid"]
    assert after["revivals"] == worker["revivals"] + 1
    assert after["poisoned"] == 0, "a signal from outside is no request's fault"
    server.wait_for_log(rf"event=worker_died .*pid={worker['pid']}\b.*cause=\"signal {int(deadly)} \({deadly.name}\)")
    assert len(deaths_told(server, worker["pid"])) == 1, deaths_told(server, worker["pid"])


@pytest.mark.parametrize("deadly", DEADLY, ids=name)
def test_no_client_sees_a_keeper_die(deadly, start_victim, documents):
    server = start_victim(workers=1)
    worker = wait_settled(server)["workers"][0]
    witnesses = Witnesses(server, documents)
    signal_and_wait(server, worker["keeper_pid"], deadly)
    witnesses.all_live()
    after = wait_settled(server)["workers"][0]
    assert after["keeper_pid"] == worker["pid"], "the worker takes over"
    server.wait_for_log(r"event=keeper_taken_over .*slot=0")
    server.wait_for(lambda s: deaths_told(s, worker["keeper_pid"]))
    assert len(deaths_told(server, worker["keeper_pid"])) == 1


@pytest.mark.parametrize("deadly", DEADLY, ids=name)
def test_no_client_sees_the_master_die(deadly, start_victim, documents):
    server = start_victim(workers=1)
    status = wait_settled(server)
    master = status["master"]["pid"]
    witnesses = Witnesses(server, documents)
    signal_and_wait(server, master, deadly)
    witnesses.all_live()
    after = wait_settled(server)
    assert after["master"]["pid"] != master
    assert after["workers"][0]["pid"] == status["workers"][0]["pid"], "its death orders nothing"
    assert after["workers"][0]["keeper_pid"] == status["workers"][0]["keeper_pid"]
    server.wait_for_log(rf"event=master_died .*={master}\b.*cause=\"signal {int(deadly)} \({deadly.name}\)")
    assert len(re.findall(rf"event=master_died .*={master}\b", server.log())) == 1


def pick(status, who):
    first, second = status["workers"]
    return {"worker": first["pid"], "other-worker": second["pid"], "keeper": first["keeper_pid"],
            "other-keeper": second["keeper_pid"], "master": status["master"]["pid"]}[who]


@pytest.mark.parametrize("together", [
    ("worker", "other-worker"),
    ("keeper", "other-keeper"),
    ("worker", "other-keeper"),
    ("master", "worker"),
    ("master", "keeper"),
    ("master", "worker", "other-worker"),
    ("master", "keeper", "other-keeper"),
    ("master", "worker", "other-keeper"),
], ids="+".join)
def test_no_client_sees_several_die_at_once(together, start_victim, documents):
    server = start_victim(workers=2)
    status = wait_settled(server)
    witnesses = [Witnesses(server, documents) for _ in range(4)]
    pids = [pick(status, who) for who in together]
    for pid in pids:
        server.kill(pid, wait=False)
    for witness in witnesses:
        witness.all_live()
    after = wait_settled(server)
    assert after["master"]["pid"] > 0
    for pid in pids:
        server.wait_for(lambda s, pid=pid: deaths_told(s, pid))
        assert len(deaths_told(server, pid)) == 1, deaths_told(server, pid)


def test_keeper_after_worker_after_keeper_no_client_sees_it(start_victim, documents):
    server = start_victim(workers=1)
    witnesses = Witnesses(server, documents)
    for victim in ("keeper_pid", "pid", "keeper_pid", "keeper_pid", "pid", "pid"):
        signal_and_wait(server, wait_settled(server)["workers"][0][victim])
    wait_settled(server)
    witnesses.all_live()


def test_keeper_and_worker_killed_together_lose_their_connections_but_the_server_goes_on(start_victim, documents):
    """The promise's own exception: nobody is left who holds the descriptors."""
    server = start_victim(workers=2)
    status = wait_settled(server)
    first = status["workers"][0]
    for pid in (first["keeper_pid"], first["pid"]):
        server.kill(pid, signal.SIGSTOP, wait=False)  # neither may do anything between the two deaths
    for pid in (first["keeper_pid"], first["pid"]):
        server.kill(pid, wait=False)
    after = wait_settled(server)
    assert after["workers"][0]["keeper_pid"] not in (first["keeper_pid"], first["pid"])
    assert after["workers"][1]["pid"] == status["workers"][1]["pid"], "the other slot has nothing to do with it"
    server.wait_for_log("event=slot_lost .*slot=0")
    for _ in range(8):
        Witnesses(server, documents).all_live()


def test_a_death_while_no_master_runs_is_told_by_the_next_master(start_victim, documents):
    server = start_victim(workers=2)
    status = wait_settled(server)
    keeper, master = status["workers"][0]["keeper_pid"], status["master"]["pid"]
    witnesses = Witnesses(server, documents)
    server.kill(master, signal.SIGSTOP, wait=False)  # it will never see what happens now
    signal_and_wait(server, keeper)
    signal_and_wait(server, master)
    witnesses.all_live()
    wait_settled(server)
    server.wait_for(lambda s: deaths_told(s, keeper))
    assert len(deaths_told(server, keeper)) == 1


def nothing_comes_within(client, seconds):
    return not select.select([client.socket], [], [], seconds)[0]


def test_a_stopped_worker_is_left_alone(start_victim, documents):
    server = start_victim(workers=1, top="watchdog 1s")
    worker = wait_settled(server)["workers"][0]
    witnesses = Witnesses(server, documents)
    server.kill(worker["pid"], signal.SIGSTOP, wait=False)
    asking = Client(server)
    asking.send(SMALL)
    assert nothing_comes_within(asking, 3), "a stopped worker cannot answer"
    server.kill(worker["pid"], signal.SIGCONT, wait=False)
    witnesses.check(asking.answer(), witnesses.small)
    witnesses.all_live()
    assert wait_settled(server)["workers"][0]["pid"] == worker["pid"]
    assert "event=worker_hung" not in server.log() and "event=worker_died" not in server.log()


def test_a_stopped_keeper_and_a_stopped_master_are_left_alone(start_victim, documents):
    server = start_victim(workers=1, top="watchdog 1s")
    status = wait_settled(server)
    witnesses = Witnesses(server, documents)
    stopped = [status["workers"][0]["keeper_pid"], status["master"]["pid"]]
    for pid in stopped:
        server.kill(pid, signal.SIGSTOP, wait=False)
    deadline = monotonic_ns() + 7_000_000_000  # five pings of the anchor and more are missed
    while monotonic_ns() < deadline:
        assert nothing_comes_within(witnesses.idle, 0.5)
        witnesses.check(witnesses.idle.get(SMALL), witnesses.small)
    for pid in stopped:
        server.kill(pid, signal.SIGCONT, wait=False)
    witnesses.all_live()
    after = wait_settled(server)
    assert [after["workers"][0]["keeper_pid"], after["master"]["pid"]] == stopped


@pytest.mark.parametrize("harmless", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1,
                                      signal.SIGUSR2, signal.SIGPIPE, signal.SIGWINCH], ids=name)
def test_a_signal_meant_for_the_server_does_no_harm_to_keeper_and_worker(harmless, start_victim, documents):
    """A terminal sends its signals to everybody; only the anchor answers them."""
    server = start_victim(workers=1)
    worker = wait_settled(server)["workers"][0]
    witnesses = Witnesses(server, documents)
    for pid in (worker["keeper_pid"], worker["pid"]):
        server.kill(pid, harmless, wait=False)
    witnesses.all_live()
    after = wait_settled(server)["workers"][0]
    assert (after["keeper_pid"], after["pid"]) == (worker["keeper_pid"], worker["pid"])


def test_every_process_bears_its_role(start_victim):
    server = start_victim(workers=2)
    status = wait_settled(server)
    assert role_pids(server, "master") == [status["master"]["pid"]]
    assert sorted(role_pids(server, "keeper")) == sorted(worker["keeper_pid"] for worker in status["workers"])
    assert sorted(role_pids(server, "worker")) == sorted(worker["pid"] for worker in status["workers"])
    assert role_pids(server, "loader") == [], "the loader is short-lived"
    for worker in status["workers"]:
        assert parent(worker["pid"]) == worker["keeper_pid"]
        assert parent(worker["keeper_pid"]) == server.pid
        assert argument(worker["keeper_pid"], 1) == "keeper"
