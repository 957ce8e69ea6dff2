"""Figures of how sure the answer is."""

import plotly.graph_objects as go

from planner.charts import COLOURS, GREY, short, styled
from planner.plan import Plan
from planner.risk import Knowing
from planner.wording import label

_LEAST_WORTH_USD_PER_MONTH = 1.0


def cost_spread(plan: Plan) -> go.Figure:
    """Levelised cost of every option over the draws: a bar from P10 to P90 with the median, the cheapest at the top."""
    risks = sorted(plan.risk.options, key=lambda risk: risk.usd_per_month.p50, reverse=True)
    figure = go.Figure()
    for risk in risks:
        spread = risk.usd_per_month
        figure.add_scatter(
            x=[spread.p10, spread.p90], y=[short(risk.id)] * 2, mode="lines", showlegend=False, hoverinfo="skip",
            line={"color": COLOURS[risk.kind], "width": 10}, opacity=0.45,
        )  # fmt: skip
        figure.add_scatter(
            x=[spread.p50], y=[short(risk.id)], mode="markers", showlegend=False, name=risk.id,
            marker={"size": 11, "symbol": "line-ns", "line": {"width": 3, "color": COLOURS[risk.kind]}},
            customdata=[[spread.p10, spread.p90]],
            hovertemplate="median $%{x:,.0f} a month, P10 $%{customdata[0]:,.0f}, P90 $%{customdata[1]:,.0f}"
            "<extra>%{fullData.name}</extra>",
        )  # fmt: skip
    figure.update_xaxes(title="USD a month, levelised (P10 to P90, median)", tickprefix="$", rangemode="tozero")
    figure.update_yaxes(automargin=True)
    return styled(figure, "What each option may cost", height=150 + 34 * len(risks))


def worth_saying(plan: Plan) -> list[Knowing]:
    """What knowing one assumption is worth where that is a dollar a month or more, the most at the end."""
    worth = [known for known in plan.risk.worth_knowing if known.worth_usd_per_month >= _LEAST_WORTH_USD_PER_MONTH]
    return sorted(worth, key=lambda known: known.worth_usd_per_month)


def worth_knowing(plan: Plan) -> go.Figure:
    """What knowing one assumption exactly is worth, per month; what is worth less than a dollar is left out."""
    worth = worth_saying(plan)
    figure = go.Figure(
        go.Bar(
            y=[label(known.name) for known in worth],
            x=[known.worth_usd_per_month for known in worth],
            orientation="h",
            marker={"color": GREY},
            hovertemplate="%{y}: $%{x:,.2f} a month<extra></extra>",
        )
    )
    figure.update_xaxes(title="USD a month", tickprefix="$", rangemode="tozero")
    figure.update_yaxes(automargin=True)
    return styled(figure, "What a better figure is worth", height=150 + 30 * max(len(worth), 2))
