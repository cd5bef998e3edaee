"""A core dump takes seconds; the connections do not wait for it.

The kernel hands dumps to a program here that takes its time (core(5), a pattern that begins with a pipe), so the test
needs root and puts the machine's own pattern back."""

import os
import pathlib
import time

import pytest
from killers import Client, wait_settled

PATTERN = pathlib.Path("/proc/sys/kernel/core_pattern")

pytestmark = [pytest.mark.variants("hooks"), pytest.mark.alone]


@pytest.fixture
def slow_dumps(folder):
    """Dumps that do not end before the returned file exists."""
    if os.geteuid() or not os.access(PATTERN, os.W_OK):
        pytest.skip("setting the core pattern needs root")
    go = folder / "go"
    script = folder / "dump.sh"
    script.write_text(f"#!/bin/sh\nfor i in $(seq 600); do test -e {go} && break; /bin/sleep 0.05; done\n"
                      "/bin/cat > /dev/null\n")
    script.chmod(0o755)
    folder.chmod(0o755)
    before = PATTERN.read_text()
    PATTERN.write_text(f"|{script}")
    yield go
    PATTERN.write_text(before)
    go.touch()


def test_a_revival_does_not_wait_for_the_core_dump(slow_dumps, start_victim):
    server = start_victim(workers=1, top="core_dumps on\n", plants_crashes=True)
    worker = wait_settled(server)["workers"][0]["pid"]
    witness = Client(server)
    assert witness.get("/small-012")[0] == 200
    assert Client(server).get("/_test/crash?how=segv")[0] == 500
    assert witness.get("/small-012")[0] == 200
    dumping = pathlib.Path(f"/proc/{worker}/status").read_text()
    assert "CoreDumping:\t1" in dumping, "the dump is still being written while clients are served"
    slow_dumps.touch()
    server.wait_for_log(rf"event=process_reaped pid={worker} kind=dumped_worker")
    began = time.monotonic()
    assert witness.get("/small-012")[0] == 200
    assert time.monotonic() - began < 5
