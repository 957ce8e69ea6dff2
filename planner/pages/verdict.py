"""Page: the answer, cost against volume with the break-even, and what would change it."""

import streamlit as st

from planner.charts.plan import cost_against_volume, tornado_chart
from planner.decision.wording import break_even_span, percent, usd
from planner.pages.frame import open_plan
from planner.pages.show import chart, escape

plan = open_plan(with_headline=True)

best_api, best_host = plan.best_api, plan.best_self_host
api, host, crossing, odds = st.columns(4)
api.metric("Cheapest API, per month", usd(best_api.levelised_usd_per_month) if best_api else "none")
api.caption(escape(best_api.id) if best_api else "No API model can serve this log.")
host.metric("Cheapest self-hosted, per month", usd(best_host.levelised_usd_per_month) if best_host else "none")
host.caption(escape(best_host.id) if best_host else "No machine holds the service level: see Capacity.")
if plan.break_even:
    crossing.metric("Break-even [requests/day]", break_even_span(plan.break_even))
    crossing.caption("The volume at which both cost the same: more below.")
if plan.risk.self_host_cheaper_frac is not None:
    odds.metric("Self-hosting is cheaper", percent(plan.risk.self_host_cheaper_frac))
    odds.caption(f"in this share of {plan.risk.draws:,} draws of all uncertain figures: see Risk.")

st.markdown("\n".join(f"- **{escape(point.about)}**: {escape(point.says)}" for point in plan.verdict.points))
chart(
    cost_against_volume(plan),
    "cost_against_volume",
    "Levelised cost per month of every option over requests per day, with the plan's volume and the break-even marked.",
)
if plan.sensitivity:
    chart(tornado_chart(plan), "tornado", "How far each assumption moves self-hosting minus API, widest at the top.")

st.subheader("What to keep in mind")
st.markdown("\n".join(f"- {escape(caution)}" for caution in plan.verdict.cautions))
