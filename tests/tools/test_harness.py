"""The harness itself: what it must notice about a server, shown with a small stand-in for one."""

import os
import pathlib
import re
import signal

import holdfast
import pytest

# What the stand-in does at its start and at SIGTERM is put in by each test.
STAND_IN = r'''#!/usr/bin/python3
import json, os, signal, socket, sys, time
if sys.argv[1] == "status":
    print(json.dumps({"workers": [{"slot": 0, "pid": int(open(sys.argv[3] + ".worker").read())}]}))
    sys.exit(0)
config = open(sys.argv[3]).read()
control = config.split("control ")[1].split()[0]
def ready():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.sendto(b"STATUS=serving\nREADY=1", os.environ["NOTIFY_SOCKET"])
def leave(*_):
    AT_END
    os._exit(0)
signal.signal(signal.SIGTERM, leave)
AT_START
while True:
    signal.pause()
'''
NOTHING = "pass"
CHILD = """
worker = os.fork()
if worker == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True: signal.pause()
open(control + ".worker", "w").write(str(worker))
ready()
"""


@pytest.fixture
def stand_in(folder, monkeypatch):
    def make(at_start, at_end=NOTHING):
        indented = at_end.replace("\n", "\n    ")
        program = folder / "build" / "holdfast"
        program.parent.mkdir()
        program.write_text(STAND_IN.replace("AT_START", at_start).replace("AT_END", indented))
        program.chmod(0o755)
        monkeypatch.setenv("HOLDFAST_BUILD", str(program.parent))
        place = folder / "server"
        place.mkdir()
        server = holdfast.Server(place)
        made.append(server)
        return server

    made = []
    yield make
    for server in made:
        server.end_everything()


def test_a_server_that_says_ready_and_leaves_nothing_is_fine(stand_in):
    server = stand_in("print('config', config.split()[1], flush=True)\nready()")
    server.start()
    assert server.wait_for_log("^config (.*)$")[0].group(1) == "2"
    server.stop()
    assert not server.is_running()


def test_a_server_that_exits_before_it_is_ready_is_reported_with_its_log(stand_in):
    server = stand_in("print('no such folder', flush=True); os._exit(7)")
    with pytest.raises(AssertionError, match="exited with 7(.|\n)*no such folder"):
        server.start()


def test_a_server_that_is_never_ready_is_reported(stand_in):
    server = stand_in("print('starting', flush=True)")
    with pytest.raises(AssertionError, match="no READY=1 after"):
        server.start(timeout=1)


def test_an_exit_code_other_than_0_is_reported(stand_in):
    server = stand_in("ready()", "os._exit(3)")
    server.start()
    with pytest.raises(AssertionError, match="exited with 3, not 0"):
        server.stop()


def test_a_server_that_does_not_stop_is_reported(stand_in):
    server = stand_in("ready()", "return")
    server.start()
    with pytest.raises(AssertionError, match="still there"):
        server.stop(timeout=0.3)


def test_a_process_left_behind_is_reported_and_ended(stand_in):
    server = stand_in(CHILD)
    server.start()
    child = server.worker_pids()[0]
    with pytest.raises(AssertionError, match=f"left behind: process {child}"):
        server.stop()
    assert not os.path.exists(f"/proc/{child}")


def test_a_process_made_while_stopping_is_reported_too(stand_in):
    server = stand_in("ready()", "if os.fork() == 0:\n    while True: signal.pause()")
    server.start()
    with pytest.raises(AssertionError, match="left behind: process"):
        server.stop()


def test_a_zombie_left_behind_is_reported(stand_in):
    server = stand_in("ready()", "end = os.pipe()\nif os.fork() == 0: os._exit(0)\nos.close(end[1])\nos.read(end[0], 1)")
    server.start()
    with pytest.raises(AssertionError, match=r"left behind: process .*Z\)"):
        server.stop()


def test_a_socket_left_behind_is_reported(stand_in):
    server = stand_in("listener = socket.socket(socket.AF_UNIX); listener.bind(control); ready()")
    server.start()
    with pytest.raises(AssertionError, match="left behind: socket .*control.sock"):
        server.stop()


def test_what_a_sanitizer_says_is_reported(stand_in):
    server = stand_in("print('a.c:1:2: runtime error: shift exponent 99', flush=True)\nready()")
    server.start()
    with pytest.raises(AssertionError, match="a sanitizer reports: : runtime error: shift"):
        server.stop()


def test_a_killed_worker_is_dead_when_the_call_returns(stand_in):
    server = stand_in(CHILD, "os.wait()")
    server.start()
    worker = server.kill_worker(0)
    assert re.search(r"^State:\s+Z", pathlib.Path(f"/proc/{worker}/status").read_text(), re.MULTILINE)
    server.stop()


def test_only_processes_of_the_server_are_killed(stand_in):
    server = stand_in("ready()")
    server.start()
    with pytest.raises(AssertionError, match="none of this server's"):
        server.kill(os.getpid(), signal.SIGKILL)
    server.stop()


def test_waiting_for_the_log_or_a_condition_ends_with_the_log_as_reason(stand_in):
    server = stand_in("print('hello', flush=True)\nready()")
    server.start()
    with pytest.raises(AssertionError, match="0 of 1 lines like 'goodbye'(.|\n)*hello"):
        server.wait_for_log("goodbye", timeout=0.2)
    with pytest.raises(AssertionError, match="did not become true(.|\n)*hello"):
        server.wait_for(lambda _: False, timeout=0.2)
    server.stop()
