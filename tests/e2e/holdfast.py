"""Runs a Holdfast server for a test, and looks at it from outside.

    server = start_server(workers=2)             # fixture of conftest.py; waits for READY=1
    server.kill_worker(0)                        # SIGKILL, and waits until it is dead
    server.wait_for(lambda s: s.status()["workers"][0]["revivals"] == 1)
    server.wait_for_log("event=worker_revived .*slot=0")

The end of a server is a test too: `stop` fails when it exits with anything but 0, leaves a process or a socket, or when
a sanitizer has said something."""

import ctypes
import errno
import json
import os
import pathlib
import pwd
import random
import re
import select
import shutil
import signal
import socket
import stat
import subprocess
import threading
import time

START_TIMEOUT_S = 30
STOP_TIMEOUT_S = 30
PR_SET_CHILD_SUBREAPER = 36
REPORT = re.compile(r"(ERROR: \w+Sanitizer:|SUMMARY: \w+Sanitizer:|: runtime error: ).*")
CRASH_REPORT = re.compile(r"Sanitizer: (SEGV|ABRT|BUS|FPE|ILL)\b")  # what a planted crash looks like


def build_folder():
    root = pathlib.Path(__file__).resolve().parents[2]
    return pathlib.Path(os.environ.get("HOLDFAST_BUILD", root / "build")).resolve()


def become_subreaper():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def free_port(host="127.0.0.1"):
    """A port that nobody listened on a moment ago, below those that the kernel gives to clients: a busy test has
    thousands of them, and one could take the port before the server does."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    while True:
        port = random.SystemRandom().randrange(10000, 32000)
        with socket.socket(family) as probe:
            try:
                probe.bind((host, port))
                return port
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise


def processes():
    """pid -> (parent's pid, name, state, start time) of all processes; a zombie is one too."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                text = pathlib.Path(f"/proc/{entry}/stat").read_text(errors="replace")
            except OSError:
                continue  # gone meanwhile
            name = text[text.index("(") + 1:text.rindex(")")]
            fields = text[text.rindex(")") + 2:].split()
            found[int(entry)] = (int(fields[1]), name, fields[0], int(fields[19]))
    return found


def descendants(pid):
    """pid -> (parent's pid, name, state, start time) of everything below a process."""
    everyone = processes()
    found = {}
    waiting = [pid]
    while waiting:
        parent = waiting.pop()
        for child, facts in everyone.items():
            if facts[0] == parent and child not in found:
                found[child] = facts
                waiting.append(child)
    return found


def is_ours(pid, name):
    """Whether a process is Holdfast's, by its name or its program (a sealed copy bears the name too)."""
    try:
        return "holdfast" in name or "holdfast" in os.path.basename(os.readlink(f"/proc/{pid}/exe"))
    except OSError:
        return False


def wait_dead(pidfd, timeout):
    """Waits until the process behind a pidfd has ended; returns whether it has."""
    return bool(select.select([pidfd], [], [], timeout)[0])


class Server:
    """One server with its files in `folder`. Arguments:

    config   the whole configuration, as a text; {folder}, {port}, {www} and {control} are filled in. If it is not
             given: one site on 127.0.0.1:{port} that serves {www}, with `top` added at the top level and `site` inside
             the site
    hooks    add `test_hooks on` (builds with test hooks only)
    arguments, environment   added to those of `holdfast run`
    plants_crashes   the test makes a process crash on purpose, which a sanitizer may remark upon
    user     start it as this user (tests that run as root only); everything in `folder` is given to that user
    prefix   words before the command, of a program that becomes `holdfast`: ["prlimit", "--nofile=300"]
    build    where the programs are, if not in the build under test
    """

    all = []  # every server of this run, so that one does not take another for something left behind

    def __init__(self, folder, config=None, *, workers=2, drain="10s", top="", site="", hooks=False, arguments=(),
                 environment=None, plants_crashes=False, user=None, prefix=(), build=None):
        self.folder = pathlib.Path(folder)
        self.build = pathlib.Path(build or build_folder())
        self.user, self.prefix = user, list(prefix)
        self.port = free_port()
        self.www = self.folder / "www"
        self.www.mkdir(exist_ok=True)
        self.control = self.folder / "control.sock"
        self.config_file = self.folder / "holdfast.conf"
        self.plants_crashes = plants_crashes
        self.arguments, self.environment = list(arguments), environment or {}
        self.process = None
        self._known = {}  # every descendant ever seen: pid -> start time
        self._lines = []
        self._news = threading.Condition()
        if config is None:
            config = self.default_config(workers, drain, top, site, hooks)
        self.write_config(config)
        Server.all.append(self)

    @staticmethod
    def default_config(workers, drain, top, site, hooks):
        lines = [f"workers {workers}", "control {control}", f"drain {drain}"]
        lines += ["test_hooks on"] if hooks else []
        lines += [top] if top else []
        lines += ["site 127.0.0.1:{port} {", "    files {www}"]
        lines += [f"    {line}" for line in site.splitlines()]
        return "\n".join([*lines, "}", ""])

    def write_config(self, text):
        for name in ("folder", "port", "www", "control"):
            text = text.replace("{%s}" % name, str(getattr(self, name)))
        self.config_file.write_text(text)

    # Beginning and end

    def start(self, timeout=START_TIMEOUT_S):
        """Runs `holdfast run` and waits until it says READY=1 to the service manager, which we are."""
        path = self.folder / "notify.sock"
        path.unlink(missing_ok=True)
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self.notify.bind(str(path))
        self.notify.setblocking(False)
        if self.user:
            for place in [self.folder, *self.folder.rglob("*")]:
                shutil.chown(place, self.user)
        command = [*self.prefix, self.build / "holdfast", "run", "-c", self.config_file, *self.arguments]
        self.process = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True, cwd=self.folder, **self._as_user(),
            env={**os.environ, "NOTIFY_SOCKET": str(path), **self.environment})
        self.pid = self.process.pid
        self.pidfd = os.pidfd_open(self.pid)
        self._reader = threading.Thread(target=self._read_log, args=(self.process.stdout,), daemon=True)
        self._reader.start()
        self.ready = self.wait_for_notification("READY=1", timeout)  # all lines of that datagram

    def _as_user(self):
        if not self.user:
            return {}
        return {"user": self.user, "group": pwd.getpwnam(self.user).pw_gid, "extra_groups": []}

    def wait_for_notification(self, wanted, timeout=START_TIMEOUT_S):
        """Waits for a datagram that has this line; returns its lines. Fails at once when the server exits."""
        deadline = time.monotonic() + timeout
        while True:
            ready, _, _ = select.select([self.notify, self.pidfd], [], [], max(0, deadline - time.monotonic()))
            if self.notify in ready:
                lines = self.notify.recv(65536).decode(errors="replace").splitlines()
                if wanted in lines:
                    return lines
            elif ready:
                code = self.process.wait()
                self._reader.join(5)
                raise AssertionError(f"the server exited with {code} before {wanted}:\n{self.log()}")
            else:
                raise AssertionError(f"no {wanted} after {timeout} s:\n{self.log()}")

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self, with_signal=signal.SIGTERM, timeout=STOP_TIMEOUT_S):
        """Ends the server gracefully and checks what must hold then."""
        self.remember_processes()
        os.kill(self.pid, with_signal)
        self.wait_exit(timeout)

    def wait_exit(self, timeout=STOP_TIMEOUT_S, code=0):
        """Waits until the server has exited by itself, and checks what must hold then."""
        if not wait_dead(self.pidfd, timeout):
            raise AssertionError(f"still there {timeout} s after it was told to stop:\n{self.log()}")
        ended_with = self.process.wait()
        left = self.left_behind()
        self.end_everything()
        self._reader.join(5)
        assert ended_with == code, f"the server exited with {ended_with}, not {code}:\n{self.log()}"
        assert not left, f"left behind: {', '.join(left)}\n{self.log()}"
        self.check_reports()

    def check_reports(self):
        for match in REPORT.finditer(self.log()):
            if not (self.plants_crashes and CRASH_REPORT.search(match.group())):
                raise AssertionError(f"a sanitizer reports: {match.group()}\n{self.log()}")

    def left_behind(self):
        """What is still there although the server has ended: processes and socket files."""
        everyone = processes()
        left = [f"process {pid} ({everyone[pid][1]}, {everyone[pid][2]})" for pid in self._left_processes(everyone)]
        for path in self.folder.rglob("*"):
            if stat.S_ISSOCK(path.lstat().st_mode) and path.name != "notify.sock":
                left.append(f"socket {path}")
        return left

    def _left_processes(self, everyone):
        known = {pid for pid, start in self._known.items() if pid in everyone and everyone[pid][3] == start}
        adopted = {pid for pid, (parent, name, _, _) in everyone.items()
                   if parent == os.getpid() and pid != self.pid and is_ours(pid, name)}
        return sorted(known | (adopted - self._others()))

    def _others(self):
        return {server.pid for server in Server.all if server is not self and server.process is not None}

    def remember_processes(self):
        found = descendants(self.pid)
        self._known.update({pid: facts[3] for pid, facts in found.items()})
        return found

    def end_everything(self):
        """Kills what is left of the server, so that the next test begins with nothing."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.remember_processes()
            self.process.kill()
            self.process.wait()
        left = self._left_processes(processes())
        for act in (lambda pid: os.kill(pid, signal.SIGKILL), lambda pid: os.waitpid(pid, 0)):
            for pid in left:
                try:
                    act(pid)
                except (ProcessLookupError, ChildProcessError):
                    pass
        for name in ("notify", "pidfd"):
            handle = self.__dict__.pop(name, None)
            if handle is not None:
                os.close(handle) if isinstance(handle, int) else handle.close()

    # Looking at it

    def _read_log(self, pipe):
        for line in pipe:
            with self._news:
                self._lines.append(line.decode(errors="replace"))
                self._news.notify_all()
        pipe.close()

    def log(self):
        """Everything that the server has written so far, to standard output and error."""
        with self._news:
            return "".join(self._lines)

    def wait_for_log(self, pattern, timeout=10, count=1):
        """Waits until `count` lines of the log match; returns the matches."""
        found = []

        def is_there():
            found[:] = list(re.finditer(pattern, "".join(self._lines), re.MULTILINE))
            return len(found) >= count

        with self._news:
            assert self._news.wait_for(is_there, timeout), \
                f"{len(found)} of {count} lines like {pattern!r} after {timeout} s:\n{''.join(self._lines)}"
        return found

    def wait_for(self, predicate, timeout=10):
        """Waits until predicate(server) is true, and returns what it returned. It is asked again after each line of
        the log, and some times a second, as counters change without one."""
        deadline = time.monotonic() + timeout
        while True:
            with self._news:
                seen = len(self._lines)
            value = predicate(self)
            if value:
                return value
            assert time.monotonic() < deadline, f"it did not become true in {timeout} s:\n{self.log()}"
            with self._news:
                self._news.wait_for(lambda: len(self._lines) != seen, 0.05)

    def run(self, *arguments, timeout=20):
        """Runs a command of `holdfast` against this server; returns the CompletedProcess."""
        verb, *rest = [str(argument) for argument in arguments]
        return subprocess.run([str(self.build / "holdfast"), verb, "--control", str(self.control), *rest],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)

    def status(self):
        """What `holdfast status --json` says."""
        done = self.run("status", "--json")
        assert done.returncode == 0, f"status exited with {done.returncode}: {done.stderr}\n{self.log()}"
        return json.loads(done.stdout)

    def worker(self, slot):
        """The status of the worker in this slot; None while there is none."""
        return next((worker for worker in self.status()["workers"] if worker["slot"] == slot), None)

    def worker_pids(self):
        return [worker["pid"] for worker in self.status()["workers"]]

    # Doing something to it

    def kill(self, pid, with_signal=signal.SIGKILL, wait=True, timeout=10):
        """Sends a signal to one of the server's processes; waits for its death if it is a killing one. The process
        is named by a pidfd, so nobody else is hit who got the number meanwhile."""
        self.remember_processes()
        pidfd = os.pidfd_open(pid)
        try:
            assert pid == self.pid or pid in self._known, f"process {pid} is none of this server's"
            signal.pidfd_send_signal(pidfd, with_signal)
            if wait and with_signal == signal.SIGKILL:
                assert wait_dead(pidfd, timeout), f"process {pid} lives {timeout} s after SIGKILL"
        finally:
            os.close(pidfd)

    def kill_worker(self, slot, with_signal=signal.SIGKILL, wait=True):
        """Returns the pid of the worker that got the signal."""
        pid = self.wait_for(lambda server: (server.worker(slot) or {}).get("pid"))
        self.kill(pid, with_signal, wait)
        return pid
