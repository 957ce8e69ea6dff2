"""Page: what the log holds and how the load and the fleet follow the hours of a week."""

import streamlit as st

from planner.charts import load_by_hour
from planner.dashboard import escape, open_plan
from planner.distribution import Distribution

plan = open_plan()
log = plan.workload


def row(name: str, sample: Distribution | None) -> dict[str, str | float | None]:
    if sample is None:
        return {"": name}
    return {"": name, "mean": sample.mean, "p50": sample.p50, "p95": sample.p95, "p99": sample.p99, "max": sample.max}


st.header("Workload")
requests, span, burst = st.columns(3)
requests.metric("Requests in the log", f"{log.requests:,}")
span.metric("Observed [minutes]", f"{log.span_s / 60:,.1f}")
burst.metric("Busiest minute over the mean", f"{log.peak_to_mean_1min:.1f}" if log.peak_to_mean_1min else "-")
st.caption(escape(f"Source: {plan.workload_source}. Week: {plan.week_name} ({plan.week_source})."))
if plan.bad_rows:
    st.warning(f"{plan.bad_rows} rows of the log could not be used and were left out.")
st.dataframe(
    [row("input tokens", log.input_tokens), row("output tokens", log.output_tokens)],
    hide_index=True,
    column_config={name: st.column_config.NumberColumn(format="%.0f") for name in ("mean", "p50", "p95", "p99", "max")},
)
hosted = [option for option in plan.options if option.fleet]
if not hosted:
    st.info("No self-hosted option holds the service level, so there is no fleet to show. See Options for the reason.")
    st.stop()
chosen = st.selectbox("Fleet of", hosted, format_func=lambda option: option.id)
if chosen and chosen.fleet:
    st.plotly_chart(load_by_hour(chosen.fleet.week), key="load_by_hour")
