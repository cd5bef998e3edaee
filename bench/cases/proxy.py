"""Proxied requests beside other proxies: small answers, large answers, uploads.

One worker each, the same nginx behind all of them, connections to it kept. HAProxy stands here twice: as it copies, and
with splice, as its manual recommends for large bodies."""

import shlex

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
    finally:
        bench.beside = []
        upstream.stop()
    report.servers = servers
    report.commands = [shlex.join(wrk_command(workload, "PORT")) for workload in WORKLOADS]
    report.facts = comparison.facts()
    report.add(f"One worker each; {rounds} interleaved rounds; medians. CPU is that of all processes of the proxy.")
    for workload in WORKLOADS:
        report.add(*comparison.table(workload))
    report.add(comparison.quiet_line())
    comparison.hold(report, SMALL, "holdfast", "nginx", 0.75)
    comparison.hold(report, SMALL, "holdfast", "haproxy", 0.8)
    for workload in (DOWN, UP):
        for peer in ("nginx", "haproxy"):
            comparison.hold(report, workload, "holdfast", peer, 1.0)
    report.target("errors that clients saw of Holdfast", sum(
        sample.errors for samples in comparison.samples.values() for sample in samples["holdfast"]), 0)
    return report
