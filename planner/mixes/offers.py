"""The best mix of the scenario's offers: sized year by year, then costed like every other option."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.cost.draws import Draws
from planner.cost.finance import levelised_usd_per_month, monthly_rate
from planner.cost.host import owned_entries
from planner.cost.ledger import levelised_cost_usd_per_month
from planner.cost.mix import hourly_week, machines_at_peak
from planner.cost.options import STAGE_MONTHS, Frame, MixOption, OwnOption, Pool, RentOption
from planner.cost.paths import RENTAL_PRICE, host_requests_per_s, price_factor
from planner.cost.schedule import cash_usd
from planner.mixes.programme import Fleet, Offer, fleet_with_spares_of, follows_hours
from planner.units import HOURS_PER_MONTH
from pricing.types import Term

Array = NDArray[np.floating[Any]]
Host = RentOption | OwnOption

_REACH = 8.0
"""The hourly staircase goes on to this multiple of the largest planned peak, for worlds with more traffic."""


def best_mix(hosts: Sequence[Host], frame: Frame, mid: Draws) -> MixOption | None:
    """The cheapest mix over every choice of the offer that keeps the spare replicas, every assumption at mid.

    Each year is sized by `planner.mixes.programme` at its mean load (its largest where nothing follows the hours); what
    is owned or reserved stays. `None` for fewer than two offers, or where the cheapest uses a single one.
    """
    if len(hosts) < 2:
        return None
    offers = [_offer(host, frame, mid) for host in hosts]
    mixes = [mix for carrier in offers if (mix := _with_spares_of(carrier, offers, frame, mid)) is not None]
    priced = [(float(levelised_cost_usd_per_month(mix, frame, mid)[0]), mix.id, mix) for mix in mixes]
    return min(priced, key=lambda row: row[:2])[2] if priced else None


def _offer(host: Host, frame: Frame, mid: Draws) -> Offer:
    return Offer(
        host=host,
        usd_per_h=_usd_per_h(host, frame, mid),
        replicas_per_machine=int(mid.values[f"{host.id}/replicas_per_machine"][0]),
        follows_hours=follows_hours(host, frame.rules),
    )


def _usd_per_h(host: Host, frame: Frame, mid: Draws) -> float:
    """What one machine costs in the mean over the horizon; an owned one levelised, with its idle power."""
    if isinstance(host, OwnOption):
        one = np.ones((1, frame.horizon_months))
        rate = monthly_rate(mid.values["discount_rate_frac_per_year"])
        cash = cash_usd(owned_entries(host, mid, one, np.zeros_like(one)))
        return float(levelised_usd_per_month(cash, rate)[0]) / HOURS_PER_MONTH
    price = float(mid.values[f"{host.id}/usd_per_h"][0])
    if host.offer.term is Term.RESERVED:
        return price
    if host.offer.term is Term.SPOT:
        dearer = mid.values["spot_fallback_price_ratio"] - 1.0
        price *= 1.0 + float((mid.values["spot_interrupted_frac"] * dearer)[0])
    return price * float(price_factor(RENTAL_PRICE, frame, mid).mean())


def _with_spares_of(carrier: Offer, offers: Sequence[Offer], frame: Frame, mid: Draws) -> MixOption | None:
    load = host_requests_per_s(mid, frame)[0]
    week = hourly_week([o.host for o in offers if o.follows_hours and isinstance(o.host, RentOption)], frame)
    by_hour = any(offer.follows_hours for offer in offers)
    fleets: list[Fleet] = []
    there: Mapping[str, int] = {}
    for start in range(0, load.size, STAGE_MONTHS):
        months = load[start : start + STAGE_MONTHS]
        fleet = fleet_with_spares_of(
            carrier,
            offers,
            float(months.mean() if by_hour else months.max()),
            week,
            frame.rules,
            at_least=there,
            reach_per_s=float(load.max()) * frame.week.peak * _REACH,
        )
        if fleet is None:
            return None
        fleets.append(fleet)
        there = {host.id: count for host, count in fleet.base}
    hosts = {host.id: host for fleet in fleets for host, _ in fleet.base}
    mix = MixOption(
        base=tuple(
            Pool(host=host, machines_by_stage=tuple(dict((h.id, n) for h, n in f.base).get(key, 0) for f in fleets))
            for key, host in sorted(hosts.items())
        ),
        hourly=fleets[0].hourly,
        steps=fleets[0].steps,
        spare_of=carrier.host.id,
    )
    used = {offer for offer, _, _ in machines_at_peak(mix, frame, mid)}
    return mix if len(used) > 1 else None
