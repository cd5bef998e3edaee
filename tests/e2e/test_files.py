"""Files over HTTP/1.1: the subset that the process model's own proofs stand on, seen from a client."""

import os
import re
import socket

import pytest
from clients import Client, bytes_of, fetch, request, settled, until

pytestmark = pytest.mark.variants("hooks", "asan")

BIG = 12_000_000
BLOCK = 16384  # a connection's ring
IN_MEMORY = 8192  # files up to here are kept whole


@pytest.fixture
def server(start_server):
    server = start_server(workers=1)
    (server.www / "index.html").write_text("<p>front page\n")
    (server.www / "sub").mkdir()
    (server.www / "sub" / "index.html").write_text("<p>sub page\n")
    (server.www / "empty").mkdir()
    (server.folder / "secret").write_text("secret\n")
    return server


# Finding


def test_a_folder_answers_with_its_index(server):
    assert fetch(server, "/").body == b"<p>front page\n"
    assert fetch(server, "/sub/").body == b"<p>sub page\n"
    assert fetch(server, "/sub/index.html?version=2").body == b"<p>sub page\n"


def test_the_index_can_have_another_name(start_server):
    server = start_server(workers=1, site="index start.txt")
    (server.www / "start.txt").write_text("start")
    (server.www / "index.html").write_text("index")
    assert fetch(server, "/").body == b"start"


def test_what_is_not_there_is_404_and_the_connection_goes_on(server):
    with Client(server) as client:
        for path in ("/nothing", "/sub/nothing", "/index.html/nothing", "/empty/", "/" + "x" * 300, "/index.html/"):
            assert client.get(path).status == 404, path
        assert client.get("/").status == 200


def test_a_folder_without_its_slash_is_redirected_with_its_query(server):
    answer = fetch(server, "/sub?a=1&b=%20")
    assert answer.status == 301 and answer.headers["location"] == "/sub/?a=1&b=%20"
    assert fetch(server, "/sub").headers["location"] == "/sub/"
    assert fetch(server, "//sub").headers["location"] == "/sub/", "with two slashes it would lead to another host"


def test_hidden_files_are_not_there(server):
    for path in (".secret", "sub/.secret", ".hidden/file"):
        (server.www / path).parent.mkdir(exist_ok=True)
        (server.www / path).write_text("hidden")
    for path in ("/.secret", "/sub/.secret", "/.hidden/file", "/.hidden/", "/%2esecret", "/sub/%2Esecret", "/.hidden"):
        assert fetch(server, path).status == 404, path


ESCAPES = ["/../secret", "/sub/../../secret", "/%2e%2e/secret", "/%2E%2e%2fsecret", "/..%2fsecret", "/..%5csecret",
           "/..\\secret", "/sub/..;/../../secret", "/%252e%252e/secret", "/..%00/secret", "/secret%00.html",
           "/%c0%ae%c0%ae/secret", "/./../secret", "//../secret", "/sub//../../secret", "/../0/secret",
           "http://test.example/../secret", "/%", "/%4", "/%zz", "/%ff", "/....//secret", "/sub/%2e%2e/%2e%2e/secret"]


def test_no_spelling_of_a_path_leads_out_of_the_folder(server):
    for path in ESCAPES:
        answer = fetch(server, path)
        assert answer is not None and answer.status in (400, 404), (path, answer)
        assert b"secret\n" not in answer.body, path
        assert fetch(server).status == 200, path


def test_dots_that_stay_inside_are_resolved(server):
    assert fetch(server, "/sub/../index.html").body == b"<p>front page\n"
    assert fetch(server, "/./sub/./index.html").body == b"<p>sub page\n"


def test_symbolic_links_are_followed_inside_the_folder_and_not_out_of_it(server):
    (server.www / "inside").symlink_to("sub/index.html")
    (server.www / "out").symlink_to("../secret")
    (server.www / "absolute").symlink_to(server.folder / "secret")
    (server.www / "folder-out").symlink_to("..")
    (server.www / "loop").symlink_to("loop")
    (server.www / "proc").symlink_to("/proc/self/root")
    assert fetch(server, "/inside").body == b"<p>sub page\n"
    for path in ("/out", "/absolute", "/folder-out/secret", "/loop", "/proc/etc/passwd"):
        assert fetch(server, path).status == 404, path


def test_what_is_no_file_is_not_served_and_holds_nobody_up(server):
    os.mkfifo(server.www / "fifo")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(server.www / "socket"))
    for path in ("/fifo", "/socket"):
        assert fetch(server, path).status in (404, 500), path
    listener.close()
    (server.www / "socket").unlink()
    assert fetch(server).status == 200


def test_a_site_answers_for_its_names_and_no_other(start_server, folder):
    for name in ("one", "two"):
        (folder / name).mkdir()
        (folder / name / "name").write_text(name)
    server = start_server(config="workers 1\ncontrol {control}\n" + "".join(
        f"site {name}.example:{{port}} {{\n    files {folder}/{name}\n}}\n" for name in ("one", "two")))
    with Client(server) as client:
        for host, body in (("one.example", b"one"), ("TWO.example", b"two"), ("two.example.", b"two"), (f"one.example:{server.port}", b"one")):
            client.send_bytes(f"GET /name HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert client.answer().body == body
        client.send_bytes(b"GET /name HTTP/1.1\r\nHost: three.example\r\n\r\n")
        assert client.answer().status == 404


# Answering


def test_every_byte_of_a_file_arrives_whatever_its_size(server):
    with Client(server) as client:
        for size in (0, 1, IN_MEMORY - 1, IN_MEMORY, IN_MEMORY + 1, BLOCK - 400, BLOCK - 1, BLOCK, BLOCK + 1, 1_000_003,
                     BIG):
            (server.www / f"{size}").write_bytes(bytes_of(size, size))
            for _ in range(2):
                answer = client.get(f"/{size}")
                assert answer.status == 200 and answer.body == bytes_of(size, size), size
            head = client.get(f"/{size}", method="HEAD")
            assert head.headers["content-length"] == str(size) and head.body == b"", size
            assert client.get("/").status == 200, size


def test_an_answer_says_what_it_is(server):
    (server.www / "style.css").write_text("a {}")
    answer = fetch(server, "/style.css")
    assert answer.headers["content-type"].startswith("text/css")
    assert fetch(server).headers["content-type"].startswith("text/html")
    assert re.fullmatch(r'"[^"]+"', answer.headers["etag"]) and answer.headers["last-modified"].endswith(" GMT")
    assert answer.headers["date"].endswith(" GMT") and answer.headers["server"] == "holdfast"


def test_head_is_get_without_its_body(server):
    with Client(server) as client:
        for path in ("/", "/nothing", "/sub"):
            get, head = client.get(path), client.get(path, method="HEAD")
            assert (head.status, head.body) == (get.status, b"")
            # Of an error, the request's own number is a part of the body.
            assert {**head.headers, "date": ""} == {**get.headers, "date": ""}, path


def test_other_methods_are_refused_with_the_allowed_ones(server):
    for method in ("POST", "PUT", "DELETE", "PATCH", "BREW"):
        with Client(server) as client:
            answer = client.get("/", method=method)
            assert answer.status in (405, 501), method
            if answer.status == 405:
                assert {word.strip() for word in answer.headers["allow"].split(",")} >= {"GET", "HEAD"}, method
            if answer.headers.get("connection") != "close":
                assert client.get("/").status == 200, method


def test_a_body_that_nobody_wants_ends_the_connection_after_the_answer(server):
    with Client(server) as client:
        client.send("/", "POST", "Content-Length: 1000000\r\n", b"x" * 1000)
        answer = client.answer()
        assert answer.status == 405 and answer.headers["connection"] == "close"
        client.socket.shutdown(socket.SHUT_WR)
        assert client.has_ended()
    assert fetch(server).status == 200


def test_who_expects_to_be_told_to_continue_is_refused_before_it_sends(server):
    with Client(server) as client:
        client.send("/", "POST", "Expect: 100-continue\r\nContent-Length: 1000000\r\n")
        assert client.answer().status == 405


# Files that change


def test_a_file_that_is_replaced_while_it_is_sent_is_sent_as_it_was(server):
    old, new = bytes_of("old", BIG), bytes_of("new", BIG)
    (server.www / "file").write_bytes(old)
    with Client(server, receive_buffer=65536) as client:
        client.send("/file")
        assert client.head()[0] == 200
        (server.www / "aside").write_bytes(new)
        (server.www / "aside").rename(server.www / "file")
        assert client.file.read(BIG) == old
        until(lambda: fetch(server, "/file").body == new, "the new one is seen")
        assert client.get("/file").body == new


def test_a_small_file_that_is_changed_is_seen_soon(server):
    with Client(server) as client:
        for text in ("one", "two", "three, longer"):
            (server.www / "small").write_text(text)
            until(lambda text=text: client.get("/small").body == text.encode(), f"{text} is seen", 5)
        (server.www / "small").unlink()
        until(lambda: client.get("/small").status == 404, "its end is seen", 5)


def test_a_file_that_shrinks_while_it_is_sent_ends_the_connection_short(server):
    (server.www / "file").write_bytes(bytes_of(1, BIG))
    worker = settled(server, 1)["workers"][0]["pid"]
    with Client(server, receive_buffer=65536) as client:
        client.send("/file")
        assert client.head()[0] == 200
        os.truncate(server.www / "file", 1_000_000)
        data = b""
        try:
            while piece := client.file.read(65536):
                data += piece
        except ConnectionResetError:
            pass
        assert len(data) < BIG and bytes_of(1, BIG).startswith(data[:1_000_000])
    assert fetch(server).status == 200
    assert settled(server, 1)["workers"][0]["pid"] == worker


def test_a_file_that_grows_while_it_is_sent_ends_where_it_was_said_to(server):
    (server.www / "file").write_bytes(bytes_of(1, BIG))
    with Client(server, receive_buffer=65536) as client:
        client.send("/file")
        assert client.head()[1]["content-length"] == str(BIG)
        with open(server.www / "file", "ab") as file:
            file.write(b"more")
        assert client.file.read(BIG) == bytes_of(1, BIG)
        assert client.get("/").body == b"<p>front page\n"


# Requests


def test_a_body_is_taken_in_pieces_of_any_size(start_server):
    server = start_server(workers=1, hooks=True)
    with Client(server) as client:
        client.send("/_test/hash", "POST", "Content-Length: 26\r\n", b"abcdefghijklmnopqrstuvwxyz")
        whole = client.answer().body
        for byte in request("/_test/hash", "POST", "Content-Length: 26\r\n", b"abcdefghijklmnopqrstuvwxyz"):
            client.send_bytes(bytes([byte]))
        assert client.answer().body == whole
        chunked = b"1;name=value\r\na\r\n0018\r\nbcdefghijklmnopqrstuvwxy\r\n1\r\nz\r\n0\r\nTrailer: x\r\n\r\n"
        for size in (1, 7, len(chunked)):
            client.send("/_test/hash", "POST", "Transfer-Encoding: chunked\r\n")
            for at in range(0, len(chunked), size):
                client.send_bytes(chunked[at:at + size])
            assert client.answer().body == whole, size


def test_who_expects_to_be_told_to_continue_is_told_once(start_server):
    server = start_server(workers=1, hooks=True)
    with Client(server) as client:
        client.send("/_test/hash", "POST", "Expect: 100-continue\r\nContent-Length: 5\r\n")
        assert client.head() == (100, {})
        client.send_bytes(b"hello")
        assert client.answer().body.startswith(b"5 ")
        client.send("/_test/hash", "POST", "Expect: 100-continue\r\nContent-Length: 5\r\n", b"hello")
        assert client.answer().status == 200, "the body is there already: nothing to tell"
        assert client.is_quiet()


def test_requests_in_a_row_are_answered_in_their_order(server):
    for number in range(40):
        (server.www / f"{number}").write_bytes(bytes_of(number, number * 997))
    with Client(server) as client:
        client.send_bytes(b"".join(request(f"/{number}") for number in range(40)))
        for number in range(40):
            assert client.answer().body == bytes_of(number, number * 997), number
        assert client.is_quiet()


def test_http_1_0_ends_after_the_answer_unless_asked_to_stay(server):
    with Client(server) as client:
        answer = client.get("/", version="1.0", headers="Connection: keep-alive\r\n")
        assert answer.status == 200 and answer.headers["connection"] == "keep-alive"
        answer = client.get("/", version="1.0")
        assert answer.body == b"<p>front page\n" and client.has_ended()


def test_connection_close_is_obeyed(server):
    with Client(server) as client:
        assert client.get("/", headers="Connection: close\r\n").headers["connection"] == "close"
        assert client.has_ended()


UNCLEAR = [b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"nonsense\r\n\r\n",
           b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
           b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
           b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"]


def test_a_request_that_could_be_understood_in_two_ways_is_refused_and_the_connection_ends(server):
    for text in UNCLEAR:
        with Client(server) as client:
            client.send_bytes(text)
            answer = client.answer()
            assert answer.status == 400 and answer.headers["connection"] == "close", text
            client.socket.shutdown(socket.SHUT_WR)
            assert client.has_ended(), text


def test_a_head_that_is_too_large_is_refused_and_a_large_one_is_not(server):
    with Client(server) as client:
        assert client.get("/", headers=f"X-Filler: {'x' * 7900}\r\n").status == 200
        client.send("/", headers=f"X-Filler: {'x' * 9000}\r\n")
        answer = client.answer()
        assert answer.status == 431 and answer.headers["connection"] == "close"


# Time


def test_a_head_that_comes_too_slowly_gets_408(start_server):
    server = start_server(workers=1, top="header_timeout 300ms")
    with Client(server) as slow, Client(server) as silent:
        slow.send_bytes(b"GET / HTTP/1.1\r\nHos")
        answer = slow.answer()
        assert answer.status == 408 and answer.headers["connection"] == "close"
        slow.socket.shutdown(socket.SHUT_WR)
        assert slow.has_ended()
        assert silent.has_ended(), "who never asked gets no answer"


def test_bytes_now_and_then_do_not_prolong_the_time_of_a_head(start_server):
    server = start_server(workers=1, top="header_timeout 500ms")
    with Client(server) as slow:
        for byte in b"GET / HTTP/1.1\r\nX: " + b"x" * 1000:
            slow.send_bytes(bytes([byte]))
            if not slow.is_quiet(0.05):
                break
        assert slow.answer().status == 408


def test_an_idle_connection_is_closed_after_its_time_without_a_word(start_server):
    server = start_server(workers=1, top="keepalive 300ms\nheader_timeout 30s")
    with Client(server) as client:
        assert client.get("/").status == 404
        assert client.has_ended()


def test_a_body_that_stops_coming_gets_408(start_server):
    server = start_server(workers=1, hooks=True, top="body_timeout 300ms")
    with Client(server) as client:
        client.send("/_test/hash", "POST", "Content-Length: 10\r\n", b"12345")
        assert client.answer().status == 408


def test_a_client_that_takes_nothing_is_given_up(start_server):
    server = start_server(workers=1, top="write_timeout 300ms")
    (server.www / "big").write_bytes(bytes_of(1, BIG))
    with Client(server, receive_buffer=65536) as client:
        client.send("/big")
        server.wait_for(lambda s: s.status()["workers"][0]["connections"] == 1)
        server.wait_for(lambda s: s.status()["workers"][0]["connections"] == 0)


# More clients than there is room for


@pytest.mark.parametrize("limit, prefix, event", [
    ("max_connections 40", [], "limit"),
    ("", ["prlimit", "--nofile=350:350"], "descriptors"),
], ids=["max_connections", "descriptors"])
def test_clients_beyond_the_limit_wait_until_there_is_room(limit, prefix, event, start_server):
    server = start_server(workers=1, top=limit, prefix=prefix)
    (server.www / "file").write_bytes(b"file\n")
    clients = [Client(server) for _ in range(400)]
    for client in clients:
        client.send("/file")
    waiting, answered = clients, 0
    while waiting:  # as in a queue: whoever has an answer makes room
        ready = [client for client in waiting if not client.is_quiet(0.001)]
        for client in ready:
            assert client.answer().body == b"file\n"
            client.close()
        answered += len(ready)
        waiting = [client for client in waiting if client not in ready]
    assert answered == 400
    server.wait_for_log("event=descriptors_short")
    assert fetch(server, "/file").status == 200


def test_a_last_response_is_whole_although_another_request_waits_behind_it(server):
    """It is never read, and a close with unread input would send a RST."""
    (server.www / "big").write_bytes(bytes_of(3, BIG))
    for _ in range(3):
        with Client(server, receive_buffer=65536) as client:
            client.send("/big", headers="Connection: close\r\n")
            assert client.head()[0] == 200
            client.send("/index.html")
            assert client.file.read(BIG) == bytes_of(3, BIG)
            assert client.has_ended()
