"""Servers side by side: interleaved rounds of wrk, CPU time per request, medians with their spread.

In every round each server is started, measured under every workload, and stopped; the order turns by one
from round to round. So a machine that grows slower meanwhile slows all of them. A ratio is formed within a round, and
the median of those ratios is what counts."""

import collections
import os
import pathlib
import re
import resource
import statistics
import subprocess

# `path` below the document root; `headers` for wrk's -H
Workload = collections.namedtuple("Workload", "name path connections headers seconds", defaults=((), 2))
# CPU of all processes of the server in µs per request; requests per second; CPU of processes that are neither server
# nor wrk, as a share of one processor; what wrk reports: errors, and half of the requests were quicker than p50_us
Sample = collections.namedtuple("Sample", "cpu_us per_second others errors p50_us")
Spread = collections.namedtuple("Spread", "median low high")

OTHERS_LIMIT = 0.10  # a window in which others took more than this is measured again
TRIES = 3


def spread(values):
    return Spread(statistics.median(values), min(values), max(values))


def machine_busy_s():
    """CPU seconds used on the whole machine since its start (/proc/stat): all but idle and iowait."""
    fields = [int(word) for word in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def children_cpu_s():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime + own.ru_utime + own.ru_stime


def wrk_command(workload, port, seconds):
    command = ["wrk", "-t1", f"-c{workload.connections}", f"-d{seconds}s", "-s", "bench/done.lua"]
    for header in workload.headers:
        command += ["-H", header]
    return [*command, f"http://127.0.0.1:{port}{workload.path}"]


def run_wrk(bench, workload, port, seconds):
    """Returns wrk's figures (done.lua) as a dictionary of numbers."""
    command = wrk_command(workload, port, seconds)
    command[command.index("bench/done.lua")] = str(bench.root / "bench" / "done.lua")
    done = subprocess.run(bench.pinned("client") + command, capture_output=True, text=True)
    line = re.search(r"^figures (.*)$", done.stdout, re.MULTILINE)
    if not line:
        raise RuntimeError(f"wrk said no figures:\n{done.stdout}{done.stderr}")
    return {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", line.group(1))}


def measure_once(bench, server, workload):
    busy_s, children_s, server_ns = machine_busy_s(), children_cpu_s(), server.cpu_ns()
    figures = run_wrk(bench, workload, server.port, workload.seconds)
    server_ns = server.cpu_ns() - server_ns
    others_s = machine_busy_s() - busy_s - (children_cpu_s() - children_s) - server_ns / 1e9
    seconds = figures["microseconds"] / 1e6
    errors = sum(figures[name] for name in ("connect", "read", "write", "status", "timeout"))
    if not figures["requests"]:
        raise RuntimeError(f"{server.label} answered nothing under {workload.name}: {errors} errors")
    return Sample(server_ns / 1e3 / figures["requests"], figures["requests"] / seconds,
                  max(0.0, others_s / seconds), errors, figures["p50"])


def measure(bench, server, workload):
    """(sample, tries): of up to TRIES windows the one that others disturbed least; one undisturbed is enough."""
    samples = []
    while len(samples) < TRIES:
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

    def add(self, workload, server, sample, tries):
        self.samples[workload.name].setdefault(server.label, []).append(sample)
        self.repeated += tries - 1

    def spread(self, workload, label, field="cpu_us"):
        return spread([getattr(sample, field) for sample in self.samples[workload][label]])

    def ratio(self, workload, label, baseline=None):
        """CPU per request against the baseline's: the spread of the ratios within each round; None without one."""
        samples = self.samples[workload]
        others = samples.get(baseline or self.baseline)
        if not others or label not in samples:
            return None
        return spread([mine.cpu_us / its.cpu_us for mine, its in zip(samples[label], others)])

    def table(self, workload):
        """Lines of Markdown."""
        lines = [f"| {workload.name} | CPU µs/request | from–to | against {self.baseline} | from–to | requests/s "
                 "| p50 µs | errors | others |", "|---|---:|---:|---:|---:|---:|---:|---:|---:|"]
        for label, samples in self.samples[workload.name].items():
            cpu, ratio = self.spread(workload.name, label), self.ratio(workload.name, label)
            of_baseline = f"{ratio.median:.3f} | {ratio.low:.3f}–{ratio.high:.3f}" if ratio else "– | –"
            lines.append(f"| {label} | {cpu.median:.2f} | {cpu.low:.2f}–{cpu.high:.2f} | {of_baseline} "
                         f"| {self.spread(workload.name, label, 'per_second').median:,.0f} "
                         f"| {self.spread(workload.name, label, 'p50_us').median:,.0f} "
                         f"| {sum(sample.errors for sample in samples)} "
                         f"| {max(sample.others for sample in samples):.0%} |")
        return lines

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


def compare(bench, servers, workloads, baseline, rounds):
    """Measures all servers under all workloads, `rounds` times. `baseline` is the label of a server."""
    comparison = Comparison(workloads, servers, baseline)
    for number in range(rounds):
        turned = servers[number % len(servers):] + servers[:number % len(servers)]
        for server in turned:
            server.start()
            try:
                for workload in workloads:
                    if server.only is not None and workload.name not in server.only:
                        continue
                    server.get(workload.path)  # its caches, and the kernel's, are filled before the clock runs
                    sample, tries = measure(bench, server, workload)
                    comparison.add(workload, server, sample, tries)
                    again = f" (window {tries}: others took processor time)" if tries > 1 else ""
                    bench.say(f"round {number + 1} of {rounds}: {server.label}, {workload.name}: "
                              f"{sample.cpu_us:.2f} µs/request, {sample.per_second:,.0f}/s{again}")
            finally:
                server.stop()
    return comparison
