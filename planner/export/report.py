"""The one-page report: a self-contained HTML file that can be printed, mailed and read without a network."""

import re

import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs

from planner.charts.latency import cost_against_tpot, cost_against_ttft
from planner.charts.plan import (
    api_price_at_break_even,
    cost_against_volume,
    cost_by_category,
    cumulative_cash,
    latency_against_concurrency,
    load_by_hour,
    throughput_against_concurrency,
    tornado_chart,
    ttft_against_prompt_length,
)
from planner.charts.risk import cash_difference_chart, cash_fan_chart, payback_said
from planner.decision.frontier import points_of
from planner.decision.plan import Plan
from planner.decision.wording import cards, describe, label, percent, usd, volume
from planner.version import VERSION

_ENVIRONMENT = Environment(
    loader=PackageLoader("planner.export", "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_COMMAND = re.compile("`([^`]+)`")


def _commands(text: str) -> Markup:
    """Text for HTML, with what stands between backticks as code."""
    return Markup(_COMMAND.sub(r"<code>\1</code>", str(escape(text))))


_ENVIRONMENT.filters["commands"] = _commands


def render_report(plan: Plan) -> str:
    """The HTML text. Everything that comes from a file is escaped; the chart library is embedded once."""
    host = plan.best_self_host
    profile = plan.profiles.get(host.fleet.profile) if host and host.fleet else None
    charts = {
        "volume": cost_against_volume(plan),
        "composition": cost_by_category(plan),
        "cash": cumulative_cash(plan),
    }
    if plan.sensitivity:
        charts["tornado"] = tornado_chart(plan)
    if plan.break_even:
        charts["ratio"] = api_price_at_break_even(plan)
    if plan.risk.fan is not None:
        charts["fan"] = cash_fan_chart(plan)
        charts["fan_difference"] = cash_difference_chart(plan)
    if any(point.latency.ttft_s for point in points_of(plan)):
        charts["ttft_cost"] = cost_against_ttft(plan)
    if any(point.latency.tpot_s for point in points_of(plan)):
        charts["tpot_cost"] = cost_against_tpot(plan)
    if host and host.fleet:
        charts["hours"] = load_by_hour(host.fleet.week)
    if profile and profile.levels:
        charts["throughput"] = throughput_against_concurrency(profile.levels)
        charts["latency"] = latency_against_concurrency(profile.levels)
        charts["lone"] = ttft_against_prompt_length(profile.levels)
    return _ENVIRONMENT.get_template("report.html.j2").render(
        plan=plan,
        profile=profile,
        charts={name: _embedded(figure, name) for name, figure in charts.items()},
        plotly=Markup(get_plotlyjs()),
        version=VERSION,
        usd=usd,
        volume=volume,
        label=label,
        describe=describe,
        cards=cards,
        percent=percent,
        payback_said=payback_said,
    )


def _embedded(figure: go.Figure, name: str) -> Markup:
    html = figure.to_html(
        full_html=False,
        include_plotlyjs=False,
        div_id=f"chart-{name}",
        config={"displaylogo": False, "responsive": True, "displayModeBar": False},
    )
    return Markup(html)
