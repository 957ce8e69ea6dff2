"""Break-even seen three more ways: how busy the machines are there, when it comes, and over volume and API price."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.analysis.breakeven import VOLUME, BreakEven
from planner.analysis.compare import staircase_edges
from planner.capacity.fleet import machine_hours_per_week
from planner.cost.draws import Draws, each_at
from planner.cost.finance import payback_months
from planner.cost.ledger import ledger, levelised_cost_usd_per_month
from planner.cost.options import ApiOption, Frame, OwnOption, RentOption, rules_for
from planner.cost.schedule import cash_usd
from planner.units import HOURS_PER_WEEK, SECONDS_PER_DAY

Array = NDArray[np.floating[Any]]
Host = RentOption | OwnOption

PRICE_FACTORS = tuple(np.geomspace(0.125, 8.0, 25).tolist())
_VOLUMES = 121
_JUST_ABOVE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class BusyAt:
    """How busy the cheapest self-hosted fleet is at a volume: busy over paid replica-time of the first month."""

    requests_per_day: float
    host: str
    utilisation_frac: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PaybackRange:
    """Month in which the outlay over the API has come back at mid, and the earliest and latest with one assumption at
    its low or high; `None`: never within the plan. `cases_without` of `cases` never get there."""

    mid_month: float | None
    earliest_month: float | None
    latest_month: float | None
    cases: int
    cases_without: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceSurface:
    """Cheapest self-hosting over cheapest API, `cost_ratio[price][volume]`; below 1 self-hosting is cheaper.

    `api_price_factors` multiply all API prices. `break_even_factor[volume]` is the factor at which both cost the same:
    the staircase as a line. Bills under commitments are scaled whole.
    """

    requests_per_day: tuple[float, ...]
    api_price_factors: tuple[float, ...]
    cost_ratio: tuple[tuple[float, ...], ...]
    break_even_factor: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakEvenViews:
    """`busy_at_crossings` in order of the crossings, `busy_at_plan` at the planned volume."""

    busy_at_plan: BusyAt
    busy_at_crossings: tuple[BusyAt, ...]
    payback: PaybackRange
    surface: PriceSurface


def break_even_views(
    hosts: Sequence[Host],
    apis: Sequence[ApiOption],
    frame: Frame,
    mid: Draws,
    one_at_a_time: Draws,
    found: BreakEven,
    *,
    host: Host,
    api: ApiOption,
) -> BreakEvenViews:
    """All views; `host` and `api` are the cheapest of their sides at the planned volume."""
    planned = float(mid.values[VOLUME][0])
    return BreakEvenViews(
        busy_at_plan=busy_at(hosts, frame, mid, planned),
        busy_at_crossings=tuple(busy_at(hosts, frame, mid, c.requests_per_day) for c in found.crossings),
        payback=_payback(host, api, frame, one_at_a_time),
        surface=price_surface(hosts, apis, frame, mid, planned),
    )


def busy_at(hosts: Sequence[Host], frame: Frame, mid: Draws, requests_per_day: float) -> BusyAt:
    """Of the self-hosted option that is cheapest at this volume.

    Worked: 2.5 requests/s of one busy second each on 4 paid replicas are 62.5 %.
    """
    world = each_at(mid, VOLUME, [requests_per_day])
    costs = [(float(levelised_cost_usd_per_month(host, frame, world)[0]), host.id, host) for host in hosts]
    host = min(costs, key=lambda row: row[:2])[2]
    load = requests_per_day / SECONDS_PER_DAY / float(mid.values["throughput_ratio"][0])
    per_machine = np.floor(mid.values[f"{host.id}/replicas_per_machine"])
    hours = machine_hours_per_week(host.curve, np.array([load]), frame.week, rules_for(host, frame.rules), per_machine)
    paid = float((hours * per_machine)[0])
    return BusyAt(
        requests_per_day=requests_per_day,
        host=host.id,
        utilisation_frac=min(load * host.curve.busy_s_per_request * HOURS_PER_WEEK / paid, 1.0) if paid else 0.0,
    )


def price_surface(
    hosts: Sequence[Host], apis: Sequence[ApiOption], frame: Frame, mid: Draws, planned_requests_per_day: float
) -> PriceSurface:
    """From a hundredth of the plan to a hundred times it, with both sides of every step of the staircase in between."""
    low, high = planned_requests_per_day / 100, planned_requests_per_day * 100
    edges = staircase_edges(hosts, frame, mid)
    inside = np.sort(edges[(edges > low) & (edges < high)])
    inside = inside[np.linspace(0, inside.size - 1, min(inside.size, _VOLUMES)).astype(int)] if inside.size else inside
    volumes = np.unique(np.concatenate([np.geomspace(low, high, _VOLUMES), inside, inside * (1 + _JUST_ABOVE)]))
    worlds = each_at(mid, VOLUME, volumes)
    own, bought = (
        np.minimum.reduce([levelised_cost_usd_per_month(option, frame, worlds) for option in side])
        for side in (hosts, apis)
    )
    factor = own / bought
    return PriceSurface(
        requests_per_day=tuple(volumes.tolist()),
        api_price_factors=PRICE_FACTORS,
        cost_ratio=tuple(tuple((factor / f).tolist()) for f in PRICE_FACTORS),
        break_even_factor=tuple(factor.tolist()),
    )


def _payback(host: Host, api: ApiOption, frame: Frame, one_at_a_time: Draws) -> PaybackRange:
    months = payback_months(cash_usd(ledger(host, frame, one_at_a_time)) - cash_usd(ledger(api, frame, one_at_a_time)))
    have = months[~np.isnan(months)]
    return PaybackRange(
        mid_month=None if np.isnan(months[0]) else float(months[0]),
        earliest_month=float(have.min()) if have.size else None,
        latest_month=float(have.max()) if have.size == months.size else None,
        cases=int(months.size),
        cases_without=int(months.size - have.size),
    )
