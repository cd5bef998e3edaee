"""A server for tests in a process of its own, so that the test's own work does not hold it up: on a port of 127.0.0.1, and on a
Unix socket.

    with Forked(path, serve) as server:    # serve(reader, writer): a coroutine for each connection (asyncio)
        server.addresses["tcp"], server.addresses["unix"]"""

import asyncio
import multiprocessing
import os

BACKLOG = 1024


async def run(path, serve, ready):
    tcp = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=BACKLOG)
    unix = await asyncio.start_unix_server(serve, path, backlog=BACKLOG)
    os.chmod(path, 0o777)  # workers may be another user
    ready.send(tcp.sockets[0].getsockname()[1])
    await asyncio.gather(tcp.serve_forever(), unix.serve_forever())


class Forked:
    def __init__(self, path, serve):
        self.path, self.serve = str(path), serve

    def __enter__(self):
        here, there = multiprocessing.Pipe()
        self.process = multiprocessing.get_context("fork").Process(
            target=lambda: asyncio.run(run(self.path, self.serve, there)), daemon=True)
        self.process.start()
        self.addresses = {"tcp": f"127.0.0.1:{here.recv()}", "unix": f"unix:{self.path}"}
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.join()
