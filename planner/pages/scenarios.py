"""Several scenarios of one session side by side."""

from collections.abc import Callable

import streamlit as st

from planner.decision.plan import OptionResult, Plan
from planner.decision.wording import break_even_span, describe, percent
from planner.errors import BreakevenError, InputError
from planner.pages.link import LONGEST_NAME, MOST_KEPT, changes, files_named
from planner.pages.show import escape, table
from planner.pages.state import change, session
from planner.pages.uploads import shown
from planner.pages.work import make
from planner.scenario.load import UPLOAD
from planner.scenario.tables import Scenario

_OPEN_NOW = "open now"


def draw_scenarios(plan: Plan) -> None:
    """Keep the open scenario under a name, and show the kept ones beside it."""
    now = session()
    st.subheader("Scenarios side by side")
    with st.form("keep", border=False):
        name, button = st.columns([3, 1], vertical_alignment="bottom")
        name.text_input(
            "Keep what is open as",
            value=f"Scenario {len(now.kept) + 1}",
            max_chars=LONGEST_NAME,
            key="keep_as",
            help="It goes into the link, too. Change the inputs and compare.",
        )
        button.form_submit_button("Keep", on_click=_keep, key="keep_scenario", width="stretch")
    if not now.kept:
        st.info("Keep the open scenario, then change an input: both are shown here side by side.")
        return
    columns = {_OPEN_NOW: plan}
    for called, scenario in now.kept.items():
        try:
            columns[called] = _made(called, scenario)
        except (BreakevenError, ValueError) as error:
            st.warning(escape(f"{called} has no plan: {error}."))
    table(
        [{"": title, **{called: value(made) for called, made in columns.items()}} for title, value in _ROWS.items()],
        says="The main figures of the open scenario and of every kept one.",
    )
    for called, scenario in now.kept.items():
        differs = changes(scenario, now.scenario)
        said = ", ".join(f"{key}: {before} there, {after} here" for key, (before, after) in differs.items())
        st.caption(escape(f"{called}: {said or 'the same inputs'}."))
        opened, dropped = st.columns(2)
        opened.button(f"Open {called}", key=f"open_{called}", on_click=change, args=(scenario,), width="stretch")
        dropped.button(f"Forget {called}", key=f"forget_{called}", on_click=_forget, args=(called,), width="stretch")


def _made(called: str, scenario: Scenario) -> Plan:
    now = session()
    missing = [
        name for name in files_named(scenario) if name.startswith(UPLOAD) and name not in {*now.logs, *now.profiles}
    ]
    if missing:
        raise InputError(f"it rests on {shown(missing[0])}, which is not here; open it and give the file")
    with st.spinner(f"Making the plan of {escape(called)} ..."):
        return make(scenario, now.directory, now.supplied, now.shelf, _say_nothing)


def _say_nothing(step: str, done_frac: float) -> None:
    """Kept scenarios are small steps away from the open one: no progress to show."""


def _forget(called: str) -> None:
    session().kept.pop(called, None)


def _keep() -> None:
    now = session()
    called = st.session_state["keep_as"].strip()
    if called in ("", _OPEN_NOW):
        called = f"Scenario {len(now.kept) + 1}"
    now.kept[called] = now.scenario
    while len(now.kept) > MOST_KEPT:
        now.kept.pop(next(iter(now.kept)))


_ROWS: dict[str, Callable[[Plan], str]] = {
    "cheapest option": lambda plan: describe(plan.options[0]) if plan.options else "none",
    "its cost [USD/month]": lambda plan: _money(plan.options[0] if plan.options else None),
    "cheapest API [USD/month]": lambda plan: _money(plan.best_api),
    "cheapest self-hosted [USD/month]": lambda plan: _money(plan.best_self_host),
    "break-even [requests/day]": lambda plan: break_even_span(plan.break_even) if plan.break_even else "-",
    "self-hosting cheaper, of all draws": lambda plan: (
        "-" if plan.risk.self_host_cheaper_frac is None else percent(plan.risk.self_host_cheaper_frac)
    ),
    "requests per day": lambda plan: f"{plan.requests_per_day:,.0f}",
}


def _money(option: OptionResult | None) -> str:
    return f"{option.levelised_usd_per_month:,.2f}" if option else "none"
