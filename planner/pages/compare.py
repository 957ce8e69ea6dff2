"""Page: every option side by side, when the money leaves, who is out and why, and this scenario against others."""

import streamlit as st

from planner.charts import api_price_at_break_even, cost_against_volume, cost_by_category, cumulative_cash
from planner.options import OptionKind
from planner.pages.frame import open_plan
from planner.pages.scenarios import draw_scenarios
from planner.pages.show import chart, escape, table

plan = open_plan()

st.header("Compare")
st.caption(
    "All costs in USD, nominal. Levelised: the constant monthly payment with the same present value as the cash."
)
table(
    [
        {
            "option": option.id,
            "kind": option.kind.value,
            "levelised [USD/month]": option.levelised_usd_per_month,
            "cash over the horizon [USD]": option.cash_total_usd,
            "P&L over the horizon [USD]": option.pnl_total_usd,
            "NPV of the cost [USD]": option.npv_usd,
            "USD per million tokens": option.usd_per_mtok,
            "machines at the peak": option.fleet.peak_machines if option.fleet else None,
            "utilisation [frac]": option.fleet.week.utilisation_frac if option.fleet else None,
        }
        for option in plan.options
    ],
    says="Every option with its levelised cost, cash, P&L, NPV, cost per million tokens, machines and utilisation.",
    decimals=dict.fromkeys(
        (
            "levelised [USD/month]",
            "cash over the horizon [USD]",
            "P&L over the horizon [USD]",
            "NPV of the cost [USD]",
            "utilisation [frac]",
        ),
        "%.2f",
    )
    | {"USD per million tokens": "%.4f"},
)
for excluded in plan.excluded:
    said = escape(f"{excluded.id} is out: {excluded.reason}.")
    if excluded.kind in (OptionKind.API, OptionKind.RENT, OptionKind.OWN):
        st.warning(said, icon=":material/block:")
    else:
        st.caption(said)

volume, cash, parts, ratio = st.tabs(["Cost against volume", "Cash flow", "Cost stack", "Break-even API price"])
with volume:
    chart(
        cost_against_volume(plan),
        "cost_against_volume",
        "Levelised cost per month of every option over requests per day; self-hosting rises in whole machines.",
    )
with cash:
    chart(cumulative_cash(plan), "cumulative_cash", "Money paid so far by month, per option.")
with parts:
    chart(cost_by_category(plan), "cost_by_category", "Mean monthly cost of every option by category.")
with ratio:
    if plan.break_even:
        chart(
            api_price_at_break_even(plan),
            "api_price",
            "How many times the cheapest API price self-hosting costs, over requests per day.",
        )
    else:
        st.info("There is one side only: name API models and machines as candidates on the Prices page.")

draw_scenarios(plan)
