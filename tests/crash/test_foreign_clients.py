"""Clients that are not ours, with and without a worker that dies: none of them may notice."""

import contextlib
import hashlib
import http.client
import re
import shutil
import subprocess

import pytest
from killers import Killing, long_or_short

pytestmark = [pytest.mark.variants("hooks", "release"), pytest.mark.dear("release"), pytest.mark.limit(120)]

SMALL = b"0123456789" * 100
LARGE = bytes(range(256)) * 40000
REQUESTS = long_or_short(100000, 3000)

CONFIG = """workers 1
control {control}
drain 5s
site 127.0.0.1:{port} {
    files {www}
}
"""


@pytest.fixture(params=["alive", "killed"])
def server(request, start_server, seed):
    server = start_server(config=CONFIG)
    server.url = f"http://127.0.0.1:{server.port}"
    (server.www / "small").write_bytes(SMALL)
    (server.www / "large").write_bytes(LARGE)
    with Killing(server, seed) if request.param == "killed" else contextlib.nullcontext():
        yield server


def run(*command, **options):
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run([str(word) for word in command], capture_output=True, timeout=100, **options)
    assert done.returncode == 0, f"{command[0]} exited with {done.returncode}: {done.stderr[-2000:]!r}"
    return done.stdout


def test_curl_has_every_byte_on_one_connection(server):
    urls = [word for _ in range(10) for word in (f"{server.url}/small", f"{server.url}/large")]
    connections = "%{stderr}%{num_connects}\n"
    done = subprocess.run(["curl", "-sS", "--no-progress-meter", "-w", connections, *urls], capture_output=True,
                          timeout=100)
    assert done.returncode == 0 and done.stdout == (SMALL + LARGE) * 10
    assert done.stderr.split() == [b"1"] + [b"0"] * 19


def test_curl_can_resume_and_reads_why_an_upload_is_refused(server, folder):
    (folder / "part").write_bytes(LARGE[:5000])
    run("curl", "-sS", "-C", "-", "-o", folder / "part", f"{server.url}/large")
    assert (folder / "part").read_bytes() == LARGE
    (folder / "upload").write_bytes(b"x" * (4 << 20))  # large enough for `Expect: 100-continue`
    for expect in ([], ["-H", "Expect:"]):
        said = run("curl", "-sS", "-w", "%{http_code}", *expect, "--data-binary", f"@{folder}/upload", f"{server.url}/small")
        assert said.endswith(b"405") and b"method_not_allowed" in said


def test_wget_has_every_byte(server):
    assert run("wget", "-q", "--tries=1", "-O", "-", f"{server.url}/large", f"{server.url}/small") == LARGE + SMALL


def test_ab_has_no_failed_request(server):
    for flags in (["-k"], []):
        said = run("ab", "-q", "-n", REQUESTS, "-c", 20, *flags, f"{server.url}/small").decode()
        assert re.search(rf"^Complete requests: +{REQUESTS}$", said, re.MULTILINE), said
        assert re.search(r"^Failed requests: +0$", said, re.MULTILINE) and "Non-2xx" not in said, said


def test_wrk_sees_no_error(server):
    said = run("wrk", "-t", 1, "-c", 30, "-d", f"{long_or_short(30, 3)}s", f"{server.url}/small").decode()
    assert "requests in" in said and "Socket errors" not in said and "Non-2xx" not in said, said


def test_h2load_over_http_1_has_no_failed_request(server):
    said = run("h2load", "--h1", "-n", REQUESTS, "-c", 20, f"{server.url}/small").decode()
    assert f"{REQUESTS} succeeded, 0 failed, 0 errored, 0 timeout" in said, said


def test_hey_has_no_failed_request(server):
    for flags in ([], ["-disable-keepalive"]):
        said = run("hey", "-n", REQUESTS, "-c", 20, *flags, f"{server.url}/small").decode()
        # One line for each status that came; errors have a part of their own.
        assert re.findall(r"\[(\d+)\]\t(\d+) responses", said) == [("200", str(REQUESTS))], said
        assert "Error distribution" not in said, said


def test_python_goes_on_over_one_connection(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.connect()
    socket = connection.sock
    for i in range(REQUESTS // 10):
        connection.request("GET", "/large" if i % 100 == 0 else "/small")
        response = connection.getresponse()
        assert response.status == 200 and response.read() == (LARGE if i % 100 == 0 else SMALL)
    assert connection.sock is socket
    connection.close()


NODE = """
const http = require('http'), crypto = require('crypto');
const agent = new http.Agent({keepAlive: true, maxSockets: 5});
let left = COUNT, sockets = new Set();
function ask(path, then) {
    http.get({host: '127.0.0.1', port: PORT, path, agent}, response => {
        const hash = crypto.createHash('sha256');
        sockets.add(response.socket);
        response.on('data', data => hash.update(data));
        response.on('end', () => then(response.statusCode + ' ' + hash.digest('hex')));
    }).on('error', error => { console.log('error', error.message); process.exit(1); });
}
const seen = {};
function next() {
    if (left-- <= 0) return;
    const path = left % 50 ? '/small' : '/large';
    ask(path, answer => { seen[path + ' ' + answer] = 1; next(); });
}
for (let i = 0; i < 5; i++) next();
process.on('exit', () => console.log(Object.keys(seen).sort().join('\\n') + '\\nsockets ' + sockets.size));
"""


def test_node_goes_on_over_its_connections(server):
    program = NODE.replace("PORT", str(server.port)).replace("COUNT", str(REQUESTS // 5))
    said = run("node", "-e", program).decode().splitlines()
    assert said == [f"/large 200 {hashlib.sha256(LARGE).hexdigest()}", f"/small 200 {hashlib.sha256(SMALL).hexdigest()}",
                    "sockets 5"]
