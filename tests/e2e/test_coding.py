"""Content codings: siblings that lie beside a file, and what is compressed here."""

import gzip
import os
import subprocess

import pytest
from clients import Client, bytes_of, fetch, until

pytestmark = pytest.mark.variants("hooks", "asan")

TEXT = "".join(f"line {number} of a text that can be made shorter\n" for number in range(4000)).encode()


def decoded(answer):
    """What the body says, by tools that are not ours."""
    coding = answer.headers.get("content-encoding")
    if coding == "gzip":
        return gzip.decompress(answer.body)
    if coding:
        tool = {"br": ["brotli", "-dc"], "zstd": ["zstd", "-dcq"]}[coding]
        return subprocess.run(tool, input=answer.body, stdout=subprocess.PIPE, check=True).stdout
    return answer.body


@pytest.fixture
def server(start_server):
    server = start_server(workers=1, site="compress on")
    (server.www / "text.txt").write_bytes(TEXT)
    (server.www / "small.txt").write_bytes(b"too small to be worth it\n")
    (server.www / "medium.css").write_bytes(TEXT[:5000])
    (server.www / "noise.txt").write_bytes(bytes_of(1, 100_000))
    (server.www / "picture.png").write_bytes(TEXT)
    (server.www / "large.txt").write_bytes(TEXT * 30)
    return server


def ask(client, path, accept, method="GET", more=""):
    return client.get(path, method=method, headers=f"Accept-Encoding: {accept}\r\n{more}")


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip"])
def test_a_text_is_compressed_as_the_client_likes(coding, server):
    with Client(server) as client:
        for path, text in (("/text.txt", TEXT), ("/medium.css", TEXT[:5000])):
            for _ in range(3):
                answer = ask(client, path, coding)
                assert answer.status == 200 and answer.headers["content-encoding"] == coding
                assert answer.headers["vary"] == "Accept-Encoding"
                assert len(answer.body) < len(text) / 2 and decoded(answer) == text
            head = ask(client, path, coding, method="HEAD")
            same = ("content-length", "content-encoding", "etag", "vary", "content-type", "last-modified")
            assert [head.headers.get(name) for name in same] == [answer.headers[name] for name in same]


def test_what_the_client_prefers_counts_and_then_our_order(server):
    with Client(server) as client:
        for accept, coding in (("gzip, deflate, br, zstd", "br"), ("gzip;q=1.0, br;q=0.5", "gzip"), ("zstd, gzip", "zstd"),
                               ("*", "br"), ("identity", None), ("deflate", None), ("gzip;q=0", None),
                               ("gzip;q=nonsense", None), ("br;q=0, *", "zstd")):
            answer = ask(client, "/text.txt", accept)
            assert answer.headers.get("content-encoding") == coding, accept
            assert decoded(answer) == TEXT and answer.headers["vary"] == "Accept-Encoding", accept
        plain = client.get("/text.txt")
        assert "content-encoding" not in plain.headers and plain.body == TEXT


def test_what_is_not_worth_it_is_sent_as_it_is(server):
    with Client(server) as client:
        for path, varies in (("/small.txt", False), ("/picture.png", False), ("/large.txt", False), ("/noise.txt", True)):
            answer = ask(client, path, "br, zstd, gzip")
            assert "content-encoding" not in answer.headers, path
            assert answer.body == (server.www / path[1:]).read_bytes(), path
            assert ("vary" in answer.headers) == varies, path


def test_each_coding_has_a_tag_of_its_own_and_ranges_are_of_what_is_sent(server):
    with Client(server) as client:
        answers = {coding: ask(client, "/text.txt", coding) for coding in ("identity", "br", "zstd", "gzip")}
        assert len({answer.headers["etag"] for answer in answers.values()}) == 4
        for coding, answer in answers.items():
            tag = answer.headers["etag"]
            again = ask(client, "/text.txt", coding, more=f"If-None-Match: {tag}\r\n")
            assert again.status == 304 and again.headers["vary"] == "Accept-Encoding" and again.headers["etag"] == tag
            part = ask(client, "/text.txt", coding, more=f"Range: bytes=10-109\r\nIf-Range: {tag}\r\n")
            assert part.status == 206 and part.body == answer.body[10:110], coding
            assert part.headers["content-range"] == f"bytes 10-109/{len(answer.body)}"
            assert part.headers.get("content-encoding") == answer.headers.get("content-encoding")
        other = ask(client, "/text.txt", "br", more=f"Range: bytes=1-2\r\nIf-Range: {answers['gzip'].headers['etag']}\r\n")
        assert other.status == 200 and decoded(other) == TEXT
        several = ask(client, "/text.txt", "br", more="Range: bytes=0-1,5-6\r\n")
        assert several.status == 200 and decoded(several) == TEXT, "parts of a coding are not sent"


def test_a_text_that_changes_is_compressed_anew(server):
    with Client(server) as client:
        for number in range(3):
            text = TEXT + str(number).encode() * 20
            (server.www / "text.txt").write_bytes(text)
            until(lambda text=text: decoded(ask(client, "/text.txt", "zstd")) == text, "the new text is seen")


def test_many_who_want_the_same_at_once_all_get_it(server):
    clients = [Client(server) for _ in range(60)]
    for client in clients:
        client.send("/text.txt", headers="Accept-Encoding: br\r\n")
        client.send("/small.txt")
    for client in clients:
        assert decoded(client.answer()) == TEXT
        assert client.answer().body.startswith(b"too small")
        client.close()


def test_types_and_the_least_size_are_configurable(start_server):
    server = start_server(workers=1, site="compress image/* application/json\ncompress_min 10")
    for name in ("a.png", "a.json", "a.html"):
        (server.www / name).write_bytes(b"0123456789" * 10)
    (server.www / "short.json").write_bytes(b"012345678")
    for name, coding in (("a.png", "gzip"), ("a.json", "gzip"), ("a.html", None), ("short.json", None)):
        assert fetch(server, "/" + name, headers="Accept-Encoding: gzip\r\n").headers.get("content-encoding") == coding, name


def test_a_sibling_is_sent_if_it_is_there_and_not_older(start_server):
    server = start_server(workers=1, site="precompressed on\ncompress on")
    (server.www / "page.html").write_bytes(TEXT)
    (server.www / "page.html.gz").write_bytes(gzip.compress(TEXT))
    (server.www / "page.html.br").write_bytes(b"not brotli, and nobody looks")
    os.utime(server.www / "page.html.br", (1, 1))
    with Client(server) as client:
        answer = ask(client, "/page.html", "gzip")
        assert answer.headers["content-encoding"] == "gzip" and answer.body == gzip.compress(TEXT)
        assert answer.headers["content-type"] == "text/html; charset=utf-8" and answer.headers["vary"] == "Accept-Encoding"
        assert decoded(ask(client, "/page.html", "br")) == TEXT, "the sibling is older: it is made here"
        assert decoded(ask(client, "/page.html", "identity")) == TEXT
        assert client.get("/page.html.gz").headers["content-type"] == "application/gzip"
        (server.www / "page.html").unlink()
        until(lambda: ask(client, "/page.html", "gzip").status == 404, "a sibling alone is not the page")
