"""`max_connections_per_client` holds over all workers, whoever of them dies; and nothing of it leaks."""

import asyncio
import contextlib
import random

import pytest
from killers import ACCEPT_BY_BUILD, Killing, long_or_short, wait_settled

pytestmark = [pytest.mark.variants("hooks", "release", "asan"), pytest.mark.limit(120)]

LIMIT = 20
CLIENT = "127.0.0.2"
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
CONFIG = """workers 3
control {control}
max_connections_per_client %d
listen 127.0.0.1:{port} {
    accept ACCEPT
}
site 127.0.0.1:{port} {
    files {www}
}
""" % LIMIT


async def open_one(port):
    """A connection that has had its answer: (reader, writer, status)."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(CLIENT, 0))
    with contextlib.suppress(ConnectionError):  # who is turned away is told at once
        writer.write(REQUEST)
    return reader, writer, await read_answer(reader)


async def read_answer(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    await reader.readexactly(length)
    return int(head.split()[1])


class Crowd:
    """Many connections of one client. `held` are those that were served and that we have not begun to close."""

    def __init__(self, port, seed):
        self.port, self.random = port, random.Random(seed)
        self.held = self.most = self.served = self.refused = 0

    async def come_and_go(self, until):
        while asyncio.get_running_loop().time() < until:
            reader, writer, status = await open_one(self.port)
            assert status in (200, 503)
            if status == 200:
                self.served += 1
                self.held += 1
                self.most = max(self.most, self.held)
                await asyncio.sleep(self.random.uniform(0, 0.02))
                writer.write(REQUEST)
                assert await read_answer(reader) == 200, "who was let in stays"
                self.held -= 1
            else:
                self.refused += 1
            writer.close()

    async def run(self, seconds):
        until = asyncio.get_running_loop().time() + seconds
        await asyncio.gather(*(self.come_and_go(until) for _ in range(2 * LIMIT)))


async def statuses_of(port, count):
    opened = [await open_one(port) for _ in range(count)]
    for _, writer, _ in opened:
        writer.close()
    return [status for _, _, status in opened]


@pytest.mark.parametrize("accept", ACCEPT_BY_BUILD)
def test_a_client_never_has_more_connections_than_its_limit_though_workers_are_killed(start_server, accept, seed,
                                                                                    record_property):
    server = start_server(config=CONFIG.replace("ACCEPT", accept))
    server.slots = 3
    (server.www / "index.html").write_bytes(b"index\n")
    wait_settled(server)
    crowd = Crowd(server.port, seed)
    with Killing(server, seed) as killing:
        asyncio.run(crowd.run(long_or_short(60, 4)))
    record_property("clients", f"{crowd.served} served, {crowd.refused} refused, {killing.kills} kills")
    assert crowd.most == LIMIT, f"{crowd.most} connections at once"
    assert crowd.served > 100 and crowd.refused > 10 and killing.kills > 10
    for _ in range(2):
        wait_settled(server)
        server.wait_for(lambda s: not sum(worker["connections"] for worker in s.status()["workers"]))
        assert asyncio.run(statuses_of(server.port, LIMIT + 2)) == [200] * LIMIT + [503] * 2
