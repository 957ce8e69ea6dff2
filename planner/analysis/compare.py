"""Self-hosting against the API over volume: the difference, the edges of its staircase, the chart."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from planner.analysis.breakeven import VOLUME, Array, BreakEven, ClosestApproach, Difference, cheapest_of
from planner.capacity.fleet import step_rates_per_s
from planner.cost.draws import Draws, each_at
from planner.cost.ledger import levelised_cost_usd_per_month
from planner.cost.options import ApiOption, Frame, Option, OptionKind, OwnOption, RentOption
from planner.units import SECONDS_PER_DAY

_EDGES_PER_OPTION = 300
_CHART_POINTS = 240
_ONE_MILLION = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeSeries:
    """Levelised cost of one option [USD/month] at each of `VolumeChart.requests_per_day`."""

    id: str
    kind: OptionKind
    usd_per_month: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeChart:
    """Cost against volume on the staircase, around the plan and the break-even."""

    requests_per_day: tuple[float, ...]
    series: tuple[VolumeSeries, ...]


def difference_of(hosts: Sequence[RentOption | OwnOption], apis: Sequence[ApiOption], frame: Frame) -> Difference:
    """Cheapest self-hosted minus cheapest API option."""

    def on(worlds: Draws) -> Callable[[Array], Array]:
        bought = _tokens_on(apis, frame, worlds)

        def at(volumes: Array) -> Array:
            draws = each_at(worlds, VOLUME, volumes)
            own = cheapest_of([levelised_cost_usd_per_month(host, frame, draws) for host in hosts])
            return np.asarray(own.reshape(volumes.shape) - bought(volumes))

        return at

    return on


def closest_approach(
    difference: Difference, apis: Sequence[ApiOption], frame: Frame, mid: Draws, volumes: Array
) -> ClosestApproach:
    """Where on `volumes` self-hosting costs the fewest times the API, every assumption at mid."""
    tokens = _tokens_on(apis, frame, mid)(volumes[np.newaxis, :])[0]
    ratio = 1.0 + difference(mid)(volumes[np.newaxis, :])[0] / tokens
    best = int(np.argmin(ratio))
    return ClosestApproach(requests_per_day=float(volumes[best]), cost_ratio=float(ratio[best]))


def _tokens_on(apis: Sequence[ApiOption], frame: Frame, worlds: Draws) -> Callable[[Array], Array]:
    """Cheapest API option at volumes (worlds, n); bills without commitment are straight lines, priced only twice."""
    proportional = [api for api in apis if api.promises is None]
    committed = [api for api in apis if api.promises is not None]
    lines = [_line_of(api, frame, worlds) for api in proportional]

    def at(volumes: Array) -> Array:
        costs: list[Array] = [fixed + each * volumes for fixed, each in lines]
        for api in committed:
            cost = levelised_cost_usd_per_month(api, frame, each_at(worlds, VOLUME, volumes))
            costs.append(cost.reshape(volumes.shape))
        return cheapest_of(costs)

    return at


def _line_of(api: ApiOption, frame: Frame, worlds: Draws) -> tuple[Array, Array]:
    """What an API model costs without any request (testing it, changing to a newer one) and per daily request."""
    costs = levelised_cost_usd_per_month(api, frame, each_at(worlds, VOLUME, [0.0, _ONE_MILLION]))
    fixed, much = costs.reshape(worlds.worlds, 2).T[:, :, np.newaxis]
    return fixed, (much - fixed) / _ONE_MILLION


def staircase_edges(hosts: Sequence[RentOption | OwnOption], frame: Frame, mid: Draws) -> Array:
    """Volumes at which some month's peak asks for one more machine [requests/day in the first month]."""
    growth = 1.0 + float(mid.values["growth_frac_per_month"][0])
    months = np.arange(frame.horizon_months) if growth != 1.0 else np.zeros(1)
    per_option = max(_EDGES_PER_OPTION // months.size, 1)
    ratio = float(mid.values["throughput_ratio"][0])
    found = [np.zeros(0)]
    for option in hosts:
        per_machine = int(mid.values[f"{option.id}/replicas_per_machine"][0])
        rates = step_rates_per_s(option.curve, frame.rules, per_machine, per_option)
        volumes = rates * ratio / frame.week.peak * SECONDS_PER_DAY
        found.append((volumes[:, np.newaxis] / growth**months).ravel())
    return np.concatenate(found)


def volume_chart(
    options: Sequence[Option], frame: Frame, mid: Draws, found: BreakEven | None, volume: float
) -> VolumeChart:
    """Levelised cost over volume, from a tenth of the lowest to ten times the highest of plan and break-even."""
    marks = [volume]
    if found is not None:
        marks += [v for v in (found.low, found.high, *(c.requests_per_day for c in found.crossings)) if v is not None]
    volumes = np.geomspace(min(marks) / 10, max(marks) * 10, _CHART_POINTS)
    worlds = each_at(mid, VOLUME, volumes)
    return VolumeChart(
        requests_per_day=tuple(volumes.tolist()),
        series=tuple(
            VolumeSeries(
                id=option.id,
                kind=option.kind,
                usd_per_month=tuple(levelised_cost_usd_per_month(option, frame, worlds).tolist()),
            )
            for option in options
        ),
    )
