"""Holdfast as process 1, as in a container: nobody is above the anchor, and every orphan becomes its own."""

import os
import re
import signal
import subprocess

import holdfast
import pytest
from clients import Client, bytes_of, fetch, status_of, until, word

pytestmark = [pytest.mark.variants("hooks", "release", "asan"),
              pytest.mark.skipif(os.geteuid() != 0, reason="a PID namespace needs root")]


class Contained:
    """A server whose anchor is process 1 of a namespace; seen from outside it is `anchor`."""

    def __init__(self, server):
        self.server = server
        self.anchor = until(lambda: list(children(server.pid)), "the anchor")[0]

    def inside(self, *command, wait=True):
        """Runs a command in the namespace."""
        run = subprocess.run if wait else subprocess.Popen
        return run(["nsenter", "--target", str(self.anchor), "--pid", "--mount", *map(str, command)],
                   stdin=subprocess.DEVNULL, **({"capture_output": True, "text": True, "timeout": 20} if wait else {}))

    def pids_of(self, role):
        return [pid for pid, facts in holdfast.descendants(self.anchor).items()
                if facts[2] not in "ZX" and word(pid, 1) == role]

    def settled(self):
        def look(_):
            status = self.server.run("status", "--json")
            roles = {role: self.pids_of(role) for role in ("master", "keeper", "worker")}
            return status.returncode == 0 and [len(pids) for pids in roles.values()] == [1, 2, 2] and roles

        return self.server.wait_for(look, 15)


def children(pid):
    return [child for child, facts in holdfast.processes().items() if facts[0] == pid]


@pytest.fixture
def contained(start_server):
    servers = []

    def start(**options):
        server = start_server(prefix=["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"], **options)
        (server.www / "small").write_bytes(b"small\n")
        server.inside = Contained(server)
        servers.append(server)
        return server

    yield start
    for server in servers:
        if server.is_running():
            stop(server)


def stop(server, code=0):
    """`unshare` does not pass signals on; it exits as the anchor does."""
    server.remember_processes()
    os.kill(server.inside.anchor, signal.SIGTERM)
    server.wait_exit(code=code)


def test_it_starts_serves_and_stops_by_sigterm(contained):
    server = contained(workers=2)
    status = server.status()
    assert status["anchor"]["pid"] == 1 and "MAINPID=1" in server.ready
    assert status_of(server.inside.anchor)["NSpid"].split()[-1] == "1"
    assert fetch(server, "/small").body == b"small\n"
    server.inside.settled()
    stop(server)
    assert "event=anchor_exits code=0" in server.log()


def test_it_survives_the_deaths_of_all_others(contained):
    server = contained(workers=2)
    clients = [Client(server) for _ in range(8)]
    for client in clients:
        assert client.get("/small").status == 200
    for role in ("worker", "keeper", "master", "worker", "keeper"):
        for pid in server.inside.settled()[role]:
            server.kill(pid)
    server.inside.settled()
    for client in clients:
        assert client.get("/small").body == b"small\n"
    stop(server)
    told = re.findall(r"event=(?:process_reaped|worker_died) pid=(\d+)|event=process_reaped child=(\d+)", server.log())
    assert len(told) == len(set(told)), told


def test_orphans_of_others_are_reaped_and_told(contained):
    """A process that nobody waits for, as `docker exec` and health checks leave them behind."""
    server = contained(workers=1)
    for number in range(3):
        done = server.inside.inside("sh", "-c", f"(sh -c 'echo $$; exec sleep 0.1{number}' &)")
        orphan = int(done.stdout)
        server.wait_for_log(rf"event=process_reaped pid={orphan} kind=orphan cause=\"exit 0\"")
    until(lambda: not [pid for pid, facts in holdfast.descendants(server.inside.anchor).items() if facts[2] == "Z"],
          "the line comes before the zombie goes")
    stop(server)


def test_a_stop_ends_what_others_have_left_running(contained):
    server = contained(workers=1)
    done = server.inside.inside("sh", "-c", "(sh -c 'trap \"\" TERM; sleep 1000; :' > /dev/null 2>&1 &)")
    assert done.returncode == 0
    before = until(lambda: (found := holdfast.descendants(server.inside.anchor))
                   and any(facts[1] == "sleep" for facts in found.values()) and found, "the stray is there")
    stop(server)
    assert not [pid for pid, facts in before.items() if holdfast.processes().get(pid, (0,) * 4)[3] == facts[3]]


def test_a_graceful_stop_finishes_what_was_begun(contained):
    server = contained(workers=1, drain="20s")
    (server.www / "big").write_bytes(bytes_of(1, 12_000_000))
    with Client(server, receive_buffer=65536) as client:
        client.send("/big")
        assert client.head()[0] == 200
        os.kill(server.inside.anchor, signal.SIGTERM)
        server.wait_for_log("event=drain_started graceful=1")
        assert client.file.read(12_000_000) == bytes_of(1, 12_000_000)
    server.wait_exit()


def test_the_stop_command_works_inside(contained):
    server = contained(workers=1)
    server.remember_processes()
    stopping = server.inside.inside(server.build / "holdfast", "stop", "--control", server.control, wait=False)
    stopping.wait(20)  # the anchor takes it along: whatever runs in a namespace ends with its process 1
    server.wait_exit()


def test_a_refused_start_exits_with_1(folder, build):
    config = folder / "holdfast.conf"
    config.write_text("nonsense\n")
    done = subprocess.run(["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", build / "holdfast", "run",
                           "-c", config], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and "nonsense" in done.stderr
