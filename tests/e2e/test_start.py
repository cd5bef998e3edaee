"""A start that succeeds: what the service manager, the shell and the pid file are told."""

import fcntl
import os
import signal
import socket
import subprocess
import time

import holdfast
import pytest
from clients import ONE_SITE, Client, fetch, kill, pids_of, reap_strays, settled, status_of, until, word, write_config

pytestmark = pytest.mark.variants("hooks", "release", "asan")


# Notifications


def notifications(server):
    """All datagrams that wait, as lists of lines."""
    found = []
    while True:
        try:
            found.append(server.notify.recv(65536).decode().splitlines())
        except BlockingIOError:
            return found


def test_ready_is_said_once_and_stopping_once_whatever_dies_between(start_server):
    server = start_server(workers=2)
    assert "READY=1" in server.ready and f"MAINPID={server.pid}" in server.ready
    status = settled(server)
    assert status["anchor"]["pid"] == server.pid
    for pid in (status["master"]["pid"], status["workers"][0]["pid"], status["workers"][1]["keeper_pid"]):
        kill(pid)
        settled(server)
    assert not any("READY=1" in lines for lines in notifications(server))
    server.remember_processes()
    os.kill(server.pid, signal.SIGTERM)
    server.wait_for_notification("STOPPING=1")
    assert holdfast.wait_dead(server.pidfd, 20)
    later = notifications(server)
    assert not any("STOPPING=1" in lines or "READY=1" in lines for lines in later), later
    server.wait_exit()


def test_the_service_manager_s_watchdog_is_told_every_third_of_its_time(start_server):
    server = start_server(workers=1, environment={"WATCHDOG_USEC": "900000"})
    server.wait_for_notification("WATCHDOG=1")
    times = [time.monotonic()]
    kill(settled(server, 1)["master"]["pid"])  # the next one goes on telling
    for _ in range(6):
        server.wait_for_notification("WATCHDOG=1")
        times.append(time.monotonic())
    gaps = [after - before for before, after in zip(times, times[1:])]
    assert max(gaps) < 0.85, f"it would have been too late: {gaps}"
    assert sum(gaps[2:]) > 0.2 * len(gaps[2:]), f"far more often than needed: {gaps}"


def test_a_watchdog_that_is_meant_for_another_process_is_not_told(start_server):
    server = start_server(workers=1, environment={"WATCHDOG_USEC": "90000", "WATCHDOG_PID": "1"})
    assert settled(server, 1)
    settled(server, 1)
    assert not any("WATCHDOG=1" in lines for lines in notifications(server))


def test_it_stays_in_the_foreground_and_the_first_process_is_the_anchor(start_server):
    server = start_server(workers=1)
    assert settled(server, 1)["anchor"]["pid"] == server.process.pid
    assert os.path.basename(os.readlink(f"/proc/{server.pid}/exe")) == "holdfast-anchor"


def test_the_images_of_all_processes_can_be_replaced_on_disk(start_server, folder, build):
    """A copy without a name is what runs: `make install` over a running server does it no harm."""
    for name in ("holdfast", "holdfast-anchor"):
        subprocess.run(["cp", build / name, folder / name], check=True)
    server = start_server(workers=1, build=folder)
    (server.www / "index.html").write_text("index\n")
    (folder / "holdfast").write_bytes(b"not a program")  # in place: it is not busy
    status = settled_by(server, build)
    for pid in (status["master"]["pid"], status["workers"][0]["pid"], status["workers"][0]["keeper_pid"]):
        kill(pid)
        assert fetch(server).body == b"index\n"
    server.build = build


def settled_by(server, build):
    server.build = build
    return settled(server, 1)


# Daemons


class Daemon:
    """`holdfast run -d`: the parent, what it said, and the daemon that it leaves. We are its subreaper."""

    def __init__(self, folder, config, environment=None, pid_file="holdfast.pid"):
        self.folder, self.pid_file, self.log = folder, folder / pid_file, folder / "daemon.log"
        with open(self.log, "wb") as out:
            self.parent = subprocess.Popen(
                [holdfast.build_folder() / "holdfast", "run", "-d", "-c", config, "--pid-file", self.pid_file],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=folder,
                env={**os.environ, **(environment or {})})

    def wait(self):
        """The exit code of the parent."""
        return self.parent.wait(30)

    def said(self):
        return self.log.read_text(errors="replace")

    @property
    def pid(self):
        return int(self.pid_file.read_text())

    def stop(self, number=signal.SIGTERM):
        """Returns the exit code of the daemon; fails if anything is left."""
        pid = self.pid
        below = [pid, *holdfast.descendants(pid)]
        os.kill(pid, number)
        until(lambda: os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT), "the end of the daemon", 20)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        left = [other for other in below if other in holdfast.processes()]
        assert not left, f"left behind: {left}\n{self.said()}"
        assert not [path for path in self.folder.rglob("*") if path.is_socket()]
        assert "Sanitizer" not in self.said(), self.said()
        return code

    def end(self):
        if self.parent.poll() is None:
            self.parent.kill()
            self.parent.wait()
        try:
            pid = self.pid
        except (OSError, ValueError):
            return
        if pid in holdfast.descendants(os.getpid()):
            for one in [pid, *holdfast.descendants(pid)]:
                try:
                    os.kill(one, signal.SIGKILL)
                except ProcessLookupError:
                    pass




@pytest.fixture
def start_daemon(folder):
    daemons = []

    def start(text=ONE_SITE, **options):
        place = folder / f"d{len(daemons)}"
        port = holdfast.free_port()
        daemons.append(Daemon(place, write_config(place, text, port=port), **options))
        daemons[-1].port = port
        return daemons[-1]

    yield start
    for daemon in daemons:
        daemon.end()
    reap_strays()


def test_a_daemon_is_nobody_s_child_has_a_session_of_its_own_and_no_terminal(start_daemon):
    daemon = start_daemon()
    assert daemon.wait() == 0, daemon.said()
    assert fetch(daemon.port).body == b"index\n", "it is ready when the parent exits"
    fields = holdfast.pathlib.Path(f"/proc/{daemon.pid}/stat").read_text().rpartition(")")[2].split()
    parent, session, terminal = int(fields[1]), int(fields[3]), int(fields[4])
    assert parent == os.getpid(), "whoever adopts orphans"
    assert session not in (daemon.pid, os.getsid(0)), "no session leader: it can never get a terminal again"
    assert terminal == 0
    assert os.readlink(f"/proc/{daemon.pid}/fd/0") == "/dev/null"
    assert daemon.stop() == 0


@pytest.mark.variants("hooks", "release")
def test_the_parent_waits_until_the_daemon_is_ready(start_daemon, folder, build):
    fifo = folder / "go"
    os.mkfifo(fifo)
    daemon = start_daemon(environment={"LD_PRELOAD": str(build / "tests/e2e/shim.so"), "SHIM_WORKER_WAITS": str(fifo)})
    until(lambda: "event=listener_open" in daemon.said(), "the listeners are open")
    writer = os.open(fifo, os.O_WRONLY)  # the worker is there, and waits for us
    assert daemon.parent.poll() is None, "the parent has left although no worker accepts"
    os.close(writer)
    assert daemon.wait() == 0, daemon.said()
    assert fetch(daemon.port).status == 200
    assert daemon.stop() == 0


def test_a_daemon_that_cannot_start_says_why_and_its_parent_exits_with_1(start_daemon):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for text, reason in (("workers nine\n" + ONE_SITE, "holdfast.conf:1:"),
                             (ONE_SITE.replace("{port}", str(port)), f"address=127.0.0.1:{port}"),
                             (ONE_SITE.replace("{www}", "/nowhere/at/all"), 'no folder "/nowhere/at/all"')):
            daemon = start_daemon(text)
            assert daemon.wait() == 1, daemon.said()
            assert reason in daemon.said() and "did not become ready" in daemon.said()
            until(lambda: not any("holdfast" in facts[1] and facts[2] != "Z"
                                  for facts in holdfast.descendants(os.getpid()).values()), "all of it ends")
            assert not list(daemon.folder.glob("*.pid*")) and not list(daemon.folder.glob("*.sock"))


def test_sigwinch_makes_a_daemon_stop_accepting_while_open_connections_go_on(start_daemon):
    daemon = start_daemon()
    assert daemon.wait() == 0, daemon.said()
    with Client(daemon.port) as client:
        assert client.get("/").body == b"index\n"
        os.kill(daemon.pid, signal.SIGWINCH)

        def is_refused():
            try:
                Client(daemon.port, timeout=0.3).close()
            except ConnectionRefusedError:
                return True
            except TimeoutError:
                pass  # steered away: the port is about to be closed
            return False

        until(is_refused, "new connections are refused")
        for role in ("worker", "keeper", "master"):
            for pid in [pid for pid in holdfast.descendants(daemon.pid) if word(pid, 1) == role]:
                kill(pid)  # the next one does not begin again
            until(lambda: client.get("/").body == b"index\n", "the open connection goes on")
            assert is_refused()
        assert client.get("/").body == b"index\n"
    assert daemon.stop() == 0


# The pid file


def test_the_pid_file_is_whole_locked_and_gone_after_the_stop(start_daemon):
    daemon = start_daemon()
    assert daemon.wait() == 0, daemon.said()
    assert daemon.pid_file.read_text() == f"{daemon.pid}\n" and word(daemon.pid, 0) == "holdfast-anchor"
    assert daemon.pid_file.stat().st_mode & 0o777 == 0o644
    with open(daemon.pid_file) as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert [path.name for path in daemon.folder.glob("holdfast.pid*")] == ["holdfast.pid"], "nothing aside is left"
    assert daemon.stop() == 0
    assert not daemon.pid_file.exists()


def test_a_second_start_with_the_same_pid_file_is_refused_and_names_the_first(start_daemon, folder):
    first = start_daemon(pid_file="../shared.pid")
    assert first.wait() == 0, first.said()
    second = start_daemon(pid_file="../shared.pid")
    assert second.wait() == 1
    assert f"pid {first.pid}" in second.said(), second.said()
    assert fetch(first.port).status == 200
    assert not list(folder.glob("shared.pid.*"))
    assert first.stop() == 0


def test_a_pid_file_that_nobody_holds_is_replaced(start_daemon, folder):
    (folder / "shared.pid").write_text("4194303\n")
    daemon = start_daemon(pid_file="../shared.pid")
    assert daemon.wait() == 0, daemon.said()
    assert daemon.pid != 4194303 and "shared.pid" not in daemon.said()
    assert daemon.stop() == 0


def test_of_several_starts_at_once_with_one_pid_file_exactly_one_succeeds(start_daemon, folder):
    for round_ in range(3):
        daemons = [start_daemon(pid_file="../shared.pid") for _ in range(4)]
        codes = sorted(daemon.wait() for daemon in daemons)
        assert codes == [0, 1, 1, 1], [daemon.said() for daemon in daemons]
        winner = next(daemon for daemon in daemons if daemon.parent.returncode == 0)
        assert fetch(winner.port).status == 200 and word(winner.pid, 0) == "holdfast-anchor"
        assert winner.stop() == 0
        if round_ == 0:
            (folder / "shared.pid").write_text("1\n")  # once with a stale one


def test_a_pid_file_that_cannot_be_written_is_a_reason_not_to_start(start_daemon):
    daemon = start_daemon(pid_file="no/such/folder.pid")
    assert daemon.wait() == 1
    assert "no/such/folder.pid" in daemon.said() and "--pid-file" in daemon.said()


def test_a_pid_file_works_in_the_foreground_too(start_server, folder):
    server = start_server(workers=1, arguments=["--pid-file", folder / "here.pid"])
    assert (folder / "here.pid").read_text() == f"{server.pid}\n"
    assert status_of(server.pid)["Name"] == "holdfast" and pids_of(server, "worker")
    server.stop()
    assert not (folder / "here.pid").exists()
