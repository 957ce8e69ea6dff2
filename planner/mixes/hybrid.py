"""Both sides in one option: own machines for the base load and the API above it, or first the API and then machines."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.capacity.fleet import machines_needed
from planner.cost.draws import Draws, each_at
from planner.cost.finance import levelised_usd_per_month, monthly_rate
from planner.cost.ledger import hybrid_ledger, staged_ledger
from planner.cost.options import ApiOption, Frame, HybridOption, OwnOption, RentOption, StagedOption
from planner.cost.paths import host_requests_per_s
from planner.cost.schedule import Entry, cash_usd

Array = NDArray[np.floating[Any]]

_SIZES = 64
_SIZE = "size"  # a name that no assumption has: one world per size


def best_hybrid(
    hosts: Sequence[RentOption | OwnOption], apis: Sequence[ApiOption], frame: Frame, mid: Draws
) -> HybridOption | None:
    """The cheapest base fleet with overflow over all pairs of a host and an API model, every assumption at mid.

    Base sizes run from one machine to the fleet that needs no overflow (in at most 64 steps). In effect the base grows
    as long as one more machine costs less than the tokens it displaces. `None` where one side has no option.
    """
    priced = [
        (cost, host.id, api.id, HybridOption(host=host, api=api, machines=machines))
        for host in hosts
        for api in apis
        for machines, cost in _costs(host, api, frame, mid)
    ]
    return min(priced, key=lambda row: row[:3])[3] if priced else None


def _costs(host: RentOption | OwnOption, api: ApiOption, frame: Frame, mid: Draws) -> list[tuple[int, float]]:
    """Levelised cost [USD/month] of each base size."""
    growth = 1.0 + float(mid.values["growth_frac_per_month"][0])
    last = max(growth ** (frame.horizon_months - 1), 1.0)
    first = host_requests_per_s(mid, frame)[:, 0]
    rate = first * last * frame.week.peak
    most = int(machines_needed(host.curve, rate, frame.rules, mid.values[f"{host.id}/replicas_per_machine"])[0])
    sizes = np.unique(np.linspace(1, most, min(most, _SIZES)).round())
    worlds = each_at(mid, _SIZE, sizes)
    return _levelised(sizes, hybrid_ledger(host, api, sizes, frame, worlds), worlds)


def best_staged(
    hosts: Sequence[RentOption | OwnOption], apis: Sequence[ApiOption], frame: Frame, mid: Draws
) -> StagedOption | None:
    """The cheapest "API first, then machines" over all pairs and every month to change, every assumption at mid.

    `None` where one side has no option or the horizon is a single month.
    """
    months = np.arange(1.0, frame.horizon_months)
    worlds = each_at(mid, _SIZE, months)
    priced = [
        (cost, api.id, host.id, StagedOption(api=api, host=host, api_months=api_months))
        for host in hosts
        for api in apis
        for api_months, cost in _levelised(months, staged_ledger(api, host, months, frame, worlds), worlds)
    ]
    return min(priced, key=lambda row: row[:3])[3] if priced and months.size else None


def _levelised(sizes: Array, entries: Sequence[Entry], worlds: Draws) -> list[tuple[int, float]]:
    """Each size with its levelised cost [USD/month], one world per size."""
    if not sizes.size:
        return []
    cost = levelised_usd_per_month(cash_usd(entries), monthly_rate(worlds.values["discount_rate_frac_per_year"]))
    return [(int(size), float(usd)) for size, usd in zip(sizes, cost, strict=True)]
