"""Figures from plan data: pure functions that the report and the dashboard share."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from planner.capacity.staircase import CapacityPlan
from planner.cost.options import OptionKind
from planner.decision.plan import Plan
from planner.decision.wording import label, usd, volume
from planner.profile import LevelSummary

COLOURS = {
    OptionKind.API: "#2f8de4",
    OptionKind.RENT: "#d98200",
    OptionKind.OWN: "#009e73",
    OptionKind.HYBRID: "#cc79a7",
    OptionKind.STAGED: "#d55e00",
    OptionKind.MIX: "#7a6ff0",
}
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
GREY = "#8a8f98"
_MAX_LABEL = 34
_TORNADO_BARS = 10


def cost_against_volume(plan: Plan) -> go.Figure:
    """Levelised cost per month of every option over volume, both axes logarithmic, with plan and break-even marked."""
    figure = go.Figure()
    styles = line_styles(plan)
    for series in sorted(plan.chart.series, key=lambda series: list(styles).index(series.id)):
        figure.add_scatter(
            x=plan.chart.requests_per_day,
            y=series.usd_per_month,
            name=f"{series.kind}: {series.id}",
            mode="lines",
            hovertemplate="%{x:,.3s} requests/day<br>$%{y:,.0f} a month<extra>%{fullData.name}</extra>",
            **styles[series.id],
        )
    figure.add_vline(x=plan.requests_per_day, line={"color": GREY, "dash": "dot"})
    _mark(figure, plan.requests_per_day, f"plan {volume(plan.requests_per_day)}", 1.0)
    found = plan.break_even
    if found is not None and found.crossings:
        first, last = found.crossings[0].requests_per_day, found.crossings[-1].requests_per_day
        span = volume(first) if first == last else f"{volume(first)} to {volume(last)}"
        figure.add_vrect(
            x0=found.low or first, x1=found.high or found.searched_to, fillcolor=GREY, opacity=0.12, line_width=0
        )
        for crossing in found.crossings:
            figure.add_vline(x=crossing.requests_per_day, line={"color": COLOURS[OptionKind.OWN], "width": 1})
        _mark(figure, first, f"break-even {span}", 0.92 if first > plan.requests_per_day else 0.84)
    low, high = plan.chart.requests_per_day[0], plan.chart.requests_per_day[-1]
    figure.update_xaxes(
        type="log", title="requests per day (first month)", range=_log_range(low, high), exponentformat="SI"
    )
    figure.update_yaxes(type="log", title="USD a month", exponentformat="SI", tickprefix="$")
    return styled(figure, "Cost against volume, levelised")


def api_price_at_break_even(plan: Plan) -> go.Figure:
    """How many times the cheapest API option self-hosting costs: the API price at which it would break even."""
    apis = [series.usd_per_month for series in plan.chart.series if series.kind is OptionKind.API]
    hosts = [series.usd_per_month for series in plan.chart.series if series.kind is not OptionKind.API]
    ratio = [
        min(own) / min(tokens) for own, tokens in zip(zip(*hosts, strict=True), zip(*apis, strict=True), strict=True)
    ]
    figure = go.Figure()
    figure.add_scatter(
        x=plan.chart.requests_per_day,
        y=ratio,
        mode="lines",
        line={"color": COLOURS[OptionKind.OWN], "width": 3},
        hovertemplate="%{x:,.3s} requests/day<br>breaks even at %{y:.2f} times the API price<extra></extra>",
    )
    figure.add_hline(y=1.0, line={"color": COLOURS[OptionKind.API], "dash": "dash"})
    figure.add_vline(x=plan.requests_per_day, line={"color": GREY, "dash": "dot"})
    _mark(figure, plan.requests_per_day, f"plan {volume(plan.requests_per_day)}", 1.0)
    figure.update_xaxes(type="log", title="requests per day (first month)", exponentformat="SI")
    figure.update_yaxes(type="log", title="times the API price")
    return styled(figure, "At which API price would it break even?", height=320)


def tornado_chart(plan: Plan) -> go.Figure:
    """Self-hosting minus API per month with one assumption at its low and high, the widest at the top."""
    bars = [bar for bar in plan.sensitivity if bar.swing_usd_per_month > 0][:_TORNADO_BARS][::-1]
    api, host = plan.best_api, plan.best_self_host
    mid = host.levelised_usd_per_month - api.levelised_usd_per_month if host and api else 0.0
    names = [label(bar.name) for bar in bars]
    figure = go.Figure()
    for name, colour, ends, values in (
        ("at its low", "#8f7ee7", [b.difference_at_low_usd_per_month for b in bars], [b.low for b in bars]),
        ("at its high", "#d98200", [b.difference_at_high_usd_per_month for b in bars], [b.high for b in bars]),
    ):
        figure.add_bar(
            y=names,
            x=[end - mid for end in ends],
            base=mid,
            orientation="h",
            name=name,
            marker={"color": colour},
            customdata=list(zip([usd(end) for end in ends], [f"{value:g}" for value in values], strict=True)),
            hovertemplate="%{y} = %{customdata[1]}: %{customdata[0]} a month<extra></extra>",
        )
    figure.add_vline(x=mid, line={"color": GREY, "width": 1}, opacity=0.5, layer="below")
    names_above(figure, {name: name for name in names})
    figure.update_layout(barmode="overlay", bargap=0.6)
    figure.update_xaxes(title="USD a month", tickformat="$~s", tickangle=0, nticks=5)
    return styled(figure, "What moves the answer: self-hosting minus API", height=130 + 44 * max(len(bars), 3))


def cost_by_category(plan: Plan) -> go.Figure:
    """Mean monthly P&L of every option, stacked by category."""
    months = plan.scenario.horizon_months
    totals: dict[str, dict[str, float]] = {}
    for option in plan.options:
        for line in option.lines:
            of_option = totals.setdefault(line.category, {})
            of_option[option.id] = of_option.get(option.id, 0.0) + line.pnl_usd / months
    names = [option.id for option in plan.options][::-1]
    figure = go.Figure()
    for category, values in totals.items():
        amounts = [values.get(name, 0.0) for name in names]
        if any(amounts):
            figure.add_bar(
                y=[short(name) for name in names],
                x=amounts,
                name=category,
                orientation="h",
                hovertemplate="%{y}: $%{x:,.2f} a month<extra>%{fullData.name}</extra>",
            )
    figure.update_layout(barmode="relative")
    figure.update_xaxes(title="USD a month, mean P&L", tickprefix="$")
    figure.update_yaxes(automargin=True)
    return styled(figure, "What each option is made of", height=160 + 34 * len(names))


def cumulative_cash(plan: Plan) -> go.Figure:
    """Money spent since month 0, per option: where owning has paid back."""
    figure = go.Figure()
    styles = line_styles(plan)
    for option in plan.options:
        figure.add_scatter(
            x=list(range(len(option.cash_by_month_usd))),
            y=list(itertools.accumulate(option.cash_by_month_usd)),
            name=f"{option.kind}: {option.id}",
            mode="lines",
            hovertemplate="month %{x}: $%{y:,.0f}<extra>%{fullData.name}</extra>",
            **styles[option.id],
        )
    figure.update_xaxes(title="month")
    figure.update_yaxes(title="USD paid so far", tickprefix="$")
    return styled(figure, "Cash out, cumulated")


def load_by_hour(week: CapacityPlan) -> go.Figure:
    """Request rate, needed and paid replicas of every hour of the week."""
    hours = [hour.hour_of_week for hour in week.hours]
    figure = go.Figure()
    figure.add_scatter(x=hours, y=[h.paid_replicas for h in week.hours], name="paid replicas", mode="lines",
                       line={"shape": "hv", "color": COLOURS[OptionKind.RENT], "width": 2})  # fmt: skip
    figure.add_scatter(x=hours, y=[h.needed_replicas for h in week.hours], name="needed replicas", mode="lines",
                       line={"shape": "hv", "color": COLOURS[OptionKind.OWN], "width": 2})  # fmt: skip
    figure.add_scatter(x=hours, y=[h.requests_per_s for h in week.hours], name="requests/s", mode="lines", yaxis="y2",
                       line={"color": GREY, "dash": "dot"})  # fmt: skip
    days = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    figure.update_xaxes(title="hour of the week", tickvals=[24 * day for day in range(7)], ticktext=days)
    figure.update_yaxes(title="replicas", rangemode="tozero")
    figure.update_layout(
        yaxis2={"title": "requests/s", "overlaying": "y", "side": "right", "rangemode": "tozero", "showgrid": False}
    )
    return styled(figure, "Load and replicas by hour")


def throughput_against_concurrency(levels: Sequence[LevelSummary]) -> go.Figure:
    """Measured output tokens per second over concurrency, one line per shape; invalid levels are left out."""
    figure = _measured(levels, lambda level: level.output_tokens_per_s)
    figure.update_yaxes(title="output tokens per second", rangemode="tozero")
    return styled(figure, "Measured throughput")


def latency_against_concurrency(levels: Sequence[LevelSummary]) -> go.Figure:
    """Measured p95 TTFT over concurrency, one line per shape; invalid levels are left out."""
    figure = _measured(levels, lambda level: level.ttft_s.p95 if level.ttft_s else None)
    figure.update_yaxes(title="TTFT p95, s", rangemode="tozero")
    return styled(figure, "Measured time to first token")


def ttft_against_prompt_length(levels: Sequence[LevelSummary]) -> go.Figure:
    """Measured mean TTFT of a request that has the engine to itself over its prompt length, both axes logarithmic."""
    alone = [level for level in levels if level.valid and level.mode == "closed" and level.target == 1]
    points = sorted((x.input_tokens.mean, x.ttft_s.mean, x.shape) for x in alone if x.input_tokens and x.ttft_s)
    figure = go.Figure()
    figure.add_scatter(
        x=[tokens for tokens, _, _ in points],
        y=[ttft for _, ttft, _ in points],
        text=[shape for _, _, shape in points],
        mode="lines+markers",
        line={"color": GREY},
        hovertemplate="%{x:,.0f} prompt tokens: %{y:.3g} s<extra>%{text}</extra>",
    )
    figure.update_xaxes(title="prompt tokens", type="log")
    figure.update_yaxes(title="TTFT, s", type="log")
    return styled(figure, "Time to first token of a lone request")


def _measured(levels: Sequence[LevelSummary], value: Callable[[LevelSummary], float | None]) -> go.Figure:
    """One line per shape that was held at several concurrencies."""
    figure = go.Figure()
    for shape in dict.fromkeys(level.shape for level in levels):
        mine = sorted((x for x in levels if x.shape == shape and x.valid), key=lambda x: x.achieved_concurrency)
        if len({level.target for level in mine}) < 2:
            continue
        figure.add_scatter(
            x=[level.achieved_concurrency for level in mine],
            y=[value(level) for level in mine],
            name=shape,
            mode="lines+markers",
        )
    figure.update_xaxes(title="requests in flight", rangemode="tozero")
    return figure


def line_styles(plan: Plan) -> dict[str, dict[str, Any]]:
    """Option id -> how its line looks: a colour per kind, the cheapest of a kind thick, the others thin and dashed."""
    styles: dict[str, dict[str, Any]] = {}
    rank: dict[OptionKind, int] = {}
    for option in plan.options:
        place = rank[option.kind] = rank.get(option.kind, -1) + 1
        line = {
            "color": COLOURS[option.kind],
            "width": 3 if place == 0 else 1.2,
            "dash": _DASHES[place % len(_DASHES)],
        }
        styles[option.id] = {"line": line, "opacity": 1.0 if place == 0 else 0.8}
    return styles


def _mark(figure: go.Figure, x: float, text: str, y: float) -> None:
    figure.add_annotation(
        x=math.log10(x), y=y, yref="paper", text=text, showarrow=False, xanchor="left", xshift=4, font={"size": 12}
    )


def _log_range(low: float, high: float) -> tuple[float, float]:
    return math.log10(low), math.log10(high)


def names_above(figure: go.Figure, texts: Mapping[str, str]) -> None:
    """Write the text of each row of bars above and not beside it: a long name would leave a phone no room for bars."""
    for row, text in texts.items():
        figure.add_annotation(
            x=0, xref="paper", xanchor="left", y=row, yshift=16, text=text, showarrow=False, font={"size": 12}
        )
    figure.update_yaxes(showticklabels=False)


def short(name: str) -> str:
    """A name that fits beside a bar."""
    return name if len(name) <= _MAX_LABEL else f"{name[: _MAX_LABEL - 1]}…"


def styled(figure: go.Figure, title: str, height: int = 420) -> go.Figure:
    """The look that all charts share; colours of single traces stay."""
    figure.update_layout(
        title={"text": title, "x": 0.01, "xref": "container"},
        template="plotly_white",
        height=height,
        margin={"l": 60, "r": 20, "t": 50, "b": 50},
        legend={"orientation": "h", "yref": "container", "yanchor": "bottom", "y": 0, "x": 0, "font": {"size": 11}},
        font={"family": "system-ui, sans-serif", "size": 13},
    )
    return figure
