"""The inputs at the left of every page: drawn from the scenario, and the way to change it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import streamlit as st

from planner.decision.plan import Plan
from planner.errors import BreakevenError
from planner.pages.edits import YOURS
from planner.pages.link import refuse_other_files
from planner.pages.show import escape
from planner.pages.state import change, session, with_assumption
from planner.scenario.tables import Scenario, figure
from planner.scenario.toml_file import dump_scenario, parse_scenario

_PERCENT = 100
_LARGEST_VOLUME = 10**12
WEEKS = ("flat", "servegen", "log")
_MAX_SCENARIO_MB = 1

Apply = Callable[[Scenario, Any], Scenario]


def draw_inputs(plan: Plan) -> None:
    """Draw the inputs with the values of the plan's scenario."""
    scenario, side = plan.scenario, st.sidebar
    believed = {assumption.name: assumption.value.mid for assumption in plan.assumptions}
    side.subheader("Inputs")
    with side:
        _number("Requests per day", "requests_per_day", round(plan.requests_per_day), _set_volume, step=10_000,
                least=1, most=_LARGEST_VOLUME,
                help="In the first month; the log gives their mix and bursts.")  # fmt: skip
        _choice("Shape of the week", "week_shape", WEEKS, scenario.workload.week_shape, _set_week,
                help="flat: all alike. servegen: a large public service's. log: its own, if a week long.")  # fmt: skip
        _number("TTFT limit [s]", "ttft_s", scenario.slo.ttft_s, _set_ttft, least=0.05, most=3600.0, step=1.0,
                help="Longest time to the first token that still counts as good. Empty: no limit.")  # fmt: skip
        _slider("Requests that must meet it [%]", "attainment_percent",
                round(_PERCENT * scenario.slo.attainment_frac, 4), _set_attainment, least=50.0, most=99.9, step=0.1,
                help="Share of all requests that must meet every limit of the service level.")  # fmt: skip
        _number("Spare replicas", "spare_replicas", scenario.fleet.spare_replicas, _set_spare, least=0, most=1000,
                step=1, help="Run on top of the need at all times: 1 is N+1.")  # fmt: skip
        _toggle("Rent follows the hour", "scale_by_hour", scenario.fleet.scale_by_hour, _set_scaling,
                help="On: rented machines go back in quiet hours. Off: the peak fleet is paid all week.")  # fmt: skip
        _slider("Horizon [months]", "horizon_months", scenario.horizon_months, _set_horizon, least=1, most=120, step=1,
                help="How long the decision binds.")  # fmt: skip
        _number("Staff [FTE]", "staff_fte", believed["staff_fte"], _set_belief("staff_fte"), least=0.0, most=1000.0,
                step=0.1, help="Full-time positions that running the models yourself takes.")  # fmt: skip
        _number("Electricity [USD/kWh]", "electricity_usd_per_kwh", believed["electricity_usd_per_kwh"],
                _set_belief("electricity_usd_per_kwh"), least=0.0, most=10.0, step=0.01,
                help="For owned machines only; rent includes it.")  # fmt: skip
    _scenario_file(scenario)


def _scenario_file(scenario: Scenario) -> None:
    now = session()
    with st.sidebar.expander("Scenario file and link"):
        st.caption(escape(scenario.name))
        if now.query is None:
            st.caption("Too much was changed for a link: send the scenario file.")
        else:
            st.caption("The address of this page is the link to what you see. The browser's back button undoes.")
            if not now.is_kept_in_link:
                st.caption("The scenarios kept on Compare are too many changes for the link and stay in this session.")
        st.download_button(
            "Download scenario.toml",
            data=dump_scenario(scenario),
            file_name="scenario.toml",
            mime="application/toml",
            on_click="ignore",
            key="download_scenario",
            icon=":material/download:",
        )
        given = st.file_uploader(
            "Open a scenario.toml",
            type="toml",
            key="scenario_upload",
            max_upload_size=_MAX_SCENARIO_MB,
            help="It may name the files that the open scenario names, presets and references; upload others.",
        )
        if given is not None and st.session_state.get("scenario_taken") != given.file_id:
            st.session_state["scenario_taken"] = given.file_id
            try:
                text = given.getvalue().decode("utf-8")
                wanted = parse_scenario(text, name="the uploaded scenario")
                refuse_other_files(now.base, wanted, "the uploaded scenario")
            except UnicodeDecodeError:
                st.error("The uploaded scenario is not UTF-8 text.")
            except BreakevenError as error:
                st.error(escape(str(error)))
            else:
                change(wanted)
                st.rerun()
        if scenario != now.base:
            st.button(
                "Back to the scenario of this server",
                on_click=change,
                args=(now.base,),
                key="reset",
                icon=":material/restart_alt:",
            )


def _set_volume(scenario: Scenario, value: int | None) -> Scenario:
    stated = figure(float(value), source=YOURS) if value else None
    bare = with_assumption(scenario, requests_per_day=None)
    return replace(bare, workload=replace(bare.workload, requests_per_day=stated))


def _set_week(scenario: Scenario, value: Any) -> Scenario:
    return replace(scenario, workload=replace(scenario.workload, week_shape=value))


def _set_ttft(scenario: Scenario, value: float | None) -> Scenario:
    return replace(scenario, slo=replace(scenario.slo, ttft_s=value))


def _set_attainment(scenario: Scenario, value: float) -> Scenario:
    return replace(scenario, slo=replace(scenario.slo, attainment_frac=round(value / _PERCENT, 6)))


def _set_spare(scenario: Scenario, value: int | None) -> Scenario:
    return replace(scenario, fleet=replace(scenario.fleet, spare_replicas=value or 0))


def _set_scaling(scenario: Scenario, value: bool) -> Scenario:
    return replace(scenario, fleet=replace(scenario.fleet, scale_by_hour=value))


def _set_horizon(scenario: Scenario, value: int) -> Scenario:
    return replace(scenario, horizon_months=value)


def _set_belief(name: str) -> Apply:
    def apply(scenario: Scenario, value: float | None) -> Scenario:
        return with_assumption(scenario, **{name: None if value is None else figure(value, source=YOURS)})

    return apply


def _number(label: str, key: str, value: float | None, apply: Apply, *, least: float, most: float, step: float,
            help: str) -> None:  # fmt: skip
    _put(key, value)
    st.number_input(label, min_value=least, max_value=most, step=step, key=key, help=help, value=None,
                    on_change=_take, args=(key, apply))  # fmt: skip


def _slider(label: str, key: str, value: float, apply: Apply, *, least: float, most: float, step: float,
            help: str) -> None:  # fmt: skip
    _put(key, min(max(value, least), most))
    st.slider(label, min_value=least, max_value=most, step=step, key=key, help=help, on_change=_take, args=(key, apply))


def _choice(label: str, key: str, options: tuple[str, ...], value: str, apply: Apply, *, help: str) -> None:
    _put(key, value)
    st.selectbox(label, options, key=key, help=help, on_change=_take, args=(key, apply))


def _toggle(label: str, key: str, value: bool, apply: Apply, *, help: str) -> None:
    _put(key, value)
    st.toggle(label, key=key, help=help, on_change=_take, args=(key, apply))


def _put(key: str, value: Any) -> None:
    """Show the scenario's value, whatever the widget showed before."""
    if key not in st.session_state or st.session_state[key] != value:
        st.session_state[key] = value


def _take(key: str, apply: Apply) -> None:
    try:
        change(apply(session().scenario, st.session_state[key]))
    except ValueError as error:
        session().error = f"{error}."
