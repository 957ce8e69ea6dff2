"""Figures of cost against latency."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import plotly.graph_objects as go

from planner.charts.plan import GREY, line_styles, short, styled
from planner.cost.options import OptionKind
from planner.decision.frontier import points_of
from planner.decision.plan import FrontierPoint, Plan
from planner.decision.wording import usd
from planner.distribution import Percentiles

_SYMBOLS = {
    OptionKind.API: "diamond",
    OptionKind.RENT: "circle",
    OptionKind.OWN: "square",
    OptionKind.HYBRID: "triangle-up",
    OptionKind.STAGED: "triangle-down",
    OptionKind.MIX: "star",
}


def cost_against_ttft(plan: Plan) -> go.Figure:
    """Levelised cost per month over p95 TTFT of every option and of its machines under other limits."""
    limit_s = plan.scenario.slo.ttft_s
    return _figure(plan, "TTFT", lambda p: p.latency.ttft_s, lambda p: p.on_ttft_frontier, limit_s)


def cost_against_tpot(plan: Plan) -> go.Figure:
    """Levelised cost per month over p95 TPOT of every option and of its machines under other limits."""
    limit_s = plan.scenario.slo.tpot_s
    return _figure(plan, "TPOT", lambda p: p.latency.tpot_s, lambda p: p.on_tpot_frontier, limit_s)


def _figure(
    plan: Plan,
    metric: str,
    of: Callable[[FrontierPoint], Percentiles | None],
    is_best: Callable[[FrontierPoint], bool],
    limit_s: float | None,
) -> go.Figure:
    """Filled where no other point is cheaper and as fast; the grey steps are what a latency costs at the least."""
    points = [point for point in points_of(plan) if of(point) is not None]
    figure = go.Figure()
    best = sorted({(_p95(of(point)), point.usd_per_month) for point in points if is_best(point)})
    figure.add_scatter(
        x=[latency for latency, _ in best],
        y=[cost for _, cost in best],
        name="cheapest at each latency",
        mode="lines",
        line={"color": GREY, "width": 5, "shape": "hv"},
        opacity=0.45,
        hoverinfo="skip",
    )
    styles = line_styles(plan)
    for option in dict.fromkeys(point.option for point in points):
        mine = sorted((p for p in points if p.option == option), key=lambda p: p.slo_factor or 1.0)
        kind = mine[0].kind
        style: dict[str, Any] = styles.get(option, {"line": {"color": GREY}})
        colour = style["line"]["color"]
        figure.add_scatter(
            x=[_p95(of(point)) for point in mine],
            y=[point.usd_per_month for point in mine],
            name=f"{kind}: {short(option)}",
            mode="lines+markers",
            marker={
                "symbol": [_SYMBOLS[kind] if is_best(p) else f"{_SYMBOLS[kind]}-open" for p in mine],
                "size": [13 if p.slo_factor in (None, 1.0) else 8 for p in mine],
                "color": colour,
                "line": {"width": 2, "color": colour},
            },
            line={**style["line"], "width": 1},
            customdata=[_about(point, of(point)) for point in mine],
            hovertemplate="%{customdata[0]}<br>%{customdata[1]}: %{customdata[2]} a month<br>"
            + f"{metric}"
            + " p50 %{customdata[3]}, p95 %{customdata[4]}, p99 %{customdata[5]} s<extra></extra>",
        )
    if limit_s is not None and points:
        figure.add_vline(x=limit_s, line={"color": GREY, "dash": "dot"})
        share = f"{plan.scenario.slo.attainment_frac:.3%}".replace(".000", "")
        figure.add_annotation(
            x=1.0, xref="paper", xanchor="right", y=1.06, yref="paper", showarrow=False, font={"size": 12},
            text=f"dotted: limit {limit_s:g} s for {share} of the requests",
        )  # fmt: skip
    figure.update_xaxes(type="log", title=f"{metric}, 95th percentile, s", **_ticks([_p95(of(p)) for p in points]))
    figure.update_yaxes(type="log", title="USD per month, levelised", exponentformat="SI", tickprefix="$")
    return styled(figure, f"Cost against latency ({metric})", height=440)


def _ticks(values: Sequence[float]) -> dict[str, Any]:
    """Marks at 1, 2 and 5 of every decade, at more digits where that gives fewer than three; few enough for a phone."""
    known = [value for value in values if value > 0]
    if not known:
        return {}
    low, high = min(known), max(known)
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    for digits in ((1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7), tuple(d / 10 for d in range(10, 100, 2))):
        marks = [round(digit * 10.0**decade, 12) for decade in decades for digit in digits]
        within = [mark for mark in marks if low * 0.9 <= mark <= high * 1.1]
        if len(within) >= 3:
            break
    return {
        "tickvals": within[:: len(within) // 8 + 1],
        "ticktext": [f"{m:g}" for m in within[:: len(within) // 8 + 1]],
    }


def _p95(latency_s: Percentiles | None) -> float:
    assert latency_s is not None  # points without one are left out
    return latency_s.p95


def _about(point: FrontierPoint, latency_s: Percentiles | None) -> tuple[str, ...]:
    assert latency_s is not None
    limits = "as planned" if point.slo_factor in (None, 1.0) else f"limits times {point.slo_factor:g}"
    machines = "" if point.machines is None else f", {point.machines} machine{'s' if point.machines != 1 else ''}"
    times: Iterable[float] = (latency_s.p50, latency_s.p95, latency_s.p99)
    return (point.option, f"{limits}{machines}", usd(point.usd_per_month), *(f"{time:.3g}" for time in times))
