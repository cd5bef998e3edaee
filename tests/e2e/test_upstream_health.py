"""What is known of upstream servers, and who is asked: checks, names, failures, limits, queues, and the choices between
servers; with workers that are killed."""

import collections
import itertools
import json
import random
import socket
import socketserver
import struct
import threading
import time

import pytest
from clients import Client, fetch
from health_upstream import Upstream
from name_server import NameServer

pytestmark = [pytest.mark.variants("hooks", "release"), pytest.mark.dear("release")]


@pytest.fixture
def one():
    with Upstream("one") as upstream:
        yield upstream


@pytest.fixture
def two():
    with Upstream("two") as upstream:
        yield upstream


@pytest.fixture
def names():
    with NameServer() as server:
        yield server


def start(start_server, *lines, workers=1, top=""):
    """A server whose pool has these lines."""
    pool = "".join(f"    {line}\n" for line in lines)
    return start_server(workers=workers, site="route /* {\n    proxy app\n}", top=f"{top}\npool app {{\n{pool}}}")


def told(server):
    """address -> what the status says of it."""
    return {item["address"]: item for pool in server.status()["pools"] for item in pool["servers"]}


def wait_for_state(server, upstream, **facts):
    server.wait_for(lambda s: facts.items() <= told(s).get(upstream.address, {}).items(), timeout=20)


def revive(server, slot=0):
    revivals = server.worker(slot)["revivals"]
    server.kill_worker(slot)
    server.wait_for(lambda s: (s.worker(slot) or {}).get("revivals") == revivals + 1)


def ask(server, count, path="/", headers=""):
    """name -> how many of so many requests, each on a connection of its own, it has answered."""
    answers = [fetch(server, path, headers=headers) for _ in range(count)]
    assert {answer.status for answer in answers} == {200}
    return collections.Counter(answer.body.decode() for answer in answers)


def connections(server):
    """How many clients are connected."""
    return sum(worker["connections"] for worker in server.status()["workers"])


def listed(server):
    return json.loads(server.run("connections", "--json").stdout)["connections"]


def error_of(answer):
    return answer.status, answer.headers.get("holdfast-error")


class Background:
    """A call in a thread; `result()` waits for it."""

    def __init__(self, call, *arguments, **options):
        self.value = self.error = None
        self.thread = threading.Thread(target=self.run, args=(call, arguments, options), daemon=True)
        self.thread.start()

    def run(self, call, arguments, options):
        try:
            self.value = call(*arguments, **options)
        except BaseException as error:
            self.error = error

    def result(self, timeout=20):
        self.thread.join(timeout)
        assert not self.thread.is_alive(), "it did not end"
        if self.error:
            raise self.error
        return self.value


# Checks


def test_a_check_sees_a_server_go_and_come_back_within_its_interval(start_server, one, two):
    server = start(start_server, f"server {one.address}", f"server {two.address}",
                   "check /health every 500ms {\n fall 2\n timeout 1s\n }", workers=2)
    for upstream in (one, two):
        wait_for_state(server, upstream, check="up")
    assert set(ask(server, 10)) == {"one", "two"}
    one.stop()
    wait_for_state(server, one, check="down", state="down")
    assert ask(server, 10) == {"two": 10}
    before = len(one.checks)
    one.start()
    wait_for_state(server, one, check="up", state="up")
    assert one.checks[before] - one.started < 0.5 + 0.5, "a busy machine may be half a second late"
    assert set(ask(server, 10)) == {"one", "two"}
    server.wait_for_log(f'event=upstream_down .*address="{one.address}" reason=check error=')
    server.wait_for_log(f'event=upstream_up .*address="{one.address}" reason=check status=200')


def test_many_workers_send_no_more_checks_than_one(start_server, one):
    server = start(start_server, f"server {one.address}", "check /health every 200ms", workers=4)
    one.wait_for(lambda u: len(u.checks) >= 11)
    assert one.checks[10] - one.checks[0] > 10 * 0.2 * 0.9
    before = len(one.checks)
    server.kill_worker(0)
    server.kill_worker(1)
    one.wait_for(lambda u: len(u.checks) >= before + 11)
    assert one.checks[before + 10] - one.checks[before] > 10 * 0.2 * 0.9


def test_a_check_is_a_request_of_its_own_and_its_connection_ends(start_server, one):
    server = start(start_server, f"server {one.address}", "check /health every 300ms {\n host app.example\n }")
    one.wait_for(lambda u: len(u.checks) >= 3)
    assert one.headers[0]["Host"] == "app.example" and one.headers[0]["Connection"] == "close"
    server.wait_for(lambda s: not [c for c in listed(s) if c["protocol"] == "check"])


def test_checks_are_seen_in_the_list_of_connections(start_server, one):
    one.hold(checks=True)
    server = start(start_server, f"server {one.address}", "check /health every 10s {\n timeout 20s\n }")
    one.wait_for(lambda u: u.checks)
    [check] = [c for c in listed(server) if c["protocol"] == "check"]
    assert (check["state"], check["kind"], check["client"]) == ("ask", "upstream", one.address)


@pytest.mark.parametrize("expect, good, bad", [
    ("", 204, 404),
    ("expect 200-299 401", 401, 302),
    ("expect 503", 503, 200),
])
def test_the_expected_statuses_are_good(start_server, one, expect, good, bad):
    one.health = bad
    server = start(start_server, f"server {one.address}", "check /health every 100ms {\n fall 1\n%s\n }" % expect)
    wait_for_state(server, one, check="down")
    one.health = good
    wait_for_state(server, one, check="up")
    one.health = bad
    wait_for_state(server, one, check="down")
    assert error_of(fetch(server, "/")) == (503, "no_server_up")


def test_rise_and_fall_are_counted_in_a_row(start_server, one):
    server = start(start_server, f"server {one.address}", "check /health every 200ms {\n rise 3\n fall 3\n }")
    wait_for_state(server, one, check="up")
    failed = told(server)[one.address]["checks_failed"]
    one.health = 500
    wait_for_state(server, one, check="down")
    assert told(server)[one.address]["checks_failed"] >= failed + 3
    good = len(one.checks)
    one.health = 200
    wait_for_state(server, one, check="up")
    assert len(one.checks) >= good + 2  # the one that was on its way when it turned good may be the first


def test_a_server_that_does_not_answer_its_check_in_time_is_down(start_server, one):
    server = start(start_server, f"server {one.address}", "check /health every 100ms {\n fall 2\n timeout 100ms\n }")
    wait_for_state(server, one, check="up")
    one.hold(checks=True)
    wait_for_state(server, one, check="down")
    one.release()
    wait_for_state(server, one, check="up")


def test_a_check_goes_on_when_its_worker_is_killed(start_server, one):
    one.hold(checks=True)
    server = start(start_server, f"server {one.address}", "check /health every 30s {\n timeout 30s\n }")
    one.wait_for(lambda u: u.checks)
    revive(server)
    one.release()
    wait_for_state(server, one, check="up", checks=1)
    assert len(one.checks) == 1


def test_what_checks_have_found_outlives_workers(start_server, one, two):
    server = start(start_server, f"server {one.address}", f"server {two.address}",
                   "check /health every 30s {\n fall 1\n }", workers=1)
    wait_for_state(server, two, check="up")
    one.health = 500  # the first checks have passed, the next ones are far away
    assert told(server)[one.address]["check"] == "up"
    revive(server)
    assert told(server)[one.address]["check"] == "up" and len(one.checks) == 1


def test_a_server_that_is_down_stays_so_when_workers_are_killed(start_server, one, two):
    one.health = 500
    server = start(start_server, f"server {one.address}", f"server {two.address}",
                   "check /health every 30s {\n fall 1\n }", workers=2)
    wait_for_state(server, one, check="down")
    wait_for_state(server, two, check="up")
    for slot in (0, 1):
        revive(server, slot)
        assert ask(server, 10) == {"two": 10}
    assert told(server)[one.address]["state"] == "down" and not one.paths


class Scripted(socketserver.ThreadingTCPServer):
    """Answers each connection with what `script` writes to its file."""
    allow_reuse_address = daemon_threads = True

    def __init__(self, script):
        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                while self.rfile.readline() not in (b"\r\n", b""):
                    pass
                script(self)

        super().__init__(("127.0.0.1", 0), Handler)
        self.address = "127.0.0.1:%d" % self.server_address[1]
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def handle_error(self, *_):
        pass  # the peer has gone

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


def endless(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        handler.wfile.write(b"x" * 65536)


def never(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    handler.rfile.read()


@pytest.mark.parametrize("state, script", [
    ("up", lambda h: h.wfile.write(b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" * 30 + b"HTTP/1.0 204 N\r\n\r\n")),
    ("up", lambda h: h.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")),
    ("up", endless),
    ("down", lambda h: h.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Len")),
    ("down", lambda h: h.wfile.write(b"HTTP/1.1 103 Early\r\n\r\n")),
    ("down", lambda h: h.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")),
    ("down", lambda h: h.wfile.write(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20000)),
    ("down", lambda h: None),
    ("down", never),
], ids=["interim", "half_a_body", "endless", "half_a_head", "interim_alone", "ssh", "too_large", "nothing", "silent"])
def test_what_counts_as_an_answer_to_a_check(start_server, state, script):
    with Scripted(script) as upstream:
        server = start(start_server, f"server {upstream.address}",
                       "check /health every 100ms {\n fall 2\n timeout 300ms\n }")
        wait_for_state(server, upstream, check=state)
        checks = told(server)[upstream.address]["checks"]
        server.wait_for(lambda s: told(s)[upstream.address]["checks"] >= checks + 5)
        assert told(server)[upstream.address]["check"] == state
        assert len([c for c in listed(server) if c["protocol"] == "check"]) <= 14, "each has at most a second"


def test_checks_and_requests_reach_unix_sockets(start_server, folder):
    with Upstream("one", path=folder / "one.sock") as one:
        server = start(start_server, f"server {one.address}", "check /health every 100ms {\n fall 1\n }")
        wait_for_state(server, one, check="up")
        assert one.headers[0]["Host"] == "localhost" and ask(server, 3) == {"one": 3}
        one.stop()
        wait_for_state(server, one, check="down")
        one.start()
        wait_for_state(server, one, check="up")


@pytest.mark.limit(120)
def test_checks_are_made_while_workers_die_at_any_moment(start_server, folder, one, seed):
    """A death may come at any point of a check: nothing is odd afterwards, nothing is left, and it goes on."""
    lot = random.Random(seed)
    one.padding = 200000  # its end is read, too
    with Upstream("two", path=folder / "two.sock") as two:
        server = start(start_server, f"server {one.address}", f"server {two.address}", "check /health every 100ms")
        for _ in range(40):
            one.wait_for(lambda u, n=len(one.checks): len(u.checks) > n, timeout=30)
            time.sleep(lot.random() * 0.01)  # not for an event: the moment is drawn by lot
            server.kill_worker(0)
        before = len(one.checks), len(two.checks)
        for upstream, count in zip((one, two), before):
            upstream.wait_for(lambda u: len(u.checks) > count + 3, timeout=30)
            wait_for_state(server, upstream, check="up", checks_failed=0, state="up")
        worker = server.worker(0)
        assert (worker["revivals"], worker["odd"], worker["crash_loops"]) == (40, 0, 0)
        assert len([c for c in listed(server) if c["protocol"] == "check"]) <= 4


# Names


def test_a_name_that_is_not_known_blocks_no_start_and_is_used_once_it_is(start_server, names, one):
    server = start(start_server, f"server app.example:{one.port}", workers=2, top=f"resolver {names.address}")
    server.wait_for(lambda s: error_of(fetch(s, "/")) == (503, "dns_failed"))
    names.set("app.example", "A", ["127.0.0.1"], ttl=60)
    server.wait_for(lambda s: fetch(s, "/").status == 200, timeout=30)
    server.wait_for(lambda s: {fetch(s, "/").status for _ in range(8)} == {200})  # all workers know


def test_requests_wait_for_the_first_answer_of_a_name(start_server, names, one):
    names.misbehave("app.example", "silent")
    server = start(start_server, f"server app.example:{one.port}", top=f"resolver {names.address}")
    assert names.wait_for_questions("app.example", 1)
    first = Background(fetch, server, "/")
    server.wait_for(lambda s: connections(s) == 1)
    names.set("app.example", "A", ["127.0.0.1"], ttl=60)  # the second try of the look-up
    names.set("app.example", "AAAA", [])
    answer = first.result()
    assert (answer.status, answer.body) == (200, b"one")


def test_requests_move_to_the_new_address_when_the_ttl_is_over(start_server, names, one):
    names.set("app.example", "A", ["127.0.0.1"], ttl=1)
    server = start(start_server, f"server app.example:{one.port}", workers=2, top=f"resolver {names.address}")
    server.wait_for(lambda s: fetch(s, "/").body == b"one")
    with Upstream("moved", one.port, "127.0.0.2") as moved:
        names.set("app.example", "A", ["127.0.0.2"], ttl=1)
        server.wait_for(lambda s: set(told(s)) == {moved.address})
        assert ask(server, 10) == {"moved": 10}
        names.fail("app.example", "SERVFAIL")
        server.wait_for(lambda s: [n for n in s.status()["names"] if n["failures"] > 1], timeout=20)
        assert ask(server, 10) == {"moved": 10}, "the former addresses stay"


def test_services_are_used_by_priority_and_weight(start_server, names, one, two):
    with Upstream("spare") as spare:
        records = [(1, 3, one.port, "a.example"), (1, 1, two.port, "a.example"), (9, 1, spare.port, "a.example")]
        names.set("_http._tcp.example", "SRV", records)
        names.set("a.example", "A", ["127.0.0.1"])
        server = start(start_server, "server srv:_http._tcp.example", "eject 1 per 10s for 1m",
                       top=f"resolver {names.address}")
        server.wait_for(lambda s: len(told(s)) == 3)
        assert ask(server, 40) == {"one": 30, "two": 10}
        one.stop()
        two.stop()
        assert ask(server, 8)["spare"] == 8
        assert told(server)[spare.address]["backup"] is True


@pytest.mark.limit(90)
def test_a_look_up_that_died_with_its_worker_is_done_again(start_server, names, one):
    names.misbehave("app.example", "silent")
    server = start(start_server, f"server app.example:{one.port}", top=f"resolver {names.address}")
    assert names.wait_for_questions("app.example", 1)
    revive(server)
    names.set("app.example", "A", ["127.0.0.1"])
    names.set("app.example", "AAAA", [])
    server.wait_for(lambda s: told(s), timeout=30)  # POOLS_LOOKUP_NS
    assert ask(server, 4) == {"one": 4}


@pytest.mark.limit(90)
def test_a_worker_that_becomes_keeper_loses_no_name_and_no_check(start_server, names, one):
    names.misbehave("app.example", "silent")
    one.hold(checks=True)
    server = start(start_server, f"server app.example:{one.port}", f"server {one.address}",
                   "check /health every 30s {\n timeout 30s\n }", top=f"resolver {names.address}")
    assert names.wait_for_questions("app.example", 1)
    one.wait_for(lambda u: u.checks)
    server.kill(server.worker(0)["keeper_pid"])
    server.wait_for(lambda s: (s.worker(0) or {}).get("takeovers") == 1)
    one.release()
    wait_for_state(server, one, check="up", checks=1)
    assert ask(server, 3) == {"one": 3}
    names.set("app.example", "A", ["127.0.0.1"])
    names.set("app.example", "AAAA", [])
    server.wait_for(lambda s: [n for n in s.status()["names"] if n["addresses"]], timeout=30)


# Failures


def test_a_server_that_refuses_is_put_aside_and_asked_again_later(start_server, one, two):
    server = start(start_server, f"server {one.address}", f"server {two.address}",
                   "eject 3 per 1m for 2s max 2s", "retries 1 within 5s budget 100")
    ask(server, 4)
    one.stop()
    assert ask(server, 20) == {"two": 20}
    server.wait_for(lambda s: told(s)[one.address]["ejections"] >= 1)
    failures = told(server)[one.address]["failures"]
    assert failures >= 3
    one.start()
    server.wait_for(lambda s: ask(s, 2)["one"] == 1)
    assert told(server)[one.address]["state"] == "up"


def test_a_pool_is_never_put_aside_as_a_whole(start_server, one):
    server = start(start_server, f"server {one.address}", "eject 1 per 1m for 10m max 10m")
    one.stop()
    assert fetch(server, "/").status == 502
    wait_for_state(server, one, state="ejected")
    one.start()
    assert ask(server, 3) == {"one": 3}


def test_backups_are_asked_when_no_other_server_can_be(start_server, one, two):
    server = start(start_server, f"server {one.address}", f"server {two.address} backup",
                   "check /health every 100ms {\n fall 1\n }", workers=2)
    wait_for_state(server, one, check="up")
    wait_for_state(server, two, check="up")
    assert ask(server, 10) == {"one": 10}
    one.health = 500
    wait_for_state(server, one, check="down")
    assert ask(server, 10) == {"two": 10}
    one.health = 200
    wait_for_state(server, one, check="up")
    assert ask(server, 10) == {"one": 10}


def test_a_server_that_comes_back_begins_slowly(start_server, one, two):
    server = start(start_server, f"server {one.address}", f"server {two.address}", "slow_start 1m",
                   "check /health every 100ms {\n fall 1\n }")
    for upstream in (one, two):
        wait_for_state(server, upstream, check="up")
    assert ask(server, 20) == {"one": 10, "two": 10}
    one.health = 500
    wait_for_state(server, one, check="down")
    one.health = 200
    wait_for_state(server, one, check="up")
    assert ask(server, 40)["one"] <= 12


# Limits and queues


@pytest.mark.limit(120)
def test_a_limit_holds_over_all_workers_while_they_are_killed(start_server, one):
    one.gather = 4  # who would be one too many is waited for
    server = start(start_server, f"server {one.address} max 3", "queue 1000 for 30s", workers=2)
    stop = threading.Event()

    def ask_until_stopped():
        count = 0
        with Client(server) as client:
            while not stop.is_set():
                answer = client.get("/")
                assert (answer.status, answer.body) == (200, b"one")
                count += 1
        return count

    asking = [Background(ask_until_stopped) for _ in range(24)]
    for slot in itertools.islice(itertools.cycle((0, 1)), 12):
        before = len(one.paths)
        one.wait_for(lambda u: len(u.paths) >= before + 40, timeout=30)
        server.kill_worker(slot)
    stop.set()
    assert sum(background.result(40) for background in asking) == len(one.paths)
    assert one.most == 3
    wait_for_state(server, one, active=0)


@pytest.mark.limit(120)
def test_no_place_is_lost_when_clients_break_off_and_workers_are_killed(start_server, one, seed):
    lot = random.Random(seed)
    one.gather = 3
    server = start(start_server, f"server {one.address} max 2", "queue 1000 for 30s", workers=2)
    stop = threading.Event()

    def break_off():
        while not stop.is_set():
            with Client(server) as client:
                client.send("/")
                with one.news:  # some before they are served, some after
                    one.news.wait(lot.random() * 0.1)
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    breaking = [Background(break_off) for _ in range(16)]
    for slot in itertools.islice(itertools.cycle((0, 1)), 20):
        before = len(one.paths)
        one.wait_for(lambda u: len(u.paths) >= before + 10, timeout=30)
        server.kill_worker(slot)
    stop.set()
    for background in breaking:
        background.result()
    wait_for_state(server, one, active=0)
    one.gather = 0
    assert ask(server, 20) == {"one": 20}


def test_a_request_waits_for_a_place_and_gets_it(start_server, one):
    one.hold()
    server = start(start_server, f"server {one.address} max 1", "queue 10 for 20s", workers=2)
    asking = [Background(fetch, server, f"/{i}") for i in range(6)]
    one.wait_for(lambda u: len(u.paths) == 1)
    server.wait_for(lambda s: connections(s) == 6)
    assert told(server)[one.address]["active"] == 1
    for slot in (0, 1):
        revive(server, slot)  # whoever waits, and whoever is served, is so still
    one.release()
    assert [background.result().status for background in asking] == [200] * 6
    assert one.most == 1 and sorted(one.paths) == [f"/{i}" for i in range(6)]


def under_way(server):
    return [c["request"] for c in listed(server) if c["protocol"] == "http" and c["request"]]


@pytest.mark.parametrize("dies", [False, True], ids=["", "though_the_worker_dies"])
def test_who_waits_longest_is_served_first(start_server, one, seed, dies):
    one.hold()
    server = start(start_server, f"server {one.address} max 1", "queue 10 for 20s")
    clients = [Client(server) for _ in range(8)]
    server.wait_for(lambda s: connections(s) == 8)
    lot = random.Random(seed)
    lot.shuffle(clients)
    for i, client in enumerate(clients):
        client.send(f"/{i}")
        server.wait_for(lambda s: len(under_way(s)) == i + 1)
    if dies:
        revive(server)
    one.release()
    for client in clients:
        assert client.answer().status == 200
        client.close()
    assert one.paths == [f"/{i}" for i in range(8)]


def test_a_request_that_gets_no_place_in_time_is_told_so(start_server, one):
    one.hold()
    server = start(start_server, f"server {one.address} max 1", "queue 1 for 500ms")
    served = Background(fetch, server, "/served")
    one.wait_for(lambda u: u.paths)
    began = time.monotonic()
    waiting = Background(fetch, server, "/waiting")
    server.wait_for(lambda s: connections(s) == 2)
    assert error_of(waiting.result()) == (503, "pool_full")
    assert 0.5 <= time.monotonic() - began < 5
    one.release()
    assert served.result().status == 200


def test_a_queue_has_an_end(start_server, one):
    one.hold()
    server = start(start_server, f"server {one.address} max 1", "queue 1 for 20s")
    first = Background(fetch, server, "/first")
    one.wait_for(lambda u: u.paths)
    second = Background(fetch, server, "/second")
    server.wait_for(lambda s: connections(s) == 2)
    answers = [fetch(server, "/third") for _ in range(3)]
    assert {error_of(answer) for answer in answers} == {(503, "pool_full")}
    one.release()
    assert first.result().status == second.result().status == 200


# Choices


@pytest.mark.parametrize("balance", ["least", "random_two"])
def test_a_busy_server_gets_nothing_while_another_is_idle(start_server, one, two, balance):
    server = start(start_server, f"server {one.address}", f"server {two.address}", f"balance {balance}", workers=2)
    one.hold()
    two.hold()
    first = Background(fetch, server, "/first")
    server.wait_for(lambda s: one.paths or two.paths)
    busy, idle = (one, two) if one.paths else (two, one)
    idle.release()
    assert ask(server, 20) == {idle.name: 20}
    busy.release()
    assert first.result().status == 200


@pytest.mark.parametrize("by, request_of", [
    ("cookie sid", lambda key: ("/", f"Cookie: other=1; sid={key}\r\n")),
    ("header X-Key", lambda key: ("/", f"X-Key: {key}\r\n")),
    ("uri", lambda key: (f"/{key}?x={key}", "")),
])
def test_a_key_stays_with_its_server(start_server, one, two, by, request_of):
    with Upstream("three") as three:
        server = start(start_server, *(f"server {u.address}" for u in (one, two, three)), f"balance hash {by}",
                       "eject 1 per 10s for 10m max 10m", workers=2)

        def answers():
            return {key: fetch(server, request_of(key)[0], headers=request_of(key)[1]).body for key in range(40)}

        first = answers()
        assert set(first.values()) == {b"one", b"two", b"three"}
        revive(server)
        assert answers() == first
        three.stop()
        assert {key: name for key, name in answers().items() if first[key] != b"three"} == \
            {key: name for key, name in first.items() if name != b"three"}, "only the keys of the one that left move"


def test_a_client_stays_with_its_server(start_server, one, two):
    server = start(start_server, f"server {one.address}", f"server {two.address}", "balance hash client", workers=2)
    assert len(ask(server, 20)) == 1


def test_who_has_gone_does_not_wait_any_more(start_server, one):
    one.hold()
    server = start(start_server, f"server {one.address} max 1", "queue 10 for 20s")
    served = Background(fetch, server, "/served")
    one.wait_for(lambda u: u.paths)
    gone = Client(server)
    gone.send("/gone")
    server.wait_for(lambda s: len(under_way(s)) == 2)
    gone.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    gone.close()
    server.wait_for(lambda s: len(under_way(s)) == 1)
    one.release()
    assert served.result().status == 200 and fetch(server, "/last").status == 200
    assert one.paths == ["/served", "/last"]
