"""The control socket and the commands that use it."""

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import time

import pytest
from clients import Client, bytes_of, fetch, kill, settled, until

import holdfast

pytestmark = pytest.mark.variants("hooks", "release", "asan")

BIG = 12_000_000


class Control:
    """A connection to the control socket, by hand."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(str(path))
        self.file = self.socket.makefile("rb")

    def send(self, data):
        self.socket.sendall(data)

    def answer(self):
        """The next answer; None if the connection ends instead."""
        try:
            line = self.file.readline()
        except ConnectionResetError:
            return None
        return json.loads(line) if line else None

    def ask(self, command):
        self.send(json.dumps({"command": command}).encode() + b"\n")
        return self.answer()

    def close(self):
        self.file.close()
        self.socket.close()


def begin_download(server):
    (server.www / "big").write_bytes(bytes_of(1, BIG))
    client = Client(server, receive_buffer=65536)
    client.send("/big")
    assert client.head()[0] == 200
    return client


# status


def test_status_as_json_has_every_field_that_the_documentation_names(start_server):
    server = start_server(workers=2)
    for _ in range(5):
        fetch(server)
    status = settled(server)
    assert set(status) == {"version", "generation", "uptime_s", "phase", "drain", "anchor", "master", "counters_trusted",
                           "workers", "listeners", "pools", "names"}
    assert status["phase"] == "run" and status["generation"] == 1 and status["counters_trusted"] is True
    assert status["anchor"] == {"pid": server.pid} and set(status["master"]) == {"pid", "started"}
    assert 0 < status["uptime_s"] < 60
    for slot, worker in enumerate(status["workers"]):
        assert set(worker) >= {"slot", "pid", "keeper_pid", "generation", "state", "connections", "requests",
                               "accepted", "deaths", "revivals", "takeovers", "poisoned", "crash_loops",
                               "reconciled", "odd", "blocks", "died_ns", "revived_ns"}
        assert worker["slot"] == slot and worker["state"] == "ready" and worker["deaths"] == 0
    assert sum(worker["requests"] for worker in status["workers"]) == 5
    [listener] = status["listeners"]
    assert listener == {"address": f"127.0.0.1:{server.port}", "accept": "shared", "accepted": 5}


def test_status_for_people_names_all_processes(start_server):
    server = start_server(workers=2)
    status = settled(server)
    text = server.run("status").stdout
    for number in [status["anchor"]["pid"], status["master"]["pid"], *(worker["pid"] for worker in status["workers"]),
                   *(worker["keeper_pid"] for worker in status["workers"])]:
        assert str(number) in text.split(), text
    assert f"127.0.0.1:{server.port}" in text and "phase" not in text


def test_status_is_answered_by_the_next_master_when_one_dies_under_the_question(start_server):
    server = start_server(workers=1)
    master = settled(server, 1)["master"]["pid"]
    server.kill(master, signal.SIGSTOP, wait=False)
    asking = subprocess.Popen([server.build / "holdfast", "status", "--json", "--control", server.control],
                              stdout=subprocess.PIPE)
    until(lambda: holdfast.pathlib.Path(f"/proc/{asking.pid}/wchan").exists(), "it runs")
    kill(master)
    out, _ = asking.communicate(timeout=20)
    assert asking.returncode == 0 and json.loads(out)["master"]["pid"] != master


# stop, and exit codes


def test_stop_returns_when_the_server_has_ended(start_server):
    server = start_server(workers=2)
    download = begin_download(server)
    server.remember_processes()
    stopping = subprocess.Popen([server.build / "holdfast", "stop", "--control", server.control],
                                stdout=subprocess.PIPE, text=True)
    server.wait_for_log("event=drain_started graceful=1")
    assert stopping.poll() is None, "a download is under way"
    assert len(download.file.read(BIG)) == BIG
    out, _ = stopping.communicate(timeout=20)
    assert stopping.returncode == 0 and f"pid {server.pid}" in out
    assert server.process.wait(1) == 0, "the anchor has ended before the command does"
    server.wait_exit()


def test_stop_now_does_not_wait(start_server):
    server = start_server(workers=2, drain="60s")
    begin_download(server)
    server.remember_processes()
    assert server.run("stop", "--now").returncode == 0
    server.wait_exit()


def test_a_stop_that_takes_longer_than_its_timeout_goes_on_and_exits_with_1(start_server):
    server = start_server(workers=1, drain="60s")
    download = begin_download(server)
    server.remember_processes()
    done = server.run("stop", "--timeout", "200ms")
    assert done.returncode == 1 and "goes on draining" in done.stderr
    assert server.is_running() and server.status()["phase"] == "drain"
    assert download.file.read(BIG) == bytes_of(1, BIG)
    server.wait_exit()


def test_without_a_server_commands_exit_with_3_and_wrong_words_with_2(start_server, folder):
    server = start_server(workers=1)
    assert server.run("status").returncode == 0
    for wrong in (["status", "--nonsense"], ["stop", "--timeout", "soon"], ["stop", "--timeout"]):
        done = server.run(*wrong)
        assert done.returncode == 2 and "usage: holdfast" in done.stderr, done
    assert server.is_running()
    for path in (folder / "nobody-here.sock", folder):
        for command in ("status", "stop"):
            done = server.run(command, "--control", str(path))
            assert done.returncode == 3 and str(path) in done.stderr, done
    server.stop()
    assert server.run("status").returncode == 3


# Who is heard


def test_only_its_owner_can_reach_the_control_socket(start_server):
    server = start_server(workers=1)
    assert stat.S_IMODE(server.control.stat().st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to ask as another user")
def test_another_user_is_not_heard_even_where_the_socket_s_mode_would_allow_it(start_server, folder, build):
    server = start_server(workers=1)
    shutil.copy(build / "holdfast", folder / "holdfast")

    def ask():
        return subprocess.run([folder / "holdfast", "stop", "--now", "--control", server.control], user="nobody",
                              capture_output=True, text=True, timeout=20)
    done = ask()
    assert done.returncode == 1 and "ask as root, or as the user who started the server" in done.stderr, done
    server.control.chmod(0o666)
    done = ask()
    assert done.returncode == 1 and "are you root or the server's user?" in done.stderr, done
    assert server.is_running() and settled(server, 1)["phase"] == "run"


# Clients that behave badly

BAD_LINES = [b"\n", b"nonsense\n", b"{}\n", b"[]\n", b"7\n", b'{"command": 7}\n', b'{"command": null}\n', b"\0\n",
             b'{"command": "\xff\xfe"}\n', b'{"command": "no-such"}\n', b'{"command": "status\\u0000"}\n',
             b"[" * 4000 + b"\n", b'{"command": "' + b"x" * 4000 + b'"}\n']


def test_a_bad_line_gets_an_answer_that_says_so_and_the_next_one_is_heard(start_server):
    server = start_server(workers=1)
    client = Control(server.control)
    for line in BAD_LINES:
        client.send(line)
        answer = client.answer()
        assert answer["ok"] is False and answer["error"] and answer["next"], (line, answer)
    assert client.ask("status")["ok"] is True


def test_a_line_in_pieces_is_put_together_and_several_at_once_are_told_apart(start_server):
    server = start_server(workers=1)
    client = Control(server.control)
    for byte in b'{"command": "status"}':
        client.send(bytes([byte]))
    assert settled(server, 1)
    client.send(b"\n" + b'{"command": "no"}\n{"command": "status"}\n')
    assert [client.answer()["ok"] for _ in range(3)] == [True, False, True]


def test_a_line_that_is_too_long_ends_the_connection_and_nothing_else(start_server):
    server = start_server(workers=1)
    client = Control(server.control)
    master = settled(server, 1)["master"]["pid"]
    try:
        client.send(b"x" * 100_000)
    except (BrokenPipeError, ConnectionResetError):
        pass
    assert client.answer() is None
    assert settled(server, 1)["master"]["pid"] == master


def test_clients_that_say_nothing_do_not_keep_others_out(start_server):
    server = start_server(workers=1)
    silent = [Control(server.control) for _ in range(40)]
    silent += [Control(server.control) for _ in range(5)]
    for client in silent[-5:]:
        client.send(b'{"command": "sta')
    for _ in range(3):
        assert server.run("status", timeout=5).returncode == 0
    assert silent[-1].socket.getpeername() == str(server.control)
    for client in silent:
        client.close()
    assert server.run("status").returncode == 0


def test_clients_that_do_not_take_their_answers_do_not_hold_up_the_master(start_server):
    server = start_server(workers=1)
    master = settled(server, 1)["master"]["pid"]
    greedy = [Control(server.control) for _ in range(14)]
    waited_s = 0
    for client in greedy:
        client.socket.settimeout(0.2)
        try:
            for _ in range(40):
                client.send(b'{"command": "status"}\n' * 150)
        except (TimeoutError, BrokenPipeError, ConnectionResetError):
            pass
        began = time.monotonic()
        assert server.run("status", timeout=3).returncode == 0
        waited_s += time.monotonic() - began
    assert waited_s < 7, f"{waited_s} s for {len(greedy)} answers"
    assert settled(server, 1)["master"]["pid"] == master, "it has missed no ping"
    assert "event=master_silent" not in server.log()
    descriptors_before = len(os.listdir(f"/proc/{master}/fd"))
    for client in greedy:
        client.close()
    server.wait_for(lambda _: len(os.listdir(f"/proc/{master}/fd")) <= descriptors_before)
