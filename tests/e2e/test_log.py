"""The error log is for people; nobody's connection depends on it."""

import fcntl
import os
import signal
import subprocess

import holdfast
import pytest
from clients import Client, kill, until

pytestmark = [pytest.mark.variants("hooks", "release", "asan")]

F_SETPIPE_SZ = 1031


def workers(server):
    """The workers that are there; the next one may not be yet."""
    return [pid for pid, facts in holdfast.descendants(server.pid).items() if facts[1] == "holdfast-worker" and facts[2] != "Z"]


@pytest.mark.dear("release")
def test_a_log_that_nobody_reads_stops_nobody(folder, build):
    """Standard error is a small pipe, full after some lines: lines are dropped and counted, clients are served."""
    port, www = holdfast.free_port(), folder / "www"
    www.mkdir()
    (www / "index.html").write_text("index\n")
    config = folder / "holdfast.conf"
    config.write_text(f"workers 1\nuser root\ncontrol {folder}/control.sock\n"
                      f"site 127.0.0.1:{port} {{\n    files {www}\n}}\n" if not os.geteuid() else
                      f"workers 1\ncontrol {folder}/control.sock\nsite 127.0.0.1:{port} {{\n    files {www}\n}}\n")
    reading, writing = os.pipe()
    fcntl.fcntl(writing, F_SETPIPE_SZ, 16384)
    server = subprocess.Popen([build / "holdfast", "run", "-c", config], stdout=writing, stderr=writing)
    try:
        def answers():
            try:
                with Client(port) as client:
                    return client.get("/").body == b"index\n"
            except ConnectionRefusedError:
                return False

        until(answers, "the server is there")
        with Client(port) as client:
            for _ in range(80):
                until(lambda: workers(server), "a worker is there")
                for pid in workers(server):
                    kill(pid)
                assert client.get("/").body == b"index\n"
            os.set_blocking(reading, False)
            assert b"event=worker_died" in os.read(reading, 1 << 16)
            until(lambda: workers(server), "a worker is there")
            for pid in workers(server):
                kill(pid)  # there is room again
            assert client.get("/").body == b"index\n"
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0
        assert b"event=log_lines_lost lines=" in os.read(reading, 1 << 16)
    finally:
        if server.poll() is None:
            server.kill()
            server.wait()
        os.close(reading)
        os.close(writing)
