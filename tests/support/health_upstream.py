"""An upstream server that a test can stop, start again, slow down, and ask what it saw.

    with Upstream("one") as one:
        one.health = 503               # the status that /health answers with
        one.hold(); one.release()      # requests wait meanwhile; those for /health do too if hold(checks=True)
        one.stop(); one.start()        # the same port; connections are reset
        one.paths, one.checks          # what came: paths, and when each check did (time.monotonic)
        one.most                       # requests under way at a time, at most
        one.padding = 100000           # bytes behind the name
        one.gather = 4                 # each waits a moment until there are so many

It answers anything but /health with its name."""

import http.server
import os
import pathlib
import socket
import socketserver
import struct
import threading
import time

HEALTH = "/health"
GATHER_S = 0.02


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        upstream = self.server.upstream
        status = upstream.began(self.path, dict(self.headers))
        body = b"" if status == 204 else upstream.name.encode() + b" " * upstream.padding
        upstream.ended(self.path)  # before a byte of the answer is sent
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Listening(http.server.ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def get_request(self):
        connection, peer = super().get_request()
        self.upstream.connections.append(connection.dup())
        return connection, peer

    def handle_error(self, *_):
        pass  # the peer has gone, or we have


class ListeningUnix(Listening):
    address_family = socket.AF_UNIX

    def server_bind(self):
        socketserver.TCPServer.server_bind(self)
        os.chmod(self.server_address, 0o666)  # workers may be another user
        self.server_name, self.server_port = "localhost", 0


class Upstream:
    def __init__(self, name, port=0, host="127.0.0.1", path=None):
        """`path`: a Unix socket instead."""
        self.name, self.host, self.port, self.path = name, host, port, path
        self.news = threading.Condition()
        self.health = 200
        self.paths, self.headers, self.checks, self.connections = [], [], [], []
        self.is_held = self.checks_are_held = False
        self.active = self.most = self.gather = self.padding = 0
        self.server = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.release()
        self.stop()

    @property
    def address(self):
        return f"unix:{self.path}" if self.path else f"{self.host}:{self.port}"

    def start(self):
        if self.path:
            pathlib.Path(self.path).unlink(missing_ok=True)
            self.server = ListeningUnix(str(self.path), Handler)
        else:
            self.server = Listening((self.host, self.port), Handler)
            self.port = self.server.server_address[1]
        self.server.upstream = self
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()
        self.started = time.monotonic()

    def stop(self):
        if self.server is None:
            return
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
        self.server = None
        if self.path:
            pathlib.Path(self.path).unlink()
        for connection in self.connections:
            try:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it has ended
            connection.close()
        self.connections = []

    def hold(self, checks=False):
        with self.news:
            self.is_held, self.checks_are_held = True, checks

    def release(self):
        with self.news:
            self.is_held = self.checks_are_held = False
            self.news.notify_all()

    def began(self, path, headers):
        with self.news:
            is_check = path == HEALTH
            if is_check:
                self.checks.append(time.monotonic())
            else:
                self.active += 1
                self.most = max(self.most, self.active)
                self.paths.append(path)
            self.headers.append(headers)
            self.news.notify_all()
            if self.gather and not is_check:
                self.news.wait_for(lambda: self.active >= self.gather, GATHER_S)
            self.news.wait_for(lambda: not (self.checks_are_held if is_check else self.is_held))
            return self.health if is_check else 200

    def ended(self, path):
        with self.news:
            self.active -= path != HEALTH
            self.news.notify_all()

    def wait_for(self, predicate, timeout=10):
        with self.news:
            assert self.news.wait_for(lambda: predicate(self), timeout), f"{self.name} did not see it in {timeout} s"
