"""WebSockets through a proxy, beside other proxies: small messages, and bulk in each direction.

As the case `tcp`, with the same ends (tunnel.c): each connection is upgraded first, and all that is sent are frames."""

from cases.tcp import WORKLOADS, beside_peers
from report import Report
from servers import HaproxyTunnels, HoldfastTunnels, NginxTunnels


def run(bench):
    workloads = [workload._replace(client=(*workload.client, "upgrade")) for workload in WORKLOADS]
    return beside_peers(bench, Report("WebSockets through a proxy, beside other proxies"),
                        [HoldfastTunnels(bench), NginxTunnels(bench, "nginx"), HaproxyTunnels(bench, "haproxy")], workloads)
