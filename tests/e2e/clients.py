"""What the tests of the process model share: connections by hand, processes seen without the server's help, and
servers that do not start."""

import collections
import os
import pathlib
import random
import re
import select
import signal
import socket
import subprocess
import time

import holdfast

Answer = collections.namedtuple("Answer", "status headers body")  # names of headers in lower case

TIMEOUT_S = 20


def request(path="/", method="GET", headers="", body=b"", version="1.1"):
    """The bytes of one request; `headers` are whole lines."""
    return f"{method} {path} HTTP/{version}\r\nHost: test.example\r\n{headers}\r\n".encode() + body


class Client:
    """One connection. `to`: a Server, a port of 127.0.0.1, or the path of a Unix socket."""

    def __init__(self, to, timeout=TIMEOUT_S, receive_buffer=None):
        to = getattr(to, "port", to)
        is_tcp = isinstance(to, int)
        self.timeout = timeout
        self.socket = socket.socket(socket.AF_INET if is_tcp else socket.AF_UNIX)
        self.socket.settimeout(timeout)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            self.socket.connect(("127.0.0.1", to) if is_tcp else str(to))
        except OSError:
            self.socket.close()
            raise
        self.file = self.socket.makefile("rb", buffering=4096)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, *arguments, **options):
        self.socket.sendall(request(*arguments, **options))

    def send_bytes(self, data):
        self.socket.sendall(data)

    def head(self):
        """Status and headers of the next answer; None if the connection ends instead."""
        line = self.file.readline()
        if not line:
            return None
        headers = {}
        while (field := self.file.readline()) not in (b"\r\n", b""):
            name, _, value = field.decode().partition(":")
            headers[name.lower()] = value.strip()
        return int(line.split()[1]), headers

    def answer(self, method="GET"):
        """The next answer; None if the connection ends instead."""
        head = self.head()
        if head is None:
            return None
        status, headers = head
        has_body = method != "HEAD" and status >= 200 and status not in (204, 304)  # RFC 9112 section 6.3
        length = int(headers["content-length"]) if has_body else 0
        body = self.file.read(length)
        assert len(body) == length, f"{len(body)} of {length} bytes, then the end"
        return Answer(status, headers, body)

    def get(self, *arguments, method="GET", **options):
        self.send(*arguments, method=method, **options)
        return self.answer(method)

    def has_ended(self):
        """Waits for the end: True if it is a clean one, with no byte before it."""
        return self.file.read(1) == b""

    def is_quiet(self, seconds=0.0):
        """Still open, and nothing comes within this time."""
        return not select.select([self.socket], [], [], seconds)[0]

    def close(self):
        self.file.close()
        self.socket.close()


def fetch(to, path="/", **options):
    """One request on a connection of its own."""
    with Client(to) as client:
        return client.get(path, **options)


# Processes


def word(pid, index):
    """One word of a process's command line; "" if it is gone."""
    try:
        words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    return words[index].decode(errors="replace") if index < len(words) else ""


def pids_of(server, role):
    """The living processes below the anchor whose second word is this role."""
    return [pid for pid, facts in holdfast.descendants(server.pid).items()
            if facts[2] not in "ZX" and word(pid, 1) == role]


def parent_of(pid):
    return holdfast.processes().get(pid, (0,))[0]


def status_of(pid):
    """/proc/PID/status as a dictionary."""
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def zombies(server):
    return [pid for pid, facts in holdfast.descendants(server.pid).items() if facts[2] == "Z"]


def descriptors(pid):
    """What the descriptors of a process are, in no order of their numbers."""
    names = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            names.append(re.sub(r"\d+", "N", os.readlink(f"/proc/{pid}/fd/{fd}")))
        except FileNotFoundError:
            pass  # closed meanwhile
    return sorted(names)


def settled(server, workers=2, timeout=15):
    """Waits until the master answers and so many slots have a keeper and a worker of its own; the status."""

    def look(_):
        done = server.run("status", "--json")
        if done.returncode:
            return None
        status = holdfast.json.loads(done.stdout)
        slots = status["workers"]
        whole = all(word(slot["pid"], 1) == "worker" and word(slot["keeper_pid"], 1) == "keeper"
                    and parent_of(slot["pid"]) == slot["keeper_pid"] for slot in slots)
        return status if whole and len(slots) == workers else None

    return server.wait_for(look, timeout)


def kill(pid, number=signal.SIGKILL, timeout=10):
    """Sends a deadly signal and waits for the death."""
    pidfd = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(pidfd, number)
        assert holdfast.wait_dead(pidfd, timeout), f"{pid} lives {timeout} s after signal {number}"
    finally:
        os.close(pidfd)


def deaths_told(server, pid):
    """The lines of the log in which the one who reaped this process tells its cause (the anchor's master_died comes
    before: it tells what it saw). A master that is killed between its line and the note that it wrote it has a follower
    that writes the line again, marked so: that is the same telling."""
    told = re.findall(rf"^.*event=(?:worker_died|process_reaped) .*\bpid={pid}\b.*cause=.*$", server.log(), re.MULTILINE)
    first = {}
    for line in told:
        status = re.search(r"\bstatus=\d+", line)
        if "maybe_repeated=1" not in line or status.group() not in first:
            first.setdefault(status.group() if status else line, []).append(line)
    return sum(first.values(), [])


def until(condition, what, timeout=10):
    """Waits for what has no event of its own (the state of a foreign process, of a file); returns its value."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        select.select([], [], [], 0.01)


# Servers that do not start


def write_config(folder, text, **values):
    """A configuration file; {name} stands for values, {www} for a folder with a file, {control} for a path."""
    folder.mkdir(exist_ok=True)
    (folder / "www").mkdir(exist_ok=True)
    (folder / "www" / "index.html").write_text("index\n")
    values = {"www": folder / "www", "control": folder / "control.sock", "folder": folder, **values}
    for name, value in values.items():
        text = text.replace("{%s}" % name, str(value))
    path = folder / "holdfast.conf"
    path.write_text(text)
    return path


ONE_SITE = """workers 1
control {control}
site 127.0.0.1:{port} {
    files {www}
}
"""


def refused(folder, config, *arguments, prefix=(), build=None, environment=None, code=1, timeout=TIMEOUT_S, **options):
    """Runs `holdfast run` that must not succeed: checks the exit code, that no process and no new socket is left, and
    returns what it said."""
    sockets = {path for path in folder.rglob("*") if path.is_socket()}
    program = (build or holdfast.build_folder()) / "holdfast"
    done = subprocess.run([*prefix, str(program), "run", "-c", str(config), *arguments], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout, cwd=folder,
                          env={**os.environ, **(environment or {})}, **options)
    assert done.returncode == code, f"exit code {done.returncode}:\n{done.stdout}"
    left = ours_below_us() - running_servers()
    assert not left, f"left behind: {[holdfast.processes().get(pid) for pid in left]}\n{done.stdout}"
    assert {path for path in folder.rglob("*") if path.is_socket()} == sockets, done.stdout
    assert "Sanitizer" not in done.stdout, done.stdout
    return done.stdout


def ours_below_us():
    """The processes of Holdfast that are our children: nobody else's, as this process is subreaper."""
    return {pid for pid, facts in holdfast.processes().items()
            if facts[0] == os.getpid() and holdfast.is_ours(pid, facts[1])}


def running_servers():
    return {server.pid for server in holdfast.Server.all if server.is_running()}


def reap_strays():
    """Daemons that have ended are our zombies: we are whoever adopts orphans."""
    for pid in ours_below_us() - running_servers():
        until(lambda pid=pid: os.waitpid(pid, os.WNOHANG)[0], f"the end of {pid}")


def bytes_of(seed, size):
    """Bytes that are the same each time."""
    return random.Random(seed).randbytes(size)
