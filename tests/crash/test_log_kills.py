"""Each request has one line in the access log, whoever is killed: clients that name their requests, and a look at every
line afterwards."""

import collections
import json
import threading

import pytest
from clients import Client, request
from killers import SOAK, Load, keepers, long_or_short, signal_and_wait, wait_settled

pytestmark = [pytest.mark.variants("hooks", "release", "asan"), pytest.mark.limit(300 if SOAK else 120)]

SMALL, MISSING, PIPELINE, FILE, BROKEN, POST = range(6)


class Requester(threading.Thread):
    """Asks for one thing after another until it is told to stop; notes each id with the status that it saw."""

    def __init__(self, server, number, kinds, paths):
        super().__init__(daemon=True)
        self.server, self.number, self.kinds, self.paths = server, number, kinds, paths
        self.seen = {}  # id -> status; None: broken off by us
        self.error = None
        self.is_over = threading.Event()

    def run(self):
        try:
            with Client(self.server) as client:
                turn = 0
                while not self.is_over.is_set():
                    self.ask(client, self.kinds[turn % len(self.kinds)], turn)
                    turn += 1
        except Exception as error:  # told by the test, which looks at every one of them
            self.error = error

    def name(self, turn, part=0):
        return f"r{self.number}-{turn}-{part}"

    def ask(self, client, kind, turn):
        names = [self.name(turn, part) for part in range(4 if kind == PIPELINE else 1)]
        headers = [f"X-Request-Id: {name}\r\n" for name in names]
        if kind == BROKEN:
            with Client(self.server, receive_buffer=4096) as other:
                other.send(self.paths[FILE], headers=headers[0])
                assert other.socket.recv(1) == b"H"
            self.seen[names[0]] = None
            return
        body = b"x" * 3000 if kind == POST else b""
        method = "POST" if kind == POST else "GET"
        if body:
            headers = [f"{line}Content-Length: {len(body)}\r\n" for line in headers]
        client.send_bytes(b"".join(request(self.paths[kind], method, line, body) for line in headers))
        for name in names:
            self.seen[name] = client.answer(method).status


def ids_of(text):
    """How many lines each id of a JSON log has; every line must be one."""
    lines = [json.loads(line) for line in text.splitlines()]
    return collections.Counter(line["id"] for line in lines), {line["id"]: line for line in lines}


def paths_of(documents):
    sizes = sorted((path.stat().st_size, path.name) for path in documents.iterdir() if path.is_file())
    small = next(name for size, name in sizes if 0 < size <= 2048)
    paths = {SMALL: f"/{small}", MISSING: "/no-such-file", PIPELINE: f"/{small}", FILE: f"/{sizes[-1][1]}",
             POST: "/_test/hash"}
    return {**paths, BROKEN: paths[FILE]}


def all_lines_are_there(server, expected):
    """Stops the server, which writes all lines; checks that each of these ids has one, and none has two."""
    server.stop()
    counts, lines = ids_of((server.folder / "access.json").read_text())
    missing = [name for name in expected if counts[name] == 0]
    twice = [name for name, count in counts.items() if count > 1]
    assert not missing, f"{len(missing)} of {len(expected)} requests have no line, such as {missing[:5]}"
    assert not twice, f"{len(twice)} requests have more than one line, such as {[lines[name] for name in twice[:3]]}"
    return lines


def test_each_request_has_one_line_though_workers_are_killed_every_50_ms(start_victim, documents, hooks, seed,
                                                                          record_property):
    server = start_victim(workers=2, logs=False, top="access_log {folder}/access.json json\n")
    wait_settled(server)
    kinds = [SMALL, MISSING, PIPELINE, FILE, SMALL, BROKEN] + ([POST] if hooks else [])
    requesters = [Requester(server, number, kinds[number % 3:], paths_of(documents)) for number in range(8)]
    for requester in requesters:
        requester.start()
    load = Load(server, keepalive=8, downloads=2, fresh=4, seconds=long_or_short(120, 4), seed=seed,
                kill_worker=",".join(map(str, keepers(server))), kill_every_ms=50)
    result = load.finish()
    for requester in requesters:
        requester.is_over.set()
        requester.join(30)
        assert requester.error is None, f"{requester.error!r}\n{server.log()[-3000:]}"
    expected = {name: status for requester in requesters for name, status in requester.seen.items()}
    assert result["kills"] > 20 and len(expected) > 50, (result["kills"], len(expected))
    lines = all_lines_are_there(server, expected)
    for name, status in expected.items():
        if status is not None:
            assert (lines[name]["status"], lines[name]["end"]) == (status, "complete"), lines[name]
        else:
            assert lines[name]["end"] in ("complete", "client_reset", "client_closed"), lines[name]
    assert len(lines) >= len(expected) + result["successes"]
    record_property("lines", f"{len(lines)} lines, {result['kills']} kills")


@pytest.mark.dear("release")
def test_each_request_has_one_line_though_keepers_are_killed(start_victim, documents):
    server = start_victim(workers=2, logs=False, top="access_log {folder}/access.json json\n")
    wait_settled(server)
    requesters = [Requester(server, number, [SMALL, FILE, MISSING], paths_of(documents)) for number in range(4)]
    for requester in requesters:
        requester.start()
    for turn in range(long_or_short(40, 8)):
        signal_and_wait(server, keepers(server)[turn % 2])
        wait_settled(server)
    for requester in requesters:
        requester.is_over.set()
        requester.join(30)
        assert requester.error is None, requester.error
    expected = {name: status for requester in requesters for name, status in requester.seen.items()}
    lines = all_lines_are_there(server, expected)
    assert all(lines[name]["status"] == status for name, status in expected.items())
