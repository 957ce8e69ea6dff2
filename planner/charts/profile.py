"""Figures of what was measured, beside what the fitted model says of it."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from planner.charts.plan import GREY, styled
from planner.profile import LevelSummary, Profile, StepTime
from planner.steptime.fit import predict_level

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a8f98")
"""Okabe and Ito's colours, which people with any colour vision can tell apart."""

_MARKS = ("circle", "square", "diamond", "cross", "triangle-up", "x", "star")
_CURVE_POINTS = 40
_INTERVAL = (0.05, 0.95)


def throughput_with_fit(profiles: Mapping[str, Profile]) -> go.Figure:
    """Measured output tokens per second over requests in flight, and the fitted curve with its 90 % interval."""
    figure = _curves(profiles, _tokens_per_s, _measured_tokens_per_s)
    figure.update_yaxes(title="output tokens per second", rangemode="tozero")
    return styled(figure, "Throughput: measured and fitted")


def tpot_with_fit(profiles: Mapping[str, Profile]) -> go.Figure:
    """Measured mean TPOT over requests in flight, and the fitted model's curve with its 90 % interval."""
    figure = _curves(profiles, lambda s, p, n, i, o: _predicted(s, p, n, i, o)[1], _measured_tpot_s)
    figure.update_yaxes(title="time per output token, mean, s", rangemode="tozero")
    return styled(figure, "Time per output token: measured and fitted")


def ttft_with_fit(profiles: Mapping[str, Profile]) -> go.Figure:
    """Measured mean TTFT over requests in flight, and the fitted model's curve with its 90 % interval."""
    figure = _curves(profiles, lambda s, p, n, i, o: _predicted(s, p, n, i, o)[0], _measured_ttft_s)
    figure.update_yaxes(title="time to first token, mean, s", rangemode="tozero")
    return styled(figure, "Time to first token: measured and fitted")


def memory_stack(profiles: Mapping[str, Profile]) -> go.Figure:
    """Peak memory of each profile [GiB]: the weights' file, the KV cache at its capacity, and the rest."""
    parts = {name: memory_parts_gib(profile) for name, profile in profiles.items()}
    figure = go.Figure()
    for index, part in enumerate(("weights file", "KV cache when full", "rest of the peak")):
        figure.add_bar(
            y=list(parts),
            x=[found.get(part) for found in parts.values()],
            name=part,
            orientation="h",
            marker={"color": PALETTE[index]},
            hovertemplate="%{y}: %{x:.3g} GiB<extra>%{fullData.name}</extra>",
        )
    figure.update_layout(barmode="stack")
    figure.update_xaxes(title="GiB")
    figure.update_yaxes(automargin=True)
    return styled(figure, "Memory", height=170 + 40 * len(parts))


def memory_parts_gib(profile: Profile) -> dict[str, float]:
    """What the memory of a replica goes to [GiB]; a part that was not measured is left out.

    Where the KV cache is not as full at the peak as its capacity, weights and a full cache exceed the measured peak and
    there is no rest.
    """
    memory, parts = profile.memory, {}
    if memory.weights_file_gib is not None:
        parts["weights file"] = memory.weights_file_gib
    if memory.kv_bytes_per_token is not None:
        parts["KV cache when full"] = memory.kv_bytes_per_token * profile.limits.kv_capacity_tokens / 2**30
    if memory.peak_gib is not None:
        parts["rest of the peak"] = max(memory.peak_gib - sum(parts.values()), 0.0)
    return parts


_Curve = tuple[Profile, StepTime, float, float, float]


def _curves(profiles, predicted, measured) -> go.Figure:  # type: ignore[no-untyped-def]
    figure = go.Figure()
    several = len(profiles) > 1
    index = 0
    for name, profile in profiles.items():
        for shape, levels in _shapes(profile.levels).items():
            colour, mark = PALETTE[index % len(PALETTE)], _MARKS[index % len(_MARKS)]
            index += 1
            called = f"{name}: {shape}" if several else shape
            i = float(np.mean([level.input_tokens.mean for level in levels if level.input_tokens]))
            o = float(np.mean([level.output_tokens.mean for level in levels if level.output_tokens]))
            top = max(level.achieved_concurrency for level in levels)
            grid = np.linspace(1.0, max(top * 1.25, 2.0), _CURVE_POINTS)
            mid = [predicted(profile.fit.step_time, profile, n, i, o) for n in grid]
            if profile.fit.posterior:
                spread = np.array([[predicted(s, profile, n, i, o) for n in grid] for s in profile.fit.posterior])
                low, high = np.quantile(spread, _INTERVAL, axis=0)
                figure.add_scatter(
                    x=[*grid, *grid[::-1]], y=[*high, *low[::-1]], fill="toself", mode="none", opacity=0.25,
                    fillcolor=colour, hoverinfo="skip", showlegend=False, legendgroup=called,
                )  # fmt: skip
            figure.add_scatter(
                x=grid, y=mid, mode="lines", line={"color": colour, "width": 1.5}, name=f"{called}, fitted",
                legendgroup=called, showlegend=False,
                hovertemplate="%{x:.1f} in flight: %{y:.4g}<extra>%{fullData.name}</extra>",
            )  # fmt: skip
            for valid, fill in ((True, mark), (False, f"{mark}-open")):
                mine = [level for level in levels if level.valid is valid]
                if mine:
                    figure.add_scatter(
                        x=[level.achieved_concurrency for level in mine], y=[measured(level) for level in mine],
                        mode="markers", marker={"color": colour, "size": 9, "symbol": fill},
                        name=called if valid else f"{called}, invalid", legendgroup=called,
                        hovertemplate="%{x:.3g} in flight: %{y:.4g}<extra>%{fullData.name}</extra>",
                    )  # fmt: skip
    if not index:
        figure.add_annotation(text="no level was held at several concurrencies", showarrow=False, font={"color": GREY})
    figure.update_xaxes(title="requests in flight", rangemode="tozero")
    return figure


def _shapes(levels: Sequence[LevelSummary]) -> dict[str, list[LevelSummary]]:
    """Closed-loop levels of shapes that were held at several concurrencies."""
    found: dict[str, list[LevelSummary]] = {}
    for level in levels:
        if level.mode == "closed" and level.input_tokens and level.output_tokens:
            found.setdefault(level.shape, []).append(level)
    return {shape: mine for shape, mine in found.items() if len({level.target for level in mine}) > 1}


def _predicted(step_time: StepTime, profile: Profile, n: float, i: float, o: float) -> tuple[float, float]:
    level = predict_level(step_time, profile.limits, concurrency=n, input_tokens=i, output_tokens=o)
    return level.ttft_s, level.tpot_s


def _tokens_per_s(step_time: StepTime, profile: Profile, n: float, i: float, o: float) -> float:
    """Little's law: n requests in flight, each in the system for TTFT and the rest of its tokens."""
    ttft_s, tpot_s = _predicted(step_time, profile, n, i, o)
    life_s = ttft_s + max(o - 1, 0.0) * tpot_s
    return n * o / life_s if life_s > 0 else math.nan


def _measured_tokens_per_s(level: LevelSummary) -> float:
    return level.output_tokens_per_s


def _measured_tpot_s(level: LevelSummary) -> float | None:
    return level.tpot_s.mean if level.tpot_s else None


def _measured_ttft_s(level: LevelSummary) -> float | None:
    return level.ttft_s.mean if level.ttft_s else None
