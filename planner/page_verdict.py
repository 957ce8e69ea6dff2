"""Page: the answer, cost against volume with the break-even, and what would change it."""

import streamlit as st

from planner.breakeven import BreakEven
from planner.charts import cost_against_volume, tornado_chart
from planner.dashboard import escape, open_plan
from planner.verdict import break_even_in_words
from planner.wording import usd, volume

plan = open_plan()

st.header(escape(plan.verdict.headline))
st.write(escape(plan.verdict.paragraph))

best_api, best_host = plan.best_api, plan.best_self_host
api, host, crossing = st.columns(3)
api.metric("Cheapest API, per month", usd(best_api.levelised_usd_per_month) if best_api else "none")
api.caption(escape(best_api.id) if best_api else "No API model can serve this log.")
host.metric("Cheapest self-hosted, per month", usd(best_host.levelised_usd_per_month) if best_host else "none")
host.caption(escape(best_host.id) if best_host else "No machine holds the service level: see Options.")


def break_even_span(found: BreakEven) -> str:
    if found.always_cheaper:
        return "always cheaper"
    if not found.crossings:
        return "none"
    first, last = found.crossings[0].requests_per_day, found.crossings[-1].requests_per_day
    return volume(first) if len(found.crossings) == 1 else f"{volume(first)} to {volume(last)}"


if plan.break_even:
    crossing.metric("Break-even [requests/day]", break_even_span(plan.break_even))
    crossing.caption(escape(break_even_in_words(plan.break_even, plan.requests_per_day)))

st.plotly_chart(cost_against_volume(plan), key="cost_against_volume")
if plan.sensitivity:
    st.plotly_chart(tornado_chart(plan), key="tornado")

st.subheader("What to keep in mind")
for caution in plan.verdict.cautions:
    st.markdown(f"- {escape(caution)}")
