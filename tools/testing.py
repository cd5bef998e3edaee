"""What tools/check, tools/soak and tools/fuzz share: builds, and running tests so that each case is counted."""

import atexit
import collections
import datetime
import json
import os
import pathlib
import platform
import re
import signal
import subprocess
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILDS = ROOT / "build-check"
PYTHON = "/usr/bin/python3"  # Debian's, which has Debian's pytest

# outcome: "passed", "failed" or "skipped"; text: what it said, or why it was skipped
Case = collections.namedtuple("Case", "name outcome text")

RELEASE_OPTIONS = (ROOT / "tools" / "release_options.txt").read_text().split()

# Kind of build -> compiler and options. Tests see the name as HOLDFAST_VARIANT.
VARIANTS = {
    "hooks": ("gcc", ["-Dtest_hooks=true", "-Dunit_tests=true"]),
    "release": ("gcc", [*RELEASE_OPTIONS, "-Dtest_tools=true"]),
    "clang": ("clang", ["-Dtest_hooks=true", "-Dunit_tests=true", "-Doptimization=0"]),
    "asan": ("gcc", ["-Dtest_hooks=true", "-Dunit_tests=true", "-Db_sanitize=address,undefined"]),
    "plain": ("gcc", ["-Dtest_hooks=true", "-Dunit_tests=true", "-Dplain_fork=true"]),
}
# A report ends the process, and exits with a number that is nobody's else. Leaks count too.
SANITIZER_ENVIRONMENT = {
    "ASAN_OPTIONS": "abort_on_error=1:disable_coredump=1:detect_stack_use_after_return=0",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}


running = set()  # process groups that we started


@atexit.register
def end_what_runs():
    for group in running:
        os.killpg(group, signal.SIGKILL)


def run(command, log, timeout, environment=None, cwd=ROOT):
    """Runs a command in its own process group, output into `log`. Returns (exit code or None, output)."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as out:
        process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=out,
                                   stderr=subprocess.STDOUT, cwd=cwd, start_new_session=True,
                                   env={**os.environ, **(environment or {})})
        running.add(process.pid)
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            code = None
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        running.discard(process.pid)
    text = log.read_text(errors="replace")
    return code, text + (f"\nnot done after {timeout} s, ended\n" if code is None else "")


def run_check(name, command, log, timeout=300):
    """A command that is one case: it passes if it exits 0."""
    code, text = run(command, log, timeout)
    return [Case(name, "passed" if code == 0 else "failed", text)]


def build(name, folder, compiler, options, timeout=900):
    """Configures (once, or anew when the options changed) and compiles. One case."""
    environment = {"CC": compiler}
    wanted = folder / "holdfast-options"
    text = " ".join([compiler, *options])
    setup = ["meson", "setup", folder, *options]
    if (folder / "build.ninja").exists():
        if not wanted.exists() or wanted.read_text() != text:
            setup.insert(2, "--wipe")
        else:
            setup = None
    if setup:
        code, said = run(setup, BUILDS / "logs" / f"setup-{folder.name}.log", timeout, environment)
        if code != 0:
            return [Case(name, "failed", said)]
        wanted.write_text(text)
    return run_check(name, ["ninja", "-C", folder], BUILDS / "logs" / f"ninja-{folder.name}.log", timeout)


def listed_tests(folder, suite, layers=None):
    """(name, command) of the tests that Meson knows in this build, of some layers only if asked."""
    done = subprocess.run(["meson", "introspect", "--tests", folder], capture_output=True, text=True, check=True)
    return [(test["name"], test["cmd"]) for test in json.loads(done.stdout)
            if f"holdfast:{suite}" in test["suite"]
            and (layers is None or test["name"].rpartition("/")[0] in layers)]


def tap_cases(program, code, text):
    """Cases of a program that speaks the Test Anything Protocol. What it announced and did not report has failed."""
    found = []  # name, outcome, lines: a program tells why before its result, cmocka after it
    said = []
    announced = 0
    for line in text.splitlines():
        plan = re.match(r"1\.\.(\d+)", line)
        result = re.match(r"(not )?ok \d+ (?:- )?([^#]*)(# SKIP.*)?", line)
        if plan:
            announced += int(plan.group(1))
        elif result:
            outcome = "skipped" if result.group(3) else "failed" if result.group(1) else "passed"
            found.append((f"{program}: {(result.group(2) or result.group(3)).strip()}", outcome, said))
            said = []
        elif found and found[-1][1] == "failed":
            found[-1][2].append(line)
        else:
            said.append(line)
    cases = [Case(name, outcome, "\n".join(lines)) for name, outcome, lines in found]
    if len(cases) < announced or (code != 0 and all(case.outcome != "failed" for case in cases)) or announced == 0:
        end = "a time limit" if code is None else f"signal {-code}" if code < 0 else f"exit code {code}"
        cases.append(Case(f"{program}: ended by {end} after {len(cases)} of {announced} cases", "failed", text))
    return cases


def run_tap(folder, suite, layers=None, wrapper=(), timeout=300):
    cases = []
    for name, command in listed_tests(folder, suite, layers):
        log = BUILDS / "logs" / f"{folder.name}-{suite}-{name.replace('/', '-')}.log"
        code, text = run([*wrapper, *command], log, timeout,
                         {**SANITIZER_ENVIRONMENT, "CMOCKA_MESSAGE_OUTPUT": "TAP"})
        cases += tap_cases(name, code, text)
    return cases


def junit_cases(path):
    cases = []
    for element in xml.etree.ElementTree.parse(path).getroot().iter("testcase"):
        file = element.get("classname", "").rpartition(".")[2]
        name = f"{file}: {element.get('name')}" if file else element.get("name")
        outcome, text = "passed", ""
        for child in element:
            if child.tag in ("failure", "error"):
                outcome = "failed"
                text += child.text or child.get("message", "")
            elif child.tag == "skipped" and outcome == "passed":
                outcome, text = "skipped", child.get("message", "")
            elif child.tag in ("system-out", "system-err") and outcome == "failed":
                said = [line for line in (child.text or "").splitlines() if line]
                text += "\n" + "\n".join(said if any(not line.startswith("---") for line in said) else [])
        cases.append(Case(name, outcome, text))
    return cases


def run_pytest(name, folder, variant, paths, marks="", timeout=900, environment=None):
    report = BUILDS / "logs" / f"{name}.xml"
    report.parent.mkdir(parents=True, exist_ok=True)
    report.unlink(missing_ok=True)
    command = [PYTHON, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}",
               "-o", "junit_logging=out-err", "-o", "junit_log_passing_tests=false", *(["-m", marks] if marks else []), *paths]
    code, text = run(command, report.with_suffix(".log"), timeout, {
        **SANITIZER_ENVIRONMENT, "HOLDFAST_BUILD": str(folder), "HOLDFAST_VARIANT": variant, **(environment or {})})
    cases = junit_cases(report) if report.exists() else []
    if code not in (0, 1, 5) or (code == 1 and all(case.outcome != "failed" for case in cases)):
        cases.append(Case(f"{name}: pytest itself", "failed", text))
    return cases


def git(*arguments):
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip()


def report_head():
    """What every report begins with: of what it is, when and where it was made."""
    changed = " with uncommitted changes" if git("status", "--porcelain") else ""
    return [f"- commit: {git('rev-parse', 'HEAD') or 'none'}{changed}",
            f"- date: {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC",
            f"- machine: Linux {platform.release().partition('-')[0]}, {platform.machine()}, {os.cpu_count()} processors"]


def count(cases):
    """ "12 passed, 0 failed" and, where there were any, ", 1 skipped". """
    of = collections.Counter(case.outcome for case in cases)
    skipped = f", {of['skipped']} skipped" if of["skipped"] else ""
    return f"{of['passed']} passed, {of['failed']} failed{skipped}"


def failure_text(case, limit=6000):
    text = case.text.strip()
    if len(text) > limit:
        text = text[:limit // 3] + "\n[...]\n" + text[-limit * 2 // 3:]
    return f"FAILED {case.name}\n" + "".join(f"    {line}\n" for line in text.splitlines())
