"""The promise for proxied requests: no client and no upstream server notices that workers are killed."""

import asyncio
import collections
import hashlib
import json
import random
import subprocess

import pytest
from counting_upstream import CountingUpstream, pattern
from killers import (BUILD, SOAK, Killing, Load, descriptor_counts, long_or_short, program, run_sweep, wait_settled)
from tunnels import Upgraded, tunnel

pytestmark = [pytest.mark.variants("hooks", "release", "asan"), pytest.mark.limit(3700 if SOAK else 100)]

UPSTREAM = """workers 2
control {control}
keepalive 600s
{hooks}
access_log {folder}/executed.log
{listen}
site 127.0.0.1:{port} unix:{folder}/upstream.sock {
    files {documents}
    listing on
    compress on
}
"""
PROXY = """workers {workers}
control {control}
drain 10s
keepalive 600s
watchdog {watchdog}
access_log {folder}/every.log
{top}
pool app {
    server {upstream}
    {pool}
}
site 127.0.0.1:{port} {
    max_body off
    proxy app {how}
}
"""


# Every connection between the two begins with a header of the PROXY protocol.
SPOKEN = """listen 127.0.0.1:{port} {
    proxy_protocol from 127.0.0.1
}
listen unix:{folder}/upstream.sock {
    proxy_protocol from unix
}"""


@pytest.fixture
def start_pair(start_server, documents, hooks):
    """start_pair(kind, workers): a server of documents, and a proxy before it, which reaches it by TCP or a Unix socket."""

    def start(kind="tcp", workers=2, watchdog="2s", upstream=None, how="", top="", spoken=False):
        behind = None
        if not upstream:
            behind = start_server(config=UPSTREAM.replace("{documents}", str(documents))
                                  .replace("{hooks}", "test_hooks on" if hooks else "")
                                  .replace("{listen}", SPOKEN if spoken else ""))
            upstream = f"127.0.0.1:{behind.port}" if kind == "tcp" else f"unix:{behind.folder}/upstream.sock"
        server = start_server(config=PROXY.replace("{workers}", str(workers)).replace("{upstream}", upstream)
                              .replace("{watchdog}", watchdog).replace("{how}", how).replace("{top}", top)
                              .replace("{pool}", "proxy_protocol v2" if spoken else ""))
        server.slots, server.targets, server.behind = workers, [f"127.0.0.1:{server.port}"], behind
        return server

    return start


def executed(server):
    """How often each request id stands in the log of the server behind."""
    lines = (server.behind.folder / "executed.log").read_text().splitlines()
    return collections.Counter(line.rsplit('"', 1)[1].split()[0] for line in lines)


def check_nothing_is_left(server, before):
    server.wait_for(lambda s: all(worker["connections"] == 0 for worker in s.status()["workers"]))
    server.wait_for(lambda s: max(descriptor_counts(s)) <= max(before) + 64, 20)  # idle connections to the server behind
    assert not [line for line in server.log().splitlines() if "event=revival_odd" in line or "event=crash" in line]


KINDS = {"hooks": ["tcp"], "asan": ["tcp"], "release": ["unix", "tcp spoken"]}


@pytest.mark.parametrize("kind", ["tcp", "unix", "tcp spoken", "unix spoken"] if SOAK else KINDS[BUILD])
def test_neither_side_notices_that_workers_between_them_are_killed_every_50_ms(start_pair, kind, hooks, variant, seed,
                                                                              record_property):
    server = start_pair(kind.split()[0], spoken="spoken" in kind)
    status = wait_settled(server)
    before = descriptor_counts(server)
    part = 4 if variant == "asan" else 1
    mix = {"keepalive": 50 // part, "downloads": 20 // part, "fresh": 50 // part, "idle": long_or_short(200, 50) // part,
           "seconds": long_or_short(60, 5), "seed": seed, "think_ms": 100}
    if hooks:
        mix["posts"] = 20 // part
    keepers = ",".join(str(worker["keeper_pid"]) for worker in status["workers"])
    result = Load(server, **mix, kill_worker=keepers, kill_every_ms=50).finish()
    assert result["kills"] >= mix["seconds"] * 20 * 0.5
    check_nothing_is_left(server, before)
    server.behind.stop()  # all lines are written
    twice = {name: count for name, count in executed(server).items() if count != 1}
    assert not twice, f"executed more than once: {twice}"
    assert sum(executed(server).values()) >= result["successes"]
    record_property("kills", str(result["kills"]))


class Conversation:
    """A client with one connection for good, whose every answer is verified."""

    def __init__(self, port, name, lot):
        self.port, self.name, self.lot, self.done = port, name, lot, 0

    async def open(self):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)

    async def head(self):
        line = await self.reader.readline()
        assert line.startswith(b"HTTP/1.1 200 "), f"{self.name}: {line!r}"
        headers = {}
        while (line := await self.reader.readline()).strip():
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        return headers

    async def upload(self, is_chunked, pause):
        size = self.lot.choice([0, 1, 1000, 16384, 100_000, 1_000_000])
        body = pattern(self.lot.randrange(1 << 30), size)
        framing = "Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {size}"
        self.writer.write(f"POST /hash HTTP/1.1\r\nHost: a\r\nX-Id: {self.name}-{self.done}\r\n{framing}\r\n\r\n".encode())
        step = max(1, size // 20) if pause else 1 << 16
        for at in range(0, size, step):
            data = body[at:at + step]
            self.writer.write(b"%x\r\n%s\r\n" % (len(data), data) if is_chunked else data)
            await self.writer.drain()
            await asyncio.sleep(pause)
        if is_chunked:
            self.writer.write(b"0\r\n\r\n")
        headers = await self.head()
        got = await self.reader.readexactly(int(headers["content-length"]))
        assert got.decode() == hashlib.sha256(body).hexdigest(), f"{self.name}: a wrong body arrived"

    async def events(self):
        count = self.lot.randrange(1, 100)
        self.writer.write(b"GET /events?%d HTTP/1.1\r\nHost: a\r\n\r\n" % count)
        await self.head()
        text = b""
        while length := int(await self.reader.readline(), 16):
            text += await self.reader.readexactly(length)
            await self.reader.readexactly(2)
        await self.reader.readline()
        assert text == b"".join(b"data: %d\n\n" % number for number in range(count)), f"{self.name}: wrong events"

    async def download(self):
        size = self.lot.randrange(1, 3_000_000)
        self.writer.write(b"GET /bytes?%d HTTP/1.1\r\nHost: a\r\n\r\n" % size)
        await self.head()
        at = 0
        while at < size:
            data = await self.reader.read(min(50_000, size - at))
            assert data and data == pattern(at, len(data)), f"{self.name}: wrong bytes at {at}"
            at += len(data)
            await asyncio.sleep(0.005)

    async def talk(self, until, kind):
        await self.open()
        while asyncio.get_running_loop().time() < until:
            if kind == "post":
                await self.upload(self.lot.random() < 0.5, 0)
            elif kind == "slow":
                await self.upload(self.lot.random() < 0.5, 0.01)
            elif kind == "events":
                await self.events()
            else:
                await self.download()
            self.done += 1
        self.writer.close()


async def converse(port, seconds, part, seed):
    until = asyncio.get_running_loop().time() + seconds
    talks = [(Conversation(port, f"{kind}{i}", random.Random(f"{seed}{kind}{i}")), kind)
             for kind in ("post", "slow", "events", "download") for i in range(20 // part)]
    await asyncio.gather(*(talk.talk(until, kind) for talk, kind in talks))
    return {kind: sum(talk.done for talk, of in talks if of == kind) for _, kind in talks}


@pytest.mark.parametrize("kind", ["tcp", "unix"] if SOAK else ["unix"] if BUILD == "release" else ["tcp"])
def test_upgraded_connections_lose_no_byte_when_workers_are_killed(start_pair, folder, kind, variant, seed, record_property):
    with CountingUpstream(folder) as upstream:
        folder.chmod(0o755)
        server = start_pair(upstream=upstream.addresses[kind])
        wait_settled(server)
        before = descriptor_counts(server)
        with Killing(server, seed) as killing:
            tunnels, echoed = asyncio.run(tunnel(Upgraded, server.targets, long_or_short(60, 6),
                                                 25 if variant == "asan" else 100, seed))
        assert killing.kills > 20 and tunnels >= 25 and echoed > 1_000_000
        check_nothing_is_left(server, before)
        record_property("echoed", f"{tunnels} tunnels, {echoed} bytes, {killing.kills} kills")


async def counts(address):
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /counts HTTP/1.1\r\nHost: a\r\n\r\n")
    length = 0
    while (line := await reader.readline()).strip():
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    body = await reader.readexactly(length)
    writer.close()
    return json.loads(body)


HELD = {
    "streamed": "",
    "in files": "{\n        buffer request 20k file 1g\n        buffer response 20k file 1g\n    }",
    "up to a limit": "{\n        buffer request 60k\n        buffer response 20k file 200k\n    }",
}


@pytest.mark.parametrize("kind", ["tcp", "unix"] if SOAK else ["tcp"] if BUILD == "release" else ["unix"])
@pytest.mark.parametrize("held", HELD if SOAK else ["streamed", "in files"] if BUILD == "release" else ["up to a limit"])
def test_uploads_event_streams_and_slow_downloads_go_on_and_are_executed_once(start_pair, folder, kind, held, variant, seed,
                                                                             record_property):
    with CountingUpstream(folder) as upstream:
        folder.chmod(0o755)
        server = start_pair(upstream=upstream.addresses[kind], how=HELD[held])
        wait_settled(server)
        before = descriptor_counts(server)
        with Killing(server, seed) as killing:
            done = asyncio.run(converse(server.port, long_or_short(60, 5), 4 if variant == "asan" else 1, seed))
        assert killing.kills > 20 and all(done.values()), f"{killing.kills} kills, {done}"
        executions = asyncio.run(counts(upstream.addresses["tcp"]))
        assert len(executions) == done["post"] + done["slow"]
        assert set(executions.values()) == {1}
        check_nothing_is_left(server, before)
        record_property("done", f"{done}, {killing.kills} kills")


# In a check: seconds, and more points than fit into them.
SAMPLES = {"stop": (8, 1200), "step": (10, 800), "state": (13, 800), "revive": (14, 500)}
# Bodies are held back in half of them: the parts' uploads and downloads are larger than a ring, and than what stays in memory.
IN_A_CHECK = {"hooks": [("tcp", "stop", "streamed"), ("tcp", "step", "in files"), ("tcp", "state", "up to a limit"),
                        ("tcp", "revive", "streamed"), ("tcp spoken", "state", "streamed")],
              "release": [("unix", "stop", "in files"), ("unix", "revive", "up to a limit"),
                          ("unix spoken", "stop", "streamed")]}
SWEEPS = [(kind, mode, held) for kind in ("tcp", "unix", "tcp spoken") for mode in SAMPLES for held in HELD] if SOAK \
    else IN_A_CHECK.get(BUILD, [])


# Their clients wait for an answer to a request that they have not sent whole: a body that is held back is not passed on before.
EARLY = ("early-413", "early-answer")


def parts_for(held):
    lines = subprocess.run([program("sweep"), "--list-parts"], capture_output=True, text=True, check=True).stdout.splitlines()
    names = [line.split()[0] for line in lines if "by name alone" not in line]
    return ",".join(name for name in names if held == "streamed" or name not in EARLY)


@pytest.mark.variants("hooks", "release")
@pytest.mark.parametrize("kind, mode, held", SWEEPS)
def test_a_worker_may_die_anywhere_in_a_proxied_request(start_pair, kind, mode, held, hooks, seed, record_property):
    server = start_pair(kind.split()[0], workers=1, watchdog="10m", how=HELD[held], spoken="spoken" in kind)
    keeper = wait_settled(server)["workers"][0]["keeper_pid"]
    seconds, sample = long_or_short((3500, 0), SAMPLES[mode])
    totals = run_sweep("--keeper", keeper, "--target", server.targets[0], "--mode", mode, "--seed", seed, "--seconds", seconds,
                       "--parts", parts_for(held), *(["--sample", sample] if sample else []), *([] if hooks else ["--no-hooks"]), timeout=seconds + 60)
    assert totals["points"] >= 20
    status = wait_settled(server)
    assert status["workers"][0]["poisoned"] == 0
    check_nothing_is_left(server, descriptor_counts(server))
    record_property("points", f"{totals['reached']} reached of {totals['points']} tried")


@pytest.mark.variants("hooks")
def test_a_passed_on_body_has_its_own_time_wherever_the_worker_dies(start_pair, seed, record_property):
    """The body comes later than a head may (the part late-body): a death between a step and its deadline changes nothing."""
    server = start_pair(workers=1, watchdog="10m", top="header_timeout 1s\nbody_timeout 1m")
    keeper = wait_settled(server)["workers"][0]["keeper_pid"]
    seconds, sample = long_or_short((3500, 0), (12, 100))
    totals = run_sweep("--keeper", keeper, "--target", server.targets[0], "--mode", "state", "--seed", seed, "--seconds", seconds,
                       "--parts", "late-body", *(["--sample", sample] if sample else []), timeout=seconds + 60)
    record_property("points", f"{totals['reached']} reached of {totals['points']} tried")
