"""An upstream server for tests: a socket that notes the exact bytes of each request and answers by a script.

    with Upstream() as upstream:                       # a port of 127.0.0.1; Upstream(path="/x.sock"): a Unix socket
        upstream.script = lambda call: call.answer(200, b"hello")
        ...
        upstream.requests[0].head, .body, .raw, .trailers, .connection
        upstream.connections                           # how many were accepted
    upstream.headers                               # of each, with Upstream(has_headers=True): (number, proxy_protocol.Header)
        upstream.executions["id"]                      # how often a request with `X-Id: id` came whole

The script is called in a thread of the connection when the head of a request has come. It reads the body if it likes
(`call.read_body()`), writes what it likes (`call.send(bytes)`), and ends the connection with `call.close()` or
`call.reset()`; otherwise the next request is read. `call.wait(event)` waits until the test lets it go on. The body that a
script has not read is read, and noted, before the next request."""

import contextlib
import collections
import os
import re
import socket
import struct
import threading

from proxy_protocol import read_header

WAIT_S = 30


class Ended(Exception):
    """The other side, or the script, has ended the connection."""


def parse_head(raw):
    """The request line, and the fields as pairs in their order, names in lower case."""
    lines = raw.decode("latin-1").split("\r\n")
    fields = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines[1:] if line)]
    return lines[0], fields


class Request:
    def __init__(self, raw_head, connection):
        self.head = self.raw = raw_head
        self.connection = connection  # its number, from 0
        self.line, self.fields = parse_head(raw_head)
        self.method, self.target = self.line.split(" ")[:2]
        self.body = b""
        self.trailers = b""
        self.is_whole = False

    def values(self, name):
        return [value for field, value in self.fields if field == name.lower()]

    def value(self, name):
        values = self.values(name)
        assert len(values) < 2, f"{name} stands there {len(values)} times: {values}"
        return values[0] if values else None


class Call:
    """One request that is being answered."""

    def __init__(self, upstream, connection, request):
        self.upstream, self.connection, self.request = upstream, connection, request

    def read_body(self):
        """The rest of the body, which is noted in the request. Raises Ended if it breaks off."""
        if not self.request.is_whole:
            self.connection.read_body(self.request)
            self.upstream.note_whole(self.request)
        return self.request.body

    def send(self, data):
        self.connection.socket.sendall(data)

    def answer(self, status=200, body=b"", fields=""):
        """A whole answer with Content-Length, after the body of the request."""
        self.read_body()
        self.send(f"HTTP/1.1 {status} Text\r\nContent-Length: {len(body)}\r\n{fields}\r\n".encode() + body)

    def wait(self, event):
        if not event.wait(WAIT_S):
            raise AssertionError("the test did not let the upstream go on")

    def close(self):
        raise Ended

    def reset(self):
        self.connection.reset()
        raise Ended


class Connection:
    def __init__(self, connected, number):
        self.socket, self.number = connected, number
        self.file = connected.makefile("rb", buffering=65536)

    def line(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise Ended
        return line

    def exactly(self, length):
        data = self.file.read(length)
        if len(data) != length:
            raise Ended
        return data

    def read_head(self):
        raw = b""
        while not raw.endswith(b"\r\n\r\n"):
            raw += self.line()
        return raw

    def read_body(self, request):
        if request.value("transfer-encoding") == "chunked":
            parts = []
            while True:
                line = self.line()
                request.raw += line
                size = int(line, 16)
                if not size:
                    break
                data = self.exactly(size + 2)
                assert data.endswith(b"\r\n"), data[-20:]
                request.raw += data
                parts.append(data[:-2])
            request.body = b"".join(parts)
            while (line := self.line()) != b"\r\n":
                request.trailers += line
            request.raw += request.trailers + line
        elif request.value("content-length"):
            request.body = self.exactly(int(request.value("content-length")))
            request.raw += request.body
        request.is_whole = True

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self):
        self.file.close()
        self.socket.close()


class Upstream:
    def __init__(self, path=None, port=0, script=None, backlog=128, receive_buffer=None,
                 has_headers=False):
        self.script = script or (lambda call: call.answer())
        self.path, self.has_headers = path, has_headers
        self.listener = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        if not path:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if receive_buffer:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.listener.bind(str(path) if path else ("127.0.0.1", port))
        if path:
            os.chmod(path, 0o666)  # for workers that run as nobody
        self.listener.listen(backlog)
        self.port = None if path else self.listener.getsockname()[1]
        self.address = f"unix:{path}" if path else f"127.0.0.1:{self.port}"
        self.requests, self.connections, self.ended, self.errors = [], 0, 0, []
        self.executions, self.headers = collections.Counter(), []
        self.news = threading.Condition()
        self.open = {}
        self.is_closing = False
        self.accepter = threading.Thread(target=self._accept, daemon=True)
        self.accepter.start()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.stop()
        if kind is None and self.errors:
            raise self.errors[0]

    def stop(self):
        """Listens no more, and ends all connections."""
        self.is_closing = True
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.accepter.join(WAIT_S)
        self.listener.close()
        with self.news:
            for connection in list(self.open.values()):
                try:
                    connection.socket.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def close_idle(self):
        """Ends the connections at which no request is under way, and others when theirs is answered."""
        with self.news:
            for connection in self.open.values():
                connection.is_last = True
                if connection.is_idle:
                    with contextlib.suppress(OSError):  # it has ended at this moment
                        connection.socket.shutdown(socket.SHUT_RDWR)

    def note_whole(self, request):
        with self.news:
            for name in request.values("x-id"):
                self.executions[name] += 1
            self.news.notify_all()

    def wait_for(self, condition, timeout=20):
        """Waits until condition(self) is true, and returns what it returned."""
        with self.news:
            assert self.news.wait_for(lambda: condition(self), timeout), \
                f"not within {timeout} s; requests: {[request.line for request in self.requests]}"
            return condition(self)

    def wait_for_requests(self, count, timeout=20):
        self.wait_for(lambda upstream: len(upstream.requests) >= count, timeout)

    def _accept(self):
        while not self.is_closing:
            try:
                connected, _ = self.listener.accept()
            except OSError:
                return
            with self.news:
                connection = Connection(connected, self.connections)
                connection.is_idle, connection.is_last = True, False
                self.connections += 1
                self.open[connection.number] = connection
                self.news.notify_all()
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            if self.has_headers:
                header = read_header(connection.exactly, connection.line)
                with self.news:
                    self.headers.append((connection.number, header))
                    self.news.notify_all()
            while True:
                request = Request(connection.read_head(), connection.number)
                with self.news:
                    connection.is_idle = False
                    self.requests.append(request)
                    self.news.notify_all()
                call = Call(self, connection, request)
                self.script(call)
                call.read_body()
                with self.news:
                    connection.is_idle = True
                    if connection.is_last:
                        raise Ended
        except (Ended, OSError, ValueError):
            pass
        except BaseException as error:  # also an assertion of the script
            self.errors.append(error)
        finally:
            try:
                connection.close()
            except OSError:
                pass
            with self.news:
                self.open.pop(connection.number, None)
                self.ended += 1
                self.news.notify_all()


def by_path(scripts):
    """A script that chooses by the request's path."""

    def choose(call):
        scripts[re.sub(r"\?.*", "", call.request.target)](call)

    return choose
