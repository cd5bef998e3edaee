"""slowhttptest against a server with room for fewer connections than it opens, while others go on."""

import shutil
import socket
import subprocess
import time

import pytest
from clients import Client, request

pytestmark = [pytest.mark.variants("hooks", "release"), pytest.mark.dear("hooks"), pytest.mark.alone, pytest.mark.limit(120)]

OTHERS = "127.0.0.2"  # slowhttptest comes from 127.0.0.1
SECONDS = 5
PIECE = 4096  # of a download, in each round

CONFIG = """workers 1
control {control}
drain 1s
max_connections 1000
max_connections_per_client {limit}
site 127.0.0.1:{port} {
    files {www}
}
"""

# What it opens is above `max_connections` only where that may be: slow bodies and slow readers are at work, and what is at
# work is not closed for others. Against those there is the limit of a client.
ATTACKS = {
    "slow-headers": (["-H", "-c", "1500"], "off", "/large.bin"),
    "slow-bodies": (["-B", "-c", "1500", "-s", "100000"], "900", "/_test/hash"),
    "slow-readers": (["-X", "-c", "1500", "-w", "1", "-y", "2", "-z", "1", "-k", "1"], "900", "/large.bin"),
    "ranges": (["-R", "-c", "1000", "-a", "1", "-b", "3000"], "900", "/large.bin"),
}


def connect(server):
    return socket.create_connection(("127.0.0.1", server.port), timeout=10, source_address=(OTHERS, 0))


def ask_afresh(server):
    """The time that a request on a connection of its own took."""
    started = time.monotonic()
    with connect(server) as connection:
        connection.sendall(request("/", headers="Connection: close\r\n"))
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert received.startswith(b"HTTP/1.1 200 ") and received.endswith(b"index\n")
    return time.monotonic() - started


@pytest.mark.skipif(not shutil.which("slowhttptest"), reason="slowhttptest is not installed")
@pytest.mark.parametrize("attack", ATTACKS)
def test_others_lose_nothing(start_server, variant, attack, record_property):
    options, limit, path = ATTACKS[attack]
    config = CONFIG.replace("{limit}", limit)
    if variant == "hooks":
        config = "test_hooks on\n" + config
    elif path.startswith("/_test/"):
        pytest.skip("nothing in this build takes a body")
    server = start_server(config=config)
    (server.www / "index.html").write_bytes(b"index\n")
    (server.www / "large.bin").write_bytes(b"x" * (64 << 20))
    with open(server.www / "endless.bin", "wb") as endless:
        endless.truncate(16 << 30)  # a hole: however quick the machine is, nobody comes to its end
    downloads = [Client(server, receive_buffer=65536) for _ in range(5)]
    for client in downloads:
        client.send("/endless.bin")
        assert client.head()[0] == 200
    command = ["slowhttptest", *options, "-r", "500", "-i", "2", "-l", str(SECONDS), "-p", "3", "-x", "10",
               "-u", f"http://127.0.0.1:{server.port}{path}"]
    times, taken = [], 0
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as attacker:
        while attacker.poll() is None:
            times.append(ask_afresh(server))
            for client in downloads:
                taken += len(client.file.read(PIECE))
    assert len(times) > 20 and max(times) < 5
    assert taken == len(times) * len(downloads) * PIECE, "the downloads went on"
    status = server.status()["workers"][0]
    assert (status["revivals"], status["poisoned"]) == (0, 0)
    record_property("others", f"{len(times)} answers, the slowest took {max(times):.2f} s")
    for client in downloads:
        client.close()
