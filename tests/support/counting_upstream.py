"""An upstream server that counts what it executes, in a process of its own.

    POST /hash       answers the SHA-256 of the body, and counts the request's X-Id
    GET /events?N    N server-sent events, 10 ms apart, in chunks
    GET /bytes?N     N bytes of `pattern`
    GET /counts      {id: executions}
    GET /echo        with Upgrade: every byte that comes goes back, until the end; first a greeting
"""

import asyncio
import hashlib
import json

from forked import Forked

GREETING = b"the first bytes come with the handshake"
PERIOD = 65521  # a prime: no two blocks of the pattern are alike


def pattern(start, length):
    """Bytes [start, start + length) of an endless pattern."""
    whole = bytes((i * 31 + i // 256) % 256 for i in range(PERIOD))
    at = start % PERIOD
    return (whole[at:] + whole * (length // PERIOD + 1))[:length]


async def read_body(reader, headers):
    body = hashlib.sha256()
    if headers.get("transfer-encoding") == "chunked":
        while length := int(await reader.readline(), 16):
            body.update(await reader.readexactly(length))
            await reader.readexactly(2)
        while (await reader.readline()).strip():
            pass
    else:
        left = int(headers.get("content-length", 0))
        while left:
            data = await reader.read(min(left, 65536))
            if not data:
                raise EOFError
            body.update(data)
            left -= len(data)
    return body.hexdigest()


async def answer_events(writer, count):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    for number in range(count):
        data = b"data: %d\n\n" % number
        writer.write(b"%x\r\n%s\r\n" % (len(data), data))
        await writer.drain()
        await asyncio.sleep(0.01)
    writer.write(b"0\r\n\r\n")


async def answer_bytes(writer, length):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length)
    for at in range(0, length, 1 << 18):
        writer.write(pattern(at, min(1 << 18, length - at)))
        await writer.drain()


async def echo(reader, writer):
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n" + GREETING)
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


async def serve(reader, writer, counts):
    try:
        while line := await reader.readline():
            _, target, _ = line.decode().split(" ", 2)
            headers = {}
            while (line := await reader.readline()).strip():
                name, _, value = line.decode().partition(":")
                headers[name.lower()] = value.strip()
            path, _, argument = target.partition("?")
            if path == "/echo":
                await echo(reader, writer)
                return
            digest = await read_body(reader, headers)
            if path == "/events":
                await answer_events(writer, int(argument))
            elif path == "/bytes":
                await answer_bytes(writer, int(argument))
            else:
                body = json.dumps(counts).encode() if path == "/counts" else digest.encode()
                if path == "/hash":
                    counts[headers["x-id"]] = counts.get(headers["x-id"], 0) + 1
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            await writer.drain()
    except (ConnectionError, EOFError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


class CountingUpstream(Forked):
    """Runs while it is entered: `addresses` are those of TCP and of the Unix socket."""

    def __init__(self, folder):
        counts = {}  # of its process
        super().__init__(folder / "counting.sock", lambda reader, writer: serve(reader, writer, counts))
