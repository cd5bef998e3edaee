"""WebSockets and event streams of other people's programs, on both sides of the proxy, while workers are killed: node with its
package `ws`, and Chromium. None of them may notice; at the end of a drain they are told what they expect."""

import json
import os
import pathlib
import shutil
import subprocess
import threading

import pytest
from browser import Browser
from killers import Killing, long_or_short

WS = pathlib.Path("/usr/share/nodejs/ws")
MESSAGES = long_or_short(3000, 300)
EVENTS = long_or_short(3000, 300)

pytestmark = [
    pytest.mark.variants("hooks", "release"), pytest.mark.dear("release"), pytest.mark.limit(180),
    pytest.mark.skipif(not shutil.which("node") or not WS.exists(), reason="node, or its package ws, is not installed")]

CONFIG = """workers 2
control {control}
drain 1s
access_log {folder}/access.log json
pool app {
    server 127.0.0.1:%d
}
site 127.0.0.1:{port} {
    proxy app
}
"""

# Echoes messages over WebSockets, and tells numbered events; counts connections.
SERVER = r"""
const http = require('http'), WebSocket = require('ws');
let streams = 0, sockets = 0;
const server = http.createServer((request, response) => {
    if (request.url === '/counts') {
        response.end(JSON.stringify({ streams, sockets }));
    } else if (request.url === '/events') {
        streams++;
        response.writeHead(200, { 'Content-Type': 'text/event-stream' });
        let number = 0;
        const tick = setInterval(() => {
            response.write(`id: ${number}\ndata: ${number} ${'x'.repeat(number * 37 % 500)}\n\n`);
            if (++number === EVENTS) clearInterval(tick);
        }, 5);
        request.on('close', () => clearInterval(tick));
    } else {
        response.setHeader('Content-Type', 'text/html');
        response.end('<!doctype html><title>clients</title>');
    }
});
new WebSocket.Server({ server, path: '/ws', perMessageDeflate: { threshold: 100 } }).on('connection', socket => {
    sockets++;
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
    socket.on('error', error => console.log(`error ${error}`));
    socket.on('close', code => console.log(`closed ${code}`));
});
server.listen(0, '127.0.0.1', () => console.log(`port ${server.address().port}`));
"""

# SOCKETS connections; on each, messages that are checked when they come back. Then it says so, and waits to be told to go.
CLIENT = r"""
const WebSocket = require('ws'), crypto = require('crypto');
let done = 0, closed = [];
for (let index = 0; index < SOCKETS; index++) {
    const socket = new WebSocket('ws://127.0.0.1:PORT/ws', { perMessageDeflate: index % 2 === 0 });
    let sent = 0, seen = 0;
    const message = number => {
        const body = crypto.createHash('sha256').update(`${index} ${number}`).digest('hex');
        return `${number} ${body.repeat(1 + number * 31 % 700)}`;
    };
    const send = () => { if (sent < MESSAGES) socket.send(message(sent++)); };
    socket.on('open', () => { for (let i = 0; i < 4; i++) send(); });
    socket.on('message', data => {
        if (data.toString() !== message(seen)) throw new Error(`message ${seen} of ${index} is another one`);
        seen++;
        send();
        if (seen === MESSAGES && ++done === SOCKETS) console.log('done');
    });
    socket.on('error', error => { throw error; });
    socket.on('close', code => {
        closed.push(code);
        if (closed.length === SOCKETS) console.log(`closed ${closed.join(' ')}`);
    });
}
"""

PAGE = r"""
(() => {
    const seen = window.seen = { events: 0, opened: 0, errors: 0, messages: 0, closed: null, wrong: null };
    const events = new EventSource('/events');
    events.onopen = () => seen.opened++;
    events.onerror = () => seen.errors++;
    events.onmessage = event => {
        if (parseInt(event.data) !== seen.events++) seen.wrong = event.data;
        if (seen.events === EVENTS) events.close();
    };
    const socket = new WebSocket(`ws://${location.host}/ws`);
    let sent = 0;
    const message = number => `${number} ` + String.fromCharCode(97 + number % 26).repeat(number * 977 % 40000);
    const send = () => { if (sent < MESSAGES) socket.send(message(sent++)); };
    socket.onopen = () => { for (let i = 0; i < 4; i++) send(); };
    socket.onmessage = event => {
        if (event.data !== message(seen.messages++)) seen.wrong = event.data.slice(0, 50);
        send();
    };
    socket.onclose = event => seen.closed = { code: event.code, clean: event.wasClean };
})()
"""


class Node:
    """A program of node's; its lines are read as they come."""

    def __init__(self, program, **values):
        for name, value in values.items():
            program = program.replace(name, str(value))
        self.process = subprocess.Popen(["node", "-e", program], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True,
                                        env={**os.environ, "NODE_PATH": str(WS.parent)})

    def line(self, begins):
        """The next line, which begins so."""
        line = self.process.stdout.readline().rstrip("\n")
        assert line.startswith(begins), line + self.process.stdout.read(2000) if self.process.poll() else line
        return line

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def app():
    with Node(SERVER, EVENTS=EVENTS) as node:
        node.port = int(node.line("port ").split()[1])
        yield node


@pytest.fixture
def server(start_server, app):
    return start_server(config=CONFIG % app.port)


def stop_meanwhile(server):
    server.remember_processes()
    thread = threading.Thread(target=server.stop)
    thread.start()
    return thread


def test_node_s_websockets_lose_nothing_and_are_told_to_go(server, app, seed):
    with Node(CLIENT, PORT=server.port, SOCKETS=8, MESSAGES=MESSAGES) as client:
        with Killing(server, seed) as killing:
            client.line("done")
        assert killing.kills >= 10
        stopping = stop_meanwhile(server)
        assert client.line("closed ") == "closed " + " ".join(["1001"] * 8)
        stopping.join()
    assert [app.line("closed ") for _ in range(8)] == ["closed 1001"] * 8
    ends = [json.loads(line)["end"] for line in (server.folder / "access.log").read_text().splitlines()]
    assert ends == ["drained"] * 8


@pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed")
def test_chromium_s_websocket_and_event_source_lose_nothing(server, app, seed):
    with Browser(f"http://127.0.0.1:{server.port}/") as page:
        page.wait("document.title === 'clients'")
        with Killing(server, seed) as killing:
            page.value(PAGE.replace("EVENTS", str(EVENTS)).replace("MESSAGES", str(MESSAGES)))
            page.wait(f"seen.wrong || seen.errors || (seen.events === {EVENTS} && seen.messages === {MESSAGES})",
                      long_or_short(120, 60))
        assert killing.kills >= 10
        seen = page.value("seen")
        assert seen == {"events": EVENTS, "opened": 1, "errors": 0, "messages": MESSAGES, "closed": None, "wrong": None}
        stopping = stop_meanwhile(server)
        assert page.wait("seen.closed") == {"code": 1001, "clean": True}
        stopping.join()
    assert app.line("closed ") == "closed 1001"
