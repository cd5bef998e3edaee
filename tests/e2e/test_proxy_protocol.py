"""The PROXY protocol: whoever speaks for others says for whom, and we say so to others; with haproxy and nginx as peers."""

import json
import socket
import threading

import holdfast
import peers
import pytest
from backend import Backend, read_exactly
from clients import Client, request
from proxied import config
from proxy_protocol import LOCAL, SIGNATURE, Header, read_header, tlv, v1, v2
from upstream import Upstream

pytestmark = pytest.mark.variants("hooks", "release", "asan")

LISTEN = """workers 1
control {control}
drain 5s
access_log {folder}/access.log
%(top)s
listen 127.0.0.1:{port} {
    proxy_protocol %(listen)s
}
listen unix:{folder}/site.sock {
    proxy_protocol from unix
}
site 127.0.0.1:{port} unix:{folder}/site.sock {
    %(site)s
    respond 200 "{client.address} {client.port}"
}
"""


@pytest.fixture
def start(start_server):
    def begin(listen="from 127.0.0.1 timeout 10s", top="", site="", **options):
        return start_server(config=LISTEN % {"listen": listen, "top": top, "site": site}, **options)

    return begin


@pytest.fixture
def server(start):
    return start()


def told(answer):
    """Whom the server takes its client for."""
    return answer and answer.body.decode()


def revive(server, slot=0):
    revivals = server.worker(slot)["revivals"]
    server.kill_worker(slot)
    server.wait_for(lambda s: s.worker(slot)["revivals"] > revivals)


def wait_for_state(server, state):
    """Until a connection is in this state; the server's list of connections."""

    def listed(_):
        found = json.loads(server.run("connections", "--json").stdout)["connections"]
        return found if any(connection["state"] == state for connection in found) else None

    return server.wait_for(listed)


# Who is there

FORMS = {
    "v1": (v1(), "192.0.2.1 56324"),
    "v1 IPv6": (v1(("2001:db8::1", 1), ("2001:db8::2", 65535)), "2001:db8::1 1"),
    "v1 IPv4 in IPv6": (v1(("::ffff:192.0.2.9", 7), ("::1", 2)), "192.0.2.9 7"),
    "v2": (v2(), "192.0.2.1 56324"),
    "v2 IPv6": (v2(("2001:db8::1", 1), ("2001:db8::2", 65535)), "2001:db8::1 1"),
    "v2 with TLVs": (v2(tlvs=tlv(1, b"http/1.1") + tlv(2, b"example.com") + tlv(4, b"x" * 500) + tlv(0x20, b"\1" * 30)
                        + tlv(5, b"id") + tlv(0xEA, b"")), "192.0.2.1 56324"),
    "v2 with a checksum": (v2(tlvs=tlv(4, b"abc"), checksum=True), "192.0.2.1 56324"),
    "v2 of the greatest length": (v2(tlvs=tlv(4, b"x" * (4096 - 16 - 12 - 3))), "192.0.2.1 56324"),
    "v2 of a Unix socket": (v2(family=0x31), " "),
}
OWN = {"v1 unknown": b"PROXY UNKNOWN\r\n", "v1 unknown with more": b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n",
       "v2 local": LOCAL, "v2 local with more": v2(command=0), "v2 unknown": v2(family=0)}


@pytest.mark.parametrize("header, who", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("how", ["in one segment", "before"])
def test_the_client_is_whom_the_header_names(server, header, who, how):
    with Client(server) as client:
        if how == "before":
            client.send_bytes(header)
            client.send_bytes(request())
        else:
            client.send_bytes(header + request() + request("/b"))
            assert told(client.answer()) == who
        assert told(client.answer()) == who
        revive(server)
        assert told(client.get()) == who


@pytest.mark.parametrize("header", OWN.values(), ids=OWN)
def test_who_speaks_for_nobody_is_known_by_its_own_address(server, header):
    with Client(server) as client:
        client.send_bytes(header + request())
        assert told(client.answer()) == "%s %d" % client.socket.getsockname()


@pytest.mark.parametrize("header", [v1(), v2(tlvs=tlv(4, b"abc"), checksum=True)], ids=["v1", "v2"])
def test_a_header_may_come_byte_by_byte_from_one_worker_to_the_next(server, header):
    with Client(server) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(len(header)):
            client.send_bytes(header[at:at + 1])
            if at == 0:
                assert wait_for_state(server, "header")[0]["protocol"] == "proxy_header"
            if at % 16 == 5:
                revive(server)
        client.send_bytes(request())
        assert told(client.answer()) == "192.0.2.1 56324"
    assert server.worker(0)["deaths"] >= 3


def test_a_header_is_read_from_unix_sockets(server):
    for header, who in [(v1(), "192.0.2.1 56324"), (v2(), "192.0.2.1 56324"), (LOCAL, " "),
                        (v2(("2001:db8::1", 5), ("::1", 6)), "2001:db8::1 5")]:
        with Client(server.folder / "site.sock") as client:
            client.send_bytes(header + request())
            assert told(client.answer()) == who
            listed = json.loads(server.run("connections", "--json").stdout)["connections"]
            assert [connection["kind"] for connection in listed] == ["unix"]
            revive(server)
            assert told(client.get()) == who


def test_the_address_is_the_clients_everywhere(start):
    server = start(site='route /mine {\n match {\n client 192.0.2.0/24\n }\n respond 200 "mine"\n }')
    with Client(server) as client:
        client.send_bytes(v1() + request("/mine"))
        assert told(client.answer()) == "mine"
        listed = json.loads(server.run("connections", "--json").stdout)["connections"]
        assert [connection["client"] for connection in listed] == ["192.0.2.1:56324"]
        assert [connection["protocol"] for connection in listed] == ["http"]
    log = server.folder / "access.log"
    server.wait_for(lambda _: log.exists() and log.read_text())
    assert log.read_text().startswith("192.0.2.1 ")


def test_a_chain_of_proxies_is_told_to_the_server_behind(start_server):
    with Upstream() as upstream:
        text = config(upstream, top="listen 127.0.0.1:{port} {\n proxy_protocol from 127.0.0.1\n }",
                      site="trust 192.0.2.1")
        server = start_server(config=text)
        with Client(server) as client:
            client.send_bytes(v1() + request(headers="X-Forwarded-For: 203.0.113.9\r\n"))
            assert client.answer().status == 200
        with Client(server) as client:  # not to be believed
            client.send_bytes(v1(("192.0.2.2", 1)) + request(headers="X-Forwarded-For: 203.0.113.9\r\n"))
            assert client.answer().status == 200
        assert [seen.value("x-forwarded-for") for seen in upstream.requests] == ["203.0.113.9, 192.0.2.1", "192.0.2.2"]


def test_connections_are_limited_for_each_client_and_not_for_its_proxy(start):
    server = start(top="max_connections_per_client 2")
    clients = []
    for number in range(4):
        for _ in range(2):
            clients.append(Client(server))
            clients[-1].send_bytes(v1((f"192.0.2.{number}", 1000)) + request())
            assert clients[-1].answer().status == 200
    revive(server)
    with Client(server) as client:
        client.send_bytes(v2(("192.0.2.3", 1001)) + request())
        assert client.answer().status == 503
    clients.pop().close()

    def is_served(_):
        with Client(server) as client:
            client.send_bytes(v2(("192.0.2.3", 1001)) + request())
            return client.answer().status == 200

    server.wait_for(is_served)
    for client in clients:
        client.close()


# Who does not say it

REFUSED = {
    "a request": (request(), "no_header"),
    "a request with a P": (request(method="POST"), "no_header"),
    "TLS": (b"\x16\x03\x01\x02\x00\x01", "no_header"),
    "small letters": (v1().lower(), "no_header"),
    "a line end without CR": (b"PROXY TCP4 192.0.2.1 198.51.100.2 1 2\n", "bad_line"),
    "two blanks": (b"PROXY TCP4  192.0.2.1 198.51.100.2 1 2\r\n", "bad_line"),
    "another protocol": (b"PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n", "bad_protocol"),
    "IPv6 as IPv4": (b"PROXY TCP4 ::1 ::2 1 2\r\n", "bad_address"),
    "octal numbers": (b"PROXY TCP4 192.0.02.1 198.51.100.2 1 2\r\n", "bad_address"),
    "a great port": (b"PROXY TCP4 192.0.2.1 198.51.100.2 65536 2\r\n", "bad_port"),
    "a long line": (b"PROXY UNKNOWN " + b"x" * 93 + b"\r\n", "too_long"),
    "version 3": (SIGNATURE + b"\x31\x11\0\x0c", "bad_version"),
    "command 2": (SIGNATURE + b"\x22\x11\0\x0c", "bad_command"),
    "datagrams": (SIGNATURE + b"\x21\x12\0\x0c", "no_stream"),
    "family 4": (SIGNATURE + b"\x21\x41\0\x0c", "no_stream"),
    "a great length": (SIGNATURE + b"\x21\x11\x0f\xf1", "too_long"),
    "a small length": (SIGNATURE + b"\x21\x11\0\x08" + b"x" * 8, "too_short"),
    "a TLV beyond the end": (v2(tlvs=b"\x04\0\x09x"), "bad_tlv"),
    "a wrong checksum": (v2(tlvs=tlv(3, b"abcd")), "bad_checksum"),
}


def ends(client):
    """Whether the connection ends without a byte of an answer."""
    try:
        return client.file.read(1) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("data, reason", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("to", ["tcp", "unix"])
def test_what_is_no_proper_header_is_refused_and_never_answered(server, data, reason, to):
    with Client(server if to == "tcp" else server.folder / "site.sock") as client:
        client.send_bytes(data)
        assert ends(client)
    peer = "127.0.0.1" if to == "tcp" else "unix"
    server.wait_for_log(rf"event=proxy_header_refused .*peer={peer} reason={reason} ")
    assert server.worker(0)["requests"] == 0


def test_a_header_that_does_not_come_in_time_is_refused_and_a_death_gives_no_more_time(start):
    server = start("from 127.0.0.1 timeout 700ms")
    with Client(server) as silent, Client(server) as slow:
        slow.send_bytes(b"PROXY TCP4 192.0.2.1 ")
        revive(server)
        assert ends(slow) and ends(silent)
    server.wait_for_log("event=proxy_header_refused .*reason=timeout bytes=21")
    server.wait_for_log("event=proxy_header_refused .*reason=timeout bytes=0")


def test_who_breaks_off_in_its_header_is_refused_and_who_says_nothing_at_all_is_not_spoken_of(server):
    Client(server).close()
    with Client(server) as client:
        client.send_bytes(SIGNATURE)
        client.socket.shutdown(socket.SHUT_WR)
        assert ends(client)
    server.wait_for_log("event=proxy_header_refused .*reason=cut_off bytes=12")
    server.wait_for(lambda s: s.worker(0)["connections"] == 0)
    assert server.log().count("proxy_header_refused") == 1


def test_others_are_ordinary_clients_whom_no_header_makes_anybody_else(start):
    server = start("from 127.0.0.7")
    with Client(server) as client:
        assert told(client.get()) == "%s %d" % client.socket.getsockname()
    with Client(server) as client:
        client.send_bytes(v1() + request())
        assert client.answer().status == 400
    with Client(server) as client:
        client.send_bytes(v2() + request())
        assert client.answer().status == 400
    with socket.create_connection(("127.0.0.1", server.port), 20, ("127.0.0.7", 0)) as proxy:
        proxy.sendall(v1() + request(headers="Connection: close\r\n"))
        assert proxy.makefile("rb").read().endswith(b"192.0.2.1 56324")


def test_a_drain_waits_for_who_has_just_said_who_it_is(start):
    server = start()
    with Client(server) as client:
        client.send_bytes(v1())
        wait_for_state(server, "idle")
        server.remember_processes()
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        client.send_bytes(request())
        answer = client.answer()
        stopping.join()
    assert told(answer) == "192.0.2.1 56324"


# Whom we speak for

@pytest.fixture
def upstream():
    with Upstream(has_headers=True) as server:
        yield server


def start_sender(start_server, upstream, version="v2", pool="", listen="", top=""):
    top += "\nlisten 127.0.0.1:{port} {\n proxy_protocol %s\n }" % listen if listen else ""
    return start_server(config=config(upstream, pool=f"proxy_protocol {version}\n{pool}", top=top))


def headers_of(upstream):
    """The headers of the connections that had a request, in the order of these."""
    by_number = dict(upstream.headers)
    return [by_number[seen.connection] for seen in upstream.requests]


@pytest.mark.parametrize("version", [1, 2])
def test_the_server_behind_is_told_the_client_and_whom_it_asked(start_server, upstream, version):
    server = start_sender(start_server, upstream, f"v{version}")
    with Client(server) as client:
        assert client.get().status == 200
        me = client.socket.getsockname()
    assert headers_of(upstream) == [Header(version, "PROXY", me, ("127.0.0.1", server.port))]


@pytest.mark.parametrize("version", [1, 2])
def test_the_client_of_a_proxy_before_us_is_passed_on(start_server, upstream, version):
    server = start_sender(start_server, upstream, f"v{version}", listen="from 127.0.0.1")
    for source in [("192.0.2.1", 7), ("2001:db8::1", 8)]:
        with Client(server) as client:
            client.send_bytes(v2(source, source) + request())
            assert client.answer().status == 200
    here = ("127.0.0.1", server.port)
    assert headers_of(upstream) == [Header(version, "PROXY", ("192.0.2.1", 7), here),
                                    Header(version, "PROXY", ("2001:db8::1", 8), (f"::ffff:{here[0]}", here[1]))]


@pytest.mark.parametrize("version", [1, 2])
def test_a_client_without_an_address_is_unknown(start_server, upstream, version):
    text = config(upstream, pool=f"proxy_protocol v{version}").replace("site 127.0.0.1:{port}", "site unix:{folder}/s")
    server = start_server(config=text)
    with Client(server.folder / "s") as client:
        assert client.get().status == 200
    assert headers_of(upstream) == [Header(version, "PROXY", None, None)]


def test_a_kept_connection_serves_its_own_client_alone_and_ends_with_it(start_server, upstream):
    server = start_sender(start_server, upstream)
    with Client(server) as one, Client(server) as other:
        for _ in range(3):
            for client in (one, other):
                assert client.get().status == 200
        revive(server)
        for client in (one, other):
            assert client.get().status == 200
        assert upstream.connections == 2
        assert [seen.client for seen in headers_of(upstream)] == [one.socket.getsockname(), other.socket.getsockname()] * 4
        one.close()
        upstream.wait_for(lambda seen: seen.ended == 1)
        assert other.get().status == 200 and upstream.connections == 2
    upstream.wait_for(lambda seen: seen.ended == 2)


def test_another_try_begins_with_a_header_of_its_own(start_server, upstream):
    server = start_sender(start_server, upstream)
    with Client(server) as client:
        assert client.get().status == 200
        upstream.close_idle()
        upstream.wait_for(lambda seen: seen.ended == 1)
        assert client.get("/again").status == 200
        me = client.socket.getsockname()
    assert [header.client for header in headers_of(upstream)] == [me, me]
    assert [seen.target for seen in upstream.requests] == ["/", "/again"]


def test_a_server_that_is_away_costs_another_server_only_the_header(start_server, upstream):
    server = start_server(config=config(f"127.0.0.1:{holdfast.free_port()}", upstream, pool="proxy_protocol v1"))
    with Client(server) as client:
        for _ in range(4):
            client.send("/", "POST", "Content-Length: 5\r\n", b"hello")
            assert client.answer().status == 200
        assert {header.client for _, header in upstream.headers} == {client.socket.getsockname()}
    assert [seen.body for seen in upstream.requests] == [b"hello"] * 4


@pytest.mark.parametrize("version", [1, 2])
def test_a_check_speaks_for_ourselves(start_server, upstream, version):
    server = start_sender(start_server, upstream, f"v{version}", "check /health every 100ms")
    upstream.wait_for_requests(2)
    own = Header(1, "PROXY", None, None) if version == 1 else Header(2, "LOCAL", None, None)
    assert {header for _, header in upstream.headers} == {own}
    assert {seen.target for seen in upstream.requests} == {"/health"}
    server.stop()


# Bytes that are passed on as they come

TCP = """workers 1
control {control}
pool back {
    server %(server)s
    %(pool)s
}
listen 127.0.0.1:{port} {
    %(listen)s
}
tcp 127.0.0.1:{port} unix:{folder}/tcp.sock {
    proxy back
    access_log {folder}/tcp.log json
}
"""


def start_tcp(start_server, backend, listen="proxy_protocol from 127.0.0.1", pool=""):
    return start_server(config=TCP % {"server": backend.address, "pool": pool, "listen": listen})


def read_header_of(connection):
    def line():
        data = b""
        while not data.endswith(b"\n"):
            data += read_exactly(connection, 1)
        return data

    return read_header(lambda count: read_exactly(connection, count), line)


@pytest.mark.parametrize("how", ["in one segment", "byte by byte"])
@pytest.mark.parametrize("header", [v1(), v2()], ids=["v1", "v2"])
def test_a_tcp_client_is_whom_the_header_names_and_its_bytes_are_what_follows(start_server, header, how):
    with Backend() as backend:
        server = start_tcp(start_server, backend)
        with Client(server) as client:
            client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pieces = [header + b"hello"] if how == "in one segment" else [bytes([byte]) for byte in header + b"hello"]
            for number, piece in enumerate(pieces):
                client.send_bytes(piece)
                if number % 9 == 4:
                    revive(server)
            upstream = backend.accept()
            assert read_exactly(upstream, 5) == b"hello"
            revive(server)
            upstream.sendall(b"world")
            assert client.file.read(5) == b"world"
            listed = json.loads(server.run("connections", "--json").stdout)["connections"]
            assert "192.0.2.1:56324" in [connection["client"] for connection in listed]
        assert upstream.recv(1) == b""
        upstream.close()
        log = server.folder / "tcp.log"
        server.wait_for(lambda _: log.exists() and log.read_text())
        assert json.loads(log.read_text())["client"] == "192.0.2.1"


def test_a_tcp_client_that_does_not_say_who_it_is_reaches_nobody(start_server):
    with Backend() as backend:
        server = start_tcp(start_server, backend, "proxy_protocol from 127.0.0.1 timeout 300ms")
        with Client(server) as silent, Client(server) as other:
            other.send_bytes(b"EHLO example.com\r\n")
            assert ends(other) and ends(silent)
        server.wait_for_log("event=proxy_header_refused .*reason=no_header")
        server.wait_for_log("event=proxy_header_refused .*reason=timeout")
        assert not backend.has_another()


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("back", ["tcp", "unix"])
def test_the_server_of_a_tcp_client_is_told_who_it_is(start_server, folder, version, back):
    with Backend(back, folder) as backend:
        server = start_tcp(start_server, backend, "", f"proxy_protocol v{version}")
        with Client(server) as client:
            upstream = backend.accept()
            header = read_header_of(upstream)
            assert header == Header(version, "PROXY", client.socket.getsockname(), ("127.0.0.1", server.port))
            upstream.sendall(b"220 hello\r\n")  # whoever speaks first
            assert client.file.readline() == b"220 hello\r\n"
            revive(server)
            client.send_bytes(b"QUIT\r\n")
            assert read_exactly(upstream, 6) == b"QUIT\r\n"
        assert upstream.recv(1) == b""


def test_a_chain_of_tcp_proxies_names_the_first_client(start_server):
    with Backend() as backend:
        server = start_tcp(start_server, backend, pool="proxy_protocol v2")
        with Client(server) as client:
            client.send_bytes(v1(("2001:db8::1", 9), ("::1", 1)) + b"hello")
            upstream = backend.accept()
            assert read_header_of(upstream).client == ("2001:db8::1", 9)
            assert read_exactly(upstream, 5) == b"hello"
            upstream.close()
            assert ends(client)


@pytest.mark.parametrize("version", [1, 2])
def test_a_check_that_only_connects_speaks_for_ourselves(start_server, version):
    with Backend() as backend:
        start_tcp(start_server, backend, "", f"proxy_protocol v{version}\ncheck connect every 100ms")
        for _ in range(2):
            connection = backend.accept()
            assert read_header_of(connection).client is None
            assert connection.recv(1) == b""


# Through others

@pytest.fixture
def haproxy(folder):
    if not peers.program("haproxy"):
        pytest.skip("haproxy is not installed")
    return lambda text, ports: peers.haproxy(folder, text, ports)


@pytest.fixture
def nginx(folder):
    if not peers.program("nginx") or not peers.STREAM_MODULE.exists():
        pytest.skip("nginx, or its module for streams, is not installed")
    return lambda text, ports: peers.nginx(folder, text, ports)


@pytest.mark.parametrize("sends", ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options unique-id,crc32c"])
@pytest.mark.parametrize("to", ["tcp", "unix"])
def test_haproxy_says_who_its_client_is(server, haproxy, sends, to):
    port = holdfast.free_port()
    address = f"127.0.0.1:{server.port}" if to == "tcp" else f"unix@{server.folder}/site.sock"
    text = f"""
listen it
    mode tcp
    bind 127.0.0.1:{port}
    unique-id-format %{{+X}}o%ci
    server holdfast {address} {sends}"""
    with haproxy(text, [port]), Client(port) as client:
        for _ in range(2):
            assert told(client.get()) == "%s %d" % client.socket.getsockname()
            revive(server)


def test_nginx_says_who_its_client_is(server, nginx):
    port = holdfast.free_port()
    text = f"stream {{ server {{ listen 127.0.0.1:{port}; proxy_pass 127.0.0.1:{server.port}; proxy_protocol on; }} }}"
    with nginx(text, [port]), Client(port) as client:
        for _ in range(2):
            assert told(client.get()) == "%s %d" % client.socket.getsockname()
            revive(server)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_haproxy_and_nginx_understand_whom_we_speak_for(start_server, haproxy, nginx, version):
    ports = [holdfast.free_port() for _ in range(2)]
    behind_haproxy = f"""
frontend it
    mode http
    bind 127.0.0.1:{ports[0]} accept-proxy
    http-request return status 200 content-type text/plain lf-string "%[src] %[src_port] %[dst_port]"
"""
    behind_nginx = f"""http {{ access_log off;
    server {{ listen 127.0.0.1:{ports[1]} proxy_protocol;
        return 200 "$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_port"; }} }}"""
    with haproxy(behind_haproxy, []), nginx(behind_nginx, []):
        for port in ports:
            server = start_server(config=config(f"127.0.0.1:{port}", pool=f"proxy_protocol {version}"))
            with Client(server) as client:

                def is_served(_):
                    answer = client.get()
                    return answer if answer.status == 200 else None

                for _ in range(2):
                    answer = server.wait_for(is_served)
                    assert told(answer) == "%s %d %d" % (*client.socket.getsockname(), server.port)
                    revive(server)
