"""Other people's proxies, as peers of a test: haproxy and nginx with a configuration that the test writes."""

import pathlib
import shutil
import socket
import subprocess
import time

WAIT_S = 20
STREAM_MODULE = pathlib.Path("/usr/lib/nginx/modules/ngx_stream_module.so")


def program(name):
    return next((path for path in (f"/usr/sbin/{name}", shutil.which(name)) if path and pathlib.Path(path).exists()), None)


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
        return True
    except OSError:
        return False


class Peer:
    """Runs until it is left; it listens on `ports` when it is entered."""

    def __init__(self, command, ports):
        self.command, self.ports, self.process = [str(word) for word in command], ports, None

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + WAIT_S
        while not all(listens(port) for port in self.ports):
            assert self.process.poll() is None, f"{self.command[0]} has ended: {self.process.stderr.read()}"
            assert time.monotonic() < deadline, f"{self.command[0]} does not listen"
            time.sleep(0.02)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(WAIT_S)
        self.process.stderr.close()


def haproxy(folder, text, ports):
    path = folder / "haproxy.cfg"
    path.write_text(f"global\n    maxconn 200\ndefaults\n    timeout connect 5s\n    timeout client 30s\n"
                    f"    timeout server 30s\n{text}\n")
    return Peer([program("haproxy"), "-db", "-f", path], ports)


def nginx(folder, text, ports):
    """With `text` beside `events`: blocks `http` or `stream`."""
    path = folder / "nginx.conf"
    module = f"load_module {STREAM_MODULE};" if STREAM_MODULE.exists() else ""
    path.write_text(f"{module}\ndaemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.error;\n"
                    f"events {{ worker_connections 128; }}\n{text}\n")
    return Peer([program("nginx"), "-p", folder, "-c", path, "-e", f"{folder}/nginx.error"], ports)
