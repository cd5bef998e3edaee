"""What the server says of itself over HTTP: status, metrics, readiness."""

import json
import pathlib
import re
import signal

import pytest
from clients import Client, fetch, until

ROOT = pathlib.Path(__file__).resolve().parents[2]
SITE = ("route /status {\n    status\n}\nroute /metrics {\n    metrics\n}\nroute /ready {\n    ready\n}")


@pytest.fixture
def server(start_server):
    server = start_server(site=SITE, top="access_log {folder}/access.log")
    (server.www / "small").write_bytes(b"small\n")
    return server


def metrics(server):
    """name with labels -> value."""
    answer = fetch(server, "/metrics")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    lines = [line for line in answer.body.decode().splitlines() if not line.startswith("#")]
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines}


def test_every_metric_is_in_the_document_and_the_other_way_round(server):
    text = fetch(server, "/metrics").body.decode()
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    helps = dict(re.findall(r"^# HELP (\S+) (.*)\.$", text, re.MULTILINE))
    document = (ROOT / "docs" / "metrics.md").read_text()
    rows = {name: (kind, meaning) for name, kind, meaning in
            re.findall(r"^\| `(holdfast_\w+)` \| (\w+) \| (.*) \|$", document, re.MULTILINE)}
    assert rows == {name: (kind, helps[name]) for name, kind in kinds.items()}
    assert len(rows) > 20


def test_each_request_is_counted_once_by_class_and_time(server):
    before = metrics(server)
    for _ in range(20):
        assert fetch(server, "/small").status == 200
        assert fetch(server, "/none").status == 404
    after = metrics(server)  # the one before is counted, this one is not yet

    def grown(name):
        return after["holdfast_" + name] - before["holdfast_" + name]

    assert grown('responses_total{class="2xx"}') == 21
    assert grown('responses_total{class="4xx"}') == 20
    assert grown("requests_total") == grown("request_duration_seconds_count") == 41
    assert grown('request_duration_seconds_bucket{le="+Inf"}') == 41
    assert grown("access_log_lines_total") == 41 and after["holdfast_access_log_lines_lost_total"] == 0
    assert grown("connections_accepted_total") == 41


def test_buckets_only_grow_and_end_in_the_count(server):
    fetch(server, "/small")
    values = metrics(server)
    buckets = [value for name, value in values.items() if "_bucket{" in name]
    assert len(buckets) == 17 and buckets == sorted(buckets)
    assert buckets[-1] == values["holdfast_request_duration_seconds_count"]


@pytest.mark.variants("hooks", "release", "asan")
def test_counters_of_all_workers_are_summed_and_no_death_takes_one_away(server):
    pids = server.worker_pids()
    for turn in range(30):
        fetch(server, "/small")
        if turn in (10, 20):
            server.kill_worker(turn // 10 % 2)
    server.wait_for(lambda s: all(pid not in pids for pid in s.worker_pids()))
    server.wait_for(lambda s: sum(worker["revivals"] for worker in s.status()["workers"]) == 2)
    values = metrics(server)
    assert values['holdfast_responses_total{class="2xx"}'] == 30
    assert values["holdfast_worker_deaths_total"] == values["holdfast_worker_revivals_total"] == 2


def test_what_a_lost_slot_has_counted_stays_in_the_totals(server):
    for _ in range(20):
        fetch(server, "/small")
    slot = server.status()["workers"][0]
    server.kill(slot["keeper_pid"], signal.SIGSTOP, wait=False)
    server.kill(slot["pid"])
    server.kill(slot["keeper_pid"])
    server.wait_for_log("event=slot_lost")
    server.wait_for(lambda s: len([w for w in s.status()["workers"] if w["state"] == "ready"]) == 2)
    values = metrics(server)
    assert values['holdfast_responses_total{class="2xx"}'] == 20
    assert values["holdfast_connections_accepted_total"] >= 20


def test_status_is_that_of_the_command_line(server):
    server.wait_for(lambda s: s.status()["phase"] == "run")
    answer = fetch(server, "/status", headers="Accept: */*\r\n")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    over_http, by_command = json.loads(answer.body), server.status()
    for status in (over_http, by_command):
        assert status.pop("uptime_s") > 0
        for worker in status["workers"]:
            for changing in ("requests", "accepted", "connections", "blocks"):
                worker.pop(changing)
        for listener in status["listeners"]:
            listener.pop("accepted")
    assert over_http == by_command


def test_a_browser_gets_a_page_without_anything_from_elsewhere(server):
    answer = fetch(server, "/status", headers="Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    page = answer.body.decode()
    assert page.startswith("<!doctype html>") and page.rstrip().endswith("</html>")
    assert not re.search(r"https?://|src=|<link|@import|<script", page)
    for worker in server.status()["workers"]:
        assert f"<td>{worker['pid']}</td>" in page
    assert f"127.0.0.1:{server.port}" in page
    for accept in ("application/json", "text/html;q=0", "text/html;q=0.4, application/json"):
        assert fetch(server, "/status", headers=f"Accept: {accept}\r\n").headers["content-type"] == "application/json"


def test_status_works_while_no_master_runs(server):
    server.kill(server.status()["master"]["pid"])
    assert len(json.loads(fetch(server, "/status").body)["workers"]) == 2


def test_only_looking_is_allowed(server):
    for path in ("/status", "/metrics", "/ready"):
        answer = fetch(server, path, method="POST", headers="Content-Length: 0\r\n")
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
        assert fetch(server, path, method="HEAD").status == 200


def test_readiness_is_denied_when_a_stop_begins_while_others_are_still_answered(start_server):
    server = start_server(site=SITE, drain="20s")
    (server.www / "big").write_bytes(b"x" * 20_000_000)
    with Client(server, receive_buffer=4096) as slow, Client(server) as client:
        slow.send("/big")
        slow.file.read(100)
        assert client.get("/ready").body == b"ready\n"
        server.remember_processes()
        server.process.send_signal(signal.SIGTERM)
        denied = until(lambda: (answer := client_answer(server, client)) and answer.status == 503 and answer, "503")
        assert b"draining" in denied.body
    server.wait_exit()


def client_answer(server, client):
    """Asks on the connection that there is: it says that it ends only with the answer that denies."""
    answer = client.get("/ready")
    if answer.status == 200:
        assert "close" not in answer.headers.get("connection", "")
    return answer
