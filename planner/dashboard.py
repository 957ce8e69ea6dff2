"""What the dashboard's pages share: which scenario is open, the inputs at the left, and the plan they lead to.

The pages hold no arithmetic. A change of an input makes another `Scenario`; the same functions as on the command line
turn it into a `Plan`. The slow steps (reading, pricing, simulating) are cached by the scenario they rest on.
"""

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Literal

import streamlit as st

from planner.decide import Curves, make_plan, planned_requests_per_day, size_fleets
from planner.errors import BreakevenError
from planner.examples import newest_scenario
from planner.inputs import PlanInputs
from planner.load import read_inputs
from planner.plan import Plan
from planner.scenario import Scenario, dump_scenario, figure, load_scenario, scenario_file

SCENARIO_VARIABLE = "BREAKEVEN_SCENARIO"
"""Environment variable with the scenario to open; without it the newest one under `runs/`, then the example."""

_CACHED_PLANS = 32
WeekName = Literal["flat", "servegen", "log"]
_MARKDOWN = re.compile(r"[\\*_{}\[\]<>#$~|:]")
_YOURS = "set in the dashboard"


def scenario_path() -> Path | None:
    """The scenario file to open, or `None` where there is none yet."""
    named = os.environ.get(SCENARIO_VARIABLE)
    return scenario_file(Path(named)) if named else newest_scenario()


def open_plan() -> Plan:
    """Draw the inputs and return the plan they lead to; stops the page with one sentence where there is none."""
    path = scenario_path()
    if path is None:
        st.info("There is no plan yet. Run `breakeven demo` in a terminal, or open one with `breakeven app DIRECTORY`.")
        st.stop()
    try:
        stated = load_scenario(path)
        inputs = _read(stated, str(path.parent))
        wanted = _controls(inputs)
        priced = _read(_part_that_is_read(stated, wanted), str(path.parent))
        curves = _size(replace(stated, slo=wanted.slo), str(path.parent))
        plan = make_plan(replace(priced, scenario=wanted), curves)
    except BreakevenError as error:
        st.error(str(error))
        st.stop()
    st.sidebar.caption(f"Scenario: {stated.name}")
    return plan


def _part_that_is_read(stated: Scenario, wanted: Scenario) -> Scenario:
    """The stated scenario with only those changes that reading and pricing depend on."""
    demand = replace(stated.workload, week_shape=wanted.workload.week_shape)
    return replace(stated, workload=demand, horizon_months=wanted.horizon_months)


@st.cache_resource(
    max_entries=_CACHED_PLANS, hash_funcs={Scenario: dump_scenario}, show_spinner="Reading the log and the prices ..."
)
def _read(scenario: Scenario, directory: str) -> PlanInputs:
    return read_inputs(scenario, Path(directory))


@st.cache_resource(
    max_entries=_CACHED_PLANS,
    hash_funcs={Scenario: dump_scenario},
    show_spinner="Simulating what one replica carries ...",
)
def _size(scenario: Scenario, directory: str) -> Curves:
    return size_fleets(_read(scenario, directory))


def _controls(inputs: PlanInputs) -> Scenario:
    """The inputs at the left, starting from the scenario file; `key` puts each into the page's link."""
    scenario, side = inputs.scenario, st.sidebar
    demand, service, fleet = scenario.workload, scenario.slo, scenario.fleet
    side.header("Inputs")
    volume = side.number_input(
        "Requests per day",
        min_value=1,
        value=round(planned_requests_per_day(scenario, inputs.workload)),
        step=10_000,
        key="requests_per_day",
        bind="query-params",
        help="In the first month. The log gives the mix of requests and their bursts, this number how many there are.",
    )
    weeks: tuple[WeekName, ...] = ("flat", "servegen", "log")
    week: WeekName = side.selectbox(
        "Shape of the week",
        weeks,
        index=weeks.index(demand.week_shape),
        key="week_shape",
        bind="query-params",
        help="flat: every hour alike. servegen: as in a large public model service. log: its own, if it covers a week.",
    )
    ttft = side.number_input(
        "TTFT limit [s]",
        min_value=0.05,
        value=service.ttft_s,
        step=1.0,
        key="ttft_s",
        bind="query-params",
        help="Longest time to the first token that still counts as good. Empty: no limit.",
    )
    attainment = side.slider(
        "Requests that must meet it [%]",
        min_value=50.0,
        max_value=99.9,
        value=100 * service.attainment_frac,
        step=0.1,
        key="attainment_percent",
        bind="query-params",
        help="Share of all requests that must meet every limit of the service level.",
    )
    spare = side.number_input(
        "Spare replicas",
        min_value=0,
        value=fleet.spare_replicas,
        key="spare_replicas",
        bind="query-params",
        help="Run on top of the need at all times: 1 is N+1.",
    )
    hourly = side.toggle(
        "Rent follows the hour",
        value=fleet.scale_by_hour,
        key="scale_by_hour",
        bind="query-params",
        help="On: rented machines are returned in quiet hours. Off: the peak's fleet is paid all week.",
    )
    horizon = side.slider(
        "Horizon [months]",
        min_value=12,
        max_value=60,
        value=min(max(scenario.horizon_months, 12), 60),
        key="horizon_months",
        bind="query-params",
        help="How long the decision binds.",
    )
    staff = side.number_input(
        "Staff [FTE]",
        min_value=0.0,
        value=_mid(inputs, "staff_fte"),
        step=0.1,
        key="staff_fte",
        bind="query-params",
        help="Full-time positions that running the models yourself takes.",
    )
    power = side.number_input(
        "Electricity [USD/kWh]",
        min_value=0.0,
        value=_mid(inputs, "electricity_usd_per_kwh"),
        step=0.01,
        key="electricity_usd_per_kwh",
        bind="query-params",
        help="For owned machines only; rent includes it.",
    )
    changed = {"staff_fte": staff, "electricity_usd_per_kwh": power}
    own = {name: figure(value, source=_YOURS) for name, value in changed.items() if value != _mid(inputs, name)}
    moved = volume != round(planned_requests_per_day(scenario, inputs.workload))
    return replace(
        scenario,
        horizon_months=horizon,
        workload=replace(
            demand,
            week_shape=week,
            requests_per_day=figure(float(volume), source=_YOURS) if moved else demand.requests_per_day,
        ),
        slo=replace(service, ttft_s=ttft, attainment_frac=attainment / 100),
        fleet=replace(fleet, spare_replicas=spare, scale_by_hour=hourly),
        assumptions={**scenario.assumptions, **own},
    )


def _mid(inputs: PlanInputs, name: str) -> float:
    stated = inputs.scenario.assumptions.get(name)
    return stated.mid if stated else next(a.value.mid for a in inputs.defaults if a.name == name)


def escape(text: str) -> str:
    """Text from files, safe for Markdown: a name must not become a link, `$` no formula. Paired code marks stay.

    >>> escape("a_b costs $2: run `do a_b`")
    'a\\\\_b costs \\\\$2\\\\: run `do a_b`'
    """
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return _MARKDOWN.sub(r"\\\g<0>", text.replace("`", "'"))
    return "`".join(part if index % 2 else _MARKDOWN.sub(r"\\\g<0>", part) for index, part in enumerate(parts))
