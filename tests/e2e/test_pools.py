"""Pools of upstream servers: who gets requests, and what is told of them."""

import http.server
import json
import socket
import subprocess
import threading

import pytest
from clients import fetch, settled
from holdfast import free_port


TO_APP = "route /* {\n    proxy app\n}"


class Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = self.server.name.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Upstream:
    def __init__(self, name):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), Answers)
        self.server.name, self.server.daemon_threads = name, True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def upstreams():
    made = [Upstream("one"), Upstream("other")]
    yield made
    for upstream in made:
        upstream.close()


def servers(server, pool="app"):
    """address -> what the status says of it."""
    status = json.loads(server.run("status", "--json").stdout)
    return {item["address"]: item for found in status["pools"] if found["name"] == pool for item in found["servers"]}


def test_requests_go_round_by_weight_and_are_counted(start_server, upstreams):
    one, other = upstreams
    server = start_server(workers=1, site="route /metrics {\n    metrics\n}\n" + TO_APP,
                          top=f"pool app {{\n    server 127.0.0.1:{one.port} weight 3\n    server 127.0.0.1:{other.port}\n}}")
    answers = [fetch(server, "/").body.decode() for _ in range(40)]
    assert (answers.count("one"), answers.count("other")) == (30, 10)
    told = servers(server)
    assert [told[f"127.0.0.1:{u.port}"]["requests"] for u in upstreams] == [30, 10]
    assert {(item["state"], item["check"], item["active"], item["failures"]) for item in told.values()} == {("up", "none", 0, 0)}
    metrics = fetch(server, "/metrics").body.decode()
    address = f"127.0.0.1:{one.port}"
    assert f'holdfast_upstream_requests_total{{pool="app",server="{address}",address="{address}"}} 30\n' in metrics
    text = server.run("status").stdout
    assert address in text and "ejections" in text


@pytest.mark.variants("hooks", "release", "asan")  # a plain fork outlives no death
def test_a_server_that_refuses_is_put_aside_and_a_workers_death_changes_nothing(start_server, upstreams):
    nobody = free_port()
    server = start_server(workers=1, site=TO_APP,
                          top=f"pool app {{\n    server 127.0.0.1:{nobody}\n    server 127.0.0.1:{upstreams[0].port}\n"
                              "    eject 2 per 1m for 10m max 10m\n}")
    assert {fetch(server, "/").body for _ in range(20)} == {b"one"}
    gone = servers(server)[f"127.0.0.1:{nobody}"]
    assert (gone["state"], gone["failures"], gone["ejections"]) == ("ejected", 2, 1) and gone["ejected_ms"] > 500000
    server.kill_worker(0)
    server.wait_for(lambda s: s.worker(0)["revivals"] == 1)
    assert {fetch(server, "/").body for _ in range(20)} == {b"one"}
    again = servers(server)[f"127.0.0.1:{nobody}"]
    assert (again["state"], again["failures"], again["active"]) == ("ejected", 2, 0)


def test_all_workers_know_of_one_another(start_server, upstreams):
    server = start_server(workers=2, site=TO_APP, top=f"pool app {{\n    server 127.0.0.1:{upstreams[0].port}\n}}")
    settled(server)
    for _ in range(60):
        assert fetch(server, "/").body == b"one"
    [told] = servers(server).values()
    assert told["requests"] == 60 and told["active"] == 0


def test_an_address_is_a_pool_of_its_own(start_server, upstreams):
    address = f"127.0.0.1:{upstreams[1].port}"
    server = start_server(workers=1, site=f"route /a/* {{\n    proxy {address}\n}}\nroute /* {{\n    proxy {address}\n}}")
    assert fetch(server, "/a/x").body == fetch(server, "/x").body == b"other"
    assert servers(server, address)[address]["requests"] == 2


def test_a_name_is_looked_up_and_one_that_does_not_exist_blocks_nothing(start_server, upstreams):
    port = upstreams[0].port
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:  # a name server that never answers
        silent.bind(("127.0.0.1", 0))
        server = start_server(workers=2, site="route /none/* {\n    proxy gone\n}\n" + TO_APP,
                              top=f"resolver 127.0.0.1:{silent.getsockname()[1]}\npool app {{\n    server localhost:{port}\n}}\n"
                                  "pool gone {\n    server nobody.invalid:80\n}")
        server.wait_for(lambda s: f"127.0.0.1:{port}" in servers(s))
        server.wait_for(lambda s: fetch(s, "/").status == 200)
        assert fetch(server, "/none/x").status in (502, 503)
        status = json.loads(server.run("status", "--json").stdout)
        names = {item["name"]: item for item in status["names"]}
        assert names[f"localhost:{port}"]["addresses"] >= 1 and names["nobody.invalid:80"]["addresses"] == 0


def test_without_a_configuration_servers_are_named_on_the_command_line(build, folder, upstreams):
    port, control = free_port(), folder / "control"
    server = subprocess.Popen(
        [build / "holdfast", "proxy", f"127.0.0.1:{port}", *(f"127.0.0.1:{u.port}" for u in upstreams),
         "--workers", "1", "--control", control], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        for line in server.stderr:
            if "event=ready" in line:
                break
        assert {fetch(port).body for _ in range(4)} == {b"one", b"other"}
        stop = subprocess.run([build / "holdfast", "stop", "--control", control], capture_output=True, timeout=30)
        assert stop.returncode == 0
        server.stderr.read()
        assert server.wait(timeout=30) == 0
    finally:
        server.kill()
        server.wait()


@pytest.mark.parametrize("words, wanted", [([], "ADDR is missing"), ([":8080"], "HOST:PORT is missing"),
                                           ([":8080", "127.0.0.1:80", "--port"], "--port")])
def test_a_wrong_command_line_says_what_is_missing(build, words, wanted):
    done = subprocess.run([build / "holdfast", "proxy", *words], capture_output=True, text=True, timeout=20)
    assert done.returncode == 2 and wanted in done.stderr and "usage: holdfast proxy" in done.stderr
