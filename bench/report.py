"""What a case hands back, and how it is written: report/bench-CASE-DATE.md for people, .json for programs."""

import datetime
import json
import os
import pathlib
import platform
import subprocess


def plain(number):
    """As many digits as say something."""
    return f"{number:,.0f}" if number >= 100 or number == int(number) else f"{number:,.4g}"


class Report:
    """Lines of Markdown, facts for the JSON, and targets, which are met or missed."""

    def __init__(self, title):
        self.title, self.lines, self.facts, self.targets = title, [], {}, []
        self.servers, self.commands = [], []

    def add(self, *lines):
        self.lines += [*lines, ""]

    def target(self, what, value, limit, unit=""):
        """`value` should be at most `limit`."""
        self.targets.append({"what": what, "value": value, "limit": limit, "unit": unit, "met": value <= limit})

    def target_lines(self):
        lines = []
        for target in self.targets:
            value, limit = (plain(target[name]) + target["unit"] for name in ("value", "limit"))
            lines.append(f"- {'met' if target['met'] else 'MISSED'}: {target['what']}: {value}, at most {limit}")
        return lines


def first_line(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    return (done.stdout + done.stderr).strip().split("\n")[0]


def git(root, *arguments):
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


def processor():
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def circumstances(bench, report):
    """What a reader needs to judge or repeat the figures."""
    commit = git(bench.root, "rev-parse", "--short=12", "HEAD") or "unknown"
    return {
        "commit": commit + (" with uncommitted changes" if git(bench.root, "status", "--porcelain") else ""),
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "kernel": f"Linux {platform.release()}",
        "processor": f"{processor()}, {len(os.sched_getaffinity(0))} to be used",
        "placement": "servers and clients bound to one processor" if bench.processor is not None else "the kernel's",
        "load": " ".join(f"{number:.2f}" for number in os.getloadavg()),
        "versions": {server.label: server.version() for server in report.servers},
        "wrk": first_line("wrk", "-v").partition(" Copyright")[0],
        "compiler": first_line("cc", "--version"),
        "commands": report.commands,
    }


def write(bench, name, report):
    """Returns the path of the Markdown, relative to the repository."""
    facts = circumstances(bench, report)
    lines = [f"# {report.title}", "", *report.lines]
    if report.targets:
        lines += ["Targets:", "", *report.target_lines(), ""]
    lines += ["## How it was measured", "", f"- again: `bench/run --only {name} BUILD`, see bench/README.md"]
    lines += [f"- {key}: {facts[key]}" for key in ("commit", "date", "kernel", "processor", "placement", "load", "wrk",
                                                   "compiler")]
    lines += [f"- {label}: {version}" for label, version in facts["versions"].items()]
    lines += ["", "```", *facts["commands"], "```", ""]
    date = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d-%H%M")
    folder = bench.root / "report"
    folder.mkdir(exist_ok=True)
    path = folder / f"bench-{name}-{date}.md"
    path.write_text("\n".join(lines))
    path.with_suffix(".json").write_text(json.dumps(
        {"case": name, "title": report.title, "circumstances": facts, "targets": report.targets, **report.facts},
        indent=1, ensure_ascii=False) + "\n")
    return path.relative_to(bench.root)
