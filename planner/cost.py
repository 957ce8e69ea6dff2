"""The monthly schedule of every option: whole machines, idle time billed, cash and P&L apart.

`ledger` turns an option into entries over (worlds, months), month 0 first. The headline, the lines for finance, the
tornado and the break-even all read the same entries, so they cannot disagree.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.capacity import CapacityCurve
from planner.commitments import Load, commitment_entries
from planner.draws import Draws, chunks
from planner.finance import levelised_usd_per_month, monthly_rate
from planner.fleet import machine_hours_per_week, machines_needed, overflow_frac, spilled_frac
from planner.options import ApiOption, Frame, HybridOption, Option, OwnOption, RentOption, StagedOption, rules_for
from planner.schedule import AssetTerms, Entry, asset_entries, cash_usd, running
from planner.units import (
    DAYS_PER_MONTH,
    HOURS_PER_DAY,
    HOURS_PER_MONTH,
    HOURS_PER_WEEK,
    MONTHS_PER_YEAR,
    SECONDS_PER_HOUR,
    TOKENS_PER_MTOK,
    WATTS_PER_KILOWATT,
)
from pricing.types import Term, TokenKind

Array = NDArray[np.floating[Any]]

_GENERATED = (TokenKind.OUTPUT, TokenKind.REASONING)


def requests_per_s(draws: Draws, frame: Frame) -> Array:
    """Mean request rate of each month [1/s], shape (worlds, horizon): the day's rate, growing from month 2 on."""
    first = draws.column("requests_per_day") / (HOURS_PER_DAY * SECONDS_PER_HOUR)
    return np.asarray(first * (1.0 + draws.column("growth_frac_per_month")) ** np.arange(frame.horizon_months))


def ledger(option: Option, frame: Frame, draws: Draws) -> tuple[Entry, ...]:
    """All entries of one option in the given worlds."""
    match option:
        case ApiOption():
            return _api(option, draws, frame, requests_per_s(draws, frame))
        case RentOption():
            return _rent(option, frame, draws, _always(frame, draws))
        case OwnOption():
            return _own(option, frame, draws, _always(frame, draws))
        case HybridOption():
            machines = np.full(draws.worlds, float(option.machines))
            return hybrid_ledger(option.host, option.api, machines, frame, draws)
        case StagedOption():
            months = np.full(draws.worlds, float(option.api_months))
            return staged_ledger(option.api, option.host, months, frame, draws)


def levelised_cost_usd_per_month(option: Option, frame: Frame, draws: Draws) -> Array:
    """The constant monthly payment with the same present value as the option's cash, one per world.

    See `planner.finance.levelised_usd_per_month`; the rate is the assumption `discount_rate_frac_per_year`.
    """
    rate = monthly_rate(draws.values["discount_rate_frac_per_year"])
    cash = (cash_usd(ledger(option, frame, part)) for part in chunks(draws))
    return levelised_usd_per_month(np.concatenate(list(cash)), rate)


def hybrid_ledger(
    host: RentOption | OwnOption, api: ApiOption, machines: Array, frame: Frame, draws: Draws
) -> tuple[Entry, ...]:
    """A base of `machines`, one number per world, all the time, and the requests above it at the API."""
    count = np.broadcast_to(machines[:, np.newaxis], (draws.worlds, frame.horizon_months))
    per_machine = np.floor(draws.column(f"{host.id}/replicas_per_machine"))
    rate = requests_per_s(draws, frame)
    base = _Base(host.curve, count * per_machine, draws.column("throughput_ratio"))
    overflow = base.overflow_frac(rate, frame)
    own: tuple[Entry, ...] = (
        _rented(host, frame, draws, count * HOURS_PER_MONTH)
        if isinstance(host, RentOption)
        else _owned(host, draws, count, rate * (1.0 - overflow) / draws.column("throughput_ratio"))
    )
    return (*own, _staff(draws, _always(frame, draws)), *_api(api, draws, frame, rate, base))


def staged_ledger(
    api: ApiOption, host: RentOption | OwnOption, api_months: Array, frame: Frame, draws: Draws
) -> tuple[Entry, ...]:
    """The API for the first `api_months` months, one number per world, then the host and its staff."""
    serving = (np.arange(frame.horizon_months) >= api_months[:, np.newaxis]) * 1.0
    own = _rent(host, frame, draws, serving) if isinstance(host, RentOption) else _own(host, frame, draws, serving)
    return (*_api(api, draws, frame, requests_per_s(draws, frame) * (1.0 - serving)), *own)


def base_and_overflow(option: HybridOption, frame: Frame, draws: Draws) -> Array:
    """Share of each month's requests that a hybrid sends to the API, (worlds, horizon)."""
    per_machine = np.floor(draws.column(f"{option.host.id}/replicas_per_machine"))
    base = _Base(option.host.curve, option.machines * per_machine, draws.column("throughput_ratio"))
    return base.overflow_frac(requests_per_s(draws, frame), frame)


@dataclass(frozen=True, slots=True)
class _Base:
    """Replicas of one's own in front of an API; the ratio is real over predicted throughput."""

    curve: CapacityCurve
    replicas: Array
    throughput_ratio: Array

    def overflow_frac(self, rate: Array, frame: Frame) -> Array:
        """Share of each month's requests that leaves for the API."""
        return overflow_frac(self.curve, rate / self.throughput_ratio, self.replicas, frame.week)

    def hourly_overflow_per_s(self, rate: Array, weights: Array) -> Array:
        """What leaves in each hour [1/s], (worlds, horizon, hours)."""
        hourly = rate[:, :, np.newaxis] * weights
        ratio, replicas = np.expand_dims(self.throughput_ratio, -1), np.expand_dims(self.replicas, -1)
        return hourly * spilled_frac(self.curve, hourly / ratio, replicas)


def _api(option: ApiOption, draws: Draws, frame: Frame, rate: Array, base: _Base | None = None) -> tuple[Entry, ...]:
    """The bill for what leaves the base, all of it without one, and what commitments make of it."""
    share = 1.0 if base is None else base.overflow_frac(rate, frame)
    requests = rate * share * SECONDS_PER_HOUR * HOURS_PER_MONTH
    drift = _drift("api_price_drift_frac_per_year", frame, draws)
    mix = _level_weights(option.cached_levels, draws.values["cached_input_frac"])
    entries = []
    for index, kind in enumerate(option.kinds):
        tokens = mix @ option.tokens_per_request[index]
        usd = mix @ option.usd_per_request[index] * drift
        per_mtok = np.divide(usd * TOKENS_PER_MTOK, tokens, out=np.zeros_like(usd), where=tokens > 0)
        basis = f"{option.matched_model}, {option.source}"
        unit = "million requests" if kind == TokenKind.REQUEST else "million tokens"
        entry = running("API", f"{kind} tokens", requests * tokens / TOKENS_PER_MTOK, unit, per_mtok, basis)
        entries.append(replace(entry, basis_by_month=option.basis_by_month[index]) if option.basis_by_month else entry)
    if option.promises is None:
        return tuple(entries)
    weights = np.array(frame.week.weights)
    hourly = base.hourly_overflow_per_s(rate, weights) if base else rate[:, :, np.newaxis] * weights

    def weighted_tokens_per_h(output_weight: float) -> Array:
        weights = [output_weight if kind in _GENERATED else float(kind != TokenKind.REQUEST) for kind in option.kinds]
        each = sum(w * (mix @ tokens) for w, tokens in zip(weights, option.tokens_per_request, strict=True))
        return np.asarray(hourly * SECONDS_PER_HOUR * np.asarray(each)[:, :, np.newaxis])

    load = Load(
        usage_usd=cash_usd(entries)[:, 1:],
        weighted_tokens_per_h=weighted_tokens_per_h,
        hours_per_week=frame.week.hours,
    )
    return (*entries, *commitment_entries(option.promises, load))


def _rent(option: RentOption, frame: Frame, draws: Draws, serving: Array) -> tuple[Entry, ...]:
    """Rent and staff of the months in which `serving` is 1, not 0."""
    rate = requests_per_s(draws, frame) / draws.column("throughput_ratio")
    per_machine = draws.column(f"{option.id}/replicas_per_machine")
    per_week = machine_hours_per_week(option.curve, rate, frame.week, rules_for(option, frame.rules), per_machine)
    if option.offer.term is Term.RESERVED:
        per_week = np.maximum.accumulate(per_week * serving, axis=1)
    hours = per_week * serving * (HOURS_PER_MONTH / HOURS_PER_WEEK)
    return (*_rented(option, frame, draws, hours), _staff(draws, serving))


def _rented(option: RentOption, frame: Frame, draws: Draws, machine_hours: Array) -> tuple[Entry, ...]:
    """Rent month by month; what a minimum term leaves unpaid at the end of the horizon falls due in the last month.

    A reserved price is fixed; every other follows the drift of rental prices.
    """
    price = np.broadcast_to(draws.column(f"{option.id}/usd_per_h"), machine_hours.shape)
    if option.offer.term is not Term.RESERVED:
        price = price * _drift("rental_price_drift_frac_per_year", frame, draws)
    offer = option.offer
    change = "fixed" if offer.term is Term.RESERVED else "times rental_price_drift_frac_per_year"
    basis = f"{option.id}/usd_per_h, {offer.provider}, {offer.checked_on.isoformat()}, {change}"
    item = f"{option.offer.name}, billed busy or idle"
    rent = running("rent", item, machine_hours, "machine-hours", price, basis)
    left = np.maximum(option.offer.min_term_months - (machine_hours > 0).sum(axis=1), 0)
    if not left.any():
        return (rent,)
    owed = np.zeros_like(machine_hours)
    owed[:, -1] = machine_hours[:, -1] * left
    term = f"rest of the term of {option.offer.min_term_months} months"
    return (rent, running("exit", f"{option.offer.name}, {term}", owed, "machine-hours", price, basis))


def _own(option: OwnOption, frame: Frame, draws: Draws, serving: Array) -> tuple[Entry, ...]:
    """Everything owned and staff in the months in which `serving` is 1, which once begun do not end."""
    rate = requests_per_s(draws, frame) / draws.column("throughput_ratio")
    per_machine = draws.column(f"{option.id}/replicas_per_machine")
    needed = machines_needed(option.curve, rate * frame.week.peak, frame.rules, per_machine)
    machines = np.maximum.accumulate(needed * serving, axis=1)
    return (*_owned(option, draws, machines, rate * serving), _staff(draws, serving))


def _owned(option: OwnOption, draws: Draws, machines: Array, rate: Array) -> tuple[Entry, ...]:
    """Purchase to resale of `machines` per month that serve `rate`, the rate at the predicted throughput [1/s]."""
    name = option.offer.name
    per_machine = np.floor(draws.column(f"{option.id}/replicas_per_machine"))
    price = draws.column(f"{option.id}/price_usd")
    hardware = AssetTerms(
        price_usd=price[:, 0],
        life_months=np.maximum(np.round(draws.values[f"{option.id}/life_years"] * MONTHS_PER_YEAR), 1.0),
        residual_frac=draws.values[f"{option.id}/residual_frac"],
        resale_frac_of_book=draws.values["resale_frac_of_book_value"],
    )
    network = AssetTerms(
        price_usd=hardware.price_usd * draws.values["network_frac_of_hardware"],
        life_months=hardware.life_months,
        residual_frac=np.zeros(draws.worlds),
        resale_frac_of_book=np.zeros(draws.worlds),
    )
    busy_machines = np.minimum(rate * option.curve.busy_s_per_request / per_machine, machines)
    idle_w, loaded_w = draws.column(f"{option.id}/idle_w"), draws.column(f"{option.id}/loaded_w")
    watts = machines * idle_w + busy_machines * (loaded_w - idle_w)
    kwh = watts / WATTS_PER_KILOWATT * HOURS_PER_MONTH * draws.column("pue_ratio")
    power_basis = f"electricity_usd_per_kwh, pue_ratio, {option.id}/idle_w, loaded_w"
    kilowatts = machines * loaded_w / WATTS_PER_KILOWATT
    space = draws.column("colocation_usd_per_kw_month")
    space_basis = f"colocation_usd_per_kw_month, {option.id}/loaded_w"
    support = price * draws.column("support_frac_per_year") / MONTHS_PER_YEAR
    return (
        *asset_entries(name, machines, hardware, basis=f"{option.id}/price_usd, life_years, residual_frac"),
        *asset_entries(f"network for {name}", machines, network, basis="network_frac_of_hardware"),
        running("power", f"{name}, idle and busy", kwh, "kWh", draws.column("electricity_usd_per_kwh"), power_basis),
        running("colocation", f"{name}, at full load", kilowatts, "kW-months", space, space_basis),
        running("support", name, machines, "machine-months", support, "support_frac_per_year"),
    )


def _drift(name: str, frame: Frame, draws: Draws) -> Array:
    """(1 + yearly change)^years since month 1, (worlds, horizon); announced changes are not in here."""
    return np.asarray((1.0 + draws.column(name)) ** (np.arange(frame.horizon_months) / MONTHS_PER_YEAR))


def _always(frame: Frame, draws: Draws) -> Array:
    return np.ones((draws.worlds, frame.horizon_months))


def _staff(draws: Draws, serving: Array) -> Entry:
    fte = draws.column("staff_fte") * serving
    price = draws.column("staff_usd_per_fte_year") / MONTHS_PER_YEAR
    return running("staff", "operating the service", fte, "FTE-months", price, "staff_fte, staff_usd_per_fte_year")


def _level_weights(levels: tuple[float, ...], at: Array) -> Array:
    """Linear interpolation between levels as weights, (worlds, levels); outside the levels the nearest one counts."""
    hats = np.eye(len(levels))
    return np.stack([np.interp(at, levels, hat) for hat in hats], axis=1)


def requests_per_month(requests_per_day: float) -> float:
    """Requests in a month of 730 hours.

    >>> requests_per_month(24.0)
    730.0
    """
    return requests_per_day * DAYS_PER_MONTH
