"""drain and resume: nobody new, what runs is finished, and back."""

import os
import signal
import socket
import subprocess

import pytest
from clients import Client, bytes_of, fetch, kill, settled, until

pytestmark = pytest.mark.variants("hooks", "release", "asan")

BIG = 6_000_000
MODES = ("shared", "reuseport")


def start(start_server, accept="shared", **arguments):
    listen = "listen 127.0.0.1:{port} {\n    accept %s\n}" % accept
    return start_server(top=arguments.pop("top", "") + "\n" + listen, **arguments)


def is_refused(server):
    try:
        socket.create_connection(("127.0.0.1", server.port), 0.5).close()
    except ConnectionRefusedError:
        return True
    except TimeoutError:
        return False  # its SYN was dropped: the port is not closed yet
    return False


def stop_now(server):
    """A graceful stop would wait for drain_delay, too."""
    server.remember_processes()
    assert server.run("stop", "--now").returncode == 0
    server.wait_exit()


def begin(server, *command):
    return subprocess.Popen([server.build / "holdfast", *command, "--control", server.control],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("accept", MODES)
def test_a_drain_finishes_what_runs_closes_idle_connections_last_and_can_be_undone(start_server, accept):
    server = start(start_server, accept)
    before = settled(server)
    (server.www / "big").write_bytes(bytes_of(1, BIG))
    idle = Client(server)
    assert idle.get("/big", method="HEAD").status == 200
    download = Client(server, receive_buffer=65536)
    download.send("/big")
    assert download.head()[0] == 200
    draining = begin(server, "drain")
    until(lambda: is_refused(server), "new connections are refused")
    assert draining.poll() is None, "a download is under way"
    assert server.status()["drain"] == "draining"
    assert download.file.read(BIG) == bytes_of(1, BIG)
    download.close()
    assert idle.has_ended()
    out, _ = draining.communicate(timeout=20)
    assert (draining.returncode, out) == (0, "drained: nothing is open, nothing is accepted\n")
    assert server.status()["drain"] == "drained" and server.is_running()
    assert server.run("resume").returncode == 0
    for _ in range(20):
        assert fetch(server, "/big", method="HEAD").status == 200
    after = settled(server)
    assert after["drain"] == "none"
    assert [worker["pid"] for worker in after["workers"]] == [worker["pid"] for worker in before["workers"]]


@pytest.mark.parametrize("accept", MODES)
def test_processes_may_die_while_the_server_is_drained(start_server, accept):
    server = start(start_server, accept)
    settled(server)
    assert server.run("drain").returncode == 0
    for victim in ("worker", "keeper", "master"):
        status = server.status()
        kill({"worker": status["workers"][0]["pid"], "keeper": status["workers"][1]["keeper_pid"],
              "master": status["master"]["pid"]}[victim])
        server.wait_for(lambda s: s.run("status").returncode == 0)
        server.wait_for(lambda s: s.status()["drain"] == "drained")
        assert is_refused(server), f"after the death of a {victim}"
    assert server.run("resume").returncode == 0
    for _ in range(20):
        assert fetch(server).status == 404


def test_readiness_is_denied_before_the_port_closes(start_server):
    server = start(start_server, top="drain_delay 60s")
    draining = begin(server, "drain", "--timeout", "300ms")
    server.wait_for(lambda s: s.status()["drain"] == "waiting")
    assert fetch(server).status == 404, "it still accepts"
    assert draining.wait(20) == 1
    assert server.run("resume").returncode == 0
    assert server.status()["drain"] == "none"
    stop_now(server)


def test_a_drain_that_is_undone_by_somebody_else_says_so(start_server):
    server = start(start_server, top="drain_delay 60s")
    draining = begin(server, "drain")
    server.wait_for(lambda s: s.status()["drain"] == "waiting")
    assert server.run("resume").returncode == 0
    _, errors = draining.communicate(timeout=20)
    assert draining.returncode == 1 and "somebody else" in errors
    stop_now(server)


def test_a_unix_socket_is_put_aside_and_back(start_server):
    server = start_server(config="workers 2\ncontrol {control}\nsite unix:{folder}/site.sock {\n    files {www}\n}\n")
    path = server.folder / "site.sock"
    assert fetch(path).status == 404
    assert server.run("drain").returncode == 0
    assert not path.exists()
    with pytest.raises(FileNotFoundError):
        Client(path)
    assert server.run("resume", "--json").stdout == '{"drain":"none","connections":0}\n'
    for _ in range(10):
        assert fetch(path).status == 404
    assert server.run("drain").returncode == 0
    server.stop()  # and nothing is left behind


def test_an_address_that_somebody_took_meanwhile_is_told_and_all_stays_drained(start_server):
    server = start(start_server)
    assert server.run("drain").returncode == 0
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", server.port))
        other.listen()
        done = server.run("resume")
        assert done.returncode == 1 and "an address could not be listened on again" in done.stderr
        assert server.status()["drain"] == "drained"
    assert server.run("resume").returncode == 0
    assert fetch(server).status == 404


def test_a_stop_ends_a_drained_server(start_server):
    server = start(start_server)
    assert server.run("drain").returncode == 0
    assert server.run("drain").returncode == 0, "it is drained already"
    server.stop()


def test_sigusr1_reaches_every_worker_as_an_epoch(start_server):
    server = start(start_server)
    os.kill(server.pid, signal.SIGUSR1)
    server.wait_for_log("event=logs_reopened")
    os.kill(server.pid, signal.SIGUSR1)
    server.wait_for_log("event=logs_reopened", count=2)
