"""Pages for errors: which one is sent, that the status stays, and that they outlive files and workers."""

import pytest
from clients import Client, fetch

pytestmark = pytest.mark.variants("hooks", "release", "asan")

LARGE = b"<!doctype html><p>" + b"large " * 40000  # more than the ring holds, and than a socket takes at once

CONFIG = """workers 1
control {control}
max_headers 20
error_page 400 {folder}/top-400.html
error_page 404 {folder}/top-404.txt
site 127.0.0.1:{port} {
    files {www}
    error_page 404 {folder}/site-404.html
    error_page 405 {folder}/site-404.html
    header set X-Site yes
    route /shop/* {
        files {www}
        error_page 404 {folder}/shop-404.html
    }
    route /gone {
        respond 410
        error_page 410 {folder}/large.html
    }
    route /told {
        respond 404 "a text of its own"
    }
    route /inner/* {
        respond 404
    }
}
"""


@pytest.fixture
def server(start_server, folder):
    pages = folder / "pages"
    pages.mkdir()
    for name, content in (("top-400.html", b"<p>top 400"), ("top-404.txt", b"top 404"), ("site-404.html", b"<p>site"),
                          ("shop-404.html", b""), ("large.html", LARGE)):
        (pages / name).write_bytes(content)
    server = start_server(config=CONFIG.replace("{folder}/", f"{pages}/"))
    server.pages = pages
    (server.www / "index.html").write_bytes(b"index")
    return server


def test_the_page_of_the_innermost_block_is_sent_and_the_status_stays(server):
    answer = fetch(server, "/nothing")
    assert (answer.status, answer.body) == (404, b"<p>site")
    assert answer.headers["content-type"].startswith("text/html") and answer.headers["x-site"] == "yes"
    assert fetch(server, "/shop/nothing")[::2] == (404, b"")
    assert fetch(server, "/inner/x")[::2] == (404, b"<p>site")
    assert fetch(server, "/told")[::2] == (404, b"a text of its own")
    answer = fetch(server, "/index.html", method="DELETE")
    assert (answer.status, answer.body) == (405, b"<p>site") and "GET" in answer.headers["allow"]


def test_what_is_refused_before_its_site_is_known_has_the_page_of_the_top_level(server):
    with Client(server) as client:
        assert client.get("/").status == 200
        client.send_bytes(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        answer = client.answer()
        assert (answer.status, answer.body) == (400, b"<p>top 400") and answer.headers["connection"] == "close"
        assert client.has_ended()


def test_a_status_without_a_page_has_its_line_of_text(server):
    with Client(server) as client:
        client.send("/", headers="".join(f"X-{i}: y\r\n" for i in range(30)))
        answer = client.answer()
        assert answer.status == 431 and b"reason: fields_too_many" in answer.body


def test_head_has_the_header_of_the_page_and_not_the_page(server):
    with Client(server) as client:
        answer = client.get("/gone", method="HEAD")
        assert (answer.status, answer.headers["content-length"], answer.body) == (410, str(len(LARGE)), b"")
        assert client.get("/nothing", method="HEAD").body == b""
        assert client.get("/").status == 200


@pytest.mark.parametrize("path, status, body", [("/gone", 410, LARGE), ("/nothing", 404, b"<p>site")],
                         ids=["large", "small"])
def test_pages_outlive_their_files_and_the_worker(server, path, status, body):
    for page in server.pages.iterdir():
        page.write_bytes(b"changed")
        page.unlink()
    with Client(server, receive_buffer=4096) as client:
        for round in range(3):
            client.send(path)
            assert client.head()[0] == status
            server.kill_worker(0)  # in the middle of the large one
            assert client.file.read(len(body)) == body
            server.wait_for(lambda s: s.status()["workers"][0]["revivals"] == round + 1)
        assert client.get("/").status == 200
