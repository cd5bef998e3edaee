"""What is left after deaths: every status told once, no zombie, no descriptor more than before, and nothing at all when
the anchor itself is killed."""

import os
import pathlib
import re
import signal
import time

import holdfast
import pytest
from clients import (Client, bytes_of, deaths_told, descriptors, fetch, kill, pids_of, settled, status_of, until, word,
                     zombies)

pytestmark = pytest.mark.variants("hooks", "release", "asan")

UNIX_AND_TCP = """workers 2
control {control}
drain 10s
log_level debug
site 127.0.0.1:{port} unix:{folder}/site.sock {
    files {www}
}
"""


# Statuses


def test_every_death_is_told_once_and_with_its_cause(start_server):
    server = start_server(workers=2)
    expected = {}
    for number in (signal.SIGKILL, signal.SIGTERM):
        status = settled(server)
        victims = [status["workers"][0]["keeper_pid"], status["workers"][1]["pid"], status["master"]["pid"]]
        for pid in victims:
            if number == signal.SIGTERM and pid != victims[2]:
                continue  # keepers and workers do not hear it
            kill(pid, number)
            expected[pid] = f"signal {int(number)} ({number.name})"
    settled(server)
    for pid, cause in expected.items():
        server.wait_for(lambda s, pid=pid: deaths_told(s, pid))
        [line] = deaths_told(server, pid)
        assert f'cause="{cause}"' in line, line
    server.stop()
    for pid, times in {pid: len(deaths_told(server, pid)) for pid in expected}.items():
        assert times == 1, (pid, deaths_told(server, pid))
    ended = re.findall(r"event=process_reaped .*?(?:pid|child)=(\d+)", server.log())
    assert len(ended) == len(set(ended)), f"told twice: {sorted(ended)}"


def test_the_death_of_the_master_and_that_of_a_keeper_at_once_are_both_told(start_server):
    server = start_server(workers=2)
    for _ in range(5):
        status = settled(server)
        pids = [status["master"]["pid"], status["workers"][0]["keeper_pid"], status["workers"][1]["keeper_pid"]]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        for pid in pids:
            server.wait_for(lambda s, pid=pid: deaths_told(s, pid))
    settled(server)
    told = re.findall(r"event=process_reaped pid=(\d+) kind=(\w+)", server.log())
    assert [kind for _, kind in told].count("keeper") == 10 and [kind for _, kind in told].count("master") == 5
    assert len({pid for pid, _ in told}) == len(told)


@pytest.mark.variants("hooks", "release")
def test_a_master_that_hangs_is_replaced_and_its_end_is_told(start_server, folder, build):
    trigger = folder / "hang"
    server = start_server(workers=1, environment={"LD_PRELOAD": str(build / "tests/e2e/shim.so"),
                                                  "SHIM_MASTER_HANGS": str(trigger)})
    master = settled(server, 1)["master"]["pid"]
    with Client(server) as client:
        assert client.get("/").status == 404
        trigger.write_text("")
        until(lambda: not trigger.exists(), "the master has found it and hangs")
        assert client.get("/").status == 404, "nobody needs a master for this"
        server.wait_for_log(rf"event=master_silent master={master} ", timeout=20)
        assert settled(server, 1)["master"]["pid"] != master
        assert client.get("/").status == 404
    server.wait_for(lambda s: deaths_told(s, master))
    assert len(deaths_told(server, master)) == 1


@pytest.mark.variants("hooks")
@pytest.mark.limit(90)  # it waits for the loader's 20 seconds
def test_a_loader_that_hangs_is_ended_and_started_again(start_server, folder, build):
    trigger = folder / "hang"
    trigger.write_text("")
    server = start_server(workers=1, environment={"LD_PRELOAD": str(build / "tests/e2e/shim.so"),
                                                  "SHIM_LOADER_HANGS": str(trigger)})
    assert not trigger.exists(), "the first loader has found it"
    [hung] = set(re.findall(r"event=loader_died pid=(\d+) silent_ms=20000 next=SIGKILL", server.log()))
    [told] = deaths_told(server, hung)
    assert 'kind=loader cause="signal 9 (SIGKILL)"' in told
    assert fetch(server).status == 404, "the second one has read the configuration"


def test_a_stopped_master_holds_nobody_up_and_is_not_replaced(start_server):
    server = start_server(workers=2)
    status = settled(server)
    server.kill(status["master"]["pid"], signal.SIGSTOP, wait=False)
    until(lambda: status_of(status["master"]["pid"])["State"][0] == "T", "it is stopped")
    for _ in range(3):
        for slot in status["workers"]:
            kill(int(pids_of(server, "worker")[0]))
            until(lambda: len(pids_of(server, "worker")) == 2, "it is revived without a master")
        assert fetch(server).status == 404
    server.kill(status["master"]["pid"], signal.SIGCONT, wait=False)
    assert settled(server)["master"]["pid"] == status["master"]["pid"]


# Zombies and descriptors


def counted(server):
    """What each process has open, by its role; slots in their order."""
    status = settled(server)
    found = {"anchor": descriptors(server.pid), "master": descriptors(status["master"]["pid"])}
    for slot in status["workers"]:
        found[f"keeper {slot['slot']}"] = descriptors(slot["keeper_pid"])
    return found


@pytest.mark.dear("hooks", "asan")
@pytest.mark.limit(120)
def test_many_kills_leave_no_zombie_and_no_descriptor(start_server, is_soak):
    masters = 20 if is_soak else 4  # from the fifth on, the anchor waits before it starts the next
    server = start_server(config=UNIX_AND_TCP)
    (server.www / "small").write_bytes(b"small\n")
    clients = [Client(server) for _ in range(6)] + [Client(server.folder / "site.sock") for _ in range(6)]
    for client in clients:
        assert client.get("/small").status == 200
    kill(settled(server)["workers"][0]["pid"])  # a revival once: it makes what stays
    kill(settled(server)["workers"][1]["pid"])
    kill(settled(server)["master"]["pid"])
    before = counted(server)
    for round_ in range(100 if is_soak else 40):  # two workers each, a keeper in every fifth
        for pid in pids_of(server, "worker"):
            kill(pid)
        until(lambda: len(pids_of(server, "worker")) == 2, "both workers are there again")
        if round_ % 5 == 0:
            if round_ // 5 < masters:
                kill(server.wait_for(lambda s: pids_of(s, "master"))[0])
            kill(settled(server)["workers"][round_ // 5 % 2]["keeper_pid"])
            settled(server)
    for client in clients:
        assert client.get("/small").body == b"small\n", "the same sockets as before"
    settled(server)
    server.wait_for(lambda s: not zombies(s))
    server.wait_for(lambda s: s.run("status", "--json").returncode == 0)
    try:
        server.wait_for(lambda s: counted(s) == before, 15)
    except AssertionError:
        now = counted(server)
        pytest.fail("\n".join(f"{name}: {before[name]} before, now {now[name]}" for name in before
                              if before[name] != now[name]) or "it changes again and again")
    assert sorted(path.name for path in server.folder.iterdir()) == \
        ["control.sock", "holdfast.conf", "notify.sock", "site.sock", "www"]
    assert "event=slot_lost" not in server.log() and "event=revival_odd" not in server.log()


def test_a_stop_after_kills_leaves_no_mapping_of_shared_memory(start_server):
    """Arenas are memfds: whoever is gone gives them back, if nobody else holds them."""
    server = start_server(workers=2)
    for pid in pids_of(server, "worker"):
        kill(pid)
    settled(server)
    marks = {os.stat(path).st_ino for pid in [server.pid] for path in pathlib.Path(f"/proc/{pid}/fd").iterdir()
             if "memfd:holdfast" in os.readlink(path)}
    assert marks, "the anchor holds some"
    server.stop()
    for pid in holdfast.processes():
        try:
            held = {os.stat(path).st_ino for path in pathlib.Path(f"/proc/{pid}/fd").iterdir()
                    if "memfd:holdfast" in os.readlink(path)}
        except OSError:
            continue
        assert not held & marks, f"process {pid} {word(pid, 0)} holds one"


# The known exception: the anchor itself


@pytest.mark.parametrize("together", [(), ("master",)], ids=["alone", "with-the-master"])
def test_when_the_anchor_is_killed_everything_else_ends_by_itself(together, start_server):
    server = start_server(config=UNIX_AND_TCP)
    (server.www / "big").write_bytes(bytes_of(1, 12_000_000))
    clients = [Client(server, receive_buffer=65536), Client(server)]
    clients[0].send("/big")
    settled(server)
    below = server.remember_processes()
    victims = [server.pid, *(pid for role in together for pid in pids_of(server, role))]
    for pid in victims:
        os.kill(pid, signal.SIGSTOP)  # so that none of them acts between the two deaths
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    assert server.process.wait(10) == -signal.SIGKILL

    def all_gone():
        for pid in below:  # they are our children now
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass
        return not [pid for pid in below if pid in holdfast.processes()]

    until(all_gone, "all of its descendants end", 15)
    if not together:  # with the master, nobody is left who could remove them
        left = [path.name for path in server.folder.rglob("*") if path.is_socket() and path.name != "notify.sock"]
        assert not left, left
    server.check_reports()


def test_after_the_anchor_was_killed_the_same_server_can_be_started_again(start_server):
    first = start_server(config=UNIX_AND_TCP)
    below = first.remember_processes()
    os.kill(first.pid, signal.SIGKILL)
    first.process.wait(10)
    until(lambda: all(holdfast.processes().get(pid, (0, "", "Z", 0))[2] == "Z" for pid in below), "all ended", 15)
    config = first.config_file.read_text()
    first.end_everything()
    second = start_server(config=config)
    second.control = first.control
    assert second.status()["anchor"]["pid"] == second.pid
    second.stop()
    assert not first.control.exists() and not (first.folder / "site.sock").exists()


# The OOM killer


class MemoryGroup:
    """A cgroup with a memory controller, of version 2 or 1; `made` is None where none can be had."""

    @classmethod
    def make(cls):
        for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
            _, place, kind, options, *_ = line.split()
            top = pathlib.Path(place)
            is_second = kind == "cgroup2" and "memory" in (top / "cgroup.subtree_control").read_text().split()
            if not is_second and not (kind == "cgroup" and "memory" in options.split(",")):
                continue
            try:
                (top / f"holdfast-test-{os.getpid()}").mkdir()
            except OSError:
                continue
            return cls(top / f"holdfast-test-{os.getpid()}", is_second)
        return None

    def __init__(self, folder, is_second):
        self.folder = folder
        self.limits = ["memory.max", "memory.swap.max"] if is_second else ["memory.limit_in_bytes"]
        self.events = folder / ("memory.events" if is_second else "memory.oom_control")

    def limit(self, size):
        for name, value in zip(self.limits, (size, "0")):
            (self.folder / name).write_text(value)

    def add(self, pid):
        (self.folder / "cgroup.procs").write_text(str(pid))

    def remove(self):
        until(lambda: not (self.folder / "cgroup.procs").read_text(), "the group is empty")
        self.folder.rmdir()


# Fills a cgroup until the kernel has killed somebody in it, which may be itself in the end: the first one's death frees
# little.
HOG = """
import os, sys
open(sys.argv[1], "w").write(str(os.getpid()))
file = os.memfd_create("hog")
while "oom_kill 0" in open(sys.argv[2]).read().splitlines():
    os.write(file, bytes(1 << 16))
"""


@pytest.mark.variants("release")
def test_a_worker_that_the_oom_killer_kills_is_revived_and_loses_nobody(start_server):
    group = MemoryGroup.make() if os.geteuid() == 0 else None
    if group is None:
        pytest.skip("needs root, and a cgroup with the memory controller")
    server = start_server(workers=1)
    try:
        slot = settled(server, 1)["workers"][0]
        with Client(server) as client:
            assert client.get("/").status == 404
            group.add(slot["pid"])
            group.limit("64M")
            pathlib.Path(f"/proc/{slot['pid']}/oom_score_adj").write_text("1000")  # of all in the group, this one
            holdfast.subprocess.run(["/usr/bin/python3", "-c", HOG, str(group.folder / "cgroup.procs"),
                                     str(group.events)], check=False, timeout=30)
            server.wait_for_log(rf"event=worker_died .*pid={slot['pid']}\b.*signal 9")
            assert client.get("/").status == 404, "the same connection"
        server.wait_for(lambda s: s.status()["workers"][0]["revivals"] >= 1)  # counted when all are driven
        after = settled(server, 1)["workers"][0]
        assert after["keeper_pid"] == slot["keeper_pid"] and after["poisoned"] == 0
        server.stop()
    finally:
        server.end_everything()
        group.remove()


def test_time_stands_still_for_nobody(start_server):
    """The master's clock is not trusted with the keepers' lives: a long stop of all of them kills nobody."""
    server = start_server(workers=1, top="watchdog 1s")
    status = settled(server, 1)
    pids = [server.pid, status["master"]["pid"], status["workers"][0]["keeper_pid"], status["workers"][0]["pid"]]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    until(lambda: time.monotonic() - began > 2.5, "longer than the watchdog and two pings")
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    assert fetch(server).status == 404
    after = settled(server, 1)
    assert (after["master"], after["workers"][0]["pid"]) == (status["master"], status["workers"][0]["pid"])
    assert "event=worker_hung" not in server.log() and "event=keeper_silent" not in server.log()
