"""The Risk and Capacity pages without a browser: the planner's figures, every fleet, what to do where there is none."""

from collections.abc import Callable
from pathlib import Path

import pytest
from plan_case import SCENARIO, write_case
from settled import TIMEOUT_S, session_of, settle
from streamlit.testing.v1 import AppTest

from planner.charts.risk import payback_said
from planner.decision.plan import Plan
from planner.decision.wording import percent
from planner.pages.show import escape
from planner.pages.work import plan_key, shelf_of

BURSTS = SCENARIO.replace('log = "log.csv"', 'log = "log.csv"\nweek_shape = "servegen"').replace(
    "requests_per_day = 216_000", "requests_per_day = 864_000"
)
ONLY_API = SCENARIO[: SCENARIO.index("[[candidates.rent]]")].replace('profile = "profile.json"\n', "")
TOO_STRICT = SCENARIO.replace("e2e_s = 1.5", "e2e_s = 0.5")  # a request takes a second

Open = Callable[[str, str], AppTest]


@pytest.fixture
def opened(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    def run(scenario: str, page: str) -> AppTest:
        monkeypatch.setenv("BREAKEVEN_SCENARIO", str(write_case(tmp_path, scenario) / "scenario.toml"))
        app = AppTest.from_file(str(repository / "app.py"), default_timeout=TIMEOUT_S)
        settle(app.run())
        return settle(app.switch_page(f"planner/pages/{page}.py").run())

    return run


def plan_of(app: AppTest) -> Plan:
    now = session_of(app)
    plan = shelf_of(now.scenario, now.shelf).plans.get(plan_key(now.scenario, now.directory))
    assert isinstance(plan, Plan)
    return plan


def test_the_capacity_page_shows_the_shares_of_every_fleet(opened: Open) -> None:
    app = opened(BURSTS, "capacity")
    plan = plan_of(app)
    hosted = [option for option in plan.options if option.week]
    box = next(found for found in app.selectbox if found.key == "fleet_of")
    assert box.options == [option.id for option in hosted]
    assert "hybrid" in {option.kind.value for option in hosted}
    for option in hosted:
        settle(next(found for found in app.selectbox if found.key == "fleet_of").set_value(option).run())
        assert option.week is not None
        assert option.week.shares is not None
        shown = {metric.label: metric.value for metric in app.metric}
        assert shown["Own machines, in time"] == percent(option.week.shares.attained_frac)
        assert shown["Left for the API"] == percent(option.week.shares.overflow_frac)
        assert shown["Missed"] == percent(option.week.shares.missed_frac)
        assert all(metric.help for metric in app.metric)


def test_the_risk_page_says_when_the_money_is_back(opened: Open) -> None:
    app = opened(BURSTS, "risk")
    plan = plan_of(app)
    assert escape(payback_said(plan)) in [text.value for text in app.markdown]
    assert plan.risk.fan is not None
    rows = app.dataframe[-1].value
    assert rows["month"].tolist() == list(range(49))
    assert rows["difference, P90 [USD]"].tolist() == list(plan.risk.fan.difference_usd.p90)
    assert "What will have been paid, month by month" in [head.value for head in app.subheader]


def test_with_one_side_only_the_pages_say_what_to_do(opened: Open) -> None:
    assert "name API models and machines" in opened(ONLY_API, "risk").info[0].value


@pytest.mark.parametrize("scenario", [ONLY_API, TOO_STRICT])
def test_without_a_fleet_the_page_says_what_to_do(opened: Open, scenario: str) -> None:
    app = opened(scenario, "capacity")
    assert "relax the TTFT limit" in app.info[0].value
    assert bool(app.warning) == (scenario == TOO_STRICT)
