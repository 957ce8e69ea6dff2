"""Every page and every widget at its limits, without a browser; the numbers are those of the planner."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from plan_case import SCENARIO, write_case
from settled import TIMEOUT_S, session_of, settle
from streamlit.testing.v1 import AppTest

from planner.decision.decide import make_plan, size_fleets
from planner.decision.frontier import with_frontier
from planner.decision.wording import percent, usd
from planner.export.directory import verdict_document
from planner.pages.link import from_query, to_query
from planner.pages.work import plan_key, shelf_of
from planner.scenario.load import read_inputs
from planner.scenario.toml_file import dump_scenario, load_scenario, parse_scenario

PAGES = (
    "verdict",
    "compare",
    "risk",
    "workload",
    "measurements",
    "prices",
    "assumptions",
    "capacity",
    "backtest",
    "export",
)

Open = Callable[..., AppTest]


@pytest.fixture
def opened(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """The dashboard on the example scenario, at a page, waited for until its plan is made."""
    monkeypatch.setenv("BREAKEVEN_SCENARIO", str(repository / "examples" / "scenario.toml"))

    def run(page: str = "verdict", **query: str) -> AppTest:
        app = AppTest.from_file(str(repository / "app.py"), default_timeout=TIMEOUT_S)
        for key, value in query.items():
            app.query_params[key] = value
        settle(app.run())
        return settle(app.switch_page(f"planner/pages/{page}.py").run()) if page != "verdict" else app

    return run


def said(app: AppTest) -> str:
    return "\n".join(error.value for error in app.error)


@pytest.mark.parametrize("page", PAGES)
def test_every_page_draws_the_example_without_an_error(opened: Open, page: str) -> None:
    app = opened(page)
    assert not app.error
    assert app.header


def test_the_pages_show_the_planners_numbers(opened: Open, repository: Path) -> None:
    scenario = load_scenario(repository / "examples")
    inputs = read_inputs(scenario, repository / "examples")
    plan = make_plan(inputs, size_fleets(inputs))
    assert plan.best_api is not None
    app = opened()
    assert app.metric[0].value == usd(plan.best_api.levelised_usd_per_month)
    options = opened("compare").dataframe[0].value
    exact = [option["levelised_usd_per_month"] for option in verdict_document(plan)["options"]]
    assert options["levelised [USD/month]"].tolist() == exact
    assert options["option"].tolist() == [option.id for option in plan.options]
    compare, views = opened("compare"), plan.break_even_views
    assert views is not None
    shown = {metric.label: metric.value for metric in compare.metric}
    assert shown["Utilisation at the plan"] == percent(views.busy_at_plan.utilisation_frac)
    matrix = next(frame.value for frame in compare.dataframe if "score" in frame.value.columns)
    assert matrix["levelised [USD/month]"].tolist() == [row.usd_per_month for row in plan.matrix]
    assert matrix["independence"].tolist() == [row.cells[3].score for row in plan.matrix]


def test_cost_against_latency_is_simulated_in_the_background_and_is_the_command_lines(
    opened: Open, repository: Path
) -> None:
    app = opened("compare")
    now = session_of(app)
    if now.frontier_job is not None:  # else it was made for another test of this process
        assert now.frontier_job.finished.wait(TIMEOUT_S)
        app.run()
    assert not app.exception
    made = shelf_of(now.scenario, now.shelf).frontiers.get(plan_key(now.scenario, now.directory))
    inputs = read_inputs(load_scenario(repository / "examples"), repository / "examples")
    curves = size_fleets(inputs)
    expected = verdict_document(with_frontier(make_plan(inputs, curves), inputs, curves))
    assert verdict_document(made) == expected
    options = app.dataframe[0].value
    shown = dict(zip(options["option"], options["TTFT p95 [s]"], strict=True))
    for option in expected["options"]:
        ttft = option["latency"]["ttft_s"]
        assert shown[option["id"]] == ttft["p95"] if ttft else math.isnan(shown[option["id"]])
    in_brief = next(text.value for text in app.markdown if text.value.startswith("| option | a month | TTFT p95 |"))
    assert in_brief.count("not known") == sum(option["latency"]["ttft_s"] is None for option in expected["options"])
    assert "nobody stated what it takes" in "\n".join(text.value for text in app.markdown).replace("\\", "")


def test_without_any_known_latency_compare_says_why_there_is_no_chart(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_case(tmp_path, SCENARIO[: SCENARIO.index("[[candidates.rent]]")])
    monkeypatch.setenv("BREAKEVEN_SCENARIO", str(tmp_path / "scenario.toml"))
    app = settle(AppTest.from_file(str(repository / "app.py"), default_timeout=TIMEOUT_S).run())
    settle(app.switch_page("planner/pages/compare.py").run())
    assert any("No option's latency is known" in info.value for info in app.info)
    reasons = "\n".join(text.value for text in app.markdown).replace("\\", "")
    assert "openai/gpt-4o-mini: nobody stated what it takes" in reasons
    assert session_of(app).frontier_job is None


LIMITS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "requests_per_day": ("number_input", (1, 10**12, None)),
    "week_shape": ("selectbox", ("flat", "servegen")),
    "ttft_s": ("number_input", (0.05, 3600.0)),
    "attainment_percent": ("slider", (50.0, 99.9)),
    "spare_replicas": ("number_input", (0, 1000)),
    "scale_by_hour": ("toggle", (True, False)),
    "horizon_months": ("slider", (1, 120)),
    "staff_fte": ("number_input", (0.0, 1000.0, None)),
    "electricity_usd_per_kwh": ("number_input", (0.0, 10.0)),
}


@pytest.mark.parametrize("key", LIMITS)
def test_an_input_at_its_limits_gives_a_plan_or_one_sentence(opened: Open, key: str) -> None:
    app = opened()
    kind, values = LIMITS[key]
    for value in values:
        widget = next(found for found in getattr(app, kind) if found.key == key)
        settle(widget.set_value(value).run())
        assert app.header
        assert not app.error, (key, value, said(app))
        assert "Traceback" not in said(app)


def test_a_week_of_the_log_that_it_does_not_have_is_refused_and_can_be_undone(opened: Open) -> None:
    app = opened()
    before = session_of(app).scenario
    settle(next(box for box in app.selectbox if box.key == "week_shape").set_value("log").run())
    assert "shows no week" in said(app)
    settle(next(button for button in app.button if button.key == "undo_failed").click().run())
    assert session_of(app).scenario == before
    assert not app.error


def test_no_limit_at_all_is_refused_with_the_reason(opened: Open) -> None:
    app = opened()
    settle(next(number for number in app.number_input if number.key == "ttft_s").set_value(None).run())
    assert "without a limit one replica serves anything" in said(app)


def test_an_input_moves_the_address_and_a_link_opens_the_same_plan(opened: Open) -> None:
    app = opened()
    settle(next(number for number in app.number_input if number.key == "staff_fte").set_value(9.0).run())
    headline = app.header[0].value
    query = {key: value if isinstance(value, str) else value[0] for key, value in app.query_params.items()}
    assert "assumptions.staff_fte" in query
    again = opened(**query)
    assert again.header[0].value == headline
    assert session_of(again).scenario == session_of(app).scenario


def test_the_uploaded_scenario_may_not_name_other_files(opened: Open, repository: Path) -> None:
    app = opened()
    base = session_of(app).base
    stolen = dump_scenario(base).replace('log = "azure_code_2023.csv"', 'log = "../README.md"')
    wanted = parse_scenario(stolen, name="x")
    assert wanted != base
    upload = next(found for found in app.get("file_uploader") if "scenario.toml" in found.proto.label)
    assert upload.proto.type == [".toml"]
    with pytest.raises(Exception, match=r"asks for the file \.\./README\.md"):
        from_query(base, to_query(base, wanted) or {})


def test_kept_scenarios_stand_beside_the_open_one(opened: Open) -> None:
    app = opened("compare")
    settle(next(button for button in app.button if button.label == "Keep").click().run())
    settle(next(number for number in app.number_input if number.key == "staff_fte").set_value(0.0).run())
    side = app.dataframe[-1].value
    assert side.columns.tolist() == ["", "open now", "Scenario 1"]
    own = side.set_index("").loc["cheapest self-hosted [USD/month]"]
    assert float(own["open now"].replace(",", "")) < float(own["Scenario 1"].replace(",", ""))
    assert any("assumptions.staff" in caption.value.replace("\\", "") for caption in app.caption)


def test_the_verdict_file_is_the_command_lines(opened: Open, repository: Path) -> None:
    app = opened("export")
    scenario = load_scenario(repository / "examples")
    inputs = read_inputs(scenario, repository / "examples")
    expected = verdict_document(make_plan(inputs, size_fleets(inputs)))
    files = app.session_state["files"][1]
    assert json.loads(files["verdict.json"])["headline"] == expected["headline"]
    assert {button.label for button in app.get("download_button")} >= {*files, "scenario.toml"}
    told = [text.value.partition("  \n")[2].rpartition(" (")[0] for text in app.markdown if " bytes)" in text.value]
    assert len(set(told)) == len(told) == len(files) + 1  # every file is described, each in its own words
