"""Commitments in the workbook: their terms as inputs, and what they make of a bill as rows of the schedule.

The rules are those of `planner.cost.commitments`. Each formula that reads the traffic is made for an array of requests
per second in the distinct hours of a week, so the break-even sheet writes the same ones for other volumes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TypeVar

import numpy as np

from planner.cost.options import ApiOption
from planner.cost.schedule import Entry
from planner.decision.plan import Plan
from planner.units import (
    HOURS_PER_DAY,
    HOURS_PER_MONTH,
    HOURS_PER_WEEK,
    MONTHS_PER_YEAR,
    SECONDS_PER_HOUR,
    SECONDS_PER_MINUTE,
    TOKENS_PER_MTOK,
)
from planner.workbook.cells import Book, Look
from planner.workbook.rows import Array, Formula
from planner.workbook.shared import Context
from pricing.commitments import Commitment, FreeQuota, KeptCache, MinimumSpend, PrepaidCredit, ProvisionedUnits
from pricing.types import TokenKind

_C = TypeVar("_C", bound=Commitment)

_GENERATED = (TokenKind.OUTPUT, TokenKind.REASONING)
_FIRST, _LAST = "in force from month", "in force to month"
_KINDS = {
    MinimumSpend: "minimum spend",
    PrepaidCredit: "prepaid credit",
    ProvisionedUnits: "provisioned units",
    KeptCache: "kept cache",
    FreeQuota: "free quota",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """Rows of the schedule behind the bill of a model with commitments.

    `usage` is the traffic at its price per token, `tokens` the weighted tokens of a request by commitment, `fixed` the
    amounts that are owed whatever the traffic, `left` what is owed per token after units and free tokens, `used` what
    each prepaid credit pays of it.
    """

    usage: int
    tokens: dict[str, int]
    fixed: tuple[int, ...]
    left: int
    used: dict[str, int]


def write_terms(book: Book, plan: Plan, apis: Sequence[ApiOption]) -> dict[tuple[str, str], str]:
    """The sheet with the terms of all commitments as inputs; none where nothing is promised."""
    promised = {c.id: (c, api) for api in apis if api.promises for c in api.promises.commitments}
    if not promised:
        return {}
    sheet = book.sheet("Commitments", (30, 18, 34, 30, 16, 22, 60, 12))
    sheet.text(0, 0, "Commitments: what is owed beside the price per token", Look.TITLE)
    note = (
        "Months are those of the plan, 1 the first; before the plan is 0 or less. A month that never comes is 0 to -1."
    )
    sheet.text(1, 0, note, Look.NOTE)
    sheet.heads(3, 0, ("commitment", "kind", "covers", "term", "value", "unit", "source", "as of"), (4,))
    sheet.worksheet.freeze_panes(4, 1)
    sheet.worksheet.repeat_rows(3)
    found: dict[tuple[str, str], str] = {}
    row = 4
    for commitment, api in promised.values():
        assert api.promises is not None
        for term, value, unit in _terms(commitment, api.promises.month_starts):
            sheet.row(row, 0, (commitment.id, _KINDS[type(commitment)], ", ".join(commitment.targets), term))
            whole = Look.INPUT_COUNT if value == int(value) else Look.INPUT
            cell = sheet.number(row, 4, value, Look.INPUT_USD if "USD" in unit else whole)
            sheet.row(row, 5, (unit, commitment.why.source, commitment.why.as_of.isoformat()), Look.UNIT)
            found[commitment.id, term] = cell
            book.name(f"in.{commitment.id}.{term}", cell)
            row += 1
    return found


def _terms(commitment: Commitment, month_starts: Sequence[date]) -> list[tuple[str, float, str]]:
    """Name, value and unit of every term."""
    if isinstance(commitment, PrepaidCredit):
        last_day = commitment.expires_on - timedelta(days=1)
        return [
            ("paid", float(commitment.paid_usd), "USD"),
            ("credit", float(commitment.credit_usd), "USD"),
            ("bought in month", _month(commitment.bought_on, month_starts[0]), "month"),
            ("expires at the end of month", _month(last_day, month_starts[0]), "month"),
        ]
    held = [month for month, day in enumerate(month_starts, start=1) if commitment.window.holds(day)]
    window: list[tuple[str, float, str]] = _span("", held)
    match commitment:
        case MinimumSpend():
            return [("minimum", float(commitment.usd_per_month), "USD/month"), *window]
        case FreeQuota():
            return [("free tokens", commitment.tokens_per_day, "tokens/day"), *window]
        case ProvisionedUnits():
            return [
                ("units", commitment.units, "units"),
                ("price", float(commitment.usd_per_unit_h), "USD/unit-hour"),
                ("throughput of a unit", commitment.tokens_per_min, "weighted tokens/min"),
                ("weight of an output token", commitment.output_weight, "input tokens"),
                *window,
            ]
        case KeptCache():
            rates = [
                (
                    (f"storage price {place}", float(rate.usd_per_mtok_h), "USD/million tokens and hour"),
                    *_span(f"storage price {place}, ", _chosen(commitment, place - 1, held, month_starts)),
                )
                for place, rate in enumerate(commitment.rates, start=1)
            ]
            return [
                ("stored tokens", commitment.stored_tokens, "tokens"),
                ("hours kept", float(commitment.hours_per_month), "hours/month"),
                *(term for rate in rates for term in rate),
            ]


def _span(of: str, months: Sequence[int]) -> list[tuple[str, float, str]]:
    first, last = (months[0], months[-1]) if months else (0, -1)
    return [(f"{of}{_FIRST}", first, "month"), (f"{of}{_LAST}", last, "month")]


def _chosen(cache: KeptCache, place: int, held: Sequence[int], month_starts: Sequence[date]) -> list[int]:
    """The months that a rate of a kept cache prices: where several hold, the first one does."""
    return [
        month
        for month in held
        if next((i for i, rate in enumerate(cache.rates) if rate.window.holds(month_starts[month - 1])), None) == place
    ]


def _month(day: date, start: date) -> int:
    """The month of the plan in which a day lies, 1 for the first."""
    return (day.year - start.year) * MONTHS_PER_YEAR + day.month - start.month + 1


class CommitmentRows:
    """Writes what commitments make of one model's bill. `hourly` gives the requests/s of a month in each hour."""

    def __init__(self, ctx: Context, option_id: str, api: ApiOption, entries: Sequence[Entry]) -> None:
        self.ctx, self.option_id, self.api = ctx, option_id, api
        assert api.promises is not None
        self.commitments = api.promises.commitments
        self.by_item = {entry.item: entry for entry in entries if entry.category == "commitment"}
        self.usage_usd = np.asarray(sum(entry.cash_usd[0] for entry in entries if entry.category == "API"))

    def write(self, kinds: Sequence[int], hourly: Formula) -> Bill:
        """All rows, `kinds` being the amounts of each kind of token."""
        ctx = self.ctx
        usage = self._quantity(
            "usage at the price per token", lambda m: "+".join(ctx.cell(row, m) for row in kinds), self.usage_usd
        )
        tokens: dict[str, int] = {}
        carried, fixed = [], []
        for units in self._of(ProvisionedUnits):
            weight = ctx.terms[units.id, "weight of an output token"]
            tokens[units.id] = self._tokens(units.id, weight, units.output_weight)
            fixed.append(self._fee(units))
            carried.append(self._carried(units, usage, tokens[units.id], hourly))
        left = self.usage_usd + self._cash([f"tokens carried by {c.id}" for c in self._of(ProvisionedUnits)])
        for quota in self._of(FreeQuota):
            tokens[quota.id] = self._tokens(quota.id, "1", 1.0)
            carried.append(self._free(quota, (usage, *carried), tokens[quota.id], hourly))
            left = left + self.by_item[f"free tokens of {quota.id}"].cash_usd[0]
        fixed += [self._kept(cache) for cache in self._of(KeptCache)]
        rest = (usage, *carried)
        owed = self._quantity(
            "owed per token, before credit", lambda m: "+".join(ctx.cell(row, m) for row in rest), left
        )
        used: dict[str, int] = {}
        for credit in by_expiry(self.api):
            used[credit.id] = self._credit(credit, owed, tuple(used.values()))
        for minimum in self._of(MinimumSpend):
            self._shortfall(minimum, (owed, *fixed))
        return Bill(usage=usage, tokens=tokens, fixed=tuple(fixed), left=owed, used=used)

    def _of(self, kind: type[_C]) -> list[_C]:
        return [commitment for commitment in self.commitments if isinstance(commitment, kind)]

    def _cash(self, items: Sequence[str]) -> Array:
        return np.asarray(sum((self.by_item[item].cash_usd[0] for item in items), np.zeros_like(self.usage_usd)))

    def _quantity(self, item: str, formula: Formula, values: Array, unit: str = "USD") -> int:
        look = Look.USD if unit == "USD" else Look.NUMBER
        return self.ctx.rows.line(self.option_id, item, "quantity", unit, "", formula, values, look)

    def _money(self, item: str, formula: Formula, entry: Entry) -> int:
        return self.ctx.rows.money(self.option_id, item, "cash and P&L", entry.basis, formula, entry.cash_usd[0])

    def _in_force(self, commitment_id: str, m: int, of: str = "") -> str:
        return in_force(self.ctx, commitment_id, self.ctx.cell(self.ctx.shared.months, m), of)

    def _tokens(self, commitment_id: str, output_weight: str, weight: float) -> int:
        """The weighted tokens of a mean request: the output at its weight, requests themselves at nothing."""
        ctx, api = self.ctx, self.api
        kinds = [(i, kind) for i, kind in enumerate(api.kinds) if kind != TokenKind.REQUEST]
        shares = [
            float(np.interp(ctx.mid.values["cached_input_frac"][0], api.cached_levels, hat))
            for hat in np.eye(len(api.cached_levels))
        ]
        values = sum(
            (weight if kind in _GENERATED else 1.0) * (np.array(shares) @ api.tokens_per_request[i])
            for i, kind in kinds
        )

        def formula(m: int) -> str:
            return "+".join(
                ctx.rates.tokens_per_request[api.id, kind, m] + (f"*{output_weight}" if kind in _GENERATED else "")
                for _, kind in kinds
            )

        item = f"weighted tokens of a request, for {commitment_id}"
        return self._quantity(item, formula, ctx.rows.from_month_1(np.asarray(values)), "tokens")

    def _fee(self, units: ProvisionedUnits) -> int:
        entry = self.by_item[f"provisioned units {units.id}"]
        terms = self.ctx.terms
        hours = self.ctx.rows.line(
            *(self.option_id, entry.item, "quantity", entry.unit, entry.basis),
            lambda m: f"{self._in_force(units.id, m)}*{terms[units.id, 'units']}*{HOURS_PER_MONTH:.0f}",
            entry.quantity[0],
        )
        return self._money(entry.item, lambda m: f"{self.ctx.cell(hours, m)}*{terms[units.id, 'price']}", entry)

    def _carried(self, units: ProvisionedUnits, usage: int, tokens: int, hourly: Formula) -> int:
        entry, hours = self.by_item[f"tokens carried by {units.id}"], self.ctx.workload.week.hours

        def share(m: int) -> str:
            in_an_hour = tokens_in_hours(hourly(m), self.ctx.cell(tokens, m))
            return f"{self._in_force(units.id, m)}*{carried_share(self.ctx, units.id, in_an_hour, hours)}"

        row = self._quantity(f"share of the usage that {units.id} carry", share, entry.quantity[0], "1")
        return self._money(entry.item, lambda m: f"-{self.ctx.cell(row, m)}*{self.ctx.cell(usage, m)}", entry)

    def _free(self, quota: FreeQuota, rest: Sequence[int], tokens: int, hourly: Formula) -> int:
        entry, hours = self.by_item[f"free tokens of {quota.id}"], self.ctx.workload.week.hours

        def share(m: int) -> str:
            in_an_hour = tokens_in_hours(hourly(m), self.ctx.cell(tokens, m))
            return f"{self._in_force(quota.id, m)}*{free_share(self.ctx, quota.id, in_an_hour, hours)}"

        row = self._quantity(f"share of the usage that is free by {quota.id}", share, entry.quantity[0], "1")

        def usd(m: int) -> str:
            return f"-{self.ctx.cell(row, m)}*({'+'.join(self.ctx.cell(each, m) for each in rest)})"

        return self._money(entry.item, usd, entry)

    def _kept(self, cache: KeptCache) -> int:
        terms = self.ctx.terms
        entry = next(e for item, e in self.by_item.items() if item.startswith(f"cache {cache.id} of "))

        def usd(m: int) -> str:
            rates = "+".join(
                f"{self._in_force(cache.id, m, f'storage price {place}, ')}*{terms[cache.id, f'storage price {place}']}"
                for place in range(1, len(cache.rates) + 1)
            )
            kept = f"{terms[cache.id, 'stored tokens']}*{terms[cache.id, 'hours kept']}"
            return f"{kept}/{TOKENS_PER_MTOK}*({rates})"

        return self._money(entry.item, usd, entry)

    def _credit(self, credit: PrepaidCredit, owed: int, earlier: Sequence[int]) -> int:
        """Bought, used month by month, and lost; returns the row with what is used."""
        ctx, rows = self.ctx, self.ctx.rows
        paid, worth, first, last = (
            ctx.terms[credit.id, term] for term in ("paid", "credit", "bought in month", "expires at the end of month")
        )
        buying, using, losing = (
            self.by_item[item]
            for item in (
                f"prepaid credit {credit.id}",
                f"usage paid from {credit.id}",
                f"{credit.id} expired unused",
            )
        )

        def month(m: int) -> str:
            return ctx.cell(ctx.shared.months, m)

        def use(m: int) -> str:
            row = rows.next_row
            unpaid = "-".join(ctx.cell(each, m) for each in (owed, *earlier))
            spent = "" if m == 1 else f"-SUM({ctx.cell(row, 1)}:{ctx.cell(row, m - 1)})"
            return f"{usable(ctx, credit.id, month(m))}*MIN({unpaid},{worth}{spent})"

        used = self._quantity(using.item, use, using.quantity[0], "USD")
        lost = self._quantity(
            losing.item,
            lambda m: f"({month(m)}={last})*({worth}-SUM({ctx.cell(used, 1)}:{ctx.cell(used, m)}))",
            losing.quantity[0],
        )
        cash: tuple[tuple[Entry, Formula], ...] = (
            (buying, lambda m: f"({month(m)}={first})*{paid}"),
            (using, lambda m: f"-{ctx.cell(used, m)}"),
        )
        for entry, formula in cash:
            rows.money(self.option_id, entry.item, "cash", entry.basis, formula, entry.cash_usd[0], pnl=False)
        borne: tuple[tuple[Entry, Formula], ...] = (
            (using, lambda m: f"{ctx.cell(used, m)}*({paid}/{worth}-1)"),
            (losing, lambda m: f"{ctx.cell(lost, m)}*{paid}/{worth}"),
        )
        for entry, formula in borne:
            rows.money(self.option_id, entry.item, "P&L", entry.basis, formula, entry.pnl_usd[0], cash=False)
        return used

    def _shortfall(self, minimum: MinimumSpend, spent: Sequence[int]) -> int:
        entry, least = self.by_item[f"shortfall of minimum spend {minimum.id}"], self.ctx.terms[minimum.id, "minimum"]

        def usd(m: int) -> str:
            missing = f"{least}-({'+'.join(self.ctx.cell(row, m) for row in spent)})"
            return f"{self._in_force(minimum.id, m)}*MAX({missing},0)"

        return self._money(entry.item, usd, entry)


def in_force(ctx: Context, commitment_id: str, month: str, of: str = "") -> str:
    """Formula: 1 in the months of a window, for one month or for an array of months."""
    first, last = (ctx.terms[commitment_id, f"{of}{end}"] for end in (_FIRST, _LAST))
    return f"({month}>={first})*({month}<={last})"


def usable(ctx: Context, credit_id: str, month: str) -> str:
    """Formula: 1 in the months in which a prepaid credit pays."""
    bought, ends = (ctx.terms[credit_id, term] for term in ("bought in month", "expires at the end of month"))
    return f"({month}>={bought})*({month}<={ends})"


def by_expiry(api: ApiOption) -> list[PrepaidCredit]:
    """The prepaid credits of a model in the order in which they pay."""
    credits_ = [] if api.promises is None else [c for c in api.promises.commitments if isinstance(c, PrepaidCredit)]
    return sorted(credits_, key=lambda credit: (credit.expires_on, credit.id))


def tokens_in_hours(requests_per_s: str, tokens: str) -> str:
    """Formula: weighted tokens in each distinct hour, from requests per second in it and those of a request."""
    return f"({requests_per_s}*{tokens}*{SECONDS_PER_HOUR:.0f})"


def carried_share(ctx: Context, units_id: str, in_an_hour: str, hours: str) -> str:
    """Formula: the share of a week's tokens that provisioned units carry; what exceeds an hour's capacity spills."""
    terms = ctx.terms
    minutes = f"{SECONDS_PER_HOUR / SECONDS_PER_MINUTE:.0f}"
    capacity = f"{terms[units_id, 'units']}*{terms[units_id, 'throughput of a unit']}*{minutes}"
    total = f"SUMPRODUCT({in_an_hour}*{hours})"
    spilled = f"SUMPRODUCT(({in_an_hour}>{capacity})*({in_an_hour}-{capacity})*{hours})"
    return f"IF({total}>0,1-{spilled}/{total},0)"


def free_share(ctx: Context, quota_id: str, in_an_hour: str, hours: str) -> str:
    """Formula: the share of a day's tokens that is free, a week's tokens spread evenly over its days."""
    daily = f"(SUMPRODUCT({in_an_hour}*{hours})*{HOURS_PER_DAY:.0f}/{HOURS_PER_WEEK:.0f})"
    return f"IF({daily}>0,MIN({daily},{ctx.terms[quota_id, 'free tokens']})/{daily},0)"
