"""Servers and clients that are not ours, with a TCP proxy between them whose workers are killed all the time: Redis, PostgreSQL,
OpenSSH."""

import contextlib
import glob
import os
import pathlib
import pty
import pwd
import re
import select
import shutil
import socket
import subprocess
import time

import holdfast
import pytest
from killers import SOAK, Killing, long_or_short, wait_settled

pytestmark = [pytest.mark.variants("release"), pytest.mark.limit(400 if SOAK else 100)]

CONFIG = """workers 2
control {control}
tcp 127.0.0.1:{port} {
    proxy %s
    timeout idle 1h
    access_log {folder}/tcp.log
}
"""


@pytest.fixture
def between(start_server):
    """between(address): a proxy before that address."""

    def start(address):
        server = start_server(config=CONFIG.replace("%s", address))
        server.slots = 2
        wait_settled(server)
        return server

    return start


@contextlib.contextmanager
def running(command, port, **how):
    """A server of somebody else's, from its first connection to its end."""
    process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, **how)
    os.set_blocking(process.stdout.fileno(), False)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 5).close()
                break
            except ConnectionRefusedError:
                assert process.poll() is None and time.monotonic() < deadline, process.stdout.read()
                select.select([process.stdout], [], [], 0.05)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def check_lines(server, least):
    server.stop()
    ends = [line.split()[-1] for line in (server.folder / "tcp.log").read_text().splitlines()]
    assert len(ends) >= least and set(ends) <= {"complete", "client_reset"}, ends


# Redis


def test_redis_benchmark_sees_no_error(between, folder, seed, record_property):
    port = holdfast.free_port()
    with running(["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", folder], port):
        server = between(f"127.0.0.1:{port}")
        with Killing(server, seed) as killing:
            done = subprocess.run(["redis-benchmark", "-p", str(server.port), "-c", "50", "-n", long_or_short("300000", "40000"),
                                   "-t", "set,get,lpush,lrange_100", "-d", "1000", "-q"], capture_output=True, text=True, timeout=300)
            asked = subprocess.run(["redis-cli", "-p", str(server.port), "dbsize"], capture_output=True, text=True, timeout=20)
        assert done.returncode == 0 and "rror" not in done.stdout + done.stderr, done.stdout + done.stderr
        assert asked.stdout.strip().isdigit(), asked.stdout + asked.stderr
        assert killing.kills > 10
        record_property("said", f"{killing.kills} kills")
        check_lines(server, 200)


# PostgreSQL


def owner():
    """It refuses to be root."""
    return {} if os.geteuid() else {"user": "postgres", "group": pwd.getpwnam("postgres").pw_gid, "extra_groups": []}


@pytest.fixture
def postgres(folder):
    """The port of a cluster of its own."""
    programs = pathlib.Path(sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1])
    data, port = folder / "data", holdfast.free_port()
    data.mkdir()
    if not os.geteuid():
        shutil.chown(data, "postgres")
    subprocess.run([programs / "initdb", "-D", data, "-A", "trust", "-U", "tester", "--no-sync", "-N"], check=True,
                   capture_output=True, cwd="/", **owner())
    command = [programs / "postgres", "-D", data, "-p", port, "-c", "listen_addresses=127.0.0.1",
               "-c", f"unix_socket_directories={data}", "-c", "fsync=off", "-c", "max_connections=60"]
    with running(command, port, cwd="/", **owner()):
        deadline = time.monotonic() + 30
        while subprocess.run([programs / "pg_isready", "-h", "127.0.0.1", "-p", str(port)], capture_output=True).returncode:
            assert time.monotonic() < deadline
        yield port


def client(program, server, *words, **how):
    return subprocess.run([program, "-h", "127.0.0.1", "-p", str(server.port), "-U", "tester", *words], capture_output=True,
                          text=True, timeout=300, **how)


def test_pgbench_and_a_session_see_no_error(between, postgres, seed, record_property):
    server = between(f"127.0.0.1:{postgres}")
    assert client("pgbench", server, "-i", "-q", "postgres").returncode == 0
    with Killing(server, seed) as killing:
        session = subprocess.Popen(["psql", "-h", "127.0.0.1", "-p", str(server.port), "-U", "tester", "-qAtX",
                                    "-v", "ON_ERROR_STOP=1", "postgres"],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        session.stdin.write("create temp table mine (n int);\n")  # of this session alone: another one does not have it
        seconds = long_or_short("60", "6")
        bench = subprocess.Popen(["pgbench", "-h", "127.0.0.1", "-p", str(server.port), "-U", "tester", "-c", "20", "-T", seconds,
                                  "postgres"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        rows = 0
        while bench.poll() is None:
            rows += 1
            session.stdin.write(f"insert into mine values ({rows}); select count(*) from mine;\n")
            session.stdin.flush()
            assert session.stdout.readline().strip() == str(rows), session.stderr.read()
        out, errors = bench.communicate()
        rest, said = session.communicate(timeout=20)
    assert session.returncode == 0 and not rest and not said, said
    assert bench.returncode == 0, errors
    assert re.search(r"number of failed transactions: 0 \(0\.000%\)", out), out
    done = int(re.search(r"number of transactions actually processed: (\d+)", out).group(1))
    assert "ERROR" not in errors and "FATAL" not in errors and "abort" not in errors, errors
    assert killing.kills > 10 and done > 50 and rows > 20
    record_property("said", f"{killing.kills} kills, {done} transactions, {rows} statements of one session")
    check_lines(server, 22)


# OpenSSH


@pytest.fixture
def sshd(folder):
    """(port, words for ssh) of a server that lets us in by a key."""
    if not os.geteuid():
        pathlib.Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    for name in ("host", "mine"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    port = holdfast.free_port()
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/mine.pub\nStrictModes no\n"
        "UsePAM no\nPermitRootLogin prohibit-password\nPasswordAuthentication no\nPidFile none\nPrintMotd no\nUseDNS no\n")
    words = ["-F", "none", "-i", str(folder / "mine"), "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
             "-o", "LogLevel=ERROR", "-o", "BatchMode=yes"]
    with running([shutil.which("sshd", path="/usr/sbin:/usr/bin"), "-D", "-e", "-f", folder / "sshd_config"], port):
        yield port, words


class Terminal:
    """A program that is typed into."""

    def __init__(self, command):
        self.end, inner = pty.openpty()
        self.process = subprocess.Popen([str(word) for word in command], stdin=inner, stdout=inner, stderr=inner,
                                        start_new_session=True)
        os.close(inner)
        self.text = ""

    def type(self, text):
        os.write(self.end, text.encode())

    def wait_for(self, pattern, timeout=30):
        deadline = time.monotonic() + timeout
        while not (found := re.search(pattern, self.text)):
            ready = select.select([self.end], [], [], max(0, deadline - time.monotonic()))[0]
            assert ready, f"no {pattern!r} in {self.text[-500:]!r}"
            try:
                self.text += os.read(self.end, 65536).decode(errors="replace")
            except OSError:
                raise AssertionError(f"it ended without {pattern!r}: {self.text[-500:]!r}") from None
        self.text = self.text[found.end():]
        return found

    def close(self):
        os.close(self.end)
        self.process.wait(20)


def test_a_shell_over_ssh_is_typed_into(between, sshd, seed, record_property):
    port, words = sshd
    server = between(f"127.0.0.1:{port}")
    user = pwd.getpwuid(os.geteuid()).pw_name
    with Killing(server, seed) as killing:
        terminal = Terminal(["ssh", *words, "-tt", "-p", server.port, f"{user}@127.0.0.1",
                             "exec env PS1='ready$ ' TERM=dumb sh"])
        terminal.wait_for(r"ready\$ ")
        terminal.type("echo I am $$\n")
        shell = terminal.wait_for(r"I am (\d+)").group(1)
        lines, until = 0, time.monotonic() + long_or_short(60, 5)
        while time.monotonic() < until:
            lines += 1
            for key in f"echo $(({lines} * 7)) of $$":  # key by key, and each comes back
                terminal.type(key)
                terminal.wait_for(re.escape(key))
            terminal.type("\n")
            terminal.wait_for(rf"{lines * 7} of {shell}\r?\n")
        size = 3_000_000
        terminal.type(f"head -c {size} /dev/zero | tr '\\0' x | fold -w 100 | cksum; head -c {size} /dev/zero | tr '\\0' x\n")
        terminal.wait_for("x" * 10000)
        terminal.type("\nexit 7\n")
        while True:
            try:
                if not os.read(terminal.end, 65536):
                    break
            except OSError:
                break
        assert terminal.process.wait(30) == 7
        terminal.close()
    assert killing.kills > 10 and lines > 3
    record_property("said", f"{killing.kills} kills, {lines} lines typed")
    check_lines(server, 1)
