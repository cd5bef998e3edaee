"""What commands print as JSON has the shapes that docs/control.md shows, member by member."""

import json
import pathlib
import re
import subprocess

import pytest
from clients import Client, settled

pytestmark = pytest.mark.variants("hooks", "release", "asan")

DOCUMENT = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "control.md").read_text()


def documented(beginning):
    """The JSON block of the document whose first member is this."""
    blocks = re.findall(r"```json\n(.*?)\n```", DOCUMENT, re.DOTALL)
    [block] = [block for block in blocks if block.startswith('{"%s"' % beginning)
               and "\n" not in block and not (beginning == "drain" and "connections" not in block)]
    return json.loads(block)


def shape(value):
    """The types of a JSON value; of a list, those of its first item. An id may be missing: null counts as a text."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else \
        "text" if isinstance(value, str) or value is None else type(value).__name__


def run(build, *arguments, **options):
    return subprocess.run([build / "holdfast", *arguments], capture_output=True, text=True, timeout=20,
                          stdin=subprocess.DEVNULL, **options)


def test_status(start_server):
    server = start_server(workers=1)
    settled(server, 1)
    assert shape(json.loads(server.run("status", "--json").stdout)) == shape(documented("version\":\"0.1.0\",\"generation"))


def test_connections(start_server):
    server = start_server(workers=2)
    settled(server)
    (server.www / "a").write_bytes(b"x" * 1000)
    with Client(server) as idle, Client(server) as half:
        assert idle.get("/a").status == 200
        half.send_bytes(b"GET /a HTTP/1.1\r\nHost: ")
        listed = server.wait_for(lambda s: (lambda items: len(items) == 2 and items)([
            item for item in json.loads(s.run("connections", "--json").stdout)["connections"] if item["received"]]))
        shown = json.loads(server.run("connections", "--json").stdout)
        assert shape(shown) == shape(documented("connections"))
        states = {item["client"]: item for item in listed}
        first = states["127.0.0.1:%d" % idle.socket.getsockname()[1]]
        assert first["state"] == "idle" and first["sent"] > 1000 and first["kind"] == "tcp"
        second = states["127.0.0.1:%d" % half.socket.getsockname()[1]]
        assert second["state"] == "head" and second["received"] == 23 and second["sent"] == 0
        text = server.run("connections").stdout
        assert text.count("127.0.0.1:%d" % server.port) == 2 and " head " in text


def test_connections_of_a_worker_that_hangs_and_of_one_that_was_revived(start_server):
    server = start_server(workers=1)
    [worker] = settled(server, 1)["workers"]
    with Client(server) as client:
        assert client.get("/").status == 404
        server.kill_worker(0)
        server.wait_for(lambda s: s.worker(0)["revivals"] == 1)
        pid = server.worker(0)["pid"]
        server.kill(pid, 19, wait=False)  # SIGSTOP
        [item] = json.loads(server.run("connections", "--json").stdout)["connections"]
        assert item["client"] == "127.0.0.1:%d" % client.socket.getsockname()[1]
        server.kill(pid, 18, wait=False)  # SIGCONT


def test_a_listing_of_many_connections_is_whole(start_server):
    server = start_server(workers=2)
    settled(server)
    clients = [Client(server) for _ in range(400)]
    for client in clients:
        client.get("/")
    done = server.run("connections", "--json")
    assert done.returncode == 0 and len(json.loads(done.stdout)["connections"]) == 400
    for client in clients:
        client.close()


def test_drain_and_resume(start_server):
    server = start_server(workers=1)
    drained = json.loads(server.run("drain", "--json").stdout)
    assert drained == documented("drain")
    assert shape(json.loads(server.run("resume", "--json").stdout)) == shape(drained)


def test_stop(start_server):
    server = start_server(workers=1)
    server.remember_processes()
    stopped = json.loads(server.run("stop", "--json").stdout)
    assert shape(stopped) == shape(documented("anchor")) and stopped["anchor"] == server.pid
    server.wait_exit()


def test_version_and_check(build, folder):
    assert shape(json.loads(run(build, "version", "--json").stdout)) == shape({"version": "0"})
    (folder / "holdfast.conf").write_text("site :8080 {\n    files .\n    fles /srv/www\n}\n")
    done = run(build, "check", "--json", "-c", "holdfast.conf", cwd=folder)
    assert (done.returncode, done.stderr) == (1, "")
    assert json.loads(done.stdout) == documented("ok\":false,\"error_count")
    (folder / "holdfast.conf").write_text("site :8080 {\n    files .\n}\n")
    done = run(build, "check", "--json", "-c", "holdfast.conf", cwd=folder)
    assert (done.returncode, json.loads(done.stdout)) == (0, {"ok": True, "error_count": 0, "errors": []})


def test_explain(build, folder):
    (folder / "www").mkdir()
    (folder / "holdfast.conf").write_text("site :8080 {\n    files www\n    route /api/* {\n        respond 204\n    }\n}\n")
    done = run(build, "explain", "http://example.com:8080/a.html", "--json", "-c", "holdfast.conf", cwd=folder)
    said = json.loads(done.stdout)
    expected = documented("listener")
    expected["answer"]["folder"] = str(folder / "www")
    assert said == expected and done.returncode == 0
    done = run(build, "explain", "/api/x?a=1", "-c", "holdfast.conf", cwd=folder)
    assert done.returncode == 0 and "route /api/* (holdfast.conf:3): matches" in done.stdout
    assert "answer: respond 204" in done.stdout


EXPLAINED = """site :8080 {
    route /old/* {
        redirect 301 /new
    }
    route /api/* {
        match {
            method POST
            header X-Key present
            client 10.0.0.0/8
        }
        respond 202 "taken"
    }
    route /api/* {
        respond 405
    }
}
site example.org:8080 {
    files .
}
"""


@pytest.mark.parametrize("arguments, code, words", [
    (["http://a:8080/api/x"], 0, ["the path matches, but not: method POST", "answer: respond 405"]),
    (["http://a:8080/api/x", "--method", "POST"], 0, ["but not: header X-Key present"]),
    (["http://a:8080/api/x", "--method", "POST", "--header", "X-Key: 1"], 0, ["but not: client 10.0.0.0/8"]),
    (["http://a:8080/api/x", "--method", "POST", "--header", "x-key: 1", "--client", "10.1.2.3"], 0,
     ["answer: respond 202 taken"]),
    (["http://a:8080/old/1"], 0, ["answer: redirect 301 /new"]),
    (["http://a:8080/none"], 1, ["answer: 404, because nothing here answers"]),
    (["http://example.org:8080/x/../y"], 0, ["site example.org:8080", "path /y"]),
])
def test_explain_gives_the_reason(build, folder, arguments, code, words):
    (folder / "holdfast.conf").write_text(EXPLAINED)
    done = run(build, "explain", *arguments, "-c", "holdfast.conf", cwd=folder)
    assert done.returncode == code, done
    for word in words:
        assert word in done.stdout, done.stdout


def test_wrong_usage_of_explain_and_an_address_without_a_site(build, folder):
    (folder / "holdfast.conf").write_text(EXPLAINED)
    for wrong in ([], ["no-url"], ["/a", "--client", "nobody"], ["/a", "--header", "x"], ["/a", "--what"], ["/%zz"]):
        done = run(build, "explain", *wrong, "-c", "holdfast.conf", cwd=folder)
        assert done.returncode == 2 and "usage: holdfast explain" in done.stderr, (wrong, done)
    done = run(build, "explain", "http://a:9/", "-c", "holdfast.conf", cwd=folder)
    assert done.returncode == 1 and "sites listen on :8080" in done.stderr


def test_help_of_each_command(build):
    names = re.findall(r"^  holdfast (\w+)", run(build, "help").stdout, re.MULTILINE)
    assert len(names) >= 11
    for name in names:
        done = run(build, "help", name)
        assert done.returncode == 0 and f"usage: holdfast {name}" in done.stdout
    assert run(build, "help", "nonsense").returncode == 2
