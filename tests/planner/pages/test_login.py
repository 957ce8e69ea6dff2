"""The login in a real browser against a real OpenID provider: nothing before it, the plan after it, nothing again."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from openid_provider import CLIENT_ID, CLIENT_SECRET, PASSWORD, PERSON, Provider, running_provider

from planner.scenario.toml_file import load_scenario

COOKIE_SECRET = "cookie-secret-0123456789abcdef"
PAGE_TIMEOUT_MS = 60_000
START_TIMEOUT_S = 60


class Served(NamedTuple):
    """A dashboard that other machines reach, its provider, and what it has printed."""

    address: str
    provider: Provider
    output: Path


def secrets_file(provider: Provider, folder: Path) -> None:
    (folder / ".streamlit").mkdir()
    (folder / ".streamlit" / "secrets.toml").write_text(
        f'[auth]\nredirect_uri = "{provider.redirect_uri}"\ncookie_secret = "{COOKIE_SECRET}"\n'
        f'client_id = "{CLIENT_ID}"\nclient_secret = "{CLIENT_SECRET}"\n'
        f'server_metadata_url = "{provider.metadata_url}"\n'
    )


@pytest.fixture
def served(repository: Path, tmp_path: Path) -> Iterator[Served]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    output = tmp_path / "output.txt"
    command = [sys.executable, "-m", "measure.cli", "app", str(repository / "examples")]
    command += ["--host", "0.0.0.0", "--port", str(port)]
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(repository)}
    with running_provider(f"{address}/oauth2callback") as provider, output.open("w") as file:
        secrets_file(provider, tmp_path)
        server = subprocess.Popen(
            command, cwd=tmp_path, env=environment, start_new_session=True, stdout=file, stderr=file
        )
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
            yield Served(address, provider, output)
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(timeout=20)


def outside(page: Any, address: str, name: str) -> None:
    """The page at an address asks for a login and holds nothing of the plan."""
    page.goto(address)
    page.get_by_role("button", name="Log in").wait_for()
    assert page.locator('[data-testid="stMetric"], [data-testid="stSidebar"] input, .js-plotly-plot').count() == 0
    assert name not in page.content()


@pytest.mark.browser
def test_the_plan_is_seen_after_a_login_and_neither_before_it_nor_after_the_logout(
    chromium: Any, served: Served, repository: Path
) -> None:
    name = load_scenario(repository / "examples").name
    provider = served.provider
    visitor = chromium.new_context()
    page = visitor.new_page()
    page.set_default_timeout(PAGE_TIMEOUT_MS)
    for path in ("", "export", "?horizon_months=12"):
        outside(page, f"{served.address}/{path}", name)

    page.get_by_role("button", name="Log in").click()
    page.get_by_text("Who are you?").wait_for()
    page.locator('[name="person"]').fill(PERSON)
    page.locator('[name="password"]').fill("a guess")
    page.get_by_role("button", name="Continue").click()
    page.get_by_text("wrong name or password").wait_for()
    assert provider.tokens_given == 0
    outside(page, served.address, name)

    page.get_by_role("button", name="Log in").click()
    page.locator('[name="person"]').fill(PERSON)
    page.locator('[name="password"]').fill(PASSWORD)
    page.get_by_role("button", name="Continue").click()
    page.get_by_text("Cheapest API, per month").wait_for()
    page.get_by_role("link", name="Measure here").click()
    page.get_by_text("nothing is started from it").wait_for()  # logged in or not
    assert provider.tokens_given == 1
    assert provider.refused == ["login: wrong name or password"]

    stranger = (
        chromium.new_context()
    )  # somebody else, while the first one is logged in, with a cookie of his own making
    stranger.add_cookies([{"name": "_streamlit_user", "value": "eyJpc19sb2dnZWRfaW4iOnRydWV9", "url": served.address}])
    other = stranger.new_page()
    other.set_default_timeout(PAGE_TIMEOUT_MS)
    outside(other, served.address, name)
    stranger.close()

    page.get_by_role("button", name="Log out").click()
    page.get_by_role("button", name="Log in").wait_for()
    assert provider.logged_out == 1
    for path in ("", "compare"):
        outside(page, f"{served.address}/{path}", name)
    visitor.close()

    said = served.output.read_text()
    assert "dashboard: http://0.0.0.0" in said
    assert "Traceback" not in said
    for secret in (CLIENT_SECRET, COOKIE_SECRET, PASSWORD):
        assert secret not in said


def test_a_login_that_is_not_complete_is_refused_before_the_server_starts(tmp_path: Path) -> None:
    with running_provider("https://breakeven.example.com/oauth2callback") as provider:
        secrets_file(provider, tmp_path)
    file = tmp_path / ".streamlit" / "secrets.toml"
    file.write_text("\n".join(line for line in file.read_text().splitlines() if "_secret" not in line))
    command = [sys.executable, "-m", "measure.cli", "app", "--host", "0.0.0.0"]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "HOME": str(tmp_path)}, timeout=120
    )
    assert done.returncode == 2
    assert "lacks cookie_secret, client_secret" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert CLIENT_ID not in done.stderr
