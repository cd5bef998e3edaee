"""The demonstration of `make run`, as a visitor's browser sees it. HOLDFAST_SCREENSHOTS=FOLDER keeps pictures."""

import os
import pathlib
import shutil

import pytest
from browser import Browser
from clients import settled

pytestmark = [pytest.mark.variants("hooks", "release"), pytest.mark.dear("release"), pytest.mark.limit(120)]

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def demo(start_server):
    """The demonstration's own configuration on a port of the test's, with its documents."""
    if not shutil.which("chromium"):
        pytest.skip("there is no chromium here")
    text = (ROOT / "demo" / "holdfast.conf").read_text()
    assert "site 127.0.0.1:8080 {" in text and "files www\n" in text
    text = text.replace("127.0.0.1:8080", "127.0.0.1:{port}").replace("workers 2\n", "workers 2\ncontrol {control}\n")
    server = start_server(config=text, environment={"USER": os.environ.get("USER", "root")})
    for name in ("index.html", "demo.css", "demo.js"):
        shutil.copy(ROOT / "demo" / "www" / name, server.www)
    (server.www / "numbers.txt").write_text("".join(f"{number}\n" for number in range(1, 8_000_001)))
    settled(server)
    return server


def keep(page, name):
    if folder := os.environ.get("HOLDFAST_SCREENSHOTS"):
        page.screenshot(pathlib.Path(folder) / f"{name}.png")


@pytest.mark.parametrize("look", ["light", "dark"] if os.environ.get("HOLDFAST_SOAK") == "1" else ["dark"])
def test_a_visitor_kills_workers_and_the_page_loses_nothing(demo, look):
    with Browser(f"http://127.0.0.1:{demo.port}/", dark=look == "dark") as page:
        page.wait("demo.ticks > 2 && demo.verified > 1000000 && document.querySelectorAll('.slot').length === 2")
        for kills in range(1, 7):
            slot = kills % 2
            before = page.value(f"document.querySelectorAll('.slot')[{slot}].dataset.pid")
            page.value(f"document.querySelectorAll('.slot button')[{slot}].click()")
            page.wait(f"demo.kills === {kills} && document.querySelectorAll('.slot')[{slot}].dataset.pid !== '{before}'")
        page.wait("document.getElementById('revivals').textContent === '6'")
        reached = page.value("[demo.ticks, demo.verified]")
        page.wait(f"demo.ticks > {reached[0] + 5} && demo.verified > {reached[1] + 2000000}")
        keep(page, look)
        counts = page.value("demo")
        assert (counts["lost"], counts["wrong"]) == (0, 0), counts
        assert page.value("document.getElementById('problem').hidden")
        assert page.value("document.querySelectorAll('#marks i').length") == 6
    assert sum(worker["deaths"] for worker in demo.status()["workers"]) == 6


def test_the_page_says_so_when_the_server_is_gone_and_counts_what_was_lost(demo):
    with Browser(f"http://127.0.0.1:{demo.port}/") as page:
        page.wait("demo.ticks > 0 && demo.verified > 0")
        demo.remember_processes()
        assert demo.run("stop", "--now").returncode == 0
        page.wait("demo.lost >= 2 && !document.getElementById('problem').hidden")
        assert "cannot be reached" in page.value("document.getElementById('problem').textContent")
        assert page.value("document.querySelector('.zero').classList.contains('bad')")
    demo.wait_exit()
