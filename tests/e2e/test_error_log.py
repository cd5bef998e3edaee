"""error_log PATH: the events of all processes go to one file, whatever process dies, and to a new one at SIGUSR1."""

import os
import re
import signal
import subprocess
import threading

import holdfast
import pytest
from clients import Client, fetch, kill, pids_of, refused, until, write_config

pytestmark = [pytest.mark.variants("hooks", "release", "asan")]

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z (debug|info|warn|error) \w+ pid=\d+ event=\w+( .*)?")
SITE = "site 127.0.0.1:{port} {\n    files {www}\n}\n"


def text_of(path):
    return path.read_text() if path.exists() else ""


def until_says(path, pattern, count=1):
    until(lambda: len(re.findall(pattern, text_of(path))) >= count, f"{path.name} says {pattern} {count} times")


@pytest.fixture
def start_logged(start_server):
    def start(**options):
        server = start_server(top="error_log error.log", **options)
        return server, server.folder / "error.log"

    return start


def test_every_process_writes_to_the_file_and_a_start_says_on_standard_error_where_it_is(start_logged):
    server, log = start_logged(workers=2)
    kill(pids_of(server, "worker")[0])
    until_says(log, " event=worker_revived ")
    kill(pids_of(server, "keeper")[0])
    until_says(log, " event=keeper_taken_over ")
    kill(pids_of(server, "master")[0])
    until_says(log, " anchor pid=.* event=master_died ")
    until_says(log, " master pid=.* event=master_started ")
    kill(pids_of(server, "worker")[0])
    until_says(log, " event=worker_died ", count=2)
    server.stop()
    lines = log.read_text().splitlines()
    assert all(LINE.fullmatch(line) for line in lines), lines
    assert "event=anchor_exits" in lines[-1]
    assert server.log().splitlines()[-1].endswith(f'event=error_log_opened path="{log}"')


def test_usr1_opens_the_file_anew_in_every_process(start_logged):
    server, log = start_logged(workers=2)
    for turn in range(4):
        log.rename(server.folder / f"error.log.{turn}")
        os.kill(server.pid, signal.SIGUSR1)
        until_says(log, " event=logs_reopened ")
        until(lambda: all(os.path.samefile(f"/proc/{pid}/fd/2", log) for role in ("worker", "keeper", "master")
                          for pid in pids_of(server, role)) and os.path.samefile(f"/proc/{server.pid}/fd/2", log),
              "all have the new file")
        kill(pids_of(server, ("worker", "keeper", "master", "worker")[turn])[0])
        until_says(log, (" event=worker_revived ", " event=keeper_taken_over ", " event=master_started ",
                         " event=worker_revived ")[turn])
        until(lambda: len(pids_of(server, "worker")) == 2 and pids_of(server, "master"), "all are there")


@pytest.mark.variants("hooks", "release")
def test_kills_at_any_moment_of_reopening_leave_every_process_with_the_file(start_logged):
    server, log = start_logged(workers=2)
    over = threading.Event()

    def ask_for_it():
        while not over.is_set():
            os.kill(server.pid, signal.SIGUSR1)
            over.wait(0.002)

    asker = threading.Thread(target=ask_for_it)
    asker.start()
    try:
        with Client(server) as client:
            for turn in range(32):  # a master that dies oftener than five times in ten seconds is waited for
                role = "master" if turn % 8 == 7 else "worker"
                until(lambda: pids_of(server, role), f"there is a {role}")
                kill(pids_of(server, role)[0])
                assert client.get("/none").status == 404
    finally:
        over.set()
        asker.join()
    log.rename(server.folder / "error.log.0")

    def all_have_it():
        os.kill(server.pid, signal.SIGUSR1)
        return log.exists() and all(
            os.path.samefile(f"/proc/{pid}/fd/2", log)
            for pid in [server.pid, *(pid for role in ("worker", "keeper", "master") for pid in pids_of(server, role))])

    until(all_have_it, "all have the new file")


def test_a_file_that_cannot_be_opened_any_more_leaves_the_old_one_in_use(start_logged):
    server, log = start_logged(workers=1)
    old = server.folder / "error.log.0"
    log.rename(old)
    log.mkdir()
    os.kill(server.pid, signal.SIGUSR1)
    until_says(old, r' master pid=.* event=error_log_failed .*next="the old one goes on"')
    until_says(old, r' worker pid=.* event=error_log_failed .*error="Is a directory"')
    assert fetch(server, "/none").status == 404
    log.rmdir()


def test_the_file_belongs_to_the_workers_user(start_server):
    if os.geteuid() != 0:
        pytest.skip("only root changes users")
    server = start_server(top="user nobody\nerror_log {folder}/error.log")
    assert (server.folder / "error.log").stat().st_uid != 0


def test_a_file_that_the_workers_user_cannot_write_is_refused_at_check_and_at_the_start(folder, build):
    """Also a link to somebody else's file, whoever put it there."""
    if os.geteuid() != 0:
        pytest.skip("only root changes users")
    (folder / "a").mkdir()
    (folder / "a" / "mine.log").write_text("")
    (folder / "a" / "mine.log").chmod(0o600)
    (folder / "a" / "error.log").symlink_to(folder / "a" / "mine.log")
    config = write_config(folder / "a", "workers 1\nuser nobody\ncontrol {control}\nerror_log error.log\n" + SITE,
                          port=holdfast.free_port())
    reason = 'the error log "error.log" cannot be opened: Permission denied'
    assert reason in refused(folder / "a", config)
    done = subprocess.run([build / "holdfast", "check", "-c", config], capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and reason in done.stderr
    assert (folder / "a" / "mine.log").read_text() == ""
