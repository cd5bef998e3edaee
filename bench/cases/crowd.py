"""Requests beside thousands of idle connections: do those who are quiet cost those who ask?

One worker; the same 50 connections ask for 1 KB, once alone and once with 18,000 idle keep-alive connections beside
them on the same worker, each of which has had one answer."""

import resource
import shlex

from cases.idle import CONNECTIONS, Clients
from compare import Workload, compare, wrk_command
from report import Report
from servers import Holdfast

ROUNDS = 5
LIMIT = 1.1
NAME = "1 KB, keep-alive"
WORKLOADS = [Workload(NAME, "/1k.bin", 50, seconds=2)]


class Crowded(Holdfast):
    def start(self):
        super().start()
        self.clients = Clients(self.bench, self, min(CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 1000))

    def stop(self):
        self.clients.leave()
        super().stop()


def run(bench):
    report = Report("Requests beside idle connections")
    servers = [Crowded(bench, "beside idle ones"), Holdfast(bench, "alone")]
    rounds = bench.rounds(ROUNDS)
    comparison = compare(bench, servers, WORKLOADS, "alone", rounds)
    report.servers = servers
    report.commands = [shlex.join(wrk_command(workload, "PORT")) for workload in WORKLOADS]
    report.facts = comparison.facts()
    report.add(f"One worker; {CONNECTIONS:,} idle connections; {rounds} interleaved rounds; medians.")
    report.add(*comparison.table(WORKLOADS[0]))
    report.add(comparison.quiet_line())
    comparison.hold(report, NAME, "beside idle ones", "alone", LIMIT)
    report.target("errors that clients saw", comparison.errors(), 0)
    return report
