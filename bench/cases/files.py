"""Static files beside other servers, and beside the floor: a loop that answers a constant.

One worker each, on the same documents, each configured to be quick (peers/*.conf). The floor answers 1 KB only."""

import shlex

from compare import Workload, compare, wrk_command
from report import Report
from servers import BareEpoll, H2o, Holdfast, Lighttpd, Nginx

ROUNDS = 5
PEERS = ("nginx", "lighttpd", "h2o")
SMALL = "1 KB, keep-alive"
FRESH = "1 KB, a connection for each request"
MIDDLE, LARGE = "100 KB, keep-alive", "10 MB, keep-alive"
WORKLOADS = [
    Workload(SMALL, "/1k.bin", 50, seconds=2),
    Workload(MIDDLE, "/100k.bin", 50, seconds=1),
    Workload(LARGE, "/10m.bin", 4, seconds=1),
    Workload(FRESH, "/1k.bin", 50, ("Connection: close",), seconds=1),
]


def run(bench):
    report = Report("Static files beside other servers")
    servers = [Holdfast(bench), Nginx(bench, "nginx"), Lighttpd(bench, "lighttpd"), H2o(bench, "h2o"),
               BareEpoll(bench, "bare loop", only=(SMALL, FRESH))]
    missing = [server.label for server in servers if not server.is_here()]
    servers = [server for server in servers if server.is_here()]
    rounds = bench.rounds(ROUNDS)
    comparison = compare(bench, servers, WORKLOADS, "holdfast", rounds)
    report.servers = servers
    report.commands = [shlex.join(wrk_command(workload, "PORT")) for workload in WORKLOADS]
    report.facts = comparison.facts()
    report.add(f"One worker each; {rounds} interleaved rounds; medians. CPU is that of all processes of a server; "
               "below 1.000 a server needs less than Holdfast.")
    for workload in WORKLOADS:
        report.add(*comparison.table(workload))
    report.add(comparison.quiet_line())
    if missing:
        report.add(f"Not installed, and left out: {', '.join(missing)}.")
    comparison.hold(report, SMALL, "holdfast", "nginx", 0.65)
    comparison.hold(report, SMALL, "holdfast", "bare loop", 1.2)
    for workload in (MIDDLE, LARGE):
        for peer in PEERS:
            comparison.hold(report, workload, "holdfast", peer, 1.0)
    comparison.hold(report, FRESH, "holdfast", "nginx", 0.9)
    report.target("errors that clients saw of Holdfast", sum(
        sample.errors for samples in comparison.samples.values() for sample in samples["holdfast"]), 0)
    return report
