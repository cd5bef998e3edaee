"""`trust`: whom a proxy before the server names is the client, wherever a request's client is asked for."""

import json

import pytest
from clients import Client, fetch, until
from proxied import ask, config
from upstream import Upstream

pytestmark = pytest.mark.variants("hooks", "asan")

SITE = """
    trust 127.0.0.0/8
    route /who {
        respond 200 "{client.address} {client.port}"
    }
    route /friends/* {
        strip /friends
        match {
            client 192.0.2.0/24
        }
        files {www}
    }
    route /strangers {
        trust 203.0.113.1
        respond 200 "{client.address}"
    }
"""


def named(*addresses):
    return "".join(f"X-Forwarded-For: {address}\r\n" for address in addresses)


def log_of(server, count):
    path = server.folder / "access.log"
    until(lambda: path.exists() and path.read_bytes().count(b"\n") >= count, f"{count} lines")
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def server(start_server):
    server = start_server(site=SITE, workers=1, top="access_log {folder}/access.log json")
    (server.www / "small").write_bytes(b"small\n")
    return server


@pytest.mark.parametrize("headers, client", [
    (named("192.0.2.1"), "192.0.2.1"),
    (named("198.51.100.7, 2001:db8::1", "127.0.0.9"), "2001:db8::1"),
    (named("192.0.2.1:4711"), "192.0.2.1 4711"),
    ('Forwarded: for="[2001:db8::1]";proto=https\r\n', "2001:db8::1"),
    (named("127.0.0.8, 127.0.0.9"), "127.0.0.8"),
])
def test_who_a_trusted_proxy_names_is_the_client_in_answers_and_in_the_log(server, headers, client):
    assert fetch(server, "/who", headers=headers).body.decode().strip() == client
    [line] = log_of(server, 1)
    assert line["client"] == client.split()[0]


@pytest.mark.parametrize("headers", ["", named("unknown"), named("192.0.2.1, junk"), "Forwarded: for=_hidden\r\n"])
def test_without_a_good_name_the_client_is_who_has_connected(server, headers):
    with Client(server) as client:
        address, port = client.socket.getsockname()
        assert client.get("/who", headers=headers).body.decode() == f"{address} {port}"
    [line] = log_of(server, 1)
    assert line["client"] == "127.0.0.1"


def test_a_match_sees_the_client_and_so_do_the_lines_of_files_and_errors(server):
    assert fetch(server, "/friends/small", headers=named("192.0.2.1")).body == b"small\n"
    assert fetch(server, "/friends/small", headers=named("192.0.2.1, 198.51.100.7")).status == 404
    assert fetch(server, "/friends/small").status == 404
    assert [line["client"] for line in log_of(server, 3)] == ["192.0.2.1", "198.51.100.7", "127.0.0.1"]


def test_a_route_may_trust_others_than_its_site(server):
    assert fetch(server, "/strangers", headers=named("192.0.2.1")).body == b"127.0.0.1"
    assert log_of(server, 1)[0]["client"] == "127.0.0.1"


def test_each_request_of_a_connection_has_a_client_of_its_own(server):
    with Client(server) as client:
        for address in ("192.0.2.1", "192.0.2.2", "2001:db8::1"):
            assert client.get("/who", headers=named(address)).body.decode().strip() == address


def test_limits_and_lists_of_connections_go_by_who_has_connected(start_server):
    server = start_server(site=SITE, workers=1, top="max_connections_per_client 2")
    with Client(server) as one, Client(server) as two, Client(server) as three:
        assert one.get("/who", headers=named("192.0.2.1")).status == 200
        assert two.get("/who", headers=named("192.0.2.2")).status == 200
        assert three.get("/who", headers=named("192.0.2.3")).status == 503
        listed = json.loads(server.run("connections", "--json").stdout)["connections"]
        assert {entry["client"].rpartition(":")[0] for entry in listed} == {"127.0.0.1"}


def test_the_line_of_a_request_under_way_keeps_its_client_whatever_dies(start_server):
    with Upstream(script=lambda call: call.answer(200, call.read_body())) as upstream:
        server = start_server(config=config(upstream, site="    trust 127.0.0.0/8",
                                            top="access_log {folder}/access.log json"))
        with Client(server) as client:
            client.send("/long", method="POST", headers=named("192.0.2.1") + "Content-Length: 4\r\n", body=b"ab")
            until(lambda: upstream.requests, "the request has arrived")
            for revivals in (1, 2):
                server.kill_worker(0)
                server.wait_for(lambda s, revivals=revivals: (s.worker(0) or {}).get("revivals") == revivals)
            client.send_bytes(b"cd")
            assert client.answer().body == b"abcd"
        [line] = log_of(server, 1)
        assert (line["client"], line["status"]) == ("192.0.2.1", 200)


def test_a_pool_hashes_the_client_and_is_told_of_who_has_connected(start_server):
    with Upstream() as one, Upstream() as two:
        server = start_server(config=config(one, two, pool="    balance hash client", site="    trust 127.0.0.0/8"))
        for turn in range(32):
            ask(server, f"GET / HTTP/1.1\r\nHost: a\r\n{named(f'192.0.2.{turn // 2}')}\r\n".encode())
        seen = [[request.value("x-forwarded-for") for request in upstream.requests] for upstream in (one, two)]
        assert seen[0] and seen[1] and not set(seen[0]) & set(seen[1])
        assert sorted(seen[0] + seen[1]) == sorted(f"192.0.2.{turn // 2}, 127.0.0.1" for turn in range(32))
