"""WebSockets behind the proxy: at the end of a drain both sides are told, between two frames; what comes with either handshake
is kept; a quiet one has its time; whoever dies meanwhile. And answers that take their time."""

import contextlib
import json
import os
import select
import socket
import struct
import threading
import time

import holdfast
import pytest
import ws
from clients import Client, request
from proxied import config
from upstream import Upstream

pytestmark = pytest.mark.variants("hooks", "release", "asan")

GOING_AWAY = struct.pack("!H", 1001)


class Behind(Upstream):
    """Agrees to every upgrade, and leaves the connection to the test."""

    def __init__(self, agreed=ws.AGREED, **options):
        super().__init__(**options)
        self.agreed, self.sockets, self.is_over, self.script = agreed, [], threading.Event(), self.agree

    def agree(self, call):
        call.send(self.agreed)
        connection = call.connection.socket
        connection.settimeout(20)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self.news:
            self.sockets.append(Side(connection, call.connection.file))
            self.news.notify_all()
        self.is_over.wait()
        call.close()

    def side(self, number=0):
        return self.wait_for(lambda behind: len(behind.sockets) > number and behind.sockets[number])

    def stop(self):
        self.is_over.set()
        super().stop()


class Side:
    def __init__(self, connection, file):
        self.socket, self.file = connection, file

    def send(self, data):
        self.socket.sendall(data)

    def exactly(self, length):
        data = self.file.read(length)
        if len(data) != length:
            raise EOFError(data[:20])
        return data

    def frame(self):
        return ws.read_frame(self.exactly)

    def has_ended(self):
        return self.file.read(1) == b""


@pytest.fixture
def behind():
    with Behind() as server:
        yield server


def connect(server, path="/", more=b""):
    client = Client(server)
    client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.send_bytes(request(path, headers=ws.UPGRADE) + more)
    status, headers = client.head()
    assert (status, headers["upgrade"]) == (101, "websocket")
    return Side(client.socket, client.file)


def start(start_server, behind, drain="300ms", workers=1, **options):
    text = config(behind, top="access_log {folder}/access.log json", workers=workers, **options)
    return start_server(config=text.replace("drain 5s", f"drain {drain}"))


@contextlib.contextmanager
def stopping(server):
    """The server stops meanwhile; how long that took."""
    took = []

    def stop():
        began = time.monotonic()
        server.stop()
        took.append(time.monotonic() - began)

    server.remember_processes()
    thread = threading.Thread(target=stop)
    thread.start()
    yield took
    thread.join()
    assert took, "it did not stop as it should"


def ends_of(server):
    lines = (server.folder / "access.log").read_text().splitlines()
    return [json.loads(line)["end"] for line in lines]


# At the end of a drain


def test_both_sides_are_told_that_the_server_goes_away(start_server, behind):
    server = start(start_server, behind)
    client = connect(server)
    upstream = behind.side()
    upstream.send(ws.frame(b"hello", ws.TEXT))
    assert client.frame() == (ws.TEXT, b"hello", False)
    with stopping(server) as took:
        assert client.frame() == (ws.CLOSE, GOING_AWAY, False)
        assert upstream.frame() == (ws.CLOSE, GOING_AWAY, True)
        client.send(ws.close(1001, masked=True))
        upstream.send(ws.close(1001))
        assert client.has_ended() and upstream.has_ended()
    assert took[0] < 1.2, "it had the answers, and waited all the same"
    assert ends_of(server) == ["drained"]


def test_who_does_not_answer_is_waited_for_no_longer_than_a_second(start_server, behind):
    server = start(start_server, behind)
    client = connect(server)
    with stopping(server) as took:
        assert client.frame() == (ws.CLOSE, GOING_AWAY, False)
        assert behind.side().frame()[:2] == (ws.CLOSE, GOING_AWAY)
        assert client.has_ended()
    assert 1.2 < took[0] < 3
    assert ends_of(server) == ["drained"]


FRAMES = {"short": b"x" * 5, "empty": b"", "medium": b"y" * 300, "long": b"z" * 70000}


@pytest.mark.parametrize("payload", FRAMES.values(), ids=FRAMES)
@pytest.mark.parametrize("who", ["server", "client"])
def test_a_frame_under_way_is_passed_on_to_its_end_wherever_it_is_cut(start_server, behind, payload, who):
    """Many connections at once, each cut at another byte of its frame's header, or behind it, or in the payload."""
    server = start(start_server, behind, drain="500ms")
    whole = ws.frame(payload, ws.BINARY, masked=who == "client")
    cuts = sorted({at for at in [*range(1, 16), len(whole) // 2, len(whole) - 1] if 0 < at < len(whole)})
    pairs = []
    for number, cut in enumerate(cuts):
        client = connect(server)
        upstream = behind.side(number)
        sender, receiver = (client, upstream) if who == "client" else (upstream, client)
        sender.send(ws.frame(b"before", masked=who == "client") + whole[:cut])
        assert receiver.frame()[:2] == (ws.BINARY, b"before")
        assert receiver.exactly(cut) == whole[:cut]
        pairs.append((sender, receiver, cut))
    with stopping(server):
        for sender, receiver, cut in pairs:
            assert sender.frame()[:2] == (ws.CLOSE, GOING_AWAY)  # in its direction nothing is under way
        for sender, receiver, cut in pairs:
            sender.send(whole[cut:] + ws.frame(b"nobody gets that", masked=who == "client")
                        + ws.close(1001, masked=who == "client"))
        for sender, receiver, cut in pairs:
            assert receiver.exactly(len(whole) - cut) == whole[cut:]
            assert receiver.frame() == (ws.CLOSE, GOING_AWAY, who == "client")
            receiver.send(ws.close(1001, masked=who == "server"))
            assert receiver.has_ended() and sender.has_ended()
    assert ends_of(server) == ["drained"] * len(cuts)


def test_a_frame_that_does_not_end_is_cut_and_nothing_is_put_into_it(start_server, behind):
    server = start(start_server, behind)
    client = connect(server)
    upstream = behind.side()
    upstream.send(ws.frame(b"x" * 100)[:50])
    assert client.exactly(50)
    with stopping(server) as took:
        assert upstream.frame()[:2] == (ws.CLOSE, GOING_AWAY)
        with pytest.raises((EOFError, ConnectionResetError)) as end:
            client.exactly(1)
        assert end.type is ConnectionResetError or end.value.args == (b"",)
    assert took[0] > 1.2
    assert ends_of(server) == ["stopped"]


def test_a_message_in_fragments_may_be_parted_in(start_server, behind):
    """RFC 6455 section 5.4: control frames may stand between them."""
    server = start(start_server, behind)
    client = connect(server)
    behind.side().send(ws.frame(b"first", ws.TEXT, fin=False))
    assert client.frame()[:2] == (ws.TEXT, b"first")
    with stopping(server):
        assert client.frame() == (ws.CLOSE, GOING_AWAY, False)
        client.send(ws.close(1001, masked=True))
        behind.side().send(ws.close(1001))
        assert client.has_ended()


def test_who_is_closing_already_is_told_nothing_more(start_server, behind):
    server = start(start_server, behind)
    client = connect(server)
    upstream = behind.side()
    upstream.send(ws.close(4000))
    assert client.frame() == (ws.CLOSE, struct.pack("!H", 4000), False)
    with stopping(server):
        assert upstream.frame() == (ws.CLOSE, GOING_AWAY, True)  # which answers its own
        client.send(ws.close(4000, masked=True))
        assert client.has_ended() and upstream.has_ended()
    assert ends_of(server) == ["drained"]


def test_what_is_no_websocket_is_cut_without_a_word(start_server):
    with Behind(agreed=ws.AGREED.replace(b"websocket", b"other/1.0")) as behind:
        server = start(start_server, behind)
        client = Client(server)
        client.send_bytes(request(headers=ws.UPGRADE.replace("websocket", "other/1.0", 1)))
        assert client.head()[0] == 101
        behind.side().send(ws.frame(b"hello"))
        assert client.file.read(7) == ws.frame(b"hello")
        with stopping(server) as took:
            assert client.has_ended()
        assert took[0] < 1.2
    assert ends_of(server) == ["stopped"]


def test_lengths_that_cannot_be_are_passed_on_and_nothing_is_put_between(start_server, behind):
    server = start(start_server, behind)
    client = connect(server)
    nonsense = b"\x82\x7f" + b"\xff" * 8 + b"abc"
    behind.side().send(nonsense)
    assert client.exactly(len(nonsense)) == nonsense
    with stopping(server):
        assert behind.side().frame()[:2] == (ws.CLOSE, GOING_AWAY)
        with pytest.raises((EOFError, ConnectionResetError)):
            client.exactly(1)
    assert ends_of(server) == ["stopped"]


def kill_workers(server, is_over, every_s):
    """Until then, as often as there is one to be killed."""
    while not is_over.wait(every_s):
        for pid in server_workers(server):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)


def server_workers(server):
    return [pid for pid, facts in holdfast.descendants(server.pid).items()
            if facts[1] == "holdfast-worker" and facts[2] not in "ZX"]


@pytest.mark.variants("hooks", "release")  # another revival takes longer than the second that there is
@pytest.mark.parametrize("turn", range(5))
def test_both_sides_are_told_once_though_workers_are_killed_all_the_time(start_server, behind, turn):
    """Frames of all sizes are in flight both ways when the drain ends; each side gets whole frames, in order, and then 1001."""
    server = start(start_server, behind, drain="400ms", workers=2)
    sides = []
    for number in range(12):
        client = connect(server)
        sides += [(client, True), (behind.side(number), False)]
    results = []

    def talk(side, is_client, index):
        """Sends numbered frames in pieces, so that most of the time one is under way, until it is told; reads them all."""
        got = []
        is_told = threading.Event()

        def send():
            with contextlib.suppress(OSError):
                for number in range(1000000):
                    if is_told.is_set():
                        side.send(ws.close(1001, masked=is_client))
                        return
                    size = (number * 7919 + (index + turn) * 104729) % 20000
                    data = ws.frame(struct.pack("!I", number) + bytes(size), masked=is_client)
                    for cut in (slice(1), slice(1, 3), slice(3, len(data) // 2), slice(max(3, len(data) // 2), None)):
                        side.send(data[cut])
                        is_told.wait(0.003)  # the rest is sent, whatever it is told

        sender = threading.Thread(target=send)
        sender.start()
        try:
            while True:
                opcode, payload, _ = side.frame()
                if opcode == ws.CLOSE:
                    got.append(payload)
                    is_told.set()
                    break
                got.append(struct.unpack("!I", payload[:4])[0])
            sender.join()
            with contextlib.suppress(ConnectionResetError):
                assert side.has_ended()
        except (EOFError, OSError) as error:
            got.append(error)
            is_told.set()
            sender.join()
        results.append(got)

    threads = [threading.Thread(target=talk, args=(side, is_client, index))
               for index, (side, is_client) in enumerate(sides)]
    for thread in threads:
        thread.start()
    is_over = threading.Event()
    killer = threading.Thread(target=kill_workers, args=(server, is_over, 0.02))
    killer.start()
    with stopping(server):
        for thread in threads:
            thread.join()
        is_over.set()
    killer.join()
    for got in results:
        assert got[-1] == GOING_AWAY, f"told {got[-3:]}"
        assert got[:-1] == list(range(len(got) - 1))
    assert ends_of(server) == ["drained"] * 12


# What comes with the handshake


def revive(server, slot=0):
    revivals = server.worker(slot)["revivals"]
    server.kill_worker(slot)
    server.wait_for(lambda s: (s.worker(slot) or {}).get("revivals") == revivals + 1)


EARLY = {"one frame": ws.frame(b"early", masked=True), "many": ws.frame(b"early", masked=True) * 100,
         "more than a ring": ws.frame(bytes(40000), masked=True)}


@pytest.mark.parametrize("early", EARLY.values(), ids=EARLY)
@pytest.mark.parametrize("death", ["", "killed"], ids=["alive", "killed"])
def test_what_the_client_sends_behind_its_request_is_kept(start_server, early, death):
    """It has no right to speak yet (RFC 6455 section 4.1), and others do."""
    may_agree = threading.Event()
    with Behind() as behind:
        agree = behind.agree
        behind.script = lambda call: (call.wait(may_agree), agree(call))
        server = start(start_server, behind)
        client = Client(server)
        sender = threading.Thread(target=client.send_bytes, args=(request(headers=ws.UPGRADE) + early,))
        sender.start()
        behind.wait_for_requests(1)
        if death:
            revive(server)
        may_agree.set()
        assert client.head()[0] == 101
        if death:
            revive(server)
        assert behind.side().exactly(len(early)) == early
        sender.join()
        behind.side().send(ws.frame(b"answer"))
        assert Side(client.socket, client.file).frame()[1] == b"answer"
        client.close()


@pytest.mark.parametrize("early", [ws.frame(b"early"), ws.frame(b"early") * 100, ws.frame(bytes(40000))], ids=EARLY)
@pytest.mark.parametrize("death", ["", "killed"], ids=["alive", "killed"])
@pytest.mark.parametrize("cut", [0, 1])
def test_what_the_server_sends_behind_its_agreement_is_kept(start_server, early, death, cut):
    """In the same segment as the end of the 101, or as all of it."""
    at = len(ws.AGREED) - 1 if cut else 0
    may_send = threading.Event()
    with Behind(agreed=ws.AGREED[:at]) as behind:
        server = start(start_server, behind)
        client = Client(server)
        client.send_bytes(request(headers=ws.UPGRADE))
        upstream = behind.side()
        if death:
            revive(server)
        sender = threading.Thread(target=lambda: (may_send.wait(), upstream.send(ws.AGREED[at:] + early)))
        sender.start()
        may_send.set()
        assert client.head()[0] == 101
        if death:
            revive(server)
        assert client.file.read(len(early)) == early
        sender.join()
        client.send_bytes(ws.frame(b"answer", masked=True))
        assert upstream.frame()[1] == b"answer"
        client.close()


@pytest.mark.parametrize("deaths", [0, 3])
def test_a_quiet_tunnel_ends_when_its_time_is_over_and_a_death_changes_nothing(start_server, behind, deaths):
    server = start(start_server, behind, proxy="timeout tunnel 1500ms")
    client, other = connect(server), connect(server)
    began = time.monotonic()
    for _ in range(deaths):
        revive(server)
    assert client.has_ended()
    assert 1.3 < time.monotonic() - began < 4
    assert other.has_ended() and behind.side().has_ended()


def test_a_tunnel_that_is_not_quiet_goes_on(start_server, behind):
    server = start(start_server, behind, proxy="timeout tunnel 1s")
    client = connect(server)
    end = time.monotonic() + 2.5
    while time.monotonic() < end:
        for sender, receiver, masked in [(client, behind.side(), True), (behind.side(), client, False)]:
            sender.send(ws.frame(b"ping", ws.PING, masked))
            assert receiver.frame()[:2] == (ws.PING, b"ping")
        select.select([client.socket], [], [], 0.3)  # quiet for a while, not for its time
    revive(server)


# Answers that take their time


@pytest.mark.parametrize("framing", ["chunks", "end"])
def test_each_event_arrives_before_the_next_is_sent_whoever_dies(start_server, framing):
    """Nothing is held back unless the route says so."""
    events, got = 12, threading.Semaphore(0)

    def tell(call):
        kind = "Transfer-Encoding: chunked\r\n" if framing == "chunks" else ""
        call.send(f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{kind}\r\n".encode())
        for number in range(events):
            event = b"data: %d\n\n" % number
            call.send(b"%x\r\n%s\r\n" % (len(event), event) if framing == "chunks" else event)
            assert got.acquire(timeout=20)
        if framing == "chunks":
            call.send(b"0\r\n\r\n")
        else:
            call.close()

    with Upstream(script=tell) as upstream:
        server = start(start_server, upstream)
        with Client(server) as client:
            client.send_bytes(request("/events", headers="Accept: text/event-stream\r\n"))
            status, headers = client.head()
            assert (status, headers["content-type"], headers["transfer-encoding"]) == (200, "text/event-stream", "chunked")
            for number in range(events):
                event = b"data: %d\n\n" % number
                chunk = b"%x\r\n%s\r\n" % (len(event), event)
                assert client.file.read(len(chunk)) == chunk
                if number % 3 == 1:
                    revive(server)
                got.release()
            assert client.file.read(5) == b"0\r\n\r\n"
        assert len(upstream.requests) == 1


def test_a_long_poll_is_answered_though_workers_die_while_it_waits(start_server):
    may_answer = threading.Event()

    def poll(call):
        call.wait(may_answer)
        call.answer(200, b"news")

    with Upstream(script=poll) as upstream:
        server = start(start_server, upstream)
        clients = [Client(server) for _ in range(5)]
        for client in clients:
            client.send("/poll")
        upstream.wait_for_requests(5)
        for _ in range(3):
            revive(server)
        may_answer.set()
        for client in clients:
            assert client.answer().body == b"news"
            client.close()
        assert len(upstream.requests) == 5
