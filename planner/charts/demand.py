"""Figures of the demand: how long requests are, and when they come."""

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from planner.charts.plan import COLOURS, styled
from planner.cost.options import OptionKind
from planner.units import HOURS_PER_DAY, HOURS_PER_WEEK
from planner.workload import WeekShape, Workload

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

_BINS_PER_DECADE = 8


def token_histogram(workload: Workload) -> go.Figure:
    """Share of the requests by prompt and by output length; the bins are equally wide on the logarithmic axis."""
    figure = go.Figure()
    for name, tokens, colour in (
        ("input tokens", workload.input_tokens, COLOURS[OptionKind.API]),
        ("output tokens", workload.output_tokens, COLOURS[OptionKind.RENT]),
    ):
        edges, shares = log_shares(tokens)
        figure.add_scatter(
            x=np.repeat(edges, 2)[1:-1],
            y=np.repeat(shares, 2),
            name=name,
            mode="lines",
            fill="tozeroy",
            line={"color": colour, "width": 2},
            hovertemplate="about %{x:,.0f} tokens: %{y:.1%} of the requests<extra>%{fullData.name}</extra>",
        )
    figure.update_xaxes(type="log", title="tokens of a request")
    figure.update_yaxes(title="share of the requests", tickformat=".0%", rangemode="tozero")
    return styled(figure, "How long the requests are", height=360)


def log_shares(tokens: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Edges of bins, eight to a factor of ten, and the share of `tokens` in each; a zero counts as one token.

    >>> edges, shares = log_shares(np.array([1, 10, 10, 100]))
    >>> float(edges[0]), round(float(edges[-1])), float(shares.sum()), float(shares.max())
    (1.0, 133, 1.0, 0.5)
    """
    counted = np.maximum(tokens, 1)
    bins = int(np.floor(np.log10(counted.max()) * _BINS_PER_DECADE)) + 1
    place = np.minimum(np.floor(np.log10(counted) * _BINS_PER_DECADE + 1e-9).astype(np.int64), bins - 1)
    edges = np.asarray(10.0 ** (np.arange(bins + 1) / _BINS_PER_DECADE))
    return edges, np.bincount(place, minlength=bins) / counted.size


def week_heat_map(week: WeekShape) -> go.Figure:
    """The load of every hour of the week relative to the mean, days downwards."""
    hours = int(HOURS_PER_DAY)
    rows = [week.weights[start : start + hours] for start in range(0, int(HOURS_PER_WEEK), hours)]
    figure = go.Figure(
        go.Heatmap(
            z=rows,
            x=[f"{hour:02d}" for hour in range(hours)],
            y=DAYS,
            colorscale="Cividis",
            zmin=0,
            colorbar={"title": {"text": "times<br>the mean"}, "thickness": 12},
            hovertemplate="%{y} %{x}:00: %{z:.2f} times the mean<extra></extra>",
            xgap=1,
            ygap=1,
        )
    )
    figure.update_xaxes(title="hour of the day", tickangle=0, dtick=4)
    figure.update_yaxes(autorange="reversed")
    return styled(figure, "When the requests come", height=320)
