"""An access log beside other servers: what a line for each request costs.

One worker each, a file of 1 KB, each server in its own default (combined) format on the same file system. nginx stands
here twice: as it writes by itself, a line at a time, and with the buffer that its manual recommends."""

import shlex

from compare import Workload, compare, wrk_command
from report import Report
from servers import BufferedNginx, H2o, Holdfast, Lighttpd, Nginx

ROUNDS = 5
NAME = "1 KB, keep-alive, access log"
WORKLOADS = [Workload(NAME, "/1k.bin", 50, seconds=2)]


def run(bench):
    report = Report("An access log beside other servers")
    servers = [Holdfast(bench, logs=True), Holdfast(bench, "holdfast, no log"), Nginx(bench, "nginx", logs=True),
               BufferedNginx(bench, "nginx, buffered", logs=True), Lighttpd(bench, "lighttpd", logs=True),
               H2o(bench, "h2o", logs=True)]
    servers = [server for server in servers if server.is_here()]
    rounds = bench.rounds(ROUNDS)
    comparison = compare(bench, servers, WORKLOADS, "holdfast", rounds)
    report.servers = servers
    report.commands = [shlex.join(wrk_command(workload, "PORT")) for workload in WORKLOADS]
    report.facts = comparison.facts()
    report.add(f"One worker each; {rounds} interleaved rounds; medians. CPU is that of all processes of a server.")
    report.add(*comparison.table(WORKLOADS[0]))
    report.add(comparison.quiet_line())
    comparison.hold(report, NAME, "holdfast", "nginx", 0.7)
    comparison.hold(report, NAME, "holdfast", "nginx, buffered", 0.7)
    return report
