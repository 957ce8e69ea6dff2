"""Figures of the break-even seen over two things at once."""

import plotly.graph_objects as go

from planner.analysis.breakeven_views import PriceSurface
from planner.charts.plan import COLOURS, GREY, styled
from planner.cost.options import OptionKind

_MOST = 8.0
_SHOWN = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


def price_surface(surface: PriceSurface, requests_per_day: float) -> go.Figure:
    """Self-hosting over API cost by volume and API price, one colour per side, with the break-even as a line."""
    figure = go.Figure(
        go.Contour(
            x=surface.requests_per_day,
            y=surface.api_price_factors,
            z=[[min(ratio, _MOST) for ratio in row] for row in surface.cost_ratio],
            customdata=surface.cost_ratio,
            contours={"start": 0.0, "end": 2.0, "size": 0.25},
            colorscale="RdBu",
            zmin=0.0,
            zmid=1.0,
            zmax=2.0,
            line={"width": 0},
            colorbar={"title": {"text": "self-host<br>over API"}, "thickness": 12},
            hovertemplate="%{x:,.3s} requests/day, %{y:.2f} times the API price: self-hosting costs %{customdata:.2f} "
            "times the API<extra></extra>",
        )
    )
    figure.add_scatter(
        x=surface.requests_per_day,
        y=surface.break_even_factor,
        mode="lines",
        name="both cost the same",
        showlegend=True,
        line={"color": COLOURS[OptionKind.OWN], "width": 3},
        hovertemplate="%{x:,.3s} requests/day: the same cost at %{y:.2f} times the API price<extra></extra>",
    )
    figure.add_vline(x=requests_per_day, line={"color": GREY, "dash": "dot"})
    figure.update_xaxes(type="log", title="requests per day (first month)", exponentformat="SI")
    figure.update_yaxes(type="log", title="times the API price", range=[-0.91, 0.91], tickvals=_SHOWN)
    return styled(figure, "Who is cheaper, by volume and API price", height=440)
