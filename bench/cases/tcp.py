"""TCP connections that are passed on, beside other proxies: small messages, and bulk in each direction.

One worker each, the same server behind all of them (tunnel.c). HAProxy stands here twice: as it copies, and with splice."""

from compare import Workload, compare
from report import Report
from servers import HaproxyTcp, HoldfastTcp, NginxStream, TunnelServer

ROUNDS = 5
SECONDS = 2
SMALL, MANY = "64 bytes there and back, 50 connections", "64 bytes there and back, 1,000 connections"
UP, DOWN = "1 MB to the server, 10 connections", "1 MB from the server, 10 connections"
WORKLOADS = [
    Workload(SMALL, "", 50, seconds=SECONDS, client=("ping", 64)),
    Workload(MANY, "", 1000, seconds=SECONDS, client=("ping", 64)),
    Workload(UP, "", 10, seconds=SECONDS, client=("send",)),
    Workload(DOWN, "", 10, seconds=SECONDS, client=("take",)),
]


def run(bench):
    return beside_peers(bench, Report("TCP connections that are passed on, beside other proxies"),
                        [HoldfastTcp(bench), NginxStream(bench, "nginx"), HaproxyTcp(bench, "haproxy"),
                         HaproxyTcp(bench, "haproxy splice", splice=True)], WORKLOADS)


def beside_peers(bench, report, servers, workloads):
    """The case for these workloads: messages first, then bulk up and down."""
    behind = TunnelServer(bench, "behind")
    servers = [server for server in servers if server.is_here()]
    bench.bind(True)
    behind.start()
    bench.beside = [behind]
    try:
        for server in servers:
            server.words["UPSTREAM"] = behind.port
        rounds = bench.rounds(ROUNDS)
        comparison = compare(bench, servers, workloads, "holdfast", rounds)
    finally:
        bench.beside = []
        behind.stop()
    report.servers = servers
    report.commands = ["bench/tunnel serve PORT", *(" ".join(map(str, client_words(workload))) for workload in workloads)]
    report.facts = comparison.facts()
    report.add(f"One worker each; {rounds} interleaved rounds; medians. CPU is that of all processes of the proxy; a request is "
               "a message that has come back, or 10^6 bytes.")
    for workload in workloads:
        report.add(*comparison.table(workload))
    report.add(comparison.quiet_line())
    for peer in [server.label for server in servers[1:]]:
        for workload in (SMALL, MANY):
            comparison.hold(report, workload, "holdfast", peer, 0.9)
        for workload in (UP, DOWN):
            comparison.hold(report, workload, "holdfast", peer, 1.0)
    report.target("errors that clients saw of Holdfast", sum(
        sample.errors for samples in comparison.samples.values() for sample in samples["holdfast"]), 0)
    return report


def client_words(workload):
    kind, *rest = workload.client
    return ["bench/tunnel", kind, "PORT", workload.connections, workload.seconds, *rest]
