"""Own machines for the base load, the API for the peaks: how many machines are worth it."""

from collections.abc import Sequence

import numpy as np

from planner.cost import hybrid_ledger, requests_per_s
from planner.draws import Draws
from planner.finance import levelised_usd_per_month, monthly_rate
from planner.fleet import machines_needed
from planner.options import ApiOption, Frame, HybridOption, OwnOption, RentOption
from planner.schedule import cash_usd

_SIZES = 64


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
    first = requests_per_s(mid, frame)[:, 0] / mid.values["throughput_ratio"]
    rate = first * last * frame.week.peak
    most = int(machines_needed(host.curve, rate, frame.rules, mid.values[f"{host.id}/replicas_per_machine"])[0])
    sizes = np.unique(np.linspace(1, most, min(most, _SIZES)).round())
    worlds = Draws(worlds=sizes.size, values={name: np.repeat(v, sizes.size) for name, v in mid.values.items()})
    cash = cash_usd(hybrid_ledger(host, api, sizes, frame, worlds))
    cost = levelised_usd_per_month(cash, monthly_rate(worlds.values["discount_rate_frac_per_year"]))
    return [(int(size), float(usd)) for size, usd in zip(sizes, cost, strict=True)]
