"""The promise for TCP connections that are passed on: neither side notices that the worker between them dies, wherever."""

import asyncio
import collections
import json

import pytest
from backend import Echo
from counting_upstream import GREETING
from killers import BUILD, SOAK, Killing, descriptor_counts, long_or_short, run_sweep, wait_settled
from tunnels import Tunnel, tunnel

pytestmark = [pytest.mark.variants("hooks", "release", "asan"), pytest.mark.limit(3700 if SOAK else 100)]

CONFIG = """workers {workers}
control {control}
drain 10s
watchdog {watchdog}
pool back {
    server {upstream}
}
tcp 127.0.0.1:{port} unix:{folder}/tcp.sock {
    proxy back
    access_log {folder}/tcp.log json
}
"""


@pytest.fixture
def start(start_server, folder):
    """start(upstream): a server that passes connections on to it, from both of its `targets`."""

    def start(upstream, workers=2, watchdog="2s"):
        folder.chmod(0o755)
        text = CONFIG
        for name, value in (("workers", workers), ("watchdog", watchdog), ("upstream", upstream)):
            text = text.replace("{%s}" % name, str(value))
        server = start_server(config=text)
        server.slots, server.targets = workers, [f"127.0.0.1:{server.port}", f"unix:{server.folder}/tcp.sock"]
        return server

    return start


def check_nothing_is_left(server, before):
    server.wait_for(lambda s: all(worker["connections"] == 0 for worker in s.status()["workers"]))
    server.wait_for(lambda s: max(descriptor_counts(s)) <= max(before) + 8, 20)
    assert not [line for line in server.log().splitlines() if "event=revival_odd" in line or "event=crash" in line]


def lines(server):
    server.stop()  # all are written
    return [json.loads(line) for line in (server.folder / "tcp.log").read_text().splitlines()]


@pytest.mark.parametrize("kind", ["tcp", "unix"] if SOAK else ["unix"] if BUILD == "release" else ["tcp"])
def test_a_hundred_tunnels_lose_no_byte_and_have_a_line_each(start, folder, kind, variant, seed, record_property):
    with Echo(folder, GREETING) as echo:
        server = start(echo.addresses[kind])
        wait_settled(server)
        before = descriptor_counts(server)
        with Killing(server, seed) as killing:
            tunnels, echoed = asyncio.run(tunnel(Tunnel, server.targets, long_or_short(60, 6),
                                                 25 if variant == "asan" else 100, seed))
        assert killing.kills > 20 and tunnels >= 25 and echoed > 1_000_000
        check_nothing_is_left(server, before)
        told = lines(server)
    assert collections.Counter(line["end"] for line in told) == {"complete": tunnels}
    assert sum(line["received"] for line in told) == echoed
    assert sum(line["sent"] for line in told) == echoed + tunnels * len(GREETING)
    record_property("echoed", f"{tunnels} tunnels, {echoed} bytes, {killing.kills} kills")


# In a check: seconds, and more points than fit into them.
SAMPLES = {"stop": (8, 1200), "step": (10, 800), "state": (13, 800), "revive": (12, 500)}
PARTS = ("ping", "bulk", "slow-reader", "we-end-first", "server-ends-first", "we-reset", "server-resets", "urgent", "fresh")
IN_A_CHECK = {"hooks": [("tcp", "stop"), ("unix", "state"), ("tcp", "revive")], "release": [("unix", "stop"), ("tcp", "step")]}
SWEEPS = [(kind, mode) for kind in ("tcp", "unix") for mode in SAMPLES] if SOAK else IN_A_CHECK.get(BUILD, [])


@pytest.mark.variants("hooks", "release")
@pytest.mark.parametrize("kind, mode", SWEEPS)
def test_a_worker_may_die_anywhere_between_two_connections(start, folder, kind, mode, seed, record_property):
    with Echo(folder, b"hello\n", has_modes=True) as echo:
        server = start(echo.addresses[kind], workers=1, watchdog="10m")
        keeper = wait_settled(server)["workers"][0]["keeper_pid"]
        seconds, sample = long_or_short((3500, 0), SAMPLES[mode])
        parts = [part for part in PARTS if kind == "tcp" or part != "server-resets"]  # what it has to pass on is an end
        arguments = ["--keeper", keeper, "--mode", mode, "--seed", seed, "--seconds", seconds, "--echo",
                     "--parts", ",".join(f"tunnel-{part}" for part in parts)]
        for target in server.targets:
            arguments += ["--target", target]
        totals = run_sweep(*arguments, *(["--sample", sample] if sample else []), timeout=seconds + 60)
        assert totals["points"] >= 20
        status = wait_settled(server)
        assert status["workers"][0]["poisoned"] == 0
        check_nothing_is_left(server, descriptor_counts(server))
        ends = collections.Counter(line["end"] for line in lines(server))
    assert set(ends) <= {"complete", "client_reset", "upstream_reset"}, ends
    record_property("points", f"{totals['reached']} reached of {totals['points']} tried; {ends.total()} connections")
