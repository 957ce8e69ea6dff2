"""The monthly schedule of every option: whole machines, idle time billed, cash and P&L apart.

`ledger` turns an option into entries over (worlds, months), month 0 first. The headline, the lines for finance, the
tornado and the break-even all read the same entries, so they cannot disagree.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.cost.api import Base, api_entries
from planner.cost.draws import Draws, chunks
from planner.cost.finance import levelised_usd_per_month, monthly_rate
from planner.cost.host import own_entries, owned_entries, rent_entries, rented_entries, service_entries
from planner.cost.mix import mix_entries
from planner.cost.options import ApiOption, Frame, HybridOption, MixOption, Option, OwnOption, RentOption, StagedOption
from planner.cost.paths import newer_model_factor, requests_per_s, throughput_ratio
from planner.cost.schedule import Entry, cash_usd, immediate, pnl_usd, running
from planner.units import HOURS_PER_MONTH, MONTHS_PER_YEAR

Array = NDArray[np.floating[Any]]


def ledger(option: Option, frame: Frame, draws: Draws) -> tuple[Entry, ...]:
    """All entries of one option in the given worlds."""
    return _with_common(_entries(option, frame, draws), frame, draws)


def _entries(option: Option, frame: Frame, draws: Draws) -> tuple[Entry, ...]:
    match option:
        case ApiOption():
            return api_entries(option, draws, frame, requests_per_s(draws, frame))
        case RentOption():
            return rent_entries(option, frame, draws, _always(frame, draws))
        case OwnOption():
            return own_entries(option, frame, draws, _always(frame, draws))
        case MixOption():
            return mix_entries(option, frame, draws)
        case HybridOption():
            machines = np.full(draws.worlds, float(option.machines))
            return _hybrid(option.host, option.api, machines, frame, draws)
        case StagedOption():
            months = np.full(draws.worlds, float(option.api_months))
            return _staged(option.api, option.host, months, frame, draws)


def levelised_cost_usd_per_month(option: Option, frame: Frame, draws: Draws) -> Array:
    """The constant monthly payment with the same present value as the option's cash, one per world.

    See `planner.cost.finance.levelised_usd_per_month`; the rate is the assumption `discount_rate_frac_per_year`.
    """
    rate = monthly_rate(draws.values["discount_rate_frac_per_year"])
    return levelised_usd_per_month(cash_by_month_usd(option, frame, draws), rate)


def cash_by_month_usd(option: Option, frame: Frame, draws: Draws) -> Array:
    """The option's cash in every world and month, (worlds, horizon + 1), month 0 first."""
    return np.concatenate([cash_usd(ledger(option, frame, part)) for part in chunks(draws)])


def hybrid_ledger(
    host: RentOption | OwnOption, api: ApiOption, machines: Array, frame: Frame, draws: Draws
) -> tuple[Entry, ...]:
    """A base of `machines`, one number per world, all the time, and the requests above it at the API."""
    return _with_common(_hybrid(host, api, machines, frame, draws), frame, draws)


def staged_ledger(
    api: ApiOption, host: RentOption | OwnOption, api_months: Array, frame: Frame, draws: Draws
) -> tuple[Entry, ...]:
    """The API for the first `api_months` months, one number per world, then the host and its staff."""
    return _with_common(_staged(api, host, api_months, frame, draws), frame, draws)


def base_and_overflow(option: HybridOption, frame: Frame, draws: Draws) -> Array:
    """Share of each month's requests that a hybrid sends to the API, (worlds, horizon)."""
    per_machine = np.floor(draws.column(f"{option.host.id}/replicas_per_machine"))
    base = Base(curve=option.host.curve, replicas=option.machines * per_machine, ratio=throughput_ratio(draws, frame))
    return base.overflow_frac(requests_per_s(draws, frame), frame)


def _hybrid(
    host: RentOption | OwnOption, api: ApiOption, machines: Array, frame: Frame, draws: Draws
) -> tuple[Entry, ...]:
    count = np.broadcast_to(machines[:, np.newaxis], (draws.worlds, frame.horizon_months))
    per_machine = np.floor(draws.column(f"{host.id}/replicas_per_machine"))
    rate = requests_per_s(draws, frame)
    base = Base(curve=host.curve, replicas=count * per_machine, ratio=throughput_ratio(draws, frame))
    kept = 1.0 - base.overflow_frac(rate, frame)
    own: tuple[Entry, ...] = (
        rented_entries(host, frame, draws, count * HOURS_PER_MONTH)
        if isinstance(host, RentOption)
        else owned_entries(host, draws, count, rate * kept / base.ratio)
    )
    service = service_entries(frame, draws, _always(frame, draws), rate * kept)
    return (*own, *service, *api_entries(api, draws, frame, rate, base))


def _staged(
    api: ApiOption, host: RentOption | OwnOption, api_months: Array, frame: Frame, draws: Draws
) -> tuple[Entry, ...]:
    serving = (np.arange(frame.horizon_months) >= api_months[:, np.newaxis]) * 1.0
    tokens = api_entries(api, draws, frame, requests_per_s(draws, frame) * (1.0 - serving))
    if isinstance(host, RentOption):
        return (*tokens, *rent_entries(host, frame, draws, serving))
    return (*tokens, *own_entries(host, frame, draws, serving))


def _with_common(entries: Sequence[Entry], frame: Frame, draws: Draws) -> tuple[Entry, ...]:
    """What every option bears: evaluation of the model in use, the switch to newer models, and taxes last of all."""
    found = list(entries)
    every_month = _always(frame, draws)
    if draws.values["evaluation_usd_per_year"].any():
        price = draws.column("evaluation_usd_per_year") / MONTHS_PER_YEAR
        item = "testing the model in use"
        found.append(running("evaluation", item, every_month, "months", price, "evaluation_usd_per_year"))
    if draws.values["newer_model_gain_frac_per_year"].any():
        changes = np.diff(newer_model_factor(draws, frame), axis=1, prepend=1.0) != 0.0
        effort = draws.column("newer_model_fte_months") * changes
        price = draws.column("staff_usd_per_fte_year") / MONTHS_PER_YEAR
        basis = "newer_model_every_months, newer_model_fte_months, staff_usd_per_fte_year"
        found.append(running("migration", "to a newer model", effort, "FTE-months", price, basis))
    if draws.values["tax_frac"].any():
        borne, rate = pnl_usd(found), draws.column("tax_frac")
        found.append(immediate("tax", "saved on costs", borne, "USD of cost", -rate, "tax_frac"))
    return tuple(found)


def _always(frame: Frame, draws: Draws) -> Array:
    return np.ones((draws.worlds, frame.horizon_months))
