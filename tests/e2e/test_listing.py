"""Lists of folders: a page that can be sorted, and JSON."""

import html.parser
import json
import os
import urllib.parse

import pytest
from clients import Client, fetch, until

pytestmark = pytest.mark.variants("hooks", "asan")

JSON = "Accept: application/json\r\n"


class Page(html.parser.HTMLParser):
    """The links of the page's table, and whether anything runs on it."""

    def __init__(self, text):
        super().__init__()
        self.links, self.tags, self.place, self.words = [], set(), None, {}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.add(tag)
        assert not any(name.startswith("on") for name in attributes), attributes
        if tag == "td":
            self.place = "row"
        if tag == "a" and self.place == "row":
            self.links.append(attributes["href"])

    def handle_endtag(self, tag):
        if tag in ("td", "table"):
            self.place = None

    def handle_data(self, data):
        if self.place == "row" and self.links:
            self.words.setdefault(self.links[-1], data)


@pytest.fixture
def server(start_server):
    server = start_server(workers=1, site="listing on")
    folder = server.www / "list"
    (folder / "inner").mkdir(parents=True)
    (folder / "Other").mkdir()
    for name, size, time in (("b.txt", 30, 3000), ("a.txt", 2000, 2000), ("C.bin", 100, 1000)):
        (folder / name).write_bytes(b"x" * size)
        os.utime(folder / name, (time, time))
    (folder / ".secret").write_text("hidden")
    (folder / "in").symlink_to("inner")
    (folder / "out").symlink_to("/etc")
    (folder / "passwd").symlink_to("/etc/passwd")
    (folder / "nowhere").symlink_to("nothing")
    os.mkfifo(folder / "fifo")
    return server


def names(answer):
    return [entry["name"] for entry in json.loads(answer.body)["entries"]]


def test_a_folder_shows_its_files_folders_and_nothing_else(server):
    answer = fetch(server, "/list/")
    assert answer.status == 200 and answer.headers["content-type"] == "text/html; charset=utf-8"
    page = Page(answer.body.decode())
    assert page.links == ["../", "./in/", "./inner/", "./Other/", "./a.txt", "./b.txt", "./C.bin"]
    assert "script" not in page.tags
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert fetch(server, "/list").headers["location"] == "/list/"
    assert Page(fetch(server, "/").body.decode()).links == ["./list/"]


@pytest.mark.parametrize("query, order", [
    ("", "a.txt b.txt C.bin"), ("?sort=name&order=desc", "C.bin b.txt a.txt"), ("?sort=size", "b.txt C.bin a.txt"),
    ("?sort=size&order=desc", "a.txt C.bin b.txt"), ("?sort=modified", "C.bin a.txt b.txt"),
    ("?order=desc&sort=modified", "b.txt a.txt C.bin"), ("?sort=%3Cscript%3E&order=what&x", "a.txt b.txt C.bin"),
])
def test_the_order_is_what_the_link_says_and_folders_come_first(query, order, server):
    page = Page(fetch(server, "/list/" + query).body.decode())
    assert [link[2:] for link in page.links[4:]] == order.split()
    assert names(fetch(server, "/list/" + query, headers=JSON))[3:] == order.split()


def test_who_accepts_json_rather_than_html_gets_json(server):
    for accept, is_json in (("application/json", True), ("text/html", False), ("*/*", False), ("application/*", True),
                            ("text/html;q=0.5, application/json", True), ("text/html, application/json", False),
                            ("application/json;q=0", False), ("application/json;q=2", False), ("", False)):
        answer = fetch(server, "/list/", headers=f"Accept: {accept}\r\n")
        assert answer.headers["content-type"].startswith("application/json") == is_json, accept
        assert answer.headers["vary"] == "Accept", accept
    answer = json.loads(fetch(server, "/list/", headers=JSON).body)
    assert answer["path"] == "/list/" and answer["truncated"] is False
    assert {"name": "a.txt", "type": "file", "size": 2000, "modified": "1970-01-01T00:33:20Z"} in answer["entries"]
    assert [entry["type"] for entry in answer["entries"]] == ["folder"] * 3 + ["file"] * 3


ODD = ["<img src=x onerror=alert(1)>", "a&b;c", "\"quoted\" 'names'", "javascript:alert(1)", "100%", "?query#fragment", "ünïcödé ☃",
       " blank ", "\\back", "x" * 255, "line\nfeed", "..."]


def test_names_are_whatever_they_are_and_their_links_lead_to_them(server):
    folder = server.www / "odd"
    folder.mkdir()
    for name in ODD:
        (folder / name).write_text(name)
    raw = b"no \xff utf-8"
    with open(os.fsencode(folder) + b"/" + raw, "wb") as file:
        file.write(b"raw")
    with Client(server) as client:
        page = Page(client.get("/odd/").body.decode(errors="replace"))
        assert page.tags.isdisjoint({"script", "img"}) and len(page.links) == len(ODD) + 1
        contents = {client.get(urllib.parse.urljoin("/odd/", link)).body for link in page.links[1:]}
        assert contents == {name.encode() for name in ODD if not name.startswith(".")} | {b"raw"}
        assert set(ODD) - {"..."} < set(names(client.get("/odd/", headers=JSON)))


def test_hidden_names_are_listed_only_where_they_are_served(start_server):
    server = start_server(workers=1, site="listing on\nhidden allow")
    (server.www / ".profile").write_text("x")
    assert ".profile" in names(fetch(server, "/", headers=JSON))


def test_an_index_comes_first_and_without_listing_there_is_none(server, start_server):
    (server.www / "index.html").write_text("index")
    until(lambda: fetch(server, "/").body == b"index", "the index is seen")
    other = start_server(workers=1)
    (other.www / "a").write_text("a")
    assert fetch(other, "/").status == 404


def test_what_is_not_there_or_not_readable_is_said_so(server):
    (server.www / "closed").mkdir(mode=0o000)
    with Client(server) as client:
        assert client.get("/nothing/").status == 404
        assert client.get("/list/out/").status == 404, "a link out of the folder"
        assert client.get("/list/a.txt/").status == 404
        if os.geteuid() != 0 or client.get("/closed/").status != 200:
            assert client.get("/closed/").status == 403
        assert client.get("/list/").status == 200


def test_a_list_is_as_new_as_a_second(server):
    with Client(server) as client:
        first = client.get("/list/", headers=JSON)
        again = client.get("/list/", headers=JSON + f"If-None-Match: {first.headers['etag']}\r\n")
        assert again.status == 304
        (server.www / "list" / "new").write_text("new")
        until(lambda: "new" in names(client.get("/list/", headers=JSON)), "the new file is seen")
        assert client.get("/list/", headers=JSON).headers["etag"] != first.headers["etag"]


@pytest.mark.limit(120)
def test_a_large_folder_has_a_bounded_list(server):
    folder = server.www / "large"
    folder.mkdir()
    for number in range(10_050):
        (folder / f"{number:05}").touch()
    with Client(server) as client:
        answer = client.get("/large/", headers=JSON)
        listed = json.loads(answer.body)
        assert listed["truncated"] is True and len(listed["entries"]) == 10_000
        part = client.get("/large/", headers=JSON + "Range: bytes=100-199\r\n")
        assert part.status in (200, 206)
        page = client.get("/large/").body.decode()
        assert "there are more" in page and len(Page(page).links) == 10_001


def test_a_route_shows_the_path_that_was_asked_for(start_server, folder):
    server = start_server(workers=1, site="route /up/* {\n    strip /up\n    files {www}\n    listing on\n}")
    (server.www / "a").mkdir()
    assert json.loads(fetch(server, "/up/a/", headers=JSON).body)["path"] == "/up/a/"
