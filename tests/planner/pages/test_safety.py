"""What the dashboard must not do: open itself, believe a file's name, keep or show what is not its own."""

import gc
import gzip
import io
import os
import re
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import psutil
import pytest
from streamlit import config
from streamlit.testing.v1 import AppTest

from planner.errors import InputError
from planner.pages.gate import Door, door, is_loopback
from planner.pages.imports import read_uploaded_measurement
from planner.pages.live import LiveRun, without_secrets
from planner.pages.show import escape
from planner.pages.uploads import (
    MAX_LOG_MB,
    MAX_RUN_FILES,
    check_archive,
    read_uploaded_log,
    read_uploaded_profile,
    upload_name,
)

LOG = b"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:00:00,10,5\n2023-11-16 18:00:09,20,7\n"
SECRET = "sk-do-not-show-0123456789"


def scratch() -> set[str]:
    return {name for name in os.listdir(tempfile.gettempdir()) if name.startswith("breakeven-")}


@pytest.mark.parametrize("address", ["0.0.0.0", "10.1.2.3", "::", "host.example", None])
def test_an_address_that_others_reach_is_closed_until_somebody_logs_in(address: str | None) -> None:
    assert not is_loopback(address)
    closed = door(address, without_login=False, has_login=False, is_logged_in=False)
    asked = door(address, without_login=False, has_login=True, is_logged_in=False)
    assert (closed, asked) == (Door.CLOSED, Door.LOGIN)
    assert door(address, without_login=False, has_login=True, is_logged_in=True) is Door.OPEN
    assert door(address, without_login=True, has_login=False, is_logged_in=False) is Door.OPEN


def test_the_command_refuses_other_machines_without_a_login(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "measure.cli", "app", "--host", "0.0.0.0"]
    environment = {**os.environ, "HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=120)
    assert done.returncode == 2
    assert "--without-login" in done.stderr
    assert "Traceback" not in done.stderr


def test_other_machines_start_no_measurement(monkeypatch: pytest.MonkeyPatch, repository: Path) -> None:
    config.set_option("server.address", "0.0.0.0")
    monkeypatch.setenv("BREAKEVEN_WITHOUT_LOGIN", "1")
    monkeypatch.setenv("BREAKEVEN_SCENARIO", str(repository / "examples" / "scenario.toml"))
    app = AppTest.from_file(str(repository / "app.py"), default_timeout=120)
    app.run()
    app.switch_page("planner/pages/measure.py").run()
    assert not app.exception
    assert any("nothing is started from it" in info.value for info in app.info)
    assert not app.button


@pytest.mark.browser
def test_a_server_started_past_the_command_shows_no_plan(chromium: object, repository: Path, tmp_path: Path) -> None:
    """`streamlit run app.py` binds to every address: the page itself must stay closed."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    flags = [f"--server.port={port}", "--server.headless=true", "--browser.gatherUsageStats=false"]
    command = [sys.executable, "-m", "streamlit", "run", str(repository / "app.py"), *flags]
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(repository)}
    server = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert time.monotonic() < deadline
            time.sleep(0.2)
        page = chromium.new_page()  # type: ignore[attr-defined]
        page.goto(f"http://127.0.0.1:{port}")
        page.wait_for_selector('[data-testid="stAlert"]', timeout=60_000)
        assert "has no login" in page.inner_text("body")
        assert page.locator('[data-testid="stMetric"]').count() == 0
        page.close()
    finally:
        server.terminate()
        server.wait(timeout=20)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        pytest.param("log.csv", b"", "is empty", id="empty"),
        pytest.param("log.csv", b"MZ\0\0" * 50, "is not text", id="a program"),
        pytest.param("log.parquet", LOG, "holds something else", id="csv as parquet"),
        pytest.param("log.csv.gz", LOG, "holds something else", id="plain as gz"),
        pytest.param("log.csv", b"a,b\n1,2\n", "log.csv", id="no such columns"),
        pytest.param("log.csv", b"x" * (MAX_LOG_MB * 1_000_000 + 1), "are allowed", id="too large"),
    ],
)
def test_an_upload_is_judged_by_what_is_in_it(name: str, content: bytes, says: str) -> None:
    before = scratch()
    with pytest.raises(InputError, match=says) as refused:
        read_uploaded_log(name, content)
    assert tempfile.gettempdir() not in str(refused.value)
    assert scratch() == before


def test_a_log_is_the_same_from_memory_and_leaves_nothing_behind() -> None:
    before = scratch()
    name, plain = read_uploaded_log("log.csv", LOG)
    _, packed = read_uploaded_log("log.csv.gz", gzip.compress(LOG))
    assert plain.workload.input_tokens.tolist() == packed.workload.input_tokens.tolist() == [10, 20]
    assert name.startswith("upload:")
    assert scratch() == before


@pytest.mark.parametrize("name", ["../../etc/passwd", "..\\..\\x.csv", "a\0b", "<b>x</b>.csv", "=cmd|x.csv", ""])
def test_an_uploads_name_is_made_plain(name: str) -> None:
    called = upload_name(name, LOG).split(":", 2)[2]
    assert called
    assert not set(called) & set("/\\<>=|\0`$")
    assert called not in ("..", ".")


@pytest.mark.parametrize("content", [b"{}", b"[1]", b"\x80", b'{"schema_version": 1, "fit": {}}', b"{" * 5000])
def test_what_is_no_profile_is_refused_in_one_sentence(content: bytes) -> None:
    with pytest.raises(InputError):
        read_uploaded_profile("profile.json", content)


def packed(*members: tarfile.TarInfo) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(b"\0" * member.size))
    return made.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, "/etc/passwd" if kind == tarfile.SYMTYPE else ""
    return made


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(packed(member("../escape.json")), id="path upwards"),
        pytest.param(packed(member("/etc/escape")), id="absolute path"),
        pytest.param(packed(member("run/link", tarfile.SYMTYPE)), id="link"),
        pytest.param(packed(*(member(f"run/{n}") for n in range(MAX_RUN_FILES + 1))), id="too many files"),
        pytest.param(b"\x1f\x8bnot really", id="no archive"),
        pytest.param(packed(member("run/nothing.json")), id="no run in it"),
    ],
)
def test_an_archive_that_is_no_packed_run_is_refused(content: bytes) -> None:
    before = scratch()
    with pytest.raises(InputError):
        read_uploaded_measurement("run.tar.gz", content)
    assert scratch() == before


def test_an_archive_of_plain_files_passes() -> None:
    check_archive("run.tar.gz", packed(member("run/run.json")))


def test_names_from_files_are_no_markup() -> None:
    said = escape("[click](http://evil) <script>alert(1)</script> **bold** $x$ :material/home: &lt;")
    assert not set(re.sub(r"\\.", "", said)) & set("[]<>*$:&_`#|~")


def test_a_key_of_the_environment_is_in_no_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    assert SECRET not in without_secrets(f"401: Incorrect API key provided: {SECRET}")


def test_the_measuring_page_never_shows_the_key(monkeypatch: pytest.MonkeyPatch, repository: Path) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.setenv("BREAKEVEN_SCENARIO", str(repository / "examples" / "scenario.toml"))
    app = AppTest.from_file(str(repository / "app.py"), default_timeout=120)
    app.run()
    app.switch_page("planner/pages/measure.py").run()
    assert not app.exception
    assert any(button.label == "Start" for button in app.button)
    shown = str(app.main)
    assert SECRET not in shown
    assert SECRET not in str(dict(app.query_params))


def test_sessions_do_not_see_each_others_uploads(monkeypatch: pytest.MonkeyPatch, repository: Path) -> None:
    monkeypatch.setenv("BREAKEVEN_SCENARIO", str(repository / "examples" / "scenario.toml"))
    mine = AppTest.from_file(str(repository / "app.py"), default_timeout=120)
    mine.run()
    name, log = read_uploaded_log("private.csv", LOG)
    mine.session_state["session"].add_log(name, log)
    theirs = AppTest.from_file(str(repository / "app.py"), default_timeout=120)
    theirs.query_params["workload.log"] = name
    theirs.run()
    assert not theirs.exception
    assert any("not here" in header.value for header in theirs.header)
    assert not theirs.metric


@pytest.mark.engine
def test_a_measurement_of_a_session_that_is_gone_ends_with_all_its_children(tmp_path: Path) -> None:
    arguments = ["--synthetic", "Tiny-1M", "--concurrency", "1", "--duration", "60", "--input-tokens", "16"]
    arguments += ["--output-tokens", "16", "--busy-ok", "--out", str(tmp_path / "run")]
    before = os.getcwd()
    os.chdir(tmp_path)
    try:
        run = LiveRun(arguments, tmp_path / "run")
        pid = run._process.pid
        deadline = time.monotonic() + 90
        while not run.requests:
            assert run.exit_code is None, list(run.said)
            assert time.monotonic() < deadline, list(run.said)
            time.sleep(0.2)
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        del run
        gc.collect()
        _, alive = psutil.wait_procs(family, timeout=30)
        assert not alive
        assert (tmp_path / "run" / "requests.jsonl").stat().st_size > 0
    finally:
        os.chdir(before)
        if psutil.pid_exists(pid):
            os.killpg(pid, signal.SIGKILL)
