"""Proxied requests beside other proxies: small answers, large answers, uploads; and the first byte at a fixed rate.

One worker each, the same nginx behind all of them, connections to it kept. HAProxy stands here twice: as it copies, and
with splice, as its manual recommends for large bodies."""

import re
import shlex
import statistics
import subprocess

from compare import Workload, compare, wrk_command
from report import Report
from servers import Haproxy, HoldfastProxy, NginxProxy, NginxUpstream

ROUNDS = 5
SMALL, DOWN, UP = "proxied 1 KB, keep-alive", "proxied 1 MB answer", "proxied 1 MB upload"
WORKLOADS = [
    Workload(SMALL, "/1k.bin", 50, seconds=2),
    Workload(DOWN, "/1m.bin", 10, seconds=1),
    Workload(UP, "/sink", 10, seconds=1, script="post.lua"),
]


RATE, PACE_SECONDS = 4000, 3


def first_byte(bench, servers, rounds):
    """{label: [p99 in µs, one for each round]}: pace.c at the same rate before each, in turn."""
    found = {server.label: [] for server in servers}
    for number in range(rounds):
        for server in servers[number % len(servers):] + servers[:number % len(servers)]:
            server.start()
            try:
                done = subprocess.run([bench.build / "bench" / "pace", str(server.port), "/1k.bin", str(RATE),
                                       str(PACE_SECONDS), "50"], capture_output=True, text=True, check=True)
                found[server.label].append(int(re.search(r"p99_us=(\d+)", done.stdout).group(1)))
                bench.say(f"{server.label}: {done.stdout.strip()}")
            finally:
                server.stop()
    return found


def run(bench):
    report = Report("Proxied requests beside other proxies")
    upstream = NginxUpstream(bench, "upstream")
    servers = [HoldfastProxy(bench), NginxProxy(bench, "nginx"), Haproxy(bench, "haproxy")]
    servers = [server for server in servers if server.is_here()]
    rounds = bench.rounds(ROUNDS)
    bench.bind(True)
    upstream.start()
    bench.beside = [upstream]
    try:
        for server in servers:
            server.words = {"UPSTREAM": upstream.port}
        comparison = compare(bench, servers, WORKLOADS, "holdfast", rounds)
        bench.bind(False)
        late = first_byte(bench, servers, rounds)
    finally:
        bench.beside = []
        upstream.stop()
    report.servers = servers
    report.commands = [shlex.join(wrk_command(workload, "PORT")) for workload in WORKLOADS]
    report.facts = comparison.facts()
    report.add(f"One worker each; {rounds} interleaved rounds; medians. CPU is that of all processes of the proxy.")
    for workload in WORKLOADS:
        report.add(*comparison.table(workload))
    report.add(f"First byte at {RATE:,} requests/s, 50 connections (`pace PORT /1k.bin {RATE} {PACE_SECONDS} 50`), unbound:", "",
               "| proxy | p99 µs, median of the rounds | from–to |", "|---|---:|---:|",
               *[f"| {label} | {statistics.median(values):,.0f} | {min(values):,}–{max(values):,} |"
                 for label, values in late.items()])
    report.add(comparison.quiet_line())
    comparison.hold(report, SMALL, "holdfast", "nginx", 0.75)
    comparison.hold(report, SMALL, "holdfast", "haproxy", 0.8)
    for workload in (DOWN, UP):
        for peer in ("nginx", "haproxy"):
            comparison.hold(report, workload, "holdfast", peer, 1.0)
    for peer in ("nginx", "haproxy"):
        if peer in late:
            report.target(f"p99 of the first byte of holdfast against {peer}",
                          statistics.median(late["holdfast"]) / statistics.median(late[peer]), 1.0)
    report.target("errors that clients saw of Holdfast", sum(
        sample.errors for samples in comparison.samples.values() for sample in samples["holdfast"]), 0)
    return report
