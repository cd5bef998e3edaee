"""Servers side by side: interleaved rounds of wrk, CPU per request, medians with their spread.

In every round each server is started, measured under every workload, and stopped; the order turns by one
from round to round. So a machine that grows slower meanwhile slows all of them. A ratio is formed within a round, and
the median of those ratios is what counts.

Server and wrk are bound to one processor (`--unbound` lets the kernel place them). On two, the one that is quicker
falls asleep between batches, and waking a sleeping processor, above all a virtual one, costs its waker microseconds:
which of the two waits is decided by chance, and the same server then costs 2 or 5 µs a request. On one processor both
always have work, batches are the same for all, and what is left is what the server does."""

import collections
import os
import pathlib
import re
import resource
import statistics
import subprocess

# `path` below the document root; `headers` for wrk's -H; `script`: a file of bench/ that makes wrk's requests; `client`: what
# bench/tunnel.c is to do instead of wrk, its command and what follows the seconds
Workload = collections.namedtuple("Workload", "name path connections headers seconds script client",
                                  defaults=((), 2, "done.lua", ()))
# CPU of all processes of the server per request; requests per second; CPU that was taken by processes other than server
# and wrk, or by the hypervisor, as a share of one processor; errors that wrk saw; half of the requests were quicker
# than p50_us
Sample = collections.namedtuple("Sample", "cpu_us per_second others errors p50_us")
Spread = collections.namedtuple("Spread", "median low high")

OTHERS_LIMIT = 0.10  # a window in which others took more than this is measured again


def spread(values):
    return Spread(statistics.median(values), min(values), max(values))


def machine_busy_s(bench):
    """CPU seconds used since the machine's start (/proc/stat), all but idle and iowait: of the processor that we are
    bound to, or of all."""
    name = "cpu" if bench.processor is None else f"cpu{bench.processor}"
    rows = [line.split() for line in pathlib.Path("/proc/stat").read_text().splitlines()]
    fields = next([int(word) for word in row[1:9]] for row in rows if row[0] == name)
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def children_cpu_s():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime + own.ru_utime + own.ru_stime


def wrk_command(workload, port):
    command = ["wrk", "-t1", f"-c{workload.connections}", f"-d{workload.seconds}s", "-s", f"bench/{workload.script}"]
    for header in workload.headers:
        command += ["-H", header]
    return [*command, f"http://127.0.0.1:{port}{workload.path}"]


def client_command(bench, workload, port):
    if workload.client:
        kind, *rest = workload.client
        words = [bench.build / "bench" / "tunnel", kind, port, workload.connections, workload.seconds, *rest]
        return [str(word) for word in words]
    command = wrk_command(workload, port)
    command[command.index("-s") + 1] = str(bench.root / "bench" / workload.script)
    return command


def run_client(bench, workload, port):
    """Returns the client's figures (wrk's by done.lua) as a dictionary of numbers."""
    command = client_command(bench, workload, port)
    done = subprocess.run(bench.bound() + command, capture_output=True, text=True)
    line = re.search(r"^figures (.*)$", done.stdout, re.MULTILINE)
    if not line:
        raise RuntimeError(f"{command[0]} said no figures:\n{done.stdout}{done.stderr}")
    return {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", line.group(1))}


def measure_once(bench, server, workload):
    busy_s, children_s, server_ns = machine_busy_s(bench), children_cpu_s(), server.cpu_ns()
    beside_ns = bench.beside_cpu_ns()
    figures = run_client(bench, workload, server.port)
    server_ns = server.cpu_ns() - server_ns
    others_s = machine_busy_s(bench) - busy_s - (children_cpu_s() - children_s) - server_ns / 1e9
    others_s -= (bench.beside_cpu_ns() - beside_ns) / 1e9
    seconds = figures["microseconds"] / 1e6
    if not figures["requests"]:
        raise RuntimeError(f"{server.label} answered nothing under {workload.name}")
    return Sample(cpu_us=server_ns / 1e3 / figures["requests"], per_second=figures["requests"] / seconds,
                  others=max(0.0, others_s / seconds),
                  errors=sum(figures[name] for name in ("connect", "read", "write", "status", "timeout")),
                  p50_us=figures["p50"])


def measure(bench, server, workload, windows):
    """(sample, windows used): of up to `windows` the one that others disturbed least; one undisturbed is enough."""
    samples = []
    while len(samples) < windows:
        samples.append(measure_once(bench, server, workload))
        if samples[-1].others <= OTHERS_LIMIT:
            break
    return min(samples, key=lambda sample: sample.others), len(samples)


class Comparison:
    """What `compare` has measured: samples[workload name][server label], one sample for each round."""

    def __init__(self, workloads, servers, baseline):
        self.workloads, self.servers, self.baseline = workloads, servers, baseline
        self.samples = {workload.name: {} for workload in workloads}
        self.repeated = 0

    def add(self, workload, server, sample, windows):
        self.samples[workload.name].setdefault(server.label, []).append(sample)
        self.repeated += windows - 1

    def spread(self, workload, label, field="cpu_us"):
        return spread([getattr(sample, field) for sample in self.samples[workload][label]])

    def ratio(self, workload, label, against=None):
        """CPU per request against another's (the baseline's), formed within each round. None where one of them has no
        such workload."""
        samples, against = self.samples[workload], against or self.baseline
        if against not in samples or label not in samples:
            return None
        return spread([mine.cpu_us / its.cpu_us for mine, its in zip(samples[label], samples[against])])

    def hold(self, report, workload, label, against, limit):
        """A target: CPU of `label` at most `limit` times that of `against`, median of the rounds' ratios. Nothing where
        the other is not installed."""
        ratio = self.ratio(workload, label, against)
        if ratio:
            report.target(f"{workload}: CPU of {label} against {against}", ratio.median, limit)

    def table(self, workload):
        """Lines of Markdown."""
        lines = [f"| {workload.name} | CPU µs/request | from–to | against {self.baseline} | from–to | requests/s "
                 "| p50 µs | errors |", "|---|" + "---:|" * 7]
        for label, samples in self.samples[workload.name].items():
            cpu, ratio = self.spread(workload.name, label), self.ratio(workload.name, label)
            of_baseline = f"{ratio.median:.3f} | {ratio.low:.3f}–{ratio.high:.3f}" if ratio else "– | –"
            lines.append(f"| {label} | {cpu.median:.2f} | {cpu.low:.2f}–{cpu.high:.2f} | {of_baseline} "
                         f"| {self.spread(workload.name, label, 'per_second').median:,.0f} "
                         f"| {self.spread(workload.name, label, 'p50_us').median:,.0f} "
                         f"| {sum(sample.errors for sample in samples)} |")
        return lines

    def quiet_line(self):
        """How quiet the machine was, in a sentence."""
        others = [sample.others for of_server in self.samples.values() for samples in of_server.values()
                  for sample in samples]
        disturbed = sum(share > OTHERS_LIMIT for share in others)
        return (f"Of {len(others)} windows others (or the hypervisor) took more than {OTHERS_LIMIT:.0%} of a processor "
                f"in {disturbed}, {max(others):.0%} at most; {self.repeated} disturbed ones were measured again.")

    def facts(self):
        """Everything, for the JSON."""
        return {"baseline": self.baseline, "repeated_windows": self.repeated,
                "workloads": [workload._asdict() for workload in self.workloads],
                "samples": {workload: {label: [sample._asdict() for sample in samples]
                                       for label, samples in of_server.items()}
                            for workload, of_server in self.samples.items()}}

    def errors(self):
        return sum(sample.errors for of_server in self.samples.values() for samples in of_server.values()
                   for sample in samples)


def measure_server(bench, server, comparison, windows):
    """One server's part of a round; returns a line that says what was seen."""
    said = []
    for workload in comparison.workloads:
        if server.only is not None and workload.name not in server.only:
            continue
        server.get(workload.path)  # its caches, and the kernel's, are filled before the clock runs
        sample, used = measure(bench, server, workload, windows)
        comparison.add(workload, server, sample, used)
        disturbed = " (disturbed)" if sample.others > OTHERS_LIMIT else ""
        said.append(f"{sample.cpu_us:.1f} µs at {sample.per_second:,.0f}/s{disturbed}")
    return f"{server.label}: {'; '.join(said)}"


def compare(bench, servers, workloads, baseline, rounds, windows=2):
    """Measures all servers under all workloads, `rounds` times. `baseline` is the label of a server; `windows` how
    often at most a measurement is made until it is undisturbed."""
    comparison = Comparison(workloads, servers, baseline)
    bench.bind(True)
    for number in range(rounds):
        turned = servers[number % len(servers):] + servers[:number % len(servers)]
        for server in turned:
            server.start()
            try:
                bench.say(f"round {number + 1} of {rounds}: {measure_server(bench, server, comparison, windows)}")
            finally:
                server.stop()
    return comparison
