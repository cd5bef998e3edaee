"""The access log: what a line says, that each request has one, and what happens when it cannot be written."""

import json
import os
import re
import signal
import threading

import pytest
from clients import Client, bytes_of, fetch, until

COMBINED = re.compile(r'^(?P<client>\S+) - - \[(?P<time>[^\]]+)\] "(?P<request>(?:[^"\\]|\\x..)*)" (?P<status>\d+) '
                      r'(?P<bytes>\d+) "(?P<referer>[^"]*)" "(?P<agent>[^"]*)" (?P<id>\S+) (?P<ms>\d+\.\d{3}) '
                      r'(?P<received>\d+) (?P<end>\w+) (?P<reason>\S+)$')
BIG = 8_000_000


def lines_of(server, count, name="access.log", timeout=10):
    """Waits for so many lines of a log; returns them all."""
    path = server.folder / name
    until(lambda: path.exists() and path.read_bytes().count(b"\n") >= count, f"{count} lines in {name}", timeout)
    return path.read_text().splitlines()


def combined(line):
    match = COMBINED.match(line)
    assert match, line
    return match.groupdict()


@pytest.fixture
def start_logged(start_server):
    """start_logged(format): a server with a small and a big document and an access log. It has one worker, so that
    the lines are in the order of the requests."""

    def start(format="combined", site="", workers=1, **arguments):
        server = start_server(top=f"access_log {{folder}}/access.log {format}", site=site, workers=workers, **arguments)
        (server.www / "small").write_bytes(b"small\n")
        (server.www / "big").write_bytes(bytes_of(7, BIG))
        return server

    return start


def test_a_combined_line_says_what_was_asked_answered_and_why(start_logged):
    server = start_logged()
    assert fetch(server, "/small?a=b", headers="X-Request-Id: one\r\nReferer: /from\r\nUser-Agent: a \"b\" \\\r\n").status == 200
    answer = fetch(server, "/none")
    assert answer.status == 404
    found, missing = map(combined, lines_of(server, 2))
    assert found["client"] == "127.0.0.1" and re.fullmatch(r"\d\d/\w{3}/20\d\d:\d\d:\d\d:\d\d \+0000", found["time"])
    assert found["request"] == "GET /small?a=b HTTP/1.1"
    assert (found["status"], found["bytes"], found["id"]) == ("200", "6", "one")
    assert (found["referer"], found["agent"]) == ("/from", r"a \x22b\x22 \x5C")
    assert (found["end"], found["reason"]) == ("complete", "-")
    assert (missing["status"], missing["reason"], missing["agent"]) == ("404", "no_such_file", "-")
    assert re.fullmatch("[0-9a-f]{32}", missing["id"])
    assert f"request: {missing['id']}\n".encode() in answer.body, "the error names another id than the log"


def test_a_json_line_is_an_object_with_always_the_same_members(start_logged):
    server = start_logged("json")
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    fetch(server, "/small", headers=f"Traceparent: 00-{trace}-00f067aa0ba902b7-01\r\nUser-Agent: \"quoted\"\r\n")
    with Client(server) as client:
        client.send_bytes(b"NONSENSE\r\n\r\n")
        assert client.answer().status == 400
    good, bad = (json.loads(line) for line in lines_of(server, 2))
    assert list(good) == list(bad) == ["time", "id", "client", "host", "method", "target", "version", "referer", "user_agent",
                                       "trace", "status", "bytes", "received", "ms", "end", "reason"]
    assert (good["method"], good["target"], good["host"], good["version"]) == ("GET", "/small", "test.example", "1.1")
    assert (good["user_agent"], good["trace"], good["referer"], good["reason"]) == ('"quoted"', trace, None, None)
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", good["time"])
    assert (bad["method"], bad["target"], bad["status"], bad["reason"]) == (None, None, 400, "bad_request_line")


def test_no_request_can_forge_a_line(start_logged):
    server = start_logged()
    fetch(server, "/a%0a%22", headers='User-Agent: x" 200 1\u00ff\r\nX-Request-Id: not ok\r\n')
    line = combined(lines_of(server, 1)[0])
    assert line["request"] == "GET /a%0a%22 HTTP/1.1" and line["agent"] == r"x\x22 200 1\xC3\xBF"
    assert re.fullmatch("[0-9a-f]{32}", line["id"])


def test_ids_and_traces_are_taken_over_or_made_and_echoed_where_configured(start_logged):
    server = start_logged("json", site="header set X-Request-Id {request.id}\nheader set Traceparent {traceparent}")
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    taken = fetch(server, "/small", headers=f"X-Request-Id: mine\r\nTraceparent: 00-{trace}-00f067aa0ba902b7-01\r\n")
    made = fetch(server, "/small")
    assert taken.headers["x-request-id"] == "mine"
    assert re.fullmatch(rf"00-{trace}-(?!00f067aa0ba902b7)[0-9a-f]{{16}}-01", taken.headers["traceparent"])
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", made.headers["traceparent"])
    lines = [json.loads(line) for line in lines_of(server, 2)]
    assert lines[0]["id"] == "mine" and lines[0]["trace"] == trace
    assert lines[1]["id"] == made.headers["x-request-id"]
    assert lines[1]["trace"] == made.headers["traceparent"].split("-")[1]


def test_each_route_has_its_own_log_or_none(start_server):
    server = start_server(top="access_log {folder}/top.log", site=(
        "access_log {folder}/site.log json\nroute /quiet {\n    access_log off\n    respond 200 quiet\n}\n"
        "route /other {\n    access_log {folder}/other.log\n    respond 500 \"on purpose\"\n}"))
    for path in ("/quiet", "/other", "/none"):
        fetch(server, path)
    with Client(server) as client:
        client.send_bytes(b"NONSENSE\r\n\r\n")
        client.answer()
    assert [json.loads(line)["target"] for line in lines_of(server, 1, "site.log")] == ["/none"]
    assert combined(lines_of(server, 1, "other.log")[0])["reason"] == "configured"
    assert combined(lines_of(server, 1, "top.log")[0])["request"] == "-"
    server.stop()
    assert [len((server.folder / name).read_text().splitlines()) for name in ("top.log", "site.log", "other.log")] == [1] * 3


def test_a_post_to_a_route_without_a_log_is_in_no_log(start_server):
    server = start_server(top="access_log {folder}/top.log", hooks=False, site=(
        "route /quiet {\n    access_log off\n    respond 200 quiet\n}"))
    with Client(server) as client:
        client.send_bytes(b"POST /quiet HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12")
        client.send_bytes(b"345")
        assert client.answer().status == 200
    server.stop()
    assert (server.folder / "top.log").read_text() == ""


def test_a_response_that_is_broken_off_says_how_much_was_sent_and_how_it_ended(start_logged):
    server = start_logged("json")
    with Client(server, receive_buffer=4096) as client:
        client.send("/big", headers="X-Request-Id: broken\r\n")
        assert client.file.read(1000)
    with Client(server) as client:
        client.send_bytes(b"POST /small HTTP/1.1\r\nHost: a\r\nContent-Le")
        client.socket.shutdown(1)  # no request: no line
        assert client.has_ended()
    line = json.loads(lines_of(server, 1)[0])
    assert (line["id"], line["status"], line["end"]) == ("broken", 200, "client_reset")
    assert 0 < line["bytes"] < BIG
    server.stop()
    assert len(lines_of(server, 1)) == 1


def test_what_a_stop_cuts_off_has_its_line_too(start_logged):
    server = start_logged("json", drain="1s")
    with Client(server, receive_buffer=4096) as client:
        client.send("/big", headers="X-Request-Id: cut\r\n")
        assert client.file.read(1000)
        server.stop()
    line = json.loads(lines_of(server, 1)[0])
    assert (line["id"], line["end"]) == ("cut", "stopped")


def test_a_pipeline_has_a_line_for_each_request_and_all_are_there_after_a_stop(start_logged):
    server = start_logged("json")
    with Client(server) as client:
        client.send_bytes(b"".join(b"GET /small HTTP/1.1\r\nHost: a\r\nX-Request-Id: p%d\r\n\r\n" % i for i in range(50)))
        for _ in range(50):
            assert client.answer().status == 200
        server.stop()  # at once: nothing waited for the second of gathering
    assert [json.loads(line)["id"] for line in lines_of(server, 50)] == [f"p{i}" for i in range(50)]


def test_usr1_opens_the_files_anew_and_loses_nothing(start_logged):
    server = start_logged("json", workers=2)
    names, is_over = [], threading.Event()

    def ask():
        with Client(server) as client:
            while not is_over.is_set():
                names.append(f"n{len(names)}")
                client.get("/small", headers=f"X-Request-Id: {names[-1]}\r\n")

    asker = threading.Thread(target=ask)
    asker.start()
    log = server.folder / "access.log"
    for turn in range(3):
        lines_of(server, 1)
        log.rename(server.folder / f"access.log.{turn}")
        os.kill(server.pid, signal.SIGUSR1)
        server.wait_for_log(r"event=logs_reopened", count=turn + 1)
        until(log.exists, "a new file")
    lines_of(server, 1)
    is_over.set()
    asker.join()
    server.stop()
    files = [server.folder / f"access.log.{turn}" for turn in range(3)] + [log]
    ids = [json.loads(line)["id"] for file in files for line in file.read_text().splitlines()]
    assert sorted(ids) == sorted(names), "a line is lost or doubled"


def test_a_log_that_cannot_be_opened_is_told_at_the_start(folder, build):
    from clients import refused, write_config
    config = write_config(folder / "a", "workers 1\ncontrol {control}\naccess_log {folder}/none/access.log\n"
                                        "site 127.0.0.1:1 {\n    files {www}\n}\n")
    assert 'there is no folder for' in refused(folder / "a", config)


def test_a_full_disk_loses_lines_not_answers_and_says_so(start_server, folder):
    """The limit for the size of a file stands for the full disk: writing fails in the same way, midway."""
    limit, room = 1 << 40, 20_000
    log = folder / "full.log"
    with open(log, "wb") as file:
        file.truncate(limit - room)
    os.chmod(log, 0o666)
    server = start_server(workers=1, top=f"access_log {log} json", prefix=["prlimit", f"--fsize={limit}"])
    long = "x" * 700
    with Client(server) as client:
        for turn in range(60):
            assert client.get(f"/{turn}", headers=f"X-Request-Id: i{turn}\r\nUser-Agent: {long}\r\n").status == 404
        server.wait_for_log(r"event=access_log_failed")
        assert client.get("/after").status == 404
    with open(log, "rb") as file:
        file.seek(limit - room)
        text = file.read().decode()
    assert room - 2000 < len(text) <= room and text.endswith("}\n"), "half a line is left"
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["id"] for line in lines] == [f"i{turn}" for turn in range(len(lines))]


def test_a_pipe_can_be_the_log(start_server):
    reader = []
    server = None

    def read(path):
        with open(path) as pipe:
            reader.extend(pipe)

    import pathlib
    import tempfile
    with tempfile.TemporaryDirectory() as place:
        pipe = pathlib.Path(place) / "pipe"
        os.chmod(place, 0o755)
        os.mkfifo(pipe)
        os.chmod(pipe, 0o666)
        thread = threading.Thread(target=read, args=(pipe,))
        thread.start()
        server = start_server(workers=2, top=f"access_log {pipe} json")
        for turn in range(30):
            fetch(server, "/none", headers=f"X-Request-Id: q{turn}\r\n")
        server.stop()
        thread.join(10)
    assert sorted(json.loads(line)["id"] for line in reader) == sorted(f"q{turn}" for turn in range(30))


@pytest.mark.variants("hooks", "asan")
def test_a_log_that_cannot_be_opened_after_a_crash_loop_stops_no_slot(start_server, tmp_path):
    """A pipe whose reader has gone cannot be opened; the lines wait for the next reader."""
    pipe = tmp_path / "pipe"
    for place in [tmp_path, *list(tmp_path.parents)[:2]]:
        os.chmod(place, 0o755)
    os.mkfifo(pipe)
    os.chmod(pipe, 0o666)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    server = start_server(config="workers 1\ncontrol {control}\ncrash_limit 1 per 60s\ntest_hooks on\n"
                                 f"site 127.0.0.1:{{port}} {{\n    files {{www}}\n    access_log {pipe} json\n}}\n", plants_crashes=True)
    os.close(reader)
    assert fetch(server, "/_test/crash?how=segv", headers="X-Request-Id: before\r\n").status == 500
    with Client(server) as client:
        client.send("/_test/crash?how=segv")
        server.wait_for_log("event=crash_loop")
    assert fetch(server, "/none", headers="X-Request-Id: after\r\n").status == 404
    server.wait_for_log('event=access_log_failed .*error="No such device or address"')
    with open(os.open(pipe, os.O_RDONLY)) as file:  # waits for a writer
        ids = [json.loads(file.readline())["id"] for _ in range(2)]
    assert ids == ["before", "after"], "of the request that the slot was emptied under there is no line"


def test_workers_of_another_user_write_a_log_that_the_master_made(start_server):
    if os.geteuid() != 0:
        pytest.skip("only root changes users")
    server = start_server(top="user nobody\naccess_log {folder}/access.log json")
    fetch(server, "/none")
    lines_of(server, 1)
    assert (server.folder / "access.log").stat().st_uid != 0


def test_a_route_without_a_log_has_no_line_however_its_response_ends(start_logged):
    server = start_logged(site="route /quiet/* {\n    strip /quiet\n    files {www}\n    access_log off\n}")
    assert fetch(server, "/quiet/big").body == bytes_of(7, BIG)
    assert fetch(server, "/quiet/small").status == 200
    assert fetch(server, "/big").status == 200
    [line] = lines_of(server, 1)
    assert combined(line)["request"] == "GET /big HTTP/1.1"


@pytest.mark.variants("hooks", "asan")
def test_a_request_that_crashes_its_worker_has_its_line_in_its_site_s_log(start_server):
    server = start_server(config="workers 1\ncontrol {control}\ntest_hooks on\nsite 127.0.0.1:{port} {\n    files {www}\n"
                                 "    access_log {folder}/site.log\n}\n", plants_crashes=True)
    assert fetch(server, "/_test/crash?how=segv").status == 500
    [line] = lines_of(server, 1, "site.log")
    assert (combined(line)["status"], combined(line)["reason"]) == ("500", "handler_crashed")
