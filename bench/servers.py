"""The servers that a case compares: how each is started, found ready, measured from outside, and ended.

A server is started anew for every round, so that the luck of one start (addresses, placement of processes) is no
property of the server. Everything it writes lies in a folder of its own below the bench's."""

import http.client
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
START_LIMIT_S = 20
STOP_LIMIT_S = 20


def free_port():
    """A port below those that the kernel gives to clients."""
    while True:
        port = random.SystemRandom().randrange(10000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def find_program(name):
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def processes_below(root):
    """The pids of a process and of all its descendants."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                text = pathlib.Path(f"/proc/{entry}/stat").read_text(errors="replace")
            except OSError:
                continue  # gone meanwhile
            children.setdefault(int(text[text.rindex(")") + 2:].split()[1]), []).append(int(entry))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def cpu_ns(pids):
    """CPU time of all threads of these processes, to the nanosecond (/proc/PID/task/TID/schedstat); where the kernel
    does not keep that, in clock ticks (/proc/PID/stat)."""
    total = 0
    for pid in pids:
        try:
            tasks = [int(pathlib.Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0])
                     for task in os.listdir(f"/proc/{pid}/task")]
        except FileNotFoundError:
            text = pathlib.Path(f"/proc/{pid}/stat").read_text(errors="replace")
            fields = text[text.rindex(")") + 2:].split()
            tasks = [(int(fields[11]) + int(fields[12])) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")]
        total += sum(tasks)
    return total


def pss_kib(pids):
    """Proportional set sizes summed: what is shared is counted once."""
    total = 0
    for pid in pids:
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        total += int(re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE).group(1))
    return total


class Server:
    """A server of the bench. Subclasses say its name, its command and its version.

    label    how tables call it
    only     the names of the workloads that it can answer; None: all
    logs     it writes an access log, in the words of its own configuration: `logged` or `unlogged` of the class
    """

    program = None  # a peer's program; None: it is built here
    config = None  # its configuration, with @WORDS@, below bench/
    logged = unlogged = ""  # what @ACCESS_LOG@ stands for in it

    def __init__(self, bench, label, workers=1, only=None, logs=False):
        self.bench, self.label, self.workers, self.only, self.logs = bench, label, workers, only, logs
        self.process = None
        self.words = {}  # further @WORDS@ of its configuration
        self.starts = 0

    def is_here(self):
        return self.program is None or find_program(self.program) is not None

    def version(self):
        """The first line that names a version, from what the program says about itself."""
        done = subprocess.run([find_program(self.program), "-v"], capture_output=True, text=True)
        return next(line for line in (done.stdout + done.stderr).splitlines() if line).split(" (")[0]

    def command(self):
        raise NotImplementedError

    def fill_in(self, path):
        """Writes the configuration into the server's folder; returns where."""
        text = (HERE / path).read_text()
        text = text.replace("@ACCESS_LOG@", self.logged if self.logs else self.unlogged)
        words = {"PORT": self.port, "WWW": self.bench.www, "FOLDER": self.folder, "WORKERS": self.workers}
        words.update(self.words)
        for word, value in words.items():
            text = text.replace(f"@{word}@", str(value))
        target = self.folder / pathlib.Path(path).name
        target.write_text(text)
        return target

    # Beginning and end

    def start(self):
        self.starts += 1
        self.port = free_port()
        self.folder = self.bench.folder / f"{self.label.replace(' ', '-')}-{self.starts}"
        self.folder.mkdir()
        self.folder.chmod(0o777)  # a server started as root writes as another user
        self.log = []
        self.news = threading.Condition()
        command = [str(word) for word in self.command()]
        self.process = subprocess.Popen(self.bench.bound() + command, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
                                        cwd=self.folder, text=True)
        self.reader = threading.Thread(target=self.read_log, daemon=True)
        self.reader.start()
        self.wait_ready()
        self.pids = processes_below(self.process.pid)

    def read_log(self):
        for line in self.process.stdout:
            with self.news:
                self.log.append(line)
                self.news.notify_all()

    def wait_for_log(self, pattern, count, timeout=30):
        """Waits until `count` lines of the log match."""
        with self.news:
            if not self.news.wait_for(lambda: len([line for line in self.log if re.search(pattern, line)]) >= count,
                                      timeout):
                raise RuntimeError(f"{self.label}: not {count} lines like {pattern!r} after {timeout} s")

    def get(self, path):
        """Asks for a document on a connection of its own; returns (status, length of the body)."""
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=START_LIMIT_S)
        try:
            client.request("GET", path)
            answer = client.getresponse()
            return answer.status, len(answer.read())
        finally:
            client.close()

    def wait_ready(self):
        """Ready is a server that has answered; nobody tells us that it begins to listen, so we try."""
        deadline = time.monotonic() + START_LIMIT_S
        while True:
            try:
                status, length = self.get("/1k.bin")
                if (status, length) == (200, 1024):
                    return
                raise RuntimeError(f"{self.label}: /1k.bin is answered by {status} with {length} bytes")
            except ConnectionError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    raise RuntimeError(f"{self.label} did not start:\n{''.join(self.log)}") from None
                time.sleep(0.005)

    def stop(self):
        """Ends it and whatever it left."""
        pids = processes_below(self.process.pid)
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            for pid in pids:  # of our own process group, started above
                try:
                    if os.getpgid(pid) == self.process.pid or pid == self.process.pid:
                        os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.process.wait()
        self.reader.join(5)
        self.process = None
        shutil.rmtree(self.folder, ignore_errors=True)

    # Looking at it

    def cpu_ns(self):
        return cpu_ns(self.pids)

    def pss_kib(self):
        return pss_kib(processes_below(self.process.pid))


class Holdfast(Server):
    config = "holdfast.conf"
    logged, unlogged = "access_log @FOLDER@/access.log", "access_log off"

    def __init__(self, bench, label="holdfast", build=None, **options):
        super().__init__(bench, label, **options)
        self.build = build or bench.build

    def version(self):
        done = subprocess.run([self.build / "holdfast", "version"], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def command(self):
        return [self.build / "holdfast", "run", "-c", self.fill_in(self.config)]

    def status(self):
        done = subprocess.run([self.build / "holdfast", "status", "--json", "--control", self.folder / "control.sock"],
                              capture_output=True, text=True, check=True)
        return json.loads(done.stdout)


class Nginx(Server):
    program, config = "nginx", "peers/nginx.conf"
    logged, unlogged = "@FOLDER@/access.log", "off"

    def command(self):
        return [find_program(self.program), "-p", self.folder, "-c", self.fill_in(self.config)]


class BufferedNginx(Nginx):
    """Its lines are written when 64 KB have come together, or a second has gone by."""

    logged = "@FOLDER@/access.log combined buffer=64k flush=1s"


class Lighttpd(Server):
    program, config = "lighttpd", "peers/lighttpd.conf"
    logged, unlogged = '"mod_accesslog"', ""

    def command(self):
        return [find_program(self.program), "-D", "-f", self.fill_in(self.config)]


class H2o(Server):
    program, config = "h2o", "peers/h2o.conf"
    logged, unlogged = "access-log: @FOLDER@/access.log", ""

    def command(self):
        return [find_program(self.program), "-m", "worker", "-c", self.fill_in(self.config)]


class BareEpoll(Server):
    """The floor (bare_epoll.c): a constant answer, nothing looked up, nothing kept."""

    def version(self):
        return "bench/bare_epoll.c"

    def command(self):
        return [self.bench.build / "bench" / "bare_epoll", self.port, 1024]


class Haproxy(Server):
    """A proxy only."""

    program, config = "haproxy", "peers/haproxy.conf"

    def command(self):
        return [find_program(self.program), "-f", self.fill_in(self.config)]


class HoldfastProxy(Holdfast):
    config = "holdfast-proxy.conf"


class NginxProxy(Nginx):
    config = "peers/nginx-proxy.conf"


class NginxUpstream(Nginx):
    """What proxies have behind them."""

    config = "peers/nginx-upstream.conf"


class WebsocketUpstream(BareEpoll):
    """ws_upstream.c: agrees to each upgrade, and answers each frame."""

    def version(self):
        return "bench/ws_upstream.c"

    def command(self):
        return [self.bench.build / "bench" / "ws_upstream", self.port]


class Passes:
    """A TCP proxy before tunnel.c: it is ready, and warm, when a byte has come back."""

    def get(self, path):
        with socket.create_connection(("127.0.0.1", self.port), START_LIMIT_S) as client:
            client.sendall(b"e!")
            if client.recv(1) != b"!":
                raise ConnectionError(f"{self.label}: nothing comes back")
        return 200, 1024


class HoldfastTcp(Passes, Holdfast):
    config = "holdfast-tcp.conf"


class NginxStream(Passes, Nginx):
    config = "peers/nginx-stream.conf"
    module = pathlib.Path("/usr/lib/nginx/modules/ngx_stream_module.so")

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.words["MODULE"] = self.module

    def is_here(self):
        return super().is_here() and self.module.exists()


class HaproxyTcp(Passes, Haproxy):
    config = "peers/haproxy-tcp.conf"

    def __init__(self, *arguments, splice=False, **options):
        super().__init__(*arguments, **options)
        self.words["SPLICE"] = "option splice-auto" if splice else ""


class Upgrades:
    """A proxy of WebSockets before tunnel.c: ready when a byte has come back."""

    def get(self, path):
        with socket.create_connection(("127.0.0.1", self.port), START_LIMIT_S) as client:
            client.sendall(b"GET /e HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                           b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: SG9sZGZhc3QgYmVuY2ggIQ==\r\n\r\n")
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                byte = client.recv(1)
                if not byte:
                    raise ConnectionError(f"{self.label}: {head!r} and no more")
                head += byte
            if b" 101 " not in head:
                raise ConnectionError(f"{self.label}: {head!r}")
            client.sendall(b"\x82\x81\0\0\0\0!")
            if client.recv(1) != b"\x82":
                raise ConnectionError(f"{self.label}: nothing comes back")
        return 200, 1024


class HoldfastTunnels(Upgrades, HoldfastProxy):
    pass


class NginxTunnels(Upgrades, Nginx):
    config = "peers/nginx-websockets.conf"

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.words["BUFFERS"] = "proxy_buffer_size 64k; proxy_buffers 8 64k; proxy_busy_buffers_size 128k;"


class HaproxyTunnels(Upgrades, Haproxy):
    pass


class TunnelServer(Passes, Server):
    """What proxies of tunnels have behind them."""

    def version(self):
        return "bench/tunnel.c"

    def command(self):
        return [self.bench.build / "bench" / "tunnel", "serve", self.port]
