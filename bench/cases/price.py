"""The price of outliving a process: shared descriptor table, arena and ledger against a plain fork.

The plain-fork build is the same program, except that its workers are forked without the shared descriptor table, keep
records and buffers in private memory, and change records in place. What differs in CPU is what survival costs."""

import shlex

from compare import Workload, compare, wrk_command
from report import Report
from servers import Holdfast

ROUNDS = 9
LIMIT = 1.03
WORKLOADS = [
    Workload("1 KB, keep-alive", "/1k.bin", 50, seconds=2),
    Workload("100 KB by sendfile, keep-alive", "/100k.bin", 50, seconds=1),
    Workload("1 KB, a connection for each request", "/1k.bin", 50, ("Connection: close",), seconds=1),
]


def run(bench):
    report = Report("The price of outliving a process")
    servers = [Holdfast(bench, "holdfast"), Holdfast(bench, "plain fork", build=bench.plain())]
    rounds = bench.rounds(ROUNDS)
    comparison = compare(bench, servers, WORKLOADS, "plain fork", rounds, windows=3)
    report.servers = servers
    report.commands = [shlex.join(wrk_command(workload, "PORT")) for workload in WORKLOADS]
    report.facts = comparison.facts()
    report.add(f"One worker; {rounds} interleaved rounds; medians. CPU is that of all processes of the server. A ratio "
               "is formed within each round.")
    for workload in WORKLOADS:
        report.add(*comparison.table(workload))
    report.add(comparison.quiet_line())
    report.target("CPU for a 1 KB file against a plain fork, median of the rounds' ratios",
                  comparison.ratio(WORKLOADS[0].name, "holdfast").median, LIMIT)
    report.target("errors that clients saw", comparison.errors(), 0)
    return report
