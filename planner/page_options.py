"""Page: every option side by side, what it is made of, when the money leaves, and who is out and why."""

import streamlit as st

from planner.charts import cost_by_category, cumulative_cash
from planner.dashboard import escape, open_plan

plan = open_plan()

st.header("Options")
st.caption(
    "All costs in USD, nominal. Levelised: the constant monthly payment with the same present value as the cash."
)
st.dataframe(
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
    hide_index=True,
    column_config={
        name: st.column_config.NumberColumn(format="%.2f")
        for name in (
            "levelised [USD/month]",
            "cash over the horizon [USD]",
            "P&L over the horizon [USD]",
            "NPV of the cost [USD]",
            "USD per million tokens",
            "utilisation [frac]",
        )
    },
)
for excluded in plan.excluded:
    st.warning(escape(f"{excluded.id} is out: {excluded.reason}."))
st.plotly_chart(cost_by_category(plan), key="cost_by_category")
st.plotly_chart(cumulative_cash(plan), key="cumulative_cash")
st.subheader("API prices")
st.dataframe(
    [
        {
            "model": price.model,
            "priced as": price.matched_model,
            "USD per 1,000 requests": price.usd_per_1000_requests,
            "announced changes": ", ".join(f"{c.from_month}: x{c.factor:.2f}" for c in price.changes) or "none",
            "source": price.source,
            "page": price.source_url,
        }
        for price in plan.prices
    ],
    hide_index=True,
    column_config={"page": st.column_config.LinkColumn()},
)
