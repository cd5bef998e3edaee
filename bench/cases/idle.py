"""Idle connections: what one costs in memory, and how long they are without a worker when all workers are killed.

Thousands of keep-alive connections on two workers, each of which has had one answer. Memory is user memory: the
proportional set sizes (PSS) of all processes of the server, so that shared pages are counted once; the kernel's own
memory for sockets is the same for all and not in it. Then both workers of Holdfast are killed at once, several times:
first with clients that stay quiet, then with clients that all ask in the same moment."""

import os
import resource
import signal
import subprocess
import time

from compare import spread
from report import Report
from servers import Holdfast, Nginx

CONNECTIONS = 18_000
ROUNDS = 3
KILLS = 3  # of each kind in a round
REVIVAL_LIMIT_MS = 100
BYTES_LIMIT = 1024
BASE_LIMIT_KIB = 12 * 1024
SETTLE_LIMIT_S = 10


class Clients:
    """bench/idle.c: asks on all connections when it is told to."""

    words = ["/1k.bin"]

    def __init__(self, bench, server, count):
        self.count = count
        self.process = subprocess.Popen(
            [*bench.bound(), str(bench.build / "bench" / "idle"), str(server.port), str(count), *self.words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.lost = self.finish_round()[0]

    def ask(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def finish_round(self):
        """(connections lost so far, when the last answer was complete, in ns of CLOCK_MONOTONIC)."""
        words = self.process.stdout.readline().split()
        if len(words) != 8 or int(words[3]) + int(words[5]) != self.count:
            raise RuntimeError(f"the idle clients said {' '.join(words)!r}")
        self.lost = int(words[5])
        return self.lost, int(words[7])

    def leave(self):
        self.process.communicate()


def settled_pss_kib(server):
    """PSS once it no longer changes: a server may give memory back a while after it was used."""
    deadline = time.monotonic() + SETTLE_LIMIT_S
    before, now = None, server.pss_kib()
    while before is None or (abs(now - before) > now * 0.002 and time.monotonic() < deadline):
        time.sleep(1.2)  # longer than the housekeeping of Holdfast
        before, now = now, server.pss_kib()
    return now


def kill_both(server):
    """SIGKILLs all workers; returns when, in ns of CLOCK_MONOTONIC."""
    pids = [worker["pid"] for worker in server.status()["workers"]]
    killed_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    return killed_ns


def revival_facts(server, killed_ns, revivals):
    """Waits by the log, which costs the workers nothing; then reads the arenas' own clocks. `revivals` is how many the
    server has had then."""
    server.wait_for_log("event=worker_revived", revivals)
    workers = server.status()["workers"]
    return {"kill_to_driven_ms": (max(worker["revived_ns"] for worker in workers) - killed_ns) / 1e6,
            "noticed_to_driven_ms": max(worker["revived_ns"] - worker["died_ns"] for worker in workers) / 1e6}


def kill_rounds(bench, server, clients):
    kills = []
    for number in range(2 * KILLS):
        is_asking = number >= KILLS
        killed_ns = kill_both(server)
        facts = {"clients": "asking" if is_asking else "quiet"}
        if is_asking:
            clients.ask()
            facts["kill_to_all_answered_ms"] = (clients.finish_round()[1] - killed_ns) / 1e6
        kills.append({**facts, **revival_facts(server, killed_ns, (number + 1) * server.workers)})
        words = [f"{value:.1f}" if isinstance(value, float) else value for value in kills[-1].values()]
        bench.say("  killed both workers: " + ", ".join(f"{name} {word}" for name, word in zip(kills[-1], words)))
    clients.ask()
    clients.finish_round()  # whoever was lost while quiet shows now
    return kills


def measure(bench, server, count, connect=Clients):
    server.start()
    try:
        facts = {"base_kib": settled_pss_kib(server)}
        clients = connect(bench, server, count)
        facts["full_kib"] = settled_pss_kib(server)
        facts["bytes_each"] = (facts["full_kib"] - facts["base_kib"]) * 1024 / count
        bench.say(f"{server.label}: {facts['base_kib']:,} KiB empty, {facts['full_kib']:,} KiB with {count:,}: "
                  f"{facts['bytes_each']:,.0f} bytes each")
        facts["kills"] = kill_rounds(bench, server, clients) if isinstance(server, Holdfast) else []
        facts["lost"] = clients.lost
        clients.leave()
        facts["after_kib"] = settled_pss_kib(server)
        return facts
    finally:
        server.stop()


def memory_table(measured):
    lines = ["| server | base KiB | from–to | bytes/connection | from–to | KiB when all have left | lost |",
             "|---|---:|---:|---:|---:|---:|---:|"]
    for label, rounds in measured.items():
        base, each = (spread([facts[name] for facts in rounds]) for name in ("base_kib", "bytes_each"))
        after = spread([facts["after_kib"] for facts in rounds])
        lines.append(f"| {label} | {base.median:,.0f} | {base.low:,}–{base.high:,} | {each.median:,.0f} "
                     f"| {each.low:,.0f}–{each.high:,.0f} | {after.median:,.0f} | {sum(f['lost'] for f in rounds)} |")
    return lines


def kill_table(kills):
    lines = ["| all workers killed, ms | clients | median | from–to | kills |", "|---|---|---:|---:|---:|"]
    for what, name in (("kill to last record driven", "kill_to_driven_ms"),
                       ("death noticed to last record driven", "noticed_to_driven_ms"),
                       ("kill to last answer at the client", "kill_to_all_answered_ms")):
        for clients in ("quiet", "asking"):
            values = [kill[name] for kill in kills if kill["clients"] == clients and name in kill]
            if values:
                value = spread(values)
                lines.append(f"| {what} | {clients} | {value.median:.1f} | {value.low:.1f}–{value.high:.1f} "
                             f"| {len(values)} |")
    return lines


def run(bench):
    report = Report("Idle connections")
    count = min(CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 1000)
    servers = [server for server in (Holdfast(bench, workers=2), Nginx(bench, "nginx", workers=2)) if server.is_here()]
    measured = {server.label: [] for server in servers}
    rounds = bench.rounds(ROUNDS)
    bench.bind(False)  # two workers revive at the same time
    for number in range(rounds):
        for server in servers:
            bench.say(f"round {number + 1} of {rounds}: {server.label}, {count:,} connections")
            measured[server.label].append(measure(bench, server, count))
    holdfast = measured["holdfast"]
    kills = [kill for facts in holdfast for kill in facts["kills"]]
    quiet_ms = [kill["kill_to_driven_ms"] for kill in kills if kill["clients"] == "quiet"]
    report.servers, report.facts = servers, {"connections": count, "samples": measured}
    report.commands = [f"idle PORT {count} /1k.bin"]
    report.add(f"{count:,} connections on two workers; {rounds} interleaved rounds, each on a fresh server.")
    report.add(*memory_table(measured))
    report.add("nginx reserves the table of its connections when it starts: much of what they cost is in its base.")
    report.add(*kill_table(kills))
    report.target("user memory for an idle connection", spread([facts["bytes_each"] for facts in holdfast]).median,
                  BYTES_LIMIT, " bytes")
    report.target("memory without connections, two workers", spread([facts["base_kib"] for facts in holdfast]).median,
                  BASE_LIMIT_KIB, " KiB")
    report.target("kill of both workers to last record driven, clients quiet, median", spread(quiet_ms).median,
                  REVIVAL_LIMIT_MS, " ms")
    report.target("connections lost", sum(facts["lost"] for facts in holdfast), 0)
    return report
