"""`accept reuseport`: a queue for each worker, which outlives it."""

import signal
import socket
import subprocess

import pytest
from clients import Client, bytes_of, fetch, kill, settled

import holdfast

pytestmark = pytest.mark.variants("hooks", "release", "asan")

LISTEN = "listen 127.0.0.1:{port} {\n    accept reuseport\n}"


def accepted(server):
    return [worker["accepted"] for worker in sorted(server.status()["workers"], key=lambda worker: worker["slot"])]


def test_every_worker_has_a_queue_of_its_own_and_gets_its_share(start_server):
    server = start_server(workers=2, top=LISTEN)
    settled(server)
    for _ in range(120):
        fetch(server)
    first, second = accepted(server)
    assert first + second == 120 and min(first, second) > 20, "a coin would do this"
    [listener] = server.status()["listeners"]
    assert listener == {"address": f"127.0.0.1:{server.port}", "accept": "reuseport", "accepted": 120}


@pytest.mark.parametrize("victim", ["worker", "slot"])
def test_who_waits_in_the_queue_of_a_dead_worker_is_answered_by_its_successor(start_server, victim):
    server = start_server(workers=2, top=LISTEN)
    workers = settled(server)["workers"]
    for worker in workers:  # nobody accepts
        server.kill(worker["pid"], signal.SIGSTOP, wait=False)
    clients = [Client(server) for _ in range(40)]
    for client in clients:
        client.send("/")
    if victim == "slot":
        server.kill(workers[0]["keeper_pid"], signal.SIGSTOP, wait=False)
        kill(workers[0]["pid"])
        kill(workers[0]["keeper_pid"])
    else:
        kill(workers[0]["pid"])
    server.kill(workers[1]["pid"], signal.SIGCONT, wait=False)
    for client in clients:
        assert client.answer().status == 404
        client.close()
    settled(server)
    assert sum(accepted(server)) == 40


def test_new_clients_are_led_around_a_worker_that_is_full(start_server):
    server = start_server(workers=2, top=LISTEN + "\nmax_connections 10")
    settled(server)
    held = []
    while max(accepted(server)) < 10:
        held.append(Client(server))
        held[-1].get("/")
    server.wait_for(lambda s: max(worker["connections"] for worker in s.status()["workers"]) == 10)
    # Whoever is sent to it just before the master hears of it waits, until somebody leaves.
    waiting = [Client(server) for _ in range(8 if len(held) <= 12 else 0)]
    for client in waiting:
        client.send("/")
    for client in held:
        client.close()
    for client in waiting:
        assert client.answer().status == 404
        client.close()
    for _ in range(40):
        assert fetch(server).status == 404


def test_a_worker_in_a_crash_loop_gets_no_new_clients(start_server, variant):
    if variant == "release":
        pytest.skip("the faults are planted by test hooks")
    server = start_server(workers=2, top=LISTEN + "\ncrash_limit 1 per 60s", hooks=True, plants_crashes=True)
    settled(server)
    def is_waiting(status):
        return any(worker["state"] == "backoff" for worker in status["workers"])
    for _ in range(20):
        try:
            fetch(server, "/_test/crash")
        except OSError:
            pass
        if is_waiting(server.status()):
            break
    assert is_waiting(server.status())
    for _ in range(30):
        with Client(server, timeout=0.9) as client:
            assert client.get("/").status == 404
        if not is_waiting(server.status()):
            break


@pytest.mark.parametrize("accept", ["shared", "reuseport"])
def test_a_second_server_is_not_let_in_beside_the_first(start_server, folder, accept):
    server = start_server(workers=2, top=LISTEN)
    settled(server)
    place = folder / "second"
    place.mkdir()
    other = holdfast.Server(place, workers=2, top=LISTEN.replace("reuseport", accept))
    other.write_config(other.config_file.read_text().replace(str(other.port), str(server.port)))
    with pytest.raises(AssertionError, match="event=listener_failed"):
        other.start()
    other.end_everything()
    assert fetch(server).status == 404


def test_connections_in_all_queues_are_answered_when_a_stop_begins(start_server):
    server = start_server(workers=2, top=LISTEN)
    (server.www / "a").write_bytes(bytes_of(1, 1000))
    workers = settled(server)["workers"]
    for worker in workers:
        server.kill(worker["pid"], signal.SIGSTOP, wait=False)
    clients = [Client(server) for _ in range(30)]
    for client in clients:
        client.send("/a")
    server.remember_processes()
    holdfast.os.kill(server.pid, signal.SIGTERM)
    server.wait_for(lambda s: s.status()["phase"] == "drain")  # written when the workers have their orders, after the line
    for worker in workers:
        server.kill(worker["pid"], signal.SIGCONT, wait=False)
    for client in clients:
        answer = client.answer()
        assert answer.status == 200 and answer.headers["connection"] == "close"
    for client in clients:
        client.close()
    server.wait_exit()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), 1)


@pytest.mark.variants("hooks")
@pytest.mark.parametrize("queue", [1, 2, 3])
def test_a_master_killed_while_it_shuts_the_queues_is_followed_by_one_that_brings_all_of_them_back(start_server, queue):
    """Each worker's queue has its number again: who comes is led around the one that is full, never into it."""
    server = start_server(workers=3, top=LISTEN + "\nmax_connections 10")
    settled(server, workers=3)
    master = server.status()["master"]["pid"]
    killer = subprocess.Popen(["strace", "-p", str(master), "-o", "/dev/null", "-e", "trace=shutdown",
                               "-e", f"inject=shutdown:signal=KILL:when={queue}"], stderr=subprocess.PIPE, text=True)
    assert "attached" in killer.stderr.readline()
    server.run("drain", "--timeout", "1s")
    assert killer.wait(10) is not None
    killer.stderr.close()
    server.wait_for(lambda s: s.status()["master"]["pid"] != master)
    assert server.run("resume").returncode == 0
    held = []
    while max(accepted(server)) < 10:
        held.append(Client(server))
        held[-1].get("/")
    server.wait_for(lambda s: max(worker["connections"] for worker in s.status()["workers"]) == 10)
    server.wait_for(lambda s: steered_around_the_full_one(s))
    for client in held:
        client.close()
    server.wait_for(lambda s: max(worker["connections"] for worker in s.status()["workers"]) < 10)


def steered_around_the_full_one(server):
    """Ten new clients in a row are answered at once. The first ones may come before the master has heard of it."""
    for _ in range(10):
        with Client(server, timeout=0.9) as client:
            try:
                assert client.get("/").status == 404
            except TimeoutError:
                return False
    return True
