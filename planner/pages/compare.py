"""Page: every option side by side, when the money leaves, who is out and why, and this scenario against others."""

import streamlit as st

from planner.charts.break_even import price_surface
from planner.charts.plan import api_price_at_break_even, cost_against_volume, cost_by_category, cumulative_cash
from planner.cost.options import OptionKind
from planner.decision.wording import percent, usd, volume
from planner.pages.frame import open_plan
from planner.pages.latency import draw_latency
from planner.pages.scenarios import draw_scenarios
from planner.pages.show import chart, escape, on_a_phone, table

plan = open_plan()

st.header("Compare")
st.caption(
    "All costs in USD, nominal. Levelised: the constant monthly payment with the same present value as the cash."
)
on_a_phone(
    [
        {
            "option": f"{option.id} ({option.kind})",
            "a month": usd(option.levelised_usd_per_month),
            "TTFT p95": f"{option.latency.ttft_s.p95:.3g} s" if option.latency.ttft_s else "not known",
        }
        for option in plan.options
    ],
    "options",
)
table(
    [
        {
            "option": option.id,
            "kind": option.kind.value,
            "levelised [USD/month]": option.levelised_usd_per_month,
            "TTFT p95 [s]": option.latency.ttft_s.p95 if option.latency.ttft_s else None,
            "TPOT p95 [s]": option.latency.tpot_s.p95 if option.latency.tpot_s else None,
            "USD per million tokens": option.usd_per_mtok,
            "cash over the horizon [USD]": option.cash_total_usd,
            "P&L over the horizon [USD]": option.pnl_total_usd,
            "NPV of the cost [USD]": option.npv_usd,
            "machines at the peak": option.fleet.peak_machines if option.fleet else None,
            "utilisation [frac]": option.fleet.week.utilisation_frac if option.fleet else None,
        }
        for option in plan.options
    ],
    says="Every option with its cost, cash, P&L, NPV, cost per million tokens, latency, machines and utilisation.",
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
    | {"USD per million tokens": "%.4f", "TTFT p95 [s]": "%.3f", "TPOT p95 [s]": "%.4f"},
)
for excluded in plan.excluded:
    said = escape(f"{excluded.id} is out: {excluded.reason}.")
    if excluded.kind in (OptionKind.API, OptionKind.RENT, OptionKind.OWN):
        st.warning(said, icon=":material/block:")
    else:
        st.caption(said)

over_volume, latency, cash, parts, ratio = st.tabs(
    ["Cost against volume", "Cost against latency", "Cash flow", "Cost stack", "Break-even API price"]
)
with over_volume:
    chart(
        cost_against_volume(plan),
        "cost_against_volume",
        "Levelised cost per month of every option over requests per day; self-hosting rises in whole machines.",
    )
with latency:
    draw_latency(plan)
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

views = plan.break_even_views
if views:
    st.subheader("Break-even seen in other ways")
    st.caption("Utilisation is busy over paid replica-time of the first month; payback is undiscounted.")
    planned, first, latest = st.columns(3)
    planned.metric("Utilisation at the plan", percent(views.busy_at_plan.utilisation_frac))
    planned.caption(escape(views.busy_at_plan.host))
    if views.busy_at_crossings:
        at = views.busy_at_crossings[0]
        first.metric("Utilisation at break-even", percent(at.utilisation_frac))
        first.caption(escape(f"{at.host} at {volume(at.requests_per_day)} requests a day"))
    else:
        first.metric("Utilisation at break-even", "none")
        first.caption("No volume that was searched changes sides.")
    back = views.payback
    latest.metric("Payback [months]", "never" if back.mid_month is None else f"{back.mid_month:.1f}")
    latest.caption(
        escape(
            f"With one assumption at a time at its low or high: never in {back.cases_without} of {back.cases} cases"
            + ("." if back.earliest_month is None else f", else from month {back.earliest_month:.1f}.")
        )
    )
    chart(
        price_surface(views.surface, plan.requests_per_day),
        "price_surface",
        "Cost of self-hosting over that of the API by requests per day and API price; on the line both are equal.",
    )

if plan.matrix:
    st.subheader("What is not money")
    st.caption(
        "0 is worst, 1 is best, empty is not known. The score is the mean under your weights ([weights] in the "
        "scenario file); without weights, or with a weighted criterion unknown, there is none."
    )
    on_a_phone(
        [
            {
                "option": row.option,
                "a month": usd(row.usd_per_month),
                "score": "none" if row.score is None else f"{row.score:.2f}",
            }
            if plan.scenario.weights
            else {
                "option": row.option,
                "a month": usd(row.usd_per_month),
                **{
                    cell.criterion: "?" if cell.score is None else f"{cell.score:.2f}"
                    for cell in row.cells
                    if cell.criterion == "availability"
                },
            }
            for row in plan.matrix
        ],
        "matrix",
    )
    table(
        [
            {
                "option": row.option,
                "levelised [USD/month]": row.usd_per_month,
                "score": row.score,
                **{cell.criterion: cell.score for cell in row.cells},
                "downtime [h/month]": row.downtime_h_per_month,
            }
            for row in plan.matrix
        ],
        says="Decision matrix: cost, weighted score and the score in every criterion, per option.",
        decimals={"levelised [USD/month]": "%.2f", "downtime [h/month]": "%.2f", "score": "%.2f"}
        | {cell.criterion: "%.2f" for cell in plan.matrix[0].cells},
    )
    with st.expander("The facts behind the scores"):
        table(
            [
                {"option": row.option, "criterion": cell.criterion, "fact": cell.fact}
                for row in plan.matrix
                for cell in row.cells
            ],
            says="The fact behind every score.",
        )

draw_scenarios(plan)
