"""Page: how sure the answer is, which assumption moves it, and what a better figure would be worth."""

import streamlit as st

from planner.charts.plan import tornado_chart
from planner.charts.risk import (
    cash_difference_chart,
    cash_fan_chart,
    cash_fan_rows,
    cost_spread,
    payback_said,
    worth_knowing,
    worth_saying,
)
from planner.decision.wording import label, percent, signed, usd
from planner.pages.frame import open_plan
from planner.pages.show import chart, escape, table

plan = open_plan()
risk = plan.risk

st.header("Risk")
st.caption(
    f"All uncertain figures are drawn at once, {risk.draws:,} times from seed {risk.seed}; low and high of an "
    "assumption are its 10th and 90th percentile."
)
odds, middle, low, high = st.columns(4)
if risk.difference_usd_per_month is None or risk.self_host_cheaper_frac is None:
    st.info("There is one side only, so there is nothing to weigh: name API models and machines on the Prices page.")
else:
    difference = risk.difference_usd_per_month
    odds.metric("Self-hosting is cheaper", percent(risk.self_host_cheaper_frac), help="Share of all draws.")
    about = "Self-hosting minus API, USD a month: below 0 self-hosting is cheaper."
    middle.metric("Difference, median", signed(difference.p50), help=about)
    low.metric("Difference, P10", signed(difference.p10), help=about)
    high.metric("Difference, P90", signed(difference.p90), help=about)

chart(cost_spread(plan), "cost_spread", "Levelised cost per month of every option: P10, median and P90 over the draws.")
table(
    [
        {
            "option": option.id,
            "P10 [USD/month]": option.usd_per_month.p10,
            "P50 [USD/month]": option.usd_per_month.p50,
            "P90 [USD/month]": option.usd_per_month.p90,
            "cheapest [frac of draws]": option.cheapest_frac,
            "mean regret [USD/month]": option.mean_regret_usd_per_month,
            "P90 regret [USD/month]": option.p90_regret_usd_per_month,
            "fleet holds the service level [frac of draws]": option.slo_held_frac,
        }
        for option in risk.options
    ],
    says="Per option: percentiles of the cost, how often it is the cheapest, its regret, how often the fleet suffices.",
    decimals=dict.fromkeys(
        (
            "P10 [USD/month]",
            "P50 [USD/month]",
            "P90 [USD/month]",
            "cheapest [frac of draws]",
            "mean regret [USD/month]",
            "P90 regret [USD/month]",
            "fleet holds the service level [frac of draws]",
        ),
        "%.2f",
    ),
)
if risk.fan is not None:
    st.subheader("What will have been paid, month by month")
    st.caption(
        escape(
            "Cash in nominal USD, added up month by month over the same draws; month 0 is paid before the first month. "
            f"Line: median. Shaded: P10 to P90. {risk.fan.api} against {risk.fan.host}, the cheapest of each side."
        )
    )
    chart(
        cash_fan_chart(plan),
        "cash_fan",
        "Cash paid so far by month for the API model and the self-hosted option: median and P10 to P90.",
    )
    chart(
        cash_difference_chart(plan),
        "cash_difference",
        "Cash paid so far, self-hosting minus API: median, P10 to P90, and the month in which the median crosses zero.",
    )
    st.write(escape(payback_said(plan)))
    with st.expander("As a table"):
        rows = cash_fan_rows(risk.fan)
        table(
            rows,
            says="Cash paid so far by month: percentiles of the API, of self-hosting and of their difference.",
            decimals={name: "%.2f" for name in rows[0] if name != "month"},
        )
if plan.sensitivity:
    chart(tornado_chart(plan), "tornado", "How far each assumption moves self-hosting minus API, widest at the top.")
st.subheader("What is it worth to know better?")
worth = worth_saying(plan)
if worth:
    st.caption("At most so much may a measurement or a quote cost that settles the assumption before you choose.")
    chart(worth_knowing(plan), "worth_knowing", "What knowing one assumption exactly is worth per month.")
    most = worth[-1]
    st.write(escape(f"Most worth knowing: {label(most.name)}, {usd(most.worth_usd_per_month)} a month."))
else:
    st.info("No better figure for any single assumption is worth paying for: the choice would stay the same.")
