"""The dashboard in a real browser shows the numbers of the command line, follows its inputs and fits a phone."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.browser
START_TIMEOUT_S = 60
PAGE_TIMEOUT_MS = 60_000
PAGES = {
    "": "Cheapest API, per month",
    "compare": "Scenarios side by side",
    "risk": "What is it worth to know better?",
    "workload": "Requests in the log",
    "measurements": "Load time",
    "prices": "What the log's mix of requests costs",
    "assumptions": "Files this plan rests on",
    "capacity": "What a number of replicas carries",
    "export": "Download everything",
}


@pytest.fixture(scope="module")
def dashboard(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a dashboard on the example scenario, started as a user would start it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "measure.cli", "app", str(repository / "examples"), "--port", str(port)]
    output = tmp_path_factory.mktemp("dashboard") / "output.txt"
    with output.open("w") as file:
        server = subprocess.Popen(command, cwd=repository, start_new_session=True, stdout=file, stderr=file)
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                with urllib.request.urlopen(f"{address}/_stcore/health", timeout=5):
                    break
            except OSError:
                assert server.poll() is None, output.read_text()
                assert time.monotonic() < deadline, "the dashboard did not come up"
                time.sleep(0.2)
        yield address
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=20)


@pytest.fixture(scope="module")
def verdict(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    plan = ["plan", str(repository / "examples"), "--out", str(tmp_path_factory.mktemp("plan")), "--json"]
    command = [sys.executable, "-m", "measure.cli", *plan]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=repository)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def opened(chromium: Any, address: str, *, width: int = 1280, theme: str = "light") -> Any:
    page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=theme)
    page.set_default_timeout(PAGE_TIMEOUT_MS)
    page.goto(address)
    page.wait_for_selector('[data-testid="stMain"] [data-testid="stHeading"]')
    return page


def text_of(page: Any) -> str:
    return re.sub(r"\s+", " ", page.inner_text('[data-testid="stMain"]'))


def test_the_verdict_is_the_command_lines_to_the_letter(chromium: Any, dashboard: str, verdict: dict[str, Any]) -> None:
    page = opened(chromium, dashboard)
    page.wait_for_selector(".js-plotly-plot")
    shown = text_of(page)
    page.close()
    assert verdict["headline"] in shown
    assert verdict["verdict"].replace("`", "") in shown


def test_moving_an_input_changes_the_answer_and_the_link(chromium: Any, dashboard: str) -> None:
    page = opened(chromium, dashboard)
    before = text_of(page)
    staff = page.get_by_role("spinbutton", name="Staff [FTE]")
    staff.fill("9")
    staff.press("Enter")
    page.wait_for_function("old => !document.querySelector('[data-testid=stMain]').innerText.includes(old)",
                           arg=before[:80])  # fmt: skip
    link = page.url
    assert "assumptions.staff_fte=" in link
    changed = text_of(page)
    again = opened(chromium, link)
    assert text_of(again)[:80] == changed[:80]
    page.close()
    again.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("path", PAGES)
def test_every_page_works_at_both_widths_and_themes(
    chromium: Any, dashboard: str, path: str, width: int, theme: str
) -> None:
    page = opened(chromium, f"{dashboard}/{path}", width=width, theme=theme)
    page.wait_for_function("wanted => document.body.innerText.includes(wanted)", arg=PAGES[path])
    assert page.locator('[data-testid="stException"]').count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "wider than the screen"
    page.close()
