"""Idle WebSockets through a proxy: what one costs in memory, and how long they are without a worker when it is killed.

One worker; each session has two connections, the client's and the one to the upstream server (ws_upstream.c). Memory is as
in the case `idle`. Then Holdfast's worker is killed several times: first while all are quiet, then while all send a frame
in the same moment, which is to come back on the same socket."""

from cases.idle import KILLS, REVIVAL_LIMIT_MS, Clients, kill_table, measure, memory_table
from compare import spread
from report import Report
from servers import HoldfastProxy, Nginx, WebsocketUpstream

SESSIONS = 9_000
ROUNDS = 3
MEMORY_LIMIT = 0.5


class NginxWebsockets(Nginx):
    config = "peers/nginx-websockets.conf"


class Websockets(Clients):
    words = ["/1k.bin", "websocket"]


def run(bench):
    report = Report("Idle WebSockets")
    upstream = WebsocketUpstream(bench, "upstream")
    servers = [HoldfastProxy(bench), HoldfastProxy(bench, "holdfast, access log", logs=True),
               NginxWebsockets(bench, "nginx"), NginxWebsockets(bench, "nginx, access log", logs=True)]
    servers = [server for server in servers if server.is_here()]
    measured = {server.label: [] for server in servers}
    rounds = bench.rounds(ROUNDS)
    bench.bind(False)
    for number in range(rounds):
        for server in servers:
            bench.say(f"round {number + 1} of {rounds}: {server.label}, {SESSIONS:,} sessions")
            upstream.start()
            try:
                server.words = {"UPSTREAM": upstream.port, "BUFFERS": ""}
                measured[server.label].append(measure(bench, server, SESSIONS, Websockets))
            finally:
                upstream.stop()
    each = {label: spread([facts["bytes_each"] for facts in found]).median for label, found in measured.items()}
    kills = [kill for facts in measured["holdfast"] for kill in facts["kills"]]
    report.servers, report.facts = servers, {"sessions": SESSIONS, "samples": measured}
    report.commands = [f"idle PORT {SESSIONS} /1k.bin websocket"]
    report.add(f"{SESSIONS:,} sessions on one worker; {rounds} interleaved rounds, each on fresh servers; "
               f"{2 * KILLS} kills in a round.")
    report.add(*memory_table(measured))
    report.add(*kill_table(kills))
    for ours, theirs in (("holdfast", "nginx"), ("holdfast, access log", "nginx, access log")):
        if theirs in each:
            report.target(f"user memory for an idle session of {ours} against {theirs}", each[ours] / each[theirs],
                          MEMORY_LIMIT)
    report.target("kill of the worker to last record driven, clients quiet, median",
                  spread([kill["kill_to_driven_ms"] for kill in kills if kill["clients"] == "quiet"]).median,
                  REVIVAL_LIMIT_MS, " ms")
    report.target("sessions lost", sum(facts["lost"] for label, found in measured.items() if "holdfast" in label
                                       for facts in found), 0)
    return report
