"""Servers behind a TCP proxy: one whose connections the test plays by hand, and one that echoes, in a process of its own."""

import asyncio
import socket
import struct

from forked import Forked


def reset(connection):
    """Ends a connection with a RST."""
    if connection.family != socket.AF_UNIX:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def read_to_end(connection):
    data = bytearray()
    while more := connection.recv(1 << 16):
        data += more
    return bytes(data)


def read_exactly(connection, length):
    data = bytearray()
    while len(data) < length:
        more = connection.recv(length - len(data))
        assert more, f"ended after {len(data)} of {length} bytes"
        data += more
    return bytes(data)


class Backend:
    """Listens as long as it is entered; `accept` gives the next connection. `kind`: tcp or unix."""

    def __init__(self, kind="tcp", folder=None, backlog=128):
        if kind == "tcp":
            self.socket = socket.create_server(("127.0.0.1", 0), backlog=backlog)
            self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"
        else:
            self.path = folder / f"backend{id(self)}.sock"
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.bind(str(self.path))
            self.path.chmod(0o777)
            self.socket.listen(backlog)
            self.address = f"unix:{self.path}"
        self.socket.settimeout(20)
        self.accepted = []

    def accept(self, timeout=20):
        self.socket.settimeout(timeout)
        connection, _ = self.socket.accept()
        connection.settimeout(20)
        self.accepted.append(connection)
        return connection

    def has_another(self):
        """Whether somebody waits to be accepted."""
        try:
            self.accept(timeout=0)
        except BlockingIOError:
            return False
        return True

    def close(self):
        for connection in self.accepted:
            connection.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


async def until_line(reader, writer):
    """Everything up to a line break goes back."""
    line = await reader.readline()
    writer.write(line)
    await writer.drain()


async def echo(reader, writer, greeting, has_modes):
    try:
        writer.write(greeting)
        mode = await reader.readexactly(1) if has_modes else b"e"
        if mode == b"e":
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
            writer.write_eof()
            return
        await until_line(reader, writer)
        if mode == b"q":
            writer.write_eof()
            while await reader.read(1 << 16):
                pass
        else:
            reset_when_sent(writer)
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


def reset_when_sent(writer):
    connection = writer.get_extra_info("socket")
    if connection.family != socket.AF_UNIX:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Echo(Forked):
    """Sends a greeting, and everything back, until the end. Runs while it is entered; `addresses` are those of TCP and of the
    Unix socket. With modes, the first byte says how a connection ends: crash/scenario_tunnel.h."""

    def __init__(self, folder, greeting=b"", has_modes=False):
        super().__init__(folder / "echo.sock", lambda reader, writer: echo(reader, writer, greeting, has_modes))
