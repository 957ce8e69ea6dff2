"""The monthly schedule of every option: whole machines, idle time billed, cash and P&L apart.

Each option is a small value; `ledger` turns it into entries over (worlds, months), month 0 first. The headline, the
lines for finance, the tornado and the break-even all read the same entries, so they cannot disagree.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.capacity import CapacityCurve, FleetRules
from planner.draws import Draws, chunks
from planner.finance import levelised_usd_per_month, monthly_rate
from planner.fleet import Week, machine_hours_per_week, machines_needed
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
from pricing.types import PurchaseOffer, RentalOffer, Term, TokenKind

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CostLine:
    """One line of the schedule.

    `month` is 0 for what is paid before the first month, then 1..horizon. `cash_usd` is money that leaves in that month
    (negative: comes in), `pnl_usd` what the month's profit bears; over the whole life both sum to the same.
    `basis` names the assumption, price or measurement that the unit price rests on.
    """

    option: str
    month: int
    period_start: str  # ISO date
    category: str
    item: str
    quantity: float
    unit: str
    unit_price_usd: float
    cash_usd: float
    pnl_usd: float
    basis: str


class OptionKind(StrEnum):
    API = "api"
    RENT = "rent"
    OWN = "own"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ApiOption:
    """An API model with its dated prices for the workload's mix of requests.

    `tokens_per_request` and `usd_per_request` are means over the mix, of shape (kinds, cached levels, months); the
    levels are the values of `cached_input_frac` at which the mix was priced, ascending, at least one.
    """

    id: str
    matched_model: str
    source: str
    source_url: str | None
    kinds: tuple[str, ...]
    cached_levels: tuple[float, ...]
    tokens_per_request: Array
    usd_per_request: Array

    @property
    def kind(self) -> OptionKind:
        return OptionKind.API


@dataclass(frozen=True, slots=True, kw_only=True)
class RentOption:
    """A rented machine that runs the measured replica `replicas_per_machine` times."""

    id: str
    offer: RentalOffer
    curve: CapacityCurve

    @property
    def kind(self) -> OptionKind:
        return OptionKind.RENT


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnOption:
    """An owned machine that runs the measured replica `replicas_per_machine` times."""

    id: str
    offer: PurchaseOffer
    curve: CapacityCurve

    @property
    def kind(self) -> OptionKind:
        return OptionKind.OWN


Option = ApiOption | RentOption | OwnOption


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What all options share: the horizon, the hours of a week, and what the operator adds to the bare need."""

    horizon_months: int
    week: Week
    rules: FleetRules


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Entry:
    """One kind of cost over worlds and months; the four arrays have the shape (worlds, horizon + 1)."""

    category: str
    item: str
    unit: str
    basis: str
    quantity: Array
    unit_price_usd: Array
    cash_usd: Array
    pnl_usd: Array


def requests_per_s(draws: Draws, frame: Frame) -> Array:
    """Mean request rate of each month [1/s], shape (worlds, horizon): the day's rate, growing from month 2 on."""
    first = draws.column("requests_per_day") / (HOURS_PER_DAY * SECONDS_PER_HOUR)
    return np.asarray(first * (1.0 + draws.column("growth_frac_per_month")) ** np.arange(frame.horizon_months))


def ledger(option: Option, frame: Frame, draws: Draws) -> tuple[Entry, ...]:
    """All entries of one option in the given worlds."""
    match option:
        case ApiOption():
            return _api(option, frame, draws)
        case RentOption():
            return _rent(option, frame, draws)
        case OwnOption():
            return _own(option, frame, draws)


def cash_usd(entries: Sequence[Entry]) -> Array:
    """Money that leaves, (worlds, horizon + 1)."""
    return np.asarray(sum(entry.cash_usd for entry in entries))


def pnl_usd(entries: Sequence[Entry]) -> Array:
    """What profit bears, (worlds, horizon + 1)."""
    return np.asarray(sum(entry.pnl_usd for entry in entries))


def levelised_cost_usd_per_month(option: Option, frame: Frame, draws: Draws) -> Array:
    """The constant monthly payment with the same present value as the option's cash, one per world.

    See `planner.finance.levelised_usd_per_month`; the rate is the assumption `discount_rate_frac_per_year`.
    """
    rate = monthly_rate(draws.values["discount_rate_frac_per_year"])
    cash = (cash_usd(ledger(option, frame, part)) for part in chunks(draws))
    return levelised_usd_per_month(np.concatenate(list(cash)), rate)


def cost_lines(option_id: str, entries: Sequence[Entry], start_month: str, world: int = 0) -> Iterator[CostLine]:
    """The entries of one world as lines, months in order; months in which an entry is nothing are left out."""
    months = entries[0].cash_usd.shape[1]
    for month in range(months):
        for entry in entries:
            quantity, cash, pnl = (float(a[world, month]) for a in (entry.quantity, entry.cash_usd, entry.pnl_usd))
            if quantity == 0.0 and cash == 0.0 and pnl == 0.0:
                continue
            yield CostLine(
                option=option_id,
                month=month,
                period_start=period_start(start_month, month),
                category=entry.category,
                item=entry.item,
                quantity=quantity,
                unit=entry.unit,
                unit_price_usd=float(entry.unit_price_usd[world, month]),
                cash_usd=cash,
                pnl_usd=pnl,
                basis=entry.basis,
            )


def period_start(start_month: str, month: int) -> str:
    """First day of month 1, 2, ...; month 0 is paid on the first day of month 1.

    >>> period_start("2026-12", 2)
    '2027-01-01'
    """
    year, first = (int(part) for part in start_month.split("-"))
    months = year * MONTHS_PER_YEAR + first - 1 + max(month - 1, 0)
    return f"{months // MONTHS_PER_YEAR:04d}-{months % MONTHS_PER_YEAR + 1:02d}-01"


def _api(option: ApiOption, frame: Frame, draws: Draws) -> tuple[Entry, ...]:
    requests = requests_per_s(draws, frame) * SECONDS_PER_HOUR * HOURS_PER_MONTH
    drift = _drift("api_price_drift_frac_per_year", frame, draws)
    mix = _level_weights(option.cached_levels, draws.values["cached_input_frac"])
    entries = []
    for index, kind in enumerate(option.kinds):
        tokens = mix @ option.tokens_per_request[index]
        usd = mix @ option.usd_per_request[index] * drift
        per_mtok = np.divide(usd * TOKENS_PER_MTOK, tokens, out=np.zeros_like(usd), where=tokens > 0)
        basis = f"{option.matched_model}, {option.source}"
        unit = "million requests" if kind == TokenKind.REQUEST else "million tokens"
        entries.append(_running("API", f"{kind} tokens", requests * tokens / TOKENS_PER_MTOK, unit, per_mtok, basis))
    return tuple(entries)


def _rent(option: RentOption, frame: Frame, draws: Draws) -> tuple[Entry, ...]:
    rate = requests_per_s(draws, frame) / draws.column("throughput_ratio")
    per_machine = draws.column(f"{option.id}/replicas_per_machine")
    per_week = machine_hours_per_week(option.curve, rate, frame.week, rules_for(option, frame.rules), per_machine)
    if option.offer.term is Term.RESERVED:
        per_week = np.maximum.accumulate(per_week, axis=1)
    hours = per_week * (HOURS_PER_MONTH / HOURS_PER_WEEK)
    price = draws.column(f"{option.id}/usd_per_h") * _drift("rental_price_drift_frac_per_year", frame, draws)
    basis = f"{option.id}/usd_per_h, {option.offer.provider}, {option.offer.checked_on.isoformat()}"
    rent = _running("rent", f"{option.offer.name}, billed busy or idle", hours, "machine-hours", price, basis)
    return (rent, _staff(frame, draws))


def _own(option: OwnOption, frame: Frame, draws: Draws) -> tuple[Entry, ...]:
    name = option.offer.name
    rate = requests_per_s(draws, frame) / draws.column("throughput_ratio")
    per_machine = np.floor(draws.column(f"{option.id}/replicas_per_machine"))
    needed = machines_needed(option.curve, rate * frame.week.peak, frame.rules, per_machine)
    machines = np.maximum.accumulate(needed, axis=1)
    price = draws.column(f"{option.id}/price_usd")
    hardware = AssetTerms(
        price_usd=price[:, 0],
        life_months=np.maximum(np.round(draws.values[f"{option.id}/life_years"] * MONTHS_PER_YEAR), 1.0),
        residual_frac=draws.values[f"{option.id}/residual_frac"],
        resale_frac_of_book=draws.values["resale_frac_of_book_value"],
    )
    network_price = price * draws.column("network_frac_of_hardware")
    network = AssetTerms(
        price_usd=network_price[:, 0],
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
        _running("power", f"{name}, idle and busy", kwh, "kWh", draws.column("electricity_usd_per_kwh"), power_basis),
        _running("colocation", f"{name}, at full load", kilowatts, "kW-months", space, space_basis),
        _running("support", name, machines, "machine-months", support, "support_frac_per_year"),
        _staff(frame, draws),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AssetTerms:
    """What one machine costs and is worth, one value per world.

    Straight line from `price_usd` to `residual_frac` of it over `life_months`. At the end of its life a machine is sold
    for the residual and replaced; what is younger at the end of the horizon is sold for `resale_frac_of_book` of its
    book value.
    """

    price_usd: Array
    life_months: Array
    residual_frac: Array
    resale_frac_of_book: Array


def asset_entries(name: str, in_service: Array, terms: AssetTerms, *, basis: str) -> tuple[Entry, ...]:
    """Purchase, depreciation and sale of a fleet that never shrinks.

    `in_service` is machines per month, (worlds, horizon), not falling. What serves in month m is bought in month m - 1
    (month 0: before the first) and bears depreciation in months m .. m + life - 1. Purchase and proceeds are cash only,
    depreciation and the gain or loss at the sale are P&L only; over the horizon both sum to price minus proceeds.

    Worked: 8,760 USD, 48 months, residual 0, sold after 36 months at book value: depreciation 182.50 a month for 36
    months = 6,570; proceeds 2,190; cash 8,760 - 2,190 = 6,570.
    """
    worlds, horizon = in_service.shape
    bought = np.diff(in_service, axis=1, prepend=0.0)
    monthly = terms.price_usd * (1.0 - terms.residual_frac) / terms.life_months
    purchases, sold, proceeds, disposal = np.zeros((4, worlds, horizon + 1))
    joining = np.zeros((worlds, horizon + 2))  # machines that begin, less those that end, to bear depreciation
    for month in range(horizon):
        rows = np.flatnonzero(bought[:, month])
        if rows.size == 0:
            continue
        count, life, price = bought[rows, month], terms.life_months[rows], terms.price_usd[rows]
        end = np.minimum(month + life, horizon).astype(int)
        book = price - monthly[rows] * (end - month)
        sale = np.where(month + life > horizon, terms.resale_frac_of_book[rows] * book, book)
        purchases[rows, month] += count
        joining[rows, month + 1] += count
        joining[rows, end + 1] -= count
        sold[rows, end] += count
        proceeds[rows, end] += count * sale
        disposal[rows, end] += count * (book - sale)
        again = end < horizon
        bought[rows[again], end[again]] += count[again]
    price = terms.price_usd[:, np.newaxis]
    zero = np.zeros_like(purchases)
    sale_price = np.divide(-proceeds, sold, out=np.zeros_like(sold), where=sold > 0)
    depreciating = np.cumsum(joining[:, :-1], axis=1)
    depreciation = depreciating * monthly[:, np.newaxis]
    return (
        _entry("purchase", name, "machines", basis, purchases, price + zero, purchases * price, zero),
        _entry(
            "depreciation", name, "machines", basis, depreciating, monthly[:, np.newaxis] + zero, zero, depreciation
        ),
        _entry(
            "resale", name, "machines", f"{basis}, resale_frac_of_book_value", sold, sale_price, -proceeds, disposal
        ),
    )


def rules_for(option: RentOption | OwnOption, rules: FleetRules) -> FleetRules:
    """Only what is rented by the hour can follow the hour's need; what is owned or reserved is there all week."""
    follows = isinstance(option, RentOption) and option.offer.term is not Term.RESERVED
    return rules if follows else replace(rules, scale_by_hour=False)


def _drift(name: str, frame: Frame, draws: Draws) -> Array:
    """(1 + yearly change)^years since month 1, (worlds, horizon); announced changes are not in here."""
    return np.asarray((1.0 + draws.column(name)) ** (np.arange(frame.horizon_months) / MONTHS_PER_YEAR))


def _staff(frame: Frame, draws: Draws) -> Entry:
    fte = np.broadcast_to(draws.column("staff_fte"), (draws.worlds, frame.horizon_months))
    price = draws.column("staff_usd_per_fte_year") / MONTHS_PER_YEAR
    return _running("staff", "operating the service", fte, "FTE-months", price, "staff_fte, staff_usd_per_fte_year")


def _running(category: str, item: str, quantity: Array, unit: str, unit_price_usd: Array, basis: str) -> Entry:
    """A cost of months 1..horizon that is paid and borne in the month it arises."""
    padded, price = np.zeros((2, quantity.shape[0], quantity.shape[1] + 1))
    padded[:, 1:], price[:, 1:] = quantity, unit_price_usd
    usd = padded * price
    return _entry(category, item, unit, basis, padded, price, usd, usd)


def _entry(
    category: str, item: str, unit: str, basis: str, quantity: Array, price: Array, cash: Array, pnl: Array
) -> Entry:
    return Entry(
        category=category,
        item=item,
        unit=unit,
        basis=basis,
        quantity=quantity,
        unit_price_usd=price,
        cash_usd=cash,
        pnl_usd=pnl,
    )


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
