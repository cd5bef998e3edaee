"""The answer `demo`: a stream that outlives its workers, and kills for nobody but the page itself."""

import json
import socket
import threading

import pytest
from clients import Client, settled

pytestmark = pytest.mark.variants("hooks", "release", "asan")

SITE = "route /demo/* {\n    demo\n}"


def start(start_server, **arguments):
    server = start_server(site=SITE, **arguments)
    server.origin = f"http://127.0.0.1:{server.port}"
    return server


def ask(to, path, method="GET", host=None, headers=""):
    with Client(to) as client:
        client.send_bytes(f"{method} {path} HTTP/1.1\r\nHost: {host or '127.0.0.1:%d' % to.port}\r\n{headers}\r\n".encode())
        return client.answer(method)


def token_of(server):
    return json.loads(ask(server, "/demo/token").body)["token"]


def kill_by_page(server, pid, **changes):
    words = {"Origin": server.origin, "X-Demo-Token": token_of(server)} | changes
    headers = "".join(f"{name}: {value}\r\n" for name, value in words.items() if value)
    return ask(server, f"/demo/kill?pid={pid}", "POST", headers=headers)


class Ticks:
    """The stream, its chunks undone."""

    def __init__(self, server, version="1.1"):
        self.client = Client(server)
        self.client.send_bytes(f"GET /demo/ticks HTTP/{version}\r\nHost: localhost\r\n\r\n".encode())
        status, self.headers = self.client.head()
        assert status == 200

    def next(self):
        """The next tick; None at the end."""
        if self.headers.get("transfer-encoding") != "chunked":
            line = self.client.file.readline()
            return json.loads(line) if line else None
        size = int(self.client.file.readline(), 16)
        data = self.client.file.read(size)
        assert self.client.file.read(2) == b"\r\n"
        return json.loads(data) if size else None


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_the_stream_goes_on_without_a_gap_whoever_dies(start_server, version):
    server = start(start_server, workers=1)
    status = settled(server, 1)
    ticks = Ticks(server, version)
    pids, number = set(), 0
    for step in range(12):
        tick = ticks.next()
        number += 1
        assert tick["tick"] == number and tick["slot"] == 0
        pids.add(tick["pid"])
        if step in (2, 5):
            assert json.loads(kill_by_page(server, tick["pid"]).body) == {"killed": tick["pid"]}
        if step == 8:
            server.kill(status["workers"][0]["keeper_pid"])
    assert len(pids) == 4
    ticks.client.close()


def test_the_stream_ends_as_a_whole_response_at_a_stop(start_server):
    server = start(start_server, workers=1, drain="30s")
    settled(server, 1)
    ticks = Ticks(server)
    assert ticks.next()["tick"] == 1
    server.remember_processes()
    ended = []
    stopping = threading.Thread(target=lambda: ended.append(server.run("stop")))
    stopping.start()
    while ticks.next():
        pass
    assert ticks.client.has_ended()
    stopping.join(20)
    assert ended[0].returncode == 0
    server.wait_exit()


def test_the_worker_that_is_killed_by_its_own_request_is_not_killed_again_and_the_client_is_answered(start_server):
    server = start(start_server, workers=1)
    for deaths in range(1, 4):
        pid = settled(server, 1)["workers"][0]["pid"]
        assert kill_by_page(server, pid).status == 200
        worker = server.wait_for(lambda s: (lambda w: w["revivals"] == deaths and w)(s.worker(0)))
        assert worker["deaths"] == deaths and worker["poisoned"] == 0


def test_nobody_is_killed_for_another_page_another_name_or_without_the_token(start_server):
    server = start(start_server, workers=1)
    status = settled(server, 1)
    pid = status["workers"][0]["pid"]
    for changes in ({"Origin": "http://evil.example"}, {"Origin": None}, {"Origin": f"http://localhost:{server.port}"},
                    {"X-Demo-Token": "0"}, {"X-Demo-Token": None}, {"X-Forwarded-For": "10.0.0.1"}):
        assert kill_by_page(server, pid, **changes).status == 403, changes
    for host in ("evil.example", "127.0.0.1.evil.example", "128.0.0.1", "[::2]", "localhost.evil.example"):
        assert ask(server, "/demo/token", host=host).status == 403, host
    for host in ("localhost", "localhost:80", "127.9.9.9", "[::1]:8080"):
        assert ask(server, "/demo/token", host=host).status == 200, host
    assert ask(server, f"/demo/kill?pid={pid}").status == 404, "GET"
    assert kill_by_page(server, "x").status == 400
    for other in (status["anchor"]["pid"], status["master"]["pid"], status["workers"][0]["keeper_pid"], 1):
        assert kill_by_page(server, other).status == 200
    after = settled(server, 1)
    assert after["workers"][0]["deaths"] == 0 and after["master"]["pid"] == status["master"]["pid"]


def test_a_client_from_elsewhere_is_refused(start_server):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            address = probe.getsockname()[0]
        except OSError:
            pytest.skip("this machine has no address but loopback's")
    config = "workers 1\ncontrol {control}\nsite :{port} {\n    files {www}\n    " + SITE.replace("\n", "\n    ") + "\n}\n"
    server = start_server(config=config)
    with socket.create_connection((address, server.port), 5) as client:
        client.sendall(b"GET /demo/token HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 403 ")
    assert ask(server, "/demo/token").status == 200
