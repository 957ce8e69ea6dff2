"""The dashboard in a real browser shows the numbers of the command line, follows its inputs and fits a phone."""

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
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
    plan = ["plan", str(repository / "examples"), "--out", str(tmp_path_factory.mktemp("plan")), "--json", "--no-pdf"]
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
    for point in verdict["points"]:
        assert f"{point['about']}: {point['says']}".replace("`", "") in shown


def test_moving_an_input_changes_the_answer_and_the_link(chromium: Any, dashboard: str) -> None:
    page = opened(chromium, dashboard)
    before = text_of(page)
    staff = page.get_by_role("spinbutton", name="Staff [FTE]")
    staff.fill("9")
    staff.press("Enter")
    page.wait_for_function("old => { const now = document.querySelector('[data-testid=stMain] h2'); "
                           "return now && now.innerText && !old.includes(now.innerText); }", arg=before)  # fmt: skip
    link = page.url
    assert "assumptions.staff_fte=" in link
    changed = text_of(page)
    again = opened(chromium, link)
    assert text_of(again)[:80] == changed[:80]
    page.close()
    again.close()


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark")])
def test_every_page_fits_the_screen(chromium: Any, dashboard: str, width: int, theme: str) -> None:
    page = opened(chromium, dashboard, width=width, theme=theme)
    for path, wanted in PAGES.items():
        page.goto(f"{dashboard}/{path}")
        page.wait_for_function("wanted => document.body.innerText.includes(wanted)", arg=wanted)
        assert page.locator('[data-testid="stException"]').count() == 0, path
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), f"{path} is too wide"
    page.close()


def test_the_back_button_undoes(chromium: Any, dashboard: str) -> None:
    page = opened(chromium, dashboard)
    shows = "value => document.querySelector('input[aria-label=\"Spare replicas\"]')?.value === value"
    page.wait_for_function(shows, arg="1")
    spare = page.get_by_role("spinbutton", name="Spare replicas")
    spare.fill("3")
    spare.press("Enter")
    page.wait_for_function("location.search.includes('fleet.spare_replicas=3')")
    page.go_back()
    page.wait_for_function("!location.search.includes('fleet.spare_replicas')")
    page.wait_for_function(shows, arg="1")
    page.close()


def test_scenarios_kept_for_comparison_open_in_a_second_browser(chromium: Any, dashboard: str) -> None:
    page = opened(chromium, f"{dashboard}/compare")
    page.get_by_role("button", name="Keep", exact=True).click()
    page.get_by_role("button", name="Open Scenario 1").wait_for()
    staff = page.get_by_role("spinbutton", name="Staff [FTE]")
    staff.fill("9")
    staff.press("Enter")
    differs = page.get_by_text("Scenario 1: assumptions.staff_fte: null there")
    differs.wait_for()
    page.wait_for_function("location.search.includes('keep.') && location.search.includes('assumptions.staff_fte=')")
    link, said = page.url, differs.inner_text()
    page.close()
    second = chromium.new_context()
    page = second.new_page()
    page.set_default_timeout(PAGE_TIMEOUT_MS)
    page.goto(link)
    page.get_by_role("button", name="Open Scenario 1").wait_for()
    assert page.get_by_text("Scenario 1: assumptions.staff_fte").inner_text() == said
    page.get_by_role("button", name="Open Scenario 1").click()
    page.wait_for_function("!location.search.includes('assumptions.staff_fte=')")
    second.close()


def test_the_keyboard_alone_is_enough(chromium: Any, dashboard: str) -> None:
    """Change an input, read a help, go to another page, download a file: Tab, Enter and arrow keys."""
    page = opened(chromium, dashboard)
    page.get_by_text("What to keep in mind").wait_for()
    tab_to(page, "e => e.getAttribute('aria-label') === 'Staff [FTE]'")
    page.keyboard.press("Control+A")
    page.keyboard.type("9")
    page.keyboard.press("Enter")
    page.wait_for_function("location.search.includes('assumptions.staff_fte=')")

    tab_to(page, "e => e.type === 'range'")
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("/slo.attainment_frac|horizon_months/.test(location.search)")

    tab_to(page, "e => e.getAttribute('aria-label') === 'Help for Requests per day'")
    page.get_by_text("In the first month; the log gives their mix and bursts.").wait_for()

    tab_to(page, "e => e.tagName === 'A' && e.innerText.includes('Export')")
    page.keyboard.press("Enter")
    page.get_by_text("The address of this page is a link").wait_for()
    tab_to(page, "e => e.tagName === 'BUTTON' && e.innerText.includes('Download everything')")
    with page.expect_download() as found:
        page.keyboard.press("Enter")
    assert zipfile.is_zipfile(found.value.path())
    page.close()


def tab_to(page: Any, wanted: str, most: int = 120) -> None:
    """Press Tab until the focused element is the wanted one."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate(f"({wanted})(document.activeElement)"):
            return
    raise AssertionError(f"{most} steps with Tab do not reach {wanted}")


def test_the_browsers_console_shows_streamlits_two_look_ups_and_nothing_else(chromium: Any, dashboard: str) -> None:
    page = chromium.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.location["url"]) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    for path, wanted in PAGES.items():
        said.clear()
        page.goto(f"{dashboard}/{path}")
        page.wait_for_function("wanted => document.body.innerText.includes(wanted)", arg=wanted)
        look_ups = {f"{dashboard}/{path}/_stcore/{name}" for name in ("health", "host-config")} if path else set()
        assert set(said) <= look_ups, path
    page.close()


def test_the_whole_way_from_a_log_to_the_files_and_a_second_browser(
    chromium: Any, dashboard: str, repository: Path, tmp_path: Path
) -> None:
    """Upload a log and a profile, change a price, read the verdict, download all; the command line says the same."""
    log, profile = tmp_path / "my log.csv", tmp_path / "mine.json"
    rows = (repository / "examples" / "azure_code_2023.csv").read_text().splitlines()[:2001]
    log.write_text("\n".join(rows) + "\n")
    profile.write_bytes((repository / "examples" / "profile.json").read_bytes())
    page = opened(chromium, f"{dashboard}/workload")
    page.get_by_text("Use another workload").click()
    page.set_input_files('[data-testid="stMain"] input[type="file"]', str(log))
    page.wait_for_function("document.body.innerText.includes('2,000')")

    page.get_by_role("link", name="Measurements").click()
    page.get_by_text("Add a measurement").click()
    page.set_input_files('[data-testid="stMain"] input[type="file"]', str(profile))
    page.get_by_role("button", name="Plan with this profile").click()
    page.get_by_role("button", name="The plan rests on it").wait_for()

    page.get_by_role("link", name="Prices").click()
    page.get_by_text("What the log's mix of requests costs").wait_for()
    table = page.locator('[data-testid="stDataFrame"]').first
    table.locator("canvas").first.wait_for()
    field = page.locator(".gdg-input:enabled")
    for _ in range(20):  # the table draws itself: a click before it is ready is lost
        box = table.bounding_box()
        page.mouse.click(box["x"] + 260, box["y"] + 52)
        page.keyboard.press("Enter")
        page.wait_for_timeout(500)
        if field.count():
            break
        page.keyboard.press("Escape")
    field.fill("0.02")
    page.keyboard.press("Enter")
    page.wait_for_function("location.search.includes('rates=')")

    page.get_by_role("link", name="Verdict").click()
    page.get_by_text("What to keep in mind").wait_for()
    headline = page.locator('[data-testid="stMain"] h2').first.inner_text()
    link = page.url
    page.get_by_role("link", name="Export").click()
    page.get_by_text("The address of this page is a link").wait_for()  # the last thing on the page
    buttons = page.locator('[data-testid="stMain"] [data-testid="stDownloadButton"] button')
    downloads = []
    for place in range(8):  # the browser lets a page give no more than ten files; the first holds them all
        with page.expect_download() as found:
            buttons.nth(place).click()
        downloads.append((found.value.suggested_filename, Path(found.value.path()).read_bytes()))
    with zipfile.ZipFile(io.BytesIO(downloads[0][1])) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    assert buttons.count() == 1 + len(files)
    assert all(files[name] == content for name, content in downloads[1:])
    page.close()

    case = tmp_path / "case"
    case.mkdir()
    (case / "scenario.toml").write_bytes(files.pop("scenario.toml"))
    for given in (log, profile):
        (case / given.name).write_bytes(given.read_bytes())
    command = [sys.executable, "-m", "measure.cli", "plan", str(case), "--json", "--no-pdf"]
    done = subprocess.run(command, capture_output=True, check=True, cwd=repository)
    assert json.loads(done.stdout)["headline"] == headline
    assert set(files) == {file.name for file in (case / "plan").iterdir()}
    for name, content in files.items():
        assert content == (case / "plan" / name).read_bytes(), name

    second = chromium.new_context()
    page = second.new_page()
    page.set_default_timeout(PAGE_TIMEOUT_MS)
    page.goto(link)
    page.get_by_text("rests on a file that is not here").wait_for()
    for field, given in (("mine.json", profile), ("my log.csv", log)):
        wanted = page.locator(f'[data-testid="stFileUploader"]:has-text("{field}")')
        wanted.wait_for()
        wanted.locator('input[type="file"]').set_input_files(str(given))
        wanted.wait_for(state="detached")  # taken: the page draws itself anew, and asks for what is missing still
    page.get_by_text("What to keep in mind").wait_for()
    assert page.locator('[data-testid="stMain"] h2').first.inner_text() == headline
    second.close()
