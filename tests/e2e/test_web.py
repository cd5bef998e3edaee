"""Routes, answers, conditional requests, ranges and limits, seen from a client."""

import os

import pytest
from clients import Client

pytestmark = pytest.mark.variants("hooks", "asan")

TEXT = b"0123456789" * 50
LARGE = bytes(range(256)) * 400  # too large to be kept in memory

SITE = """
    max_body 1k
    header set X-Site outer
    route /hello {
        respond 200 "Hello {method} {query.name}"
        header set X-Route inner
        header remove Server
    }
    route /gone/* {
        respond 410
    }
    route /old/* {
        redirect 301 /new/{rest}
    }
    route /raw/* {
        redirect 302 {path}
    }
    route /moved/* {
        redirect 302 /{rest}
    }
    route /static/* {
        strip /static
        files {www}
        cache 60s
    }
    route /page/* {
        rewrite /text.txt?from={rest}
        files {www}
    }
    route /app/* {
        files {www}
        fallback /index.html
    }
    route /to-folder/* {
        rewrite /folder
        files {www}
    }
    route /back-to-folder/* {
        files {www}
        fallback /folder
    }
    route /packed/* {
        strip /packed
        files {www}
        precompressed on
    }
    route /only-post {
        match {
            method POST
        }
        respond 201 made
    }
    route /guarded/* {
        match {
            not {
                header X-Key open
            }
        }
        respond 403 "no key"
    }
"""


@pytest.fixture
def server(start_server):
    server = start_server(config="workers 1\ncontrol {control}\nmax_request_line 300\nmax_headers 20\n"
                          "site 127.0.0.1:{port} {\n    files {www}\n" + SITE + "}\n")
    (server.www / "index.html").write_bytes(b"<p>index\n")
    (server.www / "text.txt").write_bytes(TEXT)
    (server.www / "large.bin").write_bytes(LARGE)
    (server.www / "packed.txt").write_bytes(b"plain text\n")
    (server.www / "packed.txt.gz").write_bytes(b"pretend gzip\n")
    (server.www / "packed.txt.br").write_bytes(b"pretend brotli\n")
    (server.www / "folder").mkdir()
    (server.www / "folder" / "index.html").write_bytes(b"<p>folder\n")
    (server.www / "guarded").mkdir()
    (server.www / "guarded" / "a.txt").write_bytes(b"guarded\n")
    return server


def ask(server, path, headers="", method="GET", body=b""):
    with Client(server) as client:
        client.send(path, method=method, headers=headers, body=body)
        return client.answer(method)


# Routes and answers


def test_a_route_answers_with_a_text_and_changes_headers(server):
    answer = ask(server, "/hello?name=you")
    assert (answer.status, answer.body) == (200, b"Hello GET you")
    assert answer.headers["x-route"] == "inner" and answer.headers["x-site"] == "outer"
    assert "server" not in answer.headers
    assert ask(server, "/gone/x").status == 410


def test_a_redirect_names_what_is_left_of_the_path(server):
    answer = ask(server, "/old/a/b")
    assert answer.status == 301 and answer.headers["location"] == "/new/a/b"


def test_strip_and_rewrite_change_what_files_sees(server):
    answer = ask(server, "/static/text.txt")
    assert answer.body == TEXT and answer.headers["cache-control"] == "public, max-age=60"
    assert ask(server, "/page/7").body == TEXT


def test_a_fallback_answers_where_there_is_no_file(server):
    assert ask(server, "/app/somewhere/deep").body == b"<p>index\n"
    assert ask(server, "/somewhere/deep").status == 404


@pytest.mark.parametrize("route", ["/to-folder", "/back-to-folder"])
def test_a_rewrite_or_a_fallback_to_a_folder_sends_nobody_round_in_a_circle(route, server):
    answer = ask(server, route + "/x")
    assert answer.status == 301 and answer.headers["location"] == route + "/x/"
    assert ask(server, route + "/x/").body == b"<p>folder\n"


def test_the_first_route_whose_conditions_hold_answers(server):
    assert ask(server, "/only-post", method="POST", headers="Content-Length: 0\r\n").status == 201
    assert ask(server, "/only-post").status == 404
    assert ask(server, "/guarded/a.txt").status == 403
    assert ask(server, "/guarded/a.txt", "X-Key: open\r\n").body == b"guarded\n"


def test_options_and_other_methods(server):
    assert ask(server, "*", method="OPTIONS").status == 204
    answer = ask(server, "/text.txt", method="DELETE")
    assert answer.status == 405 and answer.headers["allow"] == "GET, HEAD, OPTIONS"


# RFC 9110 section 13


def test_a_conditional_request_is_answered_304_without_a_body(server):
    first = ask(server, "/text.txt")
    etag, modified = first.headers["etag"], first.headers["last-modified"]
    with Client(server) as client:
        for headers, status in ((f"If-None-Match: {etag}\r\n", 304), (f"If-None-Match: W/{etag}\r\n", 304),
                                ('If-None-Match: "other"\r\n', 200), (f"If-Modified-Since: {modified}\r\n", 304),
                                (f'If-None-Match: "other"\r\nIf-Modified-Since: {modified}\r\n', 200),
                                ('If-Match: "other"\r\n', 412), (f"If-Match: {etag}\r\n", 200)):
            client.send("/text.txt", headers=headers)
            head = client.head()
            assert head[0] == status, headers
            if status == 304:
                assert "content-length" not in head[1] and head[1]["etag"] == etag
            else:
                client.file.read(int(head[1]["content-length"]))


# RFC 9110 section 14


@pytest.mark.parametrize("path, content", [("/text.txt", TEXT), ("/large.bin", LARGE)], ids=["small", "large"])
def test_a_range_is_answered_206(server, path, content):
    size = len(content)
    with Client(server) as client:
        for asked, first, last in (("0-9", 0, 9), ("10-", 10, size - 1), ("-5", size - 5, size - 1),
                                   (f"100-{size * 2}", 100, size - 1)):
            client.send(path, headers=f"Range: bytes={asked}\r\n")
            answer = client.answer()
            assert answer.status == 206 and answer.body == content[first:last + 1]
            assert answer.headers["content-range"] == f"bytes {first}-{last}/{size}"
        client.send(path, headers=f"Range: bytes={size}-\r\n")
        answer = client.answer()
        assert answer.status == 416 and answer.headers["content-range"] == f"bytes */{size}"
        for whole in ("lines=0-1", "bytes=9-3"):
            client.send(path, headers=f"Range: {whole}\r\n")
            answer = client.answer()
            assert answer.status == 200 and answer.body == content


def test_if_range_decides_whether_the_range_counts(server):
    etag = ask(server, "/text.txt").headers["etag"]
    assert ask(server, "/text.txt", f"Range: bytes=0-1\r\nIf-Range: {etag}\r\n").status == 206
    assert ask(server, "/text.txt", 'Range: bytes=0-1\r\nIf-Range: "other"\r\n').status == 200


# RFC 9110 section 12.5.3


def test_a_precompressed_sibling_is_sent_to_who_accepts_it(server):
    for accepts, body, coding in (("br, gzip", b"pretend brotli\n", "br"), ("gzip", b"pretend gzip\n", "gzip"),
                                  ("br;q=0, gzip", b"pretend gzip\n", "gzip"), ("", b"plain text\n", None)):
        answer = ask(server, "/packed/packed.txt", f"Accept-Encoding: {accepts}\r\n" if accepts else "")
        assert answer.body == body and answer.headers.get("content-encoding") == coding
        assert answer.headers["vary"] == "Accept-Encoding"
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert ask(server, "/packed.txt", "Accept-Encoding: br\r\n").body == b"plain text\n"


# Limits


def test_a_body_over_the_limit_is_refused_and_the_answer_can_be_read(server):
    with Client(server) as client:
        client.send("/hello", method="POST", headers="Content-Length: 1000000\r\n", body=b"x" * 5000)
        answer = client.answer()
        assert answer.status == 413 and answer.headers["connection"] == "close"


def test_long_request_lines_and_too_many_fields_are_refused(server):
    assert ask(server, "/" + "x" * 400).status == 414
    assert ask(server, "/", "".join(f"X-{i}: 1\r\n" for i in range(30))).status == 431


def test_a_range_being_sent_outlives_its_worker(server):
    with Client(server, receive_buffer=4096) as client:
        client.send("/large.bin", headers="Range: bytes=1000-90000\r\n")
        worker = server.status()["workers"][0]["pid"]
        os.kill(worker, 9)
        answer = client.answer()
        assert answer.status == 206 and answer.body == LARGE[1000:90001]


@pytest.mark.parametrize("path, location", [
    ("/moved//evil.example/x", "/evil.example/x"), ("/moved///evil.example", "/evil.example"),
    ("/moved/\\evil.example", "/%5Cevil.example"), ("/moved/a//b", "/a/b"),
    ("//evil.example/../raw/x", "/evil.example/../raw/x")])
def test_a_redirect_never_leads_to_a_host_that_the_client_named(path, location, server):
    with Client(server) as client:
        answer = client.get(path)
        assert answer.status in (302, 400)
        if answer.status == 302:
            assert answer.headers["location"] == location
