"""Figures of how sure the answer is."""

import plotly.graph_objects as go

from planner.analysis.fan import Band, CashFan
from planner.analysis.risk import Knowing
from planner.charts.plan import COLOURS, GREY, names_above, short, styled
from planner.cost.options import OptionKind
from planner.decision.plan import Plan
from planner.decision.wording import label, percent

_LEAST_WORTH_USD_PER_MONTH = 1.0
_ROOM_FOR_A_LABEL = 0.12


def cost_spread(plan: Plan) -> go.Figure:
    """Levelised cost of every option over the draws: a bar from P10 to P90 with the median, the cheapest at the top."""
    risks = sorted(plan.risk.options, key=lambda risk: risk.usd_per_month.p50, reverse=True)
    figure = go.Figure()
    for risk in risks:
        spread = risk.usd_per_month
        figure.add_scatter(
            x=[spread.p10, spread.p90], y=[risk.id] * 2, mode="lines", showlegend=False, hoverinfo="skip",
            line={"color": COLOURS[risk.kind], "width": 10}, opacity=0.45,
        )  # fmt: skip
        figure.add_scatter(
            x=[spread.p50], y=[risk.id], mode="markers", showlegend=False, name=risk.id,
            marker={"size": 11, "symbol": "line-ns", "line": {"width": 3, "color": COLOURS[risk.kind]}},
            customdata=[[spread.p10, spread.p90]],
            hovertemplate="median %{x:$,.0f} a month, P10 %{customdata[0]:$,.0f}, P90 %{customdata[1]:$,.0f}"
            "<extra>%{fullData.name}</extra>",
        )  # fmt: skip
    names_above(figure, {risk.id: f"{risk.kind}: {short(risk.id)}" for risk in risks})
    figure.update_xaxes(title="USD a month, levelised", tickformat="$~s", tickangle=0, nticks=5, rangemode="tozero")
    return styled(figure, "What each option may cost: P10 to P90, median", height=150 + 44 * len(risks))


def worth_saying(plan: Plan) -> list[Knowing]:
    """What knowing one assumption is worth where that is a dollar a month or more, the most at the end."""
    worth = [known for known in plan.risk.worth_knowing if known.worth_usd_per_month >= _LEAST_WORTH_USD_PER_MONTH]
    return sorted(worth, key=lambda known: known.worth_usd_per_month)


def worth_knowing(plan: Plan) -> go.Figure:
    """What knowing one assumption exactly is worth, per month; what is worth less than a dollar is left out."""
    worth = worth_saying(plan)
    names = [label(known.name) for known in worth]
    figure = go.Figure(
        go.Bar(
            y=names,
            x=[known.worth_usd_per_month for known in worth],
            orientation="h",
            marker={"color": GREY},
            hovertemplate="%{y}: %{x:$,.2f} a month<extra></extra>",
        )
    )
    names_above(figure, {name: name for name in names})
    figure.update_layout(bargap=0.7)
    figure.update_xaxes(title="USD a month", tickformat="$~s", tickangle=0, nticks=5, rangemode="tozero")
    return styled(figure, "What a better figure is worth", height=150 + 44 * max(len(worth), 2))


def cash_fan_chart(plan: Plan) -> go.Figure:
    """Cash paid so far by month on both sides, median and P10 to P90; empty where there is one side only."""
    figure, fan = go.Figure(), plan.risk.fan
    if fan is not None:
        kinds = {risk.id: risk.kind for risk in plan.risk.options}
        _add_band(figure, fan.api_usd, COLOURS[OptionKind.API], "solid", f"API: {short(fan.api)}")
        _add_band(figure, fan.host_usd, COLOURS[kinds[fan.host]], "dash", f"{kinds[fan.host]}: {short(fan.host)}")
    figure.update_xaxes(title="month (0: before the first)", rangemode="tozero")
    figure.update_yaxes(title="USD paid so far, cash", tickformat="$~s", rangemode="tozero")
    return styled(figure, "Cash paid so far, P10 to P90")


def cash_difference_chart(plan: Plan) -> go.Figure:
    """Self-hosting minus API in cash paid so far, draw by draw, with the month in which the median crosses zero."""
    figure, fan = go.Figure(), plan.risk.fan
    if fan is not None:
        _add_band(figure, fan.difference_usd, COLOURS[OptionKind.HYBRID], "solid", "self-hosting minus API")
        if fan.median_payback_month:
            figure.add_vline(
                x=fan.median_payback_month,
                line={"color": GREY, "dash": "dot"},
                annotation={"text": f"month {fan.median_payback_month:.1f}", "font": {"size": 12}},
            )
    figure.add_hline(y=0.0, line={"color": GREY, "width": 1})
    figure.update_xaxes(title="month (0: before the first)", rangemode="tozero")
    for text, side in (("the API has cost less", "top"), ("self-hosting has cost less", "bottom")):
        figure.add_annotation(
            x=0.01, xref="paper", xanchor="left", y=float(side == "top"), yref="paper", yanchor=side, text=text,
            showarrow=False, font={"size": 12},
        )  # fmt: skip
    if fan is not None:
        lowest, highest = min(0.0, *fan.difference_usd.p10), max(0.0, *fan.difference_usd.p90)
        room = _ROOM_FOR_A_LABEL * (highest - lowest)
        figure.update_yaxes(range=[lowest - room, highest + room])
    figure.update_yaxes(title="USD paid so far, cash", tickformat="$~s")
    return styled(figure, "Self-hosting minus API, P10 to P90", height=360)


def _add_band(figure: go.Figure, band: Band, colour: str, dash: str, name: str) -> None:
    """A shaded band from P10 to P90 with the median as a line; the band goes and comes with its line in the legend."""
    months = list(range(len(band.p50)))
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    for edge, fill in ((band.p10, None), (band.p90, "tonexty")):
        figure.add_scatter(
            x=months, y=edge, mode="lines", line={"width": 0}, fill=fill, fillcolor=f"rgba({red},{green},{blue},0.22)",
            showlegend=False, legendgroup=name, hoverinfo="skip",
        )  # fmt: skip
    figure.add_scatter(
        x=months, y=band.p50, mode="lines", line={"color": colour, "width": 3, "dash": dash}, name=name,
        legendgroup=name, customdata=list(zip(band.p10, band.p90, strict=True)),
        hovertemplate="month %{x}: median %{y:$,.0f}, P10 %{customdata[0]:$,.0f}, P90 %{customdata[1]:$,.0f}"
        "<extra>%{fullData.name}</extra>",
    )  # fmt: skip


def cash_fan_rows(fan: CashFan) -> list[dict[str, float]]:
    """The fan as a table, a row per month."""
    bands = {"API": fan.api_usd, "self-hosted": fan.host_usd, "difference": fan.difference_usd}
    columns = {
        f"{side}, {name} [USD]": percentile
        for side, band in bands.items()
        for name, percentile in (("P10", band.p10), ("P50", band.p50), ("P90", band.p90))
    }
    return [
        {"month": month, **{name: column[month] for name, column in columns.items()}}
        for month in range(len(fan.api_usd.p50))
    ]


def payback_said(plan: Plan) -> str:
    """When self-hosting has paid no more than the API, in one or two sentences; empty where there is one side only."""
    fan = plan.risk.fan
    if fan is None:
        return ""
    if fan.median_payback_month is None:
        median = f"The median difference ends above zero: by month {plan.scenario.horizon_months} the API has cost less"
    elif fan.median_payback_month == 0.0:
        median = "The median difference is never above zero: self-hosting lays nothing out over the API"
    else:
        median = f"The median difference crosses zero in month {fan.median_payback_month:.1f} for good"
    return (
        f"{median}. In {percent(fan.ever_ahead_frac)} of the draws self-hosting has paid no more than the API at the "
        f"end of some month, in {percent(fan.ahead_at_end_frac)} it has paid less at the end of the plan. This is cash "
        f"as it is paid; the probability that self-hosting is cheaper discounts every month."
    )
