"""The schedule of the workbook: every cost line of every option as a formula over the months.

The formulas are those of `planner.cost.ledger` in a spreadsheet's words; the value that each cell
carries is the engine's. What was simulated is looked up in a table, what the planner chose is a yellow quantity.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from planner.cost.ledger import base_and_overflow, ledger
from planner.cost.options import ApiOption, HybridOption, MixOption, Option, OwnOption, RentOption, StagedOption
from planner.cost.paths import requests_per_s, throughput_ratio
from planner.cost.schedule import Entry, cash_usd, pnl_usd
from planner.units import DAYS_PER_MONTH, HOURS_PER_MONTH, HOURS_PER_WEEK, SECONDS_PER_DAY, TOKENS_PER_MTOK
from planner.workbook.capacity import Host, Staircase
from planner.workbook.cells import Book, Look
from planner.workbook.commitments import Bill, CommitmentRows
from planner.workbook.hosts import hours_of_fleet, machines_of_fleet, owned, rented
from planner.workbook.mixes import write_mix
from planner.workbook.rows import FIRST_MONTH_COLUMN, Formula
from planner.workbook.service import ServiceRows, common, service, taxes
from planner.workbook.shared import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiRows:
    """Amounts of each kind of token, and what commitments make of them."""

    usage: tuple[int, ...]
    bill: Bill | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRows:
    """The rows behind one kind of machine: the price of an hour or the life of what is owned, and its service."""

    rent_price: int | None = None
    life: str | None = None
    service: ServiceRows


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Where an option's totals stand; for one model or one kind of machine also the rows behind the break-even sheet.

    `common` are amounts that do not follow the traffic and that every option bears.
    """

    option: Option
    cash: int
    pnl: int
    common: tuple[int, ...]
    alone: ApiRows | HostRows | None


def write_block(book: Book, ctx: Context, option: Option) -> Block:
    """All rows of one option."""
    rows, entries = ctx.rows, ledger(option, ctx.plan.frame, ctx.mid)
    rows.next_row += 1
    rows.sheet.text(rows.next_row, 0, f"{option.kind}: {option.id}", Look.SECTION)
    for column in range(1, FIRST_MONTH_COLUMN + rows.horizon + 1):
        rows.sheet.text(rows.next_row, column, "", Look.SECTION)
    rows.next_row += 1
    rows.cash, rows.pnl = [], []
    alone = _write(book, ctx, option, entries)
    borne_by_all = common(ctx, option.id, entries)
    taxes(ctx, option.id, entries)
    return Block(
        option=option,
        cash=rows.total(option.id, "cash", rows.cash, cash_usd(entries)[0]),
        pnl=rows.total(option.id, "P&L", rows.pnl, pnl_usd(entries)[0]),
        common=borne_by_all,
        alone=alone,
    )


def _write(book: Book, ctx: Context, option: Option, entries: Sequence[Entry]) -> ApiRows | HostRows | None:
    match option:
        case ApiOption():
            return _api(ctx, option.id, option, entries, ctx.shared.requests, _in_hours(ctx))
        case RentOption():
            price = rented(ctx, option.id, option, entries, hours_of_fleet(ctx, option, None))
            return HostRows(rent_price=price, service=_service(ctx, option.id, entries, None))
        case OwnOption():
            machines = machines_of_fleet(ctx, option.id, option, entries, None)
            life = owned(ctx, option.id, option, entries, machines, lambda m: ctx.cell(ctx.shared.load, m))
            return HostRows(life=life, service=_service(ctx, option.id, entries, None))
        case HybridOption():
            _hybrid(ctx, option, entries)
        case StagedOption():
            _staged(ctx, option, entries)
        case MixOption():
            write_mix(book, ctx, option, entries)
    return None


def _service(ctx: Context, option_id: str, entries: Sequence[Entry], serving: int | None) -> ServiceRows:
    requests = ctx.shared.requests
    return service(ctx, option_id, entries, serving, lambda m: f"{ctx.cell(requests, m)}{ctx.only_if(serving, m)}")


def _in_hours(ctx: Context, serving: int | None = None) -> Formula:
    """Requests per second in the distinct hours of a week, all of them or those before one's own machines serve."""

    def formula(m: int) -> str:
        before = "" if serving is None else f"*(1-{ctx.cell(serving, m)})"
        return f"({ctx.cell(ctx.shared.rate, m)}{before}*{ctx.workload.week.weights})"

    return formula


def _api(
    ctx: Context, option_id: str, api: ApiOption, entries: Sequence[Entry], requests: int, in_hours: Formula
) -> ApiRows:
    """`requests` is the row with the requests that go to the API, `in_hours` the same per second in each hour."""
    mine = [entry for entry in entries if entry.category == "API"]
    usage = []
    for kind, entry in zip(api.kinds, mine, strict=True):

        def tokens(m: int, kind: str = kind) -> str:
            return f"{ctx.cell(requests, m)}*{ctx.rates.tokens_per_request[api.id, kind, m]}/{TOKENS_PER_MTOK}"

        def usd(m: int, kind: str = kind) -> str:
            per_request = ctx.rates.usd_per_request[api.id, kind, m]
            return f"{ctx.cell(requests, m)}*{per_request}*{ctx.cell(ctx.shared.api_drift, m)}"

        ctx.rows.line(option_id, entry.item, "quantity", entry.unit, entry.basis, tokens, entry.quantity[0])
        usage.append(ctx.rows.money(option_id, entry.item, "cash and P&L", entry.basis, usd, entry.cash_usd[0]))
    bill = None if api.promises is None else CommitmentRows(ctx, option_id, api, entries).write(usage, in_hours)
    return ApiRows(usage=tuple(usage), bill=bill)


def _hybrid(ctx: Context, option: HybridOption, entries: Sequence[Entry]) -> None:
    host, rows, shared = option.host, ctx.rows, ctx.shared
    count = rows.parameter(option.id, "machines of the base", "machines", option.machines)
    machines = rows.line(
        *(option.id, "machines in service", "quantity", "machines", "the cheapest number for the inputs as planned"),
        lambda m: count,
        rows.from_month_1(np.full(rows.horizon, float(option.machines))),
    )
    share, in_hours, basis = _overflow(ctx, host, ctx.capacity.stairs[host.id], count)
    now = base_and_overflow(option, ctx.plan.frame, ctx.mid)[0]
    overflow = rows.line(
        *(option.id, "share of the requests that goes to the API", "quantity", "1", basis),
        share,
        rows.from_month_1(now),
    )
    rate = requests_per_s(ctx.mid, ctx.plan.frame)[0]
    requests = rows.line(
        *(option.id, "requests that go to the API", "quantity", "1/month", ""),
        lambda m: f"{ctx.cell(shared.requests, m)}*{ctx.cell(overflow, m)}",
        rows.from_month_1(rate * now * SECONDS_PER_DAY * DAYS_PER_MONTH),
    )
    if isinstance(host, RentOption):
        rented(ctx, option.id, host, entries, lambda m: f"{ctx.cell(machines, m)}*{HOURS_PER_MONTH:.0f}")
    else:
        load = rows.line(
            *(option.id, "load of the machines", "quantity", "1/s", "throughput_ratio"),
            lambda m: f"{ctx.cell(shared.load, m)}*(1-{ctx.cell(overflow, m)})",
            rows.from_month_1(rate * (1.0 - now) / throughput_ratio(ctx.mid, ctx.plan.frame)[0]),
        )
        owned(ctx, option.id, host, entries, machines, lambda m: ctx.cell(load, m))
    kept = lambda m: f"{ctx.cell(shared.requests, m)}*(1-{ctx.cell(overflow, m)})"  # noqa: E731
    service(ctx, option.id, entries, None, kept)
    _api(ctx, option.id, option.api, entries, requests, in_hours)


def _overflow(ctx: Context, host: Host, stairs: Staircase, machines: str) -> tuple[Formula, Formula, str]:
    """The share of a month that leaves so many machines, the requests/s that leave in each hour, and the rule."""
    week, replicas = ctx.workload.week, f"({machines}*INT({stairs.per_machine}))"
    tables = ctx.capacity.overflow.get(host.id)

    def load(m: int) -> str:
        return ctx.cell(ctx.shared.load, m)

    if tables is not None:

        def hour(m: int) -> str:
            share = tables.hour.share(f"({load(m)}*{week.weights})", replicas)
            return f"({ctx.cell(ctx.shared.rate, m)}*{week.weights}*{share})"

        return lambda m: tables.week.share(load(m), replicas), hour, "simulated: looked up on Overflow"

    def above(m: int) -> str:
        spill = f"({load(m)}*{week.weights}-{stairs.held_by(replicas)})"
        return f"({spill}>0)*{spill}"

    def weekly(m: int) -> str:
        return f"SUMPRODUCT({above(m)}*{week.hours})/{HOURS_PER_WEEK:.0f}/{load(m)}"

    def leaving(m: int) -> str:
        return f"({above(m)}*{ctx.cell(ctx.shared.rate, m)}/{load(m)})"

    return weekly, leaving, "what exceeds the machines in each hour"


def _staged(ctx: Context, option: StagedOption, entries: Sequence[Entry]) -> None:
    rows, shared, host = ctx.rows, ctx.shared, option.host
    months = rows.parameter(option.id, "months with tokens before the machines", "months", option.api_months)
    count = np.arange(1, rows.horizon + 1)
    serving = rows.line(
        *(option.id, "machines serve", "quantity", "1 or 0", "the cheapest month for the inputs as planned"),
        lambda m: f"IF({ctx.cell(shared.months, m)}>{months},1,0)",
        rows.from_month_1((count > option.api_months) * 1.0),
    )
    rate = requests_per_s(ctx.mid, ctx.plan.frame)[0]
    requests = rows.line(
        *(option.id, "requests that go to the API", "quantity", "1/month", ""),
        lambda m: f"{ctx.cell(shared.requests, m)}*(1-{ctx.cell(serving, m)})",
        rows.from_month_1(rate * (count <= option.api_months) * SECONDS_PER_DAY * DAYS_PER_MONTH),
    )
    if isinstance(host, RentOption):
        rented(ctx, option.id, host, entries, hours_of_fleet(ctx, host, serving))
    else:
        machines = machines_of_fleet(ctx, option.id, host, entries, serving)
        load = lambda m: f"{ctx.cell(shared.load, m)}{ctx.only_if(serving, m)}"  # noqa: E731
        owned(ctx, option.id, host, entries, machines, load)
    _service(ctx, option.id, entries, serving)
    _api(ctx, option.id, option.api, entries, requests, _in_hours(ctx, serving))
