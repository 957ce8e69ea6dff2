"""A measurement started on its page: the real process, watched, cancelled, and taken up again."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from streamlit.testing.v1 import AppTest

from planner.pages.live import LiveRun, end

LONGEST_S = 120


@pytest.fixture
def page(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AppTest]:
    monkeypatch.setenv("BREAKEVEN_SCENARIO", str(repository / "examples" / "scenario.toml"))
    monkeypatch.chdir(tmp_path)
    app = AppTest.from_file(str(repository / "app.py"), default_timeout=LONGEST_S).run()
    app.switch_page("planner/pages/measure.py").run()
    yield app
    if "live" in app.session_state:
        end(app.session_state["live"]._process, 0.0)


def press(app: AppTest, label: str) -> AppTest:
    app = next(button for button in app.button if button.label == label).click().run()
    assert not app.exception, app.exception[0].message
    return app


def until(app: AppTest, reached: Callable[[], bool]) -> AppTest:
    deadline = time.monotonic() + LONGEST_S
    while not reached():
        assert time.monotonic() < deadline, list(app.session_state["live"].said)
        time.sleep(0.2)
    return app.run()


def shown(app: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in app.metric}


@pytest.mark.engine
def test_a_measurement_is_watched_cancelled_and_taken_up_again(page: AppTest, tmp_path: Path) -> None:
    page.text_input(key="measure_concurrency").set_value("1")
    page.number_input(key="measure_duration").set_value(4)
    assert page.selectbox(key="measure_model").value == "Tiny-1M"
    app = press(page, "Start")
    run: LiveRun = app.session_state["live"]
    assert run.exit_code is None
    until(app, lambda: run.levels >= 1)
    assert int(shown(app)["Levels finished"]) >= 1
    assert int(shown(app)["Requests recorded"].replace(",", "")) > 0
    family = [psutil.Process(run._process.pid), *psutil.Process(run._process.pid).children(recursive=True)]

    press(app, "Cancel")
    until(app, lambda: run.exit_code is not None)
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive
    assert run.exit_code == 130, list(run.said)
    (said,) = app.warning
    assert f"breakeven measure --resume {run.directory}" in said.value
    assert f"requests ({run.requests:,}) are kept" in said.value
    folder = tmp_path / run.directory
    levels = [json.loads(line) for line in (folder / "levels.jsonl").read_text().splitlines()]
    assert len(levels) == run.levels >= 1

    press(app, "Go on with it")
    again: LiveRun = app.session_state["live"]
    assert again.directory == run.directory
    until(app, lambda: again.levels > len(levels))
    press(app, "Cancel")
    until(app, lambda: again.exit_code is not None)
    more = [json.loads(line) for line in (folder / "levels.jsonl").read_text().splitlines()]
    assert more[: len(levels)] == levels
    assert len(more) > len(levels)
    app = press(app, "Measure something else")
    assert any(button.label == "Start" for button in app.button)


def test_what_cannot_be_measured_says_so_and_offers_nothing_to_go_on_with(page: AppTest) -> None:
    page.text_input(key="measure_concurrency").set_value("many")
    app = press(page, "Start")
    until(app, lambda: app.session_state["live"].exit_code is not None)
    (error,) = app.error
    assert "Nothing was measured" in error.value
    assert "many" in app.code[0].value
    assert [button.label for button in app.button] == ["Measure something else"]
    app = press(app, "Measure something else")
    assert any(button.label == "Start" for button in app.button)
