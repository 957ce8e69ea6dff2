"""Figures of the service level: what replicas hold, and hour by hour who is served in time, by whom, and who is not."""

import math
from collections.abc import Callable

import plotly.graph_objects as go

from planner.capacity.staircase import CapacityCurve, CapacityPlan, HourPlan, ServiceShares
from planner.charts.demand import DAYS
from planner.charts.plan import COLOURS, GREY, styled
from planner.cost.options import OptionKind
from planner.units import HOURS_PER_DAY

_PARTS: tuple[tuple[str, str, str, Callable[[ServiceShares], float]], ...] = (
    ("own machines, in time", COLOURS[OptionKind.OWN], "", lambda shares: shares.attained_frac),
    ("left for the API", COLOURS[OptionKind.API], "", lambda shares: shares.overflow_frac),
    ("missed", COLOURS[OptionKind.STAGED], "/", lambda shares: shares.missed_frac),
)
_STEPS_OF_AXIS = 20  # 5 % each
_ON_BARS = "#1f2328"


def attainment_by_hour(week: CapacityPlan, slo_frac: float) -> go.Figure:
    """Shares of every hour's requests as stacked bars; the axis begins below the lowest share served by machines."""
    known = [hour for hour in week.hours if hour.shares]
    figure = go.Figure()
    for name, colour, pattern, share in _PARTS:
        shares = [share(hour.shares) for hour in known if hour.shares]
        if not any(shares):
            continue
        figure.add_bar(
            x=[hour.hour_of_week for hour in known],
            y=shares,
            name=name,
            offset=0,
            width=1,
            marker={"color": colour, "line": {"width": 0}, "pattern": {"shape": pattern, "size": 4}},
            customdata=[_clock(hour) for hour in known],
            hovertemplate="%{customdata}: %{y:.2%} of the requests<extra>%{fullData.name}</extra>",
        )
    figure.add_hline(y=slo_frac, line={"color": _ON_BARS, "dash": "dash", "width": 1})
    figure.add_annotation(  # beside the bars: on them no colour of text is readable in both themes
        x=1.0, xref="paper", xanchor="left", y=slo_frac, text=f"{100 * slo_frac:.4g}%", showarrow=False
    )
    lowest = min((hour.shares.attained_frac for hour in known if hour.shares), default=0.0)
    bottom = max(math.floor(min(lowest, slo_frac) * _STEPS_OF_AXIS) - 1, 0) / _STEPS_OF_AXIS
    days = [int(HOURS_PER_DAY) * day for day in range(len(DAYS))]
    figure.update_xaxes(title="hour of the week", tickvals=days, ticktext=DAYS, range=[0, HOURS_PER_DAY * len(DAYS)])
    figure.update_yaxes(title="share of the hour's requests", tickformat=".0%", range=[bottom, 1.0])
    figure.update_layout(barmode="stack", bargap=0)
    styled(figure, "Who is served in time, hour by hour", height=360)
    return figure.update_layout(margin={"r": 48})


def attainment_heat_map(week: CapacityPlan, slo_frac: float) -> go.Figure:
    """Share of the requests in time, the API's counted in, over days and hours; blank where there are no requests."""
    hours = int(HOURS_PER_DAY)
    days = [week.hours[start : start + hours] for start in range(0, len(week.hours), hours)]
    figure = go.Figure(
        go.Heatmap(
            z=[[1.0 - hour.shares.missed_frac if hour.shares else None for hour in day] for day in days],
            customdata=[[_text(hour) for hour in day] for day in days],
            x=[f"{hour:02d}" for hour in range(hours)],
            y=DAYS,
            colorscale="Cividis",
            zmin=min([slo_frac, *(1.0 - hour.shares.missed_frac for hour in week.hours if hour.shares)]),
            zmax=1.0,
            colorbar={"title": {"text": "in time"}, "tickformat": ".1%", "thickness": 12},
            hovertemplate="%{customdata}<extra></extra>",
            hoverongaps=False,
            xgap=1,
            ygap=1,
        )
    )
    figure.update_xaxes(title="hour of the day", tickangle=0, dtick=4)
    figure.update_yaxes(autorange="reversed")
    return styled(figure, "Requests in time, by hour of the week", height=320)


def staircase(curve: CapacityCurve, week: CapacityPlan) -> go.Figure:
    """The highest rate that each number of replicas holds within the service level, and the week's fullest hour."""
    fullest_per_s = max(hour.requests_per_s for hour in week.hours)
    figure = go.Figure(
        go.Scatter(
            x=curve.replicas,
            y=curve.max_requests_per_s,
            mode="lines",
            line={"shape": "hv", "color": COLOURS[OptionKind.OWN], "width": 2},
            hovertemplate="%{x} replicas hold the service level up to %{y:.4~g} requests/s<extra></extra>",
        )
    )
    figure.add_hline(
        y=fullest_per_s,
        line={"color": GREY, "dash": "dot"},
        annotation={"text": f"fullest hour {fullest_per_s:.3g}/s", "font": {"size": 12}},
        annotation_position="bottom right",
    )
    figure.update_xaxes(title="replicas", rangemode="tozero")
    figure.update_yaxes(title="requests/s within the SLO", rangemode="tozero")
    return styled(figure, "Highest rate that holds the service level", height=340)


def _clock(hour: HourPlan) -> str:
    day, of_day = divmod(hour.hour_of_week, int(HOURS_PER_DAY))
    return f"{DAYS[day]} {of_day:02d}:00"


def _text(hour: HourPlan) -> str:
    if hour.shares is None:
        return f"{_clock(hour)}: {hour.no_shares}"
    parts = ", ".join(f"{name} {share(hour.shares):.2%}" for name, _, _, share in _PARTS)
    return f"{_clock(hour)}, {hour.requests_per_s:.3g} requests/s on {hour.paid_replicas} paid replicas<br>{parts}"
