"""How a server ends: what was begun is finished, what comes is refused, and nobody waits for ever."""

import os
import signal
import socket
import threading
import time

import holdfast
import pytest
from clients import Client, bytes_of, fetch, kill, pids_of, request, settled, until

pytestmark = pytest.mark.variants("hooks", "release", "asan")

BIG = 12_000_000  # more than socket buffers hold


@pytest.fixture
def big():
    return bytes_of(1, BIG)


def start_with_big(start_server, big, **arguments):
    server = start_server(**arguments)
    (server.www / "big").write_bytes(big)
    (server.www / "small").write_bytes(b"small\n")
    return server


def begin_download(server):
    """A client in the middle of a download that goes on only when it reads."""
    client = Client(server, receive_buffer=65536)
    client.send("/big")
    status, headers = client.head()
    assert status == 200 and int(headers["content-length"]) == BIG
    return client


def tell(server, number=signal.SIGTERM):
    server.remember_processes()
    os.kill(server.pid, number)
    server.wait_for_log("event=drain_started graceful=1")
    server.status()  # the line is written before the workers are told, the answer comes after


def wait_refused(server):
    """Until the port is closed. On the way there handshakes are not answered: neither reset nor accepted."""

    def is_refused():
        try:
            Client(server, timeout=0.3).close()
        except ConnectionRefusedError:
            return True
        except TimeoutError:
            return False
        return False

    until(is_refused, "new connections are refused")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT], ids=lambda number: number.name)
def test_a_graceful_stop_finishes_what_was_begun_and_closes_idle_connections_last(number, start_server, big):
    server = start_with_big(start_server, big, workers=1, drain="30s")
    download, half, asking, idle = begin_download(server), Client(server), Client(server), Client(server)
    half.send_bytes(request("/small")[:25])
    for client in (asking, idle):
        assert client.get("/small").status == 200
    tell(server, number)
    wait_refused(server)
    half.send_bytes(request("/small")[25:])
    answer = half.answer()
    assert answer.body == b"small\n" and answer.headers["connection"] == "close" and half.has_ended()
    assert asking.is_quiet(0.2) and idle.is_quiet(), "idle connections wait until the others are done"
    answer = asking.get("/small")
    assert answer.body == b"small\n" and answer.headers["connection"] == "close" and asking.has_ended()
    assert download.file.read(BIG) == big
    assert download.has_ended(), "it would have been kept alive otherwise"
    assert idle.has_ended(), "a clean end, no reset"
    server.wait_exit()
    assert "cut_off=1" not in server.log()


@pytest.mark.variants("hooks", "asan")
def test_a_slow_post_is_answered_during_a_graceful_stop(start_server):
    server = start_server(workers=1, hooks=True, drain="30s")
    counted, chunked = Client(server), Client(server)
    counted.send("/_test/hash", "POST", "Content-Length: 20\r\n", b"0123456789")
    chunked.send("/_test/hash", "POST", "Transfer-Encoding: chunked\r\n", b"a\r\n01234")
    tell(server)
    wait_refused(server)
    counted.send_bytes(b"0123456789")
    chunked.send_bytes(b"56789\r\na\r\n0123456789\r\n0\r\n\r\n")
    first, second = counted.answer(), chunked.answer()
    assert first.status == second.status == 200 and first.body == second.body and first.body.startswith(b"20 ")
    assert first.headers["connection"] == second.headers["connection"] == "close"
    server.wait_exit()


def test_answers_before_a_stop_do_not_say_close(start_server):
    server = start_server(workers=1)
    with Client(server) as client:
        assert "connection" not in client.get("/").headers


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_connections_that_wait_in_the_queue_when_the_stop_begins_are_answered(kind, start_server):
    count = 150
    server = start_server(workers=1, config="workers 1\ncontrol {control}\ndrain 20s\n"
                          "site 127.0.0.1:{port} unix:{folder}/site.sock {\n    files {www}\n}\n")
    (server.www / "index.html").write_text("index\n")
    to = server if kind == "tcp" else server.folder / "site.sock"
    worker = settled(server, 1)["workers"][0]["pid"]
    server.kill(worker, signal.SIGSTOP, wait=False)
    clients = [Client(to) for _ in range(count)]
    for client in clients:
        client.send("/")
    tell(server)
    server.kill(worker, signal.SIGCONT, wait=False)
    answers = [client.answer() for client in clients]
    assert [answer.body for answer in answers] == [b"index\n"] * count
    assert [answer.headers.get("connection") for answer in answers] == ["close"] * count
    server.wait_exit()


class Caller(threading.Thread):
    """Connects again and again until it is refused. A connection that was made must get an answer."""

    def __init__(self, to):
        super().__init__()
        self.to, self.wrong, self.good = to, [], 0
        self.start()

    def run(self):
        while True:
            try:
                client = Client(self.to, timeout=5)
            except (ConnectionRefusedError, FileNotFoundError, TimeoutError):
                return
            try:
                with client:
                    answer = client.get("/")
                    assert answer is not None and answer.body == b"index\n", f"the end instead of an answer: {answer}"
                self.good += 1
            except (OSError, AssertionError) as error:
                self.wrong.append(repr(error))


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_whoever_gets_a_connection_while_the_server_stops_gets_an_answer(kind, start_server):
    for _ in range(3):
        server = start_server(config="workers 2\ncontrol {control}\ndrain 20s\n"
                              "site 127.0.0.1:{port} unix:{folder}/site.sock {\n    files {www}\n}\n")
        (server.www / "index.html").write_text("index\n")
        callers = [Caller(server.port if kind == "tcp" else server.folder / "site.sock") for _ in range(6)]
        until(lambda: all(caller.good > 20 for caller in callers), "they are under way", 20)
        server.stop()
        for caller in callers:
            caller.join(10)
            assert not caller.wrong, (caller.good, caller.wrong)


def test_what_is_not_done_when_the_drain_time_is_over_is_cut_off_and_the_log_says_so(start_server, big):
    server = start_with_big(start_server, big, workers=1, drain="300ms")
    download = begin_download(server)
    began = time.monotonic()
    tell(server)
    server.wait_exit()
    assert 0.3 < time.monotonic() - began < 5
    server.wait_for_log("event=drain_ended .*cut_off=1")
    assert len(read_what_comes(download)) < BIG


def read_what_comes(client):
    data = b""
    try:
        while piece := client.file.read1(65536):
            data += piece
    except ConnectionResetError:
        pass
    return data


@pytest.mark.parametrize("first, second", [(signal.SIGTERM, signal.SIGTERM), (signal.SIGTERM, signal.SIGINT),
                                           (signal.SIGQUIT, signal.SIGQUIT), (None, signal.SIGINT)],
                         ids=lambda number: number.name if number else "nothing")
def test_a_second_signal_or_an_interrupt_stops_at_once(first, second, start_server, big):
    server = start_with_big(start_server, big, workers=2, drain="60s")
    download = begin_download(server)
    if first:
        tell(server, first)
        wait_refused(server)
        assert download.is_quiet() or server.is_running()
    began = time.monotonic()
    server.stop(second)
    assert time.monotonic() - began < 4
    assert len(read_what_comes(download)) < BIG


def test_signals_for_what_is_not_built_say_so_and_change_nothing(start_server):
    server = start_server(workers=2)
    before = settled(server)
    with Client(server) as client:
        assert client.get("/").status == 404
        for number in (signal.SIGHUP, signal.SIGUSR2, signal.SIGWINCH):
            os.kill(server.pid, number)
            server.wait_for_log(rf"event=signal_received signal={int(number)}\b")
            if number != signal.SIGWINCH:
                line = server.wait_for_log(rf"event=not_built signal={number.name} .*$")[0].group()
                assert "nothing is changed" in line
        assert client.get("/").status == 404
        for _ in range(20):
            assert fetch(server).status == 404, "it still accepts"
    after = settled(server)
    for status in (before, after):
        for slot in status["workers"]:
            slot["accepted"] = slot["requests"] = slot["connections"] = slot["blocks"] = 0
        status["uptime_s"] = 0
        status["listeners"] = []
    assert before == after


@pytest.mark.parametrize("victim", ["master", "worker", "keeper"])
def test_a_graceful_stop_survives_the_death_of_any_process(victim, start_server, big):
    config = ("workers 2\ncontrol {control}\ndrain 30s\n"
              "site 127.0.0.1:{port} unix:{folder}/site.sock {\n    files {www}\n}\n")
    server = start_with_big(start_server, big, config=config)
    downloads = [begin_download(server) for _ in range(4)]
    idle = Client(server)
    assert idle.get("/small").status == 200
    tell(server)
    for _ in range(3):
        for pid in pids_of(server, victim):
            try:
                kill(pid)
            except ProcessLookupError:
                continue  # its slot had nothing to finish, and has left
            until(lambda: len(pids_of(server, "worker")) == len(pids_of(server, "keeper"))
                  and pids_of(server, "master"), "all are there again")
    wait_refused(server)
    for download in downloads:
        assert download.file.read(BIG) == big
    for client in [*downloads, idle]:
        assert client.has_ended()
    server.wait_exit()


def test_no_socket_stays_wherever_in_a_stop_the_master_dies(start_server):
    config = ("workers 1\ncontrol {control}\ndrain 5s\n"
              "site unix:{folder}/one.sock unix:{folder}/two.sock {\n    files {www}\n}\n")
    for number in (signal.SIGTERM, signal.SIGINT):
        for log_line in ("signal_received", "drain_started", "drain_ended", "process_reaped .*kind=keeper", "stopped"):
            server = start_server(config=config)
            server.remember_processes()
            master = settled(server, 1)["master"]["pid"]
            os.kill(server.pid, number)
            if number == signal.SIGTERM or log_line != "drain_ended":
                server.wait_for_log("event=" + log_line)
            try:
                os.kill(master, signal.SIGKILL)
            except ProcessLookupError:
                pass  # it has left already
            server.wait_exit()


def test_a_stop_during_the_start_leaves_nothing(folder, build, start_server):
    """Whatever the master was about to make when the signal came."""
    for _ in range(15):
        server = start_server_quietly(folder)
        try:
            server.start()
        except AssertionError as error:
            assert "exited with 0 before READY=1" in str(error), error
        else:
            server.stop()
        finally:
            server.timer.join()
            server.end_everything()


def start_server_quietly(folder):
    place = folder / f"quiet-{len(list(folder.iterdir()))}"
    place.mkdir()
    server = holdfast.Server(place, workers=2)
    delay_s = 0.002 * (len(list(folder.iterdir())) % 15)

    def stop():
        until(lambda: server.process is not None and "anchor_started" in server.log(), "the anchor is there")
        threading.Event().wait(delay_s)
        if server.is_running():
            os.kill(server.process.pid, signal.SIGTERM)

    server.timer = threading.Thread(target=stop)
    server.timer.start()
    return server


def test_a_half_open_client_does_not_hold_up_a_stop(start_server):
    server = start_server(workers=1, drain="20s")
    with Client(server) as client:
        assert client.get("/").status == 404
        client.socket.shutdown(socket.SHUT_WR)
        assert client.has_ended()
    with Client(server) as silent:  # connected, and has never sent anything
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 5
        assert silent.has_ended()
