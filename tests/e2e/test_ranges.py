"""Ranges of files: one, several, none that exist. RFC 9110 section 14."""

import email
import re

import pytest
from clients import Client, bytes_of, fetch

pytestmark = pytest.mark.variants("hooks", "asan")

SIZES = {"small": 5000, "medium": 30_000, "big": 12_000_000}


@pytest.fixture
def server(start_server):
    server = start_server(workers=1)
    for name, size in SIZES.items():
        (server.www / name).write_bytes(bytes_of(name, size))
    return server


def parts_of(answer):
    """[(first, last, bytes)] of a 206 with several ranges, taken apart by Python's own mail parser."""
    assert answer.status == 206 and "content-range" not in answer.headers
    message = email.message_from_bytes(b"Content-Type: " + answer.headers["content-type"].encode() + b"\r\n\r\n" + answer.body)
    assert message.get_content_type() == "multipart/byteranges" and not message.defects
    boundary = message.get_boundary().encode()
    pieces = answer.body.split(b"--" + boundary)
    assert pieces[0] == b"" and pieces[-1] == b"--\r\n"
    parts = []
    for piece in pieces[1:-1]:
        head, _, body = piece.partition(b"\r\n\r\n")
        assert head.startswith(b"\r\n") and body.endswith(b"\r\n")
        match = re.search(rb"Content-Range: bytes (\d+)-(\d+)/(\d+)", head)
        assert b"Content-Type: application/octet-stream" in head
        parts.append((int(match[1]), int(match[2]), body[:-2]))
    return parts


@pytest.mark.parametrize("name", SIZES)
def test_several_ranges_come_as_parts(name, server):
    size, content = SIZES[name], bytes_of(name, SIZES[name])
    third = size // 3
    with Client(server) as client:
        for wanted in ([(0, 0), (2, 2)], [(0, 99), (200, 299), (size - 100, size - 1)], [(third, third * 2), (0, 10)],
                       [(i * 100, i * 100 + 49) for i in range(16)]):
            answer = client.get("/" + name, headers="Range: bytes=" + ",".join(f"{a}-{b}" for a, b in wanted) + "\r\n")
            parts = parts_of(answer)
            assert [(a, b) for a, b, _ in parts] == wanted
            assert all(body == content[a:b + 1] for a, b, body in parts)
        assert client.get("/" + name).body == content
        assert client.is_quiet()


def test_suffixes_and_open_ends_and_what_overlaps(server):
    content = bytes_of("medium", SIZES["medium"])
    with Client(server) as client:
        for text, expected in (("0-9,-10", [(0, 9), (29_990, 29_999)]), ("9000-,0-3", [(9000, 29_999), (0, 3)]),
                               ("0-9,5-20,40-49", [(0, 20), (40, 49)]), ("0-9,10-19,50-59", [(0, 19), (50, 59)]),
                               ("0-1,99999-,4-5", [(0, 1), (4, 5)])):
            parts = parts_of(client.get("/medium", headers=f"Range: bytes={text}\r\n"))
            assert [(a, b) for a, b, _ in parts] == expected, text
            assert all(body == content[a:b + 1] for a, b, body in parts)
        for text, expected in (("-5", (29_995, 29_999)), ("29999-", (29_999, 29_999)), ("0-1,1-2", (0, 2)),
                               ("100-1000000", (100, 29_999)), ("-1000000", (0, 29_999))):
            answer = client.get("/medium", headers=f"Range: bytes={text}\r\n")
            a, b = expected
            assert answer.status == 206 and answer.body == content[a:b + 1], text
            assert answer.headers["content-range"] == f"bytes {a}-{b}/30000"


def test_what_does_not_exist_is_416_and_what_makes_no_sense_is_the_whole(server):
    content = bytes_of("medium", SIZES["medium"])
    with Client(server) as client:
        for text in ("bytes=30000-", "bytes=-0", "bytes=30000-30001,40000-"):
            answer = client.get("/medium", headers=f"Range: {text}\r\n")
            assert answer.status == 416 and answer.headers["content-range"] == "bytes */30000", text
        for text in ("bytes=", "bytes=5-4", "lines=1-2", "bytes=a-b", "bytes=1-2,x", "bytes=" + ",".join(["0-0"] * 17),
                     "bytes=0-0,2-29999"):
            answer = client.get("/medium", headers=f"Range: {text}\r\n")
            assert answer.status == 200 and answer.body == content, text
        several = client.get("/medium", headers="Range: bytes=0-1\r\nRange: bytes=2-3\r\n")
        assert several.status == 200


def test_head_says_no_ranges_and_if_range_decides(server):
    with Client(server) as client:
        whole = client.get("/medium")
        tag, date = whole.headers["etag"], whole.headers["last-modified"]
        assert whole.headers["accept-ranges"] == "bytes"
        assert client.get("/medium", method="HEAD", headers="Range: bytes=0-1,5-6\r\n").status == 200
        for condition, status in ((tag, 206), ('"other"', 200), ("W/" + tag, 200), (date, 200), ("nonsense", 200)):
            answer = client.get("/medium", headers=f"Range: bytes=0-1,5-6\r\nIf-Range: {condition}\r\n")
            assert answer.status == status, condition


def test_a_pipeline_of_parts_keeps_its_order_and_a_slow_reader_gets_every_byte(server):
    content = bytes_of("big", SIZES["big"])
    wanted = [(i * 1_000_000, i * 1_000_000 + 600_000) for i in range(10)]
    header = "Range: bytes=" + ",".join(f"{a}-{b}" for a, b in wanted) + "\r\n"
    with Client(server, receive_buffer=65536) as client:
        for _ in range(3):
            client.send("/big", headers=header)
            client.send("/small")
        for _ in range(3):
            parts = parts_of(client.answer())
            assert [(a, b) for a, b, _ in parts] == wanted
            assert all(body == content[a:b + 1] for a, b, body in parts)
            assert client.answer().body == bytes_of("small", SIZES["small"])
    server.wait_for(lambda s: s.status()["workers"][0]["connections"] == 0)


def test_a_connection_that_closes_after_its_parts_sends_them_all(server):
    with Client(server) as client:
        client.send("/big", headers="Range: bytes=0-2000000,5000000-7000000\r\nConnection: close\r\n")
        assert [(a, b) for a, b, _ in parts_of(client.answer())] == [(0, 2_000_000), (5_000_000, 7_000_000)]
        assert client.has_ended()


def test_parts_cost_no_memory_that_stays(server):
    for _ in range(200):
        answer = fetch(server, "/big", headers="Range: bytes=0-9,20-29,1000000-1000009\r\n")
        assert len(parts_of(answer)) == 3
