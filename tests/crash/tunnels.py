"""Connections that are passed on byte by byte, to a server that echoes: every byte must come back, in order, once."""

import asyncio
import random

from counting_upstream import GREETING, pattern


async def connect(target):
    """(reader, writer) for 127.0.0.1:PORT or unix:PATH."""
    if target.startswith("unix:"):
        return await asyncio.open_unix_connection(target.removeprefix("unix:"))
    host, _, port = target.rpartition(":")
    return await asyncio.open_connection(host, int(port))


class Tunnel:
    """One after the other; either side may end first."""

    def __init__(self, target, name, lot, is_bulk):
        self.target, self.name, self.lot, self.is_bulk, self.echoed, self.tunnels = target, name, lot, is_bulk, 0, 0

    async def begin(self):
        """What comes before the greeting."""

    async def write(self, until):
        at = 0
        while asyncio.get_running_loop().time() < until and at < self.limit:
            size = 60_000 if self.is_bulk else self.lot.choice([1, 2, 125, 126, 4095, 4096, 16384, 65535, 65536])
            self.writer.write(pattern(at, size))
            at += size
            await self.writer.drain()
            if not self.is_bulk:
                await asyncio.sleep(self.lot.uniform(0, 0.03))
        self.writer.write_eof()
        return at

    async def read(self):
        assert await self.reader.readexactly(len(GREETING)) == GREETING, self.name
        at = 0
        while data := await self.reader.read(65536):
            assert data == pattern(at, len(data)), f"{self.name}: wrong bytes at {at}"
            at += len(data)
        return at

    async def talk(self, until):
        while asyncio.get_running_loop().time() < until:
            self.limit = self.lot.randrange(1, 20_000_000)
            self.reader, self.writer = await connect(self.target)
            await self.begin()
            written, read = await asyncio.gather(self.write(until), self.read())
            assert written == read, f"{self.name}: {written} bytes went, {read} came back"
            self.echoed += read
            self.tunnels += 1
            self.writer.close()


class Upgraded(Tunnel):
    """The same behind an upgrade."""

    async def begin(self):
        self.writer.write(b"GET /echo HTTP/1.1\r\nHost: a\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
        head = await self.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), f"{self.name}: {head!r}"
        assert b"\r\nUpgrade: echo\r\n" in head and b"\r\nConnection: upgrade\r\n" in head


async def tunnel(kind, targets, seconds, count, seed):
    """`count` at a time for so long; (tunnels, bytes that came back)."""
    until = asyncio.get_running_loop().time() + seconds
    tunnels = [kind(targets[i % len(targets)], f"tunnel{i}", random.Random(f"{seed}{i}"), i % 10 == 0) for i in range(count)]
    await asyncio.gather(*(one.talk(until) for one in tunnels))
    return sum(one.tunnels for one in tunnels), sum(one.echoed for one in tunnels)
