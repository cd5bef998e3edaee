"""Nothing outside the folder is reached where openat2(2) does not exist, either."""

import json

import holdfast
import pytest
from clients import Client

pytestmark = pytest.mark.variants("hooks", "asan")


@pytest.fixture
def server(start_server):
    tool = holdfast.build_folder() / "tests" / "e2e" / "without_openat2"
    server = start_server(workers=1, site="listing on\ncompress on", prefix=[str(tool)])
    (server.folder / "secret").write_text("secret\n")
    (server.www / "sub").mkdir()
    (server.www / "sub" / "file.txt").write_text("inside\n" * 1000)
    (server.www / "in").symlink_to("sub")
    (server.www / "sub" / "back").symlink_to("../in/file.txt")
    (server.www / "out").symlink_to("../secret")
    (server.www / "folder-out").symlink_to("..")
    (server.www / "absolute").symlink_to("/etc")
    (server.www / "loop").symlink_to("loop")
    return server


def test_without_openat2_links_inside_are_followed_and_none_leads_out(server):
    with Client(server) as client:
        for path in ("/sub/file.txt", "/in/file.txt", "/in/back", "/sub/../in/file.txt"):
            answer = client.get(path)
            assert answer.status == 200 and answer.body == b"inside\n" * 1000, path
        assert client.get("/in/file.txt", headers="Accept-Encoding: gzip\r\n").headers["content-encoding"] == "gzip"
        for path in ("/out", "/folder-out/secret", "/absolute/passwd", "/loop", "/folder-out/", "/sub/nothing", "/sub/file.txt/"):
            answer = client.get(path)
            assert answer.status == 404 and b"secret\n" not in answer.body, path
        listed = json.loads(client.get("/", headers="Accept: application/json\r\n").body)
        assert [entry["name"] for entry in listed["entries"]] == ["in", "sub"]
