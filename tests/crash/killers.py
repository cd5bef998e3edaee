"""The killing tools as Python sees them: the load (tests/tools/mixload.c), the sweep (sweep.c), raw connections, and
looking at processes without asking the server."""

import json
import multiprocessing
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import time

import holdfast
from clients import word

SOAK = os.environ.get("HOLDFAST_SOAK") == "1"
BUILD = os.environ.get("HOLDFAST_VARIANT", "release")
# How connections are accepted. Where a check takes a sample, it is not the first of them alone.
ACCEPT = ["shared", "reuseport"] if SOAK else ["shared"]
# The same where one mode is as dear as the other: in a check the release build takes the one, all others the other.
ACCEPT_BY_BUILD = ACCEPT if SOAK else ["reuseport"] if BUILD == "release" else ["shared"]
TARGETS = ["127.0.0.1:{port}", "[::1]:{port}", "unix:{folder}/site.sock"]
LOGGED = "access_log {folder}/every.log\n"
VICTIM_CONFIG = """workers {workers}
control {control}
drain 10s
keepalive 600s
{top}
listen 127.0.0.1:{port} {
    accept {accept}
}
listen [::1]:{port} {
    accept {accept}
}
site 127.0.0.1:{port} [::1]:{port} unix:{folder}/site.sock {
    files {documents}
    listing on
    compress on
}
"""


def program(name):
    folder = {"mixload": "tools", "sweep": "crash"}[name]
    return str(holdfast.build_folder() / "tests" / folder / name)


def long_or_short(long, short):
    """The first in a soak, the second in a check."""
    return long if SOAK else short


# Loads


class Load:
    """A mixload that runs. Options by name: Load(server, keepalive=10, seconds=5, kill_worker="12,13")."""

    def __init__(self, server, *flags, **options):
        command = [program("mixload"), "--json"]
        for target in server.targets:
            command += ["--target", target]
        for name, value in options.items():
            command += ["--" + name.replace("_", "-"), str(value)]
        self.server = server
        self.process = subprocess.Popen(command + list(flags), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)

    def is_running(self):
        return self.process.poll() is None

    def read_line(self):
        return self.process.stdout.readline().rstrip("\n")

    def go_on(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def finish(self, timeout=200 if SOAK else 120):
        """Waits for its end. Returns the result; fails if any client noticed anything."""
        out, errors = self.process.communicate(timeout=timeout)
        assert self.process.returncode in (0, 1), f"mixload exited with {self.process.returncode}: {errors}"
        result = json.loads(out.splitlines()[-1])
        noticed = {kind: count for kind, count in result["errors"].items() if count}
        assert not noticed and result["errors_total"] == 0, \
            f"clients noticed {noticed}, seed {result['seed']}:\n" + "\n".join(result["examples"])
        assert result["reconnects"] == 0, f"{result['reconnects']} reconnects"
        return result


# Kills beside a test


class Killing:
    """Kills workers at moments drawn by lot, as long as it is entered; `kills` counts them. In a process of its own: a test
    that is busy itself would leave a thread no time."""

    def __init__(self, server, seed):
        context = multiprocessing.get_context("fork")
        self.server, self.random, self.is_over = server, random.Random(seed), context.Event()
        self.count = context.Value("i", 0)
        self.process = context.Process(target=self.run, daemon=True)

    @property
    def kills(self):
        return self.count.value

    def run(self):
        while not self.is_over.wait(self.random.uniform(0.001, 0.05)):
            for pid in holdfast.descendants(self.server.pid):
                if word(pid, 1) == "keeper" and holdfast.descendants(pid):
                    try:
                        os.kill(next(iter(holdfast.descendants(pid))), signal.SIGKILL)
                        self.count.value += 1
                    except (ProcessLookupError, StopIteration):
                        pass

    def __enter__(self):
        self.process.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.process.join()


# Sweeps


def run_sweep(*arguments, timeout):
    """Runs a sweep to its end; returns its totals. Fails if a point was wrong, with the words that repeat it."""
    command = [program("sweep"), "--json", *[str(argument) for argument in arguments]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    assert done.returncode in (0, 1), f"sweep exited with {done.returncode}: {done.stderr}"
    totals = json.loads(done.stdout.splitlines()[-1])
    assert totals["wrong"] == 0, \
        f"{totals['wrong']} of {totals['points']} points, seed {totals['seed']}:\n" + "\n".join(totals["examples"])
    assert totals["reached"] > 0, f"no point was reached: {totals}\n{done.stderr}"
    return totals


# Processes, seen without the server's help


def argument(pid, index):
    try:
        words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    return words[index].decode(errors="replace") if index < len(words) else ""


def role_pids(server, role):
    """The living processes below the anchor whose argv[1] is this role."""
    return [pid for pid, facts in holdfast.descendants(server.pid).items()
            if facts[2] not in "ZX" and argument(pid, 1) == role]


def keepers(server):
    return [worker["keeper_pid"] for worker in server.status()["workers"]]


def descriptor_counts(server):
    """How many descriptors the slots' tables hold, in the order of the slots."""
    return [len(os.listdir(f"/proc/{worker['pid']}/fd")) for worker in server.status()["workers"]]


def descriptor_names(server):
    """What these descriptors are, a line for each slot."""
    for worker in server.status()["workers"]:
        folder = f"/proc/{worker['pid']}/fd"
        yield f"slot {worker['slot']}: " + " ".join(f"{fd}={os.readlink(f'{folder}/{fd}')}" for fd in os.listdir(folder))


def memory_kib(server):
    """Sum of the proportional set sizes of anchor, master, keepers and workers, in KiB."""
    total = 0
    for pid in [server.pid, *holdfast.descendants(server.pid)]:
        try:
            text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue  # gone, or a zombie: it has no memory
        total += int(re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE).group(1))
    return total


def signal_and_wait(server, pid, signal_number=signal.SIGKILL, timeout=10):
    """Sends a signal and waits for the death it must bring."""
    pidfd = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(pidfd, signal_number)
        assert holdfast.wait_dead(pidfd, timeout), f"process {pid} survives signal {signal_number}\n{server.log()}"
    finally:
        os.close(pidfd)


def wait_settled(server, timeout=15):
    """Waits until every slot has a keeper with a worker of its own and the master answers; returns the status."""

    def look(_):
        done = server.run("status", "--json")
        if done.returncode != 0:
            return None
        status = json.loads(done.stdout)
        whole = all(worker["pid"] > 0 and argument(worker["pid"], 1) == "worker"
                    and argument(worker["keeper_pid"], 1) == "keeper"
                    and parent(worker["pid"]) == worker["keeper_pid"] for worker in status["workers"])
        return status if whole and len(status["workers"]) == server.slots else None

    return server.wait_for(look, timeout)


def parent(pid):
    facts = holdfast.processes().get(pid)
    return facts[0] if facts else 0


# Raw HTTP


class Client:
    """One keep-alive connection, by hand."""

    def __init__(self, server, timeout=20):
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout)
        self.file = self.socket.makefile("rb")

    def send(self, path, method="GET", headers="", body=b""):
        head = f"{method} {path} HTTP/1.1\r\nHost: crash.example\r\n{headers}\r\n"
        self.socket.sendall(head.encode() + body)

    def answer(self, method="GET"):
        """(status, headers, body) of the next answer; None if the server has closed instead."""
        line = self.file.readline()
        if not line:
            return None
        status = int(line.split()[1])
        headers = {}
        while (line := self.file.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        length = 0 if method == "HEAD" else int(headers["content-length"])
        body = self.file.read(length)
        assert len(body) == length, "the answer ends too early"
        return status, headers, body

    def get(self, path):
        self.send(path)
        return self.answer()

    def is_quiet(self):
        """Still open, and nothing unread."""
        self.socket.setblocking(False)
        try:
            return not self.socket.recv(1, socket.MSG_PEEK) and False
        except BlockingIOError:
            return True
        except OSError:
            return False
        finally:
            self.socket.settimeout(20)

    def close(self):
        self.file.close()
        self.socket.close()


def monotonic_ns():
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)
