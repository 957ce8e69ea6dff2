"""Plans in the background: who waits for which job, what supersedes one, and that sessions share no more than that."""

import gc
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from planner.decision.plan import Plan
from planner.errors import InputError
from planner.pages import frame, work
from planner.pages.state import Session
from planner.pages.uploads import read_uploaded_log
from planner.pages.work import SHARED, Cancelled, Job, Shelf, job_for, plan_key, start_ahead
from planner.scenario.load import NOTHING, Supplied
from planner.scenario.tables import Scenario
from planner.scenario.toml_file import load_scenario

LONGEST_S = 120


@pytest.fixture
def case(repository: Path, tmp_path: Path) -> Path:
    """The example on a short log, in a directory of its own: nothing of it is kept from another test."""
    for name in ("scenario.toml", "profile.json"):
        (tmp_path / name).write_bytes((repository / "examples" / name).read_bytes())
    rows = (repository / "examples" / "azure_code_2023.csv").read_text().splitlines()[:1001]
    (tmp_path / "azure_code_2023.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


@pytest.fixture
def scenario(case: Path) -> Scenario:
    return load_scenario(case)


@pytest.fixture(autouse=True)
def nothing_under_way() -> Iterator[None]:
    yield
    for job in work._UNDER_WAY.values():
        job.cancel()
        assert job.finished.wait(LONGEST_S)


def plan_of(job: Job) -> Plan:
    assert job.finished.wait(LONGEST_S)
    assert job.plan is not None, job.error
    return job.plan


def test_sessions_that_ask_for_the_same_plan_wait_for_one_computation(case: Path, scenario: Scenario) -> None:
    first = job_for(scenario, case, NOTHING, Shelf())
    second = job_for(scenario, case, NOTHING, Shelf())
    assert second is first
    first.cancel()  # its session went on to something else; the other one still waits
    assert plan_of(second) is SHARED.plans.get(plan_key(scenario, case))


def test_the_first_session_takes_over_what_was_begun_ahead_and_can_give_it_up(case: Path, scenario: Scenario) -> None:
    start_ahead(scenario, case)
    job = job_for(scenario, case, NOTHING, Shelf())
    assert job is work._UNDER_WAY[plan_key(scenario, case)]
    job.cancel()
    again = job_for(scenario, case, NOTHING, Shelf())
    assert again is not job
    assert job.finished.wait(LONGEST_S)
    assert isinstance(job.error, Cancelled)
    assert job.plan is None
    assert plan_of(again).scenario == scenario


def test_what_was_begun_ahead_is_there_when_the_page_opens(
    case: Path, scenario: Scenario, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_ahead(scenario, case)
    made = plan_of(work._UNDER_WAY[plan_key(scenario, case)])
    monkeypatch.setenv("BREAKEVEN_SCENARIO", str(case / "scenario.toml"))
    app = AppTest.from_file(str(repository / "app.py"), default_timeout=LONGEST_S).run()
    assert app.header[0].value.replace("\\", "") == made.verdict.headline
    assert app.session_state["session"].job is None


def test_a_change_supersedes_a_plan_that_is_not_made_yet(
    case: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame, "_AT_ONCE_S", 0.0)
    monkeypatch.setenv("BREAKEVEN_SCENARIO", str(case / "scenario.toml"))
    app = AppTest.from_file(str(repository / "app.py"), default_timeout=LONGEST_S).run()
    session: Session = app.session_state["session"]
    old = session.job
    assert old is not None
    app.query_params["horizon_months"] = "7"
    app.run()
    new = session.job
    assert new is not None
    assert new is not old
    assert old.finished.wait(LONGEST_S)
    assert isinstance(old.error, Cancelled)
    assert len(plan_of(new).options[0].cash_by_month_usd) == 1 + 7
    app.run()
    assert app.header[0].value.replace("\\", "") == plan_of(new).verdict.headline


def test_a_plan_that_fails_says_its_sentence_each_time_it_is_asked_for(
    case: Path, scenario: Scenario, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (case / "profile.json").unlink()
    start_ahead(scenario, case)
    monkeypatch.setenv("BREAKEVEN_SCENARIO", str(case / "scenario.toml"))
    for _ in range(2):
        app = AppTest.from_file(str(repository / "app.py"), default_timeout=LONGEST_S).run()
        while (job := app.session_state["session"].job) is not None:
            assert job.finished.wait(LONGEST_S)
            app.run()
        assert not app.exception
        (error,) = app.error
        assert "profile.json" in error.value.replace("\\", "")
        assert not app.metric


def test_what_one_session_uploaded_reaches_no_other(case: Path, scenario: Scenario) -> None:
    name, log = read_uploaded_log("private.csv", (case / "azure_code_2023.csv").read_bytes())
    mine, theirs = Shelf(), Shelf()
    given = Supplied(logs={name: log})
    wanted = replace(scenario, workload=replace(scenario.workload, log=name))
    own = job_for(wanted, case, given, mine)
    other = job_for(wanted, case, NOTHING, theirs)
    assert other is not own
    assert plan_of(own).workload_source == name
    assert other.finished.wait(LONGEST_S)
    assert isinstance(other.error, InputError)
    key = plan_key(wanted, case)
    assert mine.plans.get(key) is own.plan
    assert SHARED.plans.get(key) is None
    assert theirs.plans.get(key) is None

    shared = job_for(scenario, case, given, mine)  # asks for nothing that was uploaded
    assert shared is job_for(scenario, case, NOTHING, theirs)
    assert plan_of(shared).workload_source == scenario.workload.log

    uploaded = weakref.ref(log.workload.input_tokens)
    own.thread.join(LONGEST_S)
    del log, given, own, mine
    gc.collect()
    assert uploaded() is None  # the server keeps nothing of it when its session is gone
