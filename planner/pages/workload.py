"""Page: what the traffic is made of, where it comes from, and which rows could not be read."""

from dataclasses import replace

import streamlit as st

from planner.charts.demand import token_histogram, week_heat_map
from planner.decision.wording import length
from planner.distribution import Distribution
from planner.errors import BreakevenError
from planner.pages.frame import open_plan
from planner.pages.show import chart, escape, table
from planner.pages.state import change, session
from planner.pages.uploads import MAX_LOG_MB, read_uploaded_log, shown
from planner.pages.work import log_of
from planner.scenario.load import week_shape
from planner.traces.presets import PREFIX, list_presets

SHOWN_BAD_ROWS = 200

plan = open_plan()
now = session()
log = log_of(now.scenario, now.directory, now.supplied, now.shelf)


def row(name: str, sample: Distribution) -> dict[str, str | float]:
    return {"": name, "mean": sample.mean, "p50": sample.p50, "p95": sample.p95, "p99": sample.p99, "max": sample.max}


def take(name: str) -> None:
    demand = replace(now.scenario.workload, log=name, requests_per_day=now.scenario.workload.requests_per_day)
    change(replace(now.scenario, workload=demand))


def take_preset() -> None:
    if st.session_state["preset"]:
        take(f"{PREFIX}{st.session_state['preset']}")


st.header("Workload")
summary = plan.workload
requests, span, rate, burst = st.columns(4)
requests.metric("Requests in the log", f"{summary.requests:,}")
span.metric("Observed", length(summary.span_s))
rate.metric("Mean rate in the log [requests/s]", f"{summary.requests_per_s:.3g}")
burst.metric("Busiest minute over the mean", f"{summary.peak_to_mean_1min:.1f}" if summary.peak_to_mean_1min else "-")
st.caption(
    escape(f"Source: {shown(plan.workload_source)} ({log.report.format}). Week: {plan.week_name} ({plan.week_source}).")
)

with st.expander("Use another workload", icon=":material/upload_file:"):
    given = st.file_uploader(
        "Your request log",
        key="log_upload",
        max_upload_size=MAX_LOG_MB,
        help="CSV, JSONL or Parquet, plain or gz: a time, the prompt tokens and the output tokens of each request. "
        "It stays in this session's memory.",
    )
    if given is not None and st.session_state.get("log_taken") != given.file_id:
        st.session_state["log_taken"] = given.file_id
        try:
            with st.spinner("Reading the log ..."):
                name, read = read_uploaded_log(given.name, given.getvalue())
        except BreakevenError as error:
            st.error(escape(str(error)))
        else:
            now.add_log(name, read)
            bad = max(now.scenario.workload.max_bad_rows, len(read.report.bad_rows))
            change(replace(now.scenario, workload=replace(now.scenario.workload, log=name, max_bad_rows=bad)))
            st.rerun()
    presets = {preset.name: preset for preset in list_presets()}
    st.selectbox(
        "Or a preset",
        list(presets),
        index=None,
        key="preset",
        placeholder="choose one",
        on_change=take_preset,
        format_func=lambda name: (
            f"{name}: {presets[name].mean_input_tokens:,.0f} tokens in, {presets[name].mean_output_tokens:,.0f} out"
        ),
        help="Requests drawn from a published catalogue, for those who have no log yet.",
    )
    if now.scenario.workload.log != now.base.workload.log:
        st.button("Back to the scenario's own log", on_click=take, args=(now.base.workload.log,), key="own_log")

if log.report.bad_rows:
    st.warning(f"{len(log.report.bad_rows):,} rows could not be used and were left out.")
    with st.expander("Rows that were left out"):
        table(
            [{"line": bad.line, "reason": bad.reason} for bad in log.report.bad_rows[:SHOWN_BAD_ROWS]],
            says="Line number and reason of every row that was left out.",
        )
        if len(log.report.bad_rows) > SHOWN_BAD_ROWS:
            st.caption(f"The first {SHOWN_BAD_ROWS} are shown; `breakeven workload FILE --json` lists all.")
for note in log.report.notes:
    st.caption(escape(f"Note: {note}."))
table(
    [row("input tokens", summary.input_tokens), row("output tokens", summary.output_tokens)],
    says="Mean and percentiles of input and output tokens per request.",
    decimals=dict.fromkeys(("mean", "p50", "p95", "p99", "max"), "%.0f"),
)
left, right = st.columns(2)
with left:
    chart(token_histogram(log.workload), "token_histogram", "Share of the requests by input and by output tokens.")
with right:
    chart(
        week_heat_map(week_shape(now.scenario.workload, log.workload)),
        "week_heat_map",
        "Load of every hour of the week relative to the mean.",
    )
