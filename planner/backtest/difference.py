"""Plan against actual: month by month, the difference split into volume, mix, cache and price.

The plan's bill turns into the actual one in four steps, and each step's change of the total is its part, so that the
four parts sum to the difference exactly:

1. volume: as many tokens as were used, shared among models and kinds as planned;
2. mix: the models, and input against output tokens, as used; within the input of a model the cached part as planned;
3. cache: the cached part of the input as used;
4. price: what was really paid.

All before the last step is at the plan's prices. A model that the plan does not hold comes in at the price that was
paid for it, so its whole effect is mix.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from planner.backtest.bills import Bill, BillLine
from planner.cells import rounded
from planner.cost.schedule import CostLine
from planner.decision.plan import OptionResult, Plan
from planner.errors import InputError
from planner.units import TOKENS_PER_MTOK
from pricing.types import TokenKind

_INPUT_KINDS = frozenset({TokenKind.INPUT, TokenKind.CACHED_INPUT, TokenKind.CACHE_WRITE, TokenKind.CACHE_WRITE_1H})
_MICRO_USD = Decimal("0.000001")
_ZERO = Decimal(0)
_PLAN_DECIMALS = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthVariance:
    """One month: `volume_usd + mix_usd + cache_usd + price_usd` is exactly `actual_usd - planned_usd`.

    Amounts are rounded to a millionth of a dollar. `has_amounts` is false where the file holds no amounts of this
    month: then the actual tokens are priced as planned and `price_usd` is 0. `days_seen` counts the days with rows,
    `None` where the file only names months.
    """

    month: str
    planned_usd: Decimal
    actual_usd: Decimal
    volume_usd: Decimal
    mix_usd: Decimal
    cache_usd: Decimal
    price_usd: Decimal
    planned_tokens: Decimal
    actual_tokens: Decimal
    planned_cached_frac: float | None
    actual_cached_frac: float | None
    has_amounts: bool
    days_seen: int | None

    @property
    def difference_usd(self) -> Decimal:
        return self.actual_usd - self.planned_usd


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """An option of the plan held against bills. `matched`: name in the bill -> model of the plan, `None` for none."""

    option: str
    months: tuple[MonthVariance, ...]
    matched: Mapping[str, str | None]
    notes: tuple[str, ...]


_Key = tuple[str, str]  # model and kind
_Table = Mapping[_Key, Decimal]


def backtest(plan: Plan, bills: Sequence[Bill], option_id: str | None = None) -> Backtest:
    """Hold an option's tokens, the cheapest API model's unless named, against what was used and paid.

    Raises `InputError` where the option buys no tokens, no month of the bills lies in the plan, a month has amounts but
    no token counts, or a model that is not in the plan has no amount.
    """
    option = _option(plan, option_id)
    planned = _planned(option)
    for month, (_, prices) in planned.items():
        prices.update(_locked(plan, month, prices))
    models = sorted({model for table, _ in planned.values() for model, _ in table})
    lines = [line for bill in bills for line in bill.lines]
    matched = {name: _match(name, models) for name in sorted({line.model for line in lines})}
    by_month: dict[str, list[BillLine]] = defaultdict(list)
    for line in lines:
        by_month[line.month].append(line)
    months = sorted(set(by_month) & set(planned))
    if not months:
        span = f"{min(planned)} to {max(planned)}"
        have = f"{min(by_month)} to {max(by_month)}" if by_month else "no month"
        raise InputError(f"the bill covers {have}, the plan {span}; give a bill of a planned month")
    notes = [note for bill in bills for note in bill.notes]
    if left := sorted(set(by_month) - set(planned)):
        notes.append(f"left out, because the plan does not cover them: {', '.join(left)}")
    found = []
    for month in months:
        one = _month(month, *planned[month], by_month[month], matched)
        found.append(one)
        days = _days_in(month)
        if one.days_seen is not None and one.days_seen < days:
            notes.append(f"{month} has rows for {one.days_seen} of {days} days; the plan is for the whole month")
        if not one.has_amounts:
            notes.append(f"{month} holds no amounts: the tokens are priced as planned, so nothing is said about prices")
    if strangers := [name for name, model in matched.items() if model is None]:
        notes.append(f"not in the plan, so all of it is mix: {', '.join(strangers)}")
    return Backtest(option=option.id, months=tuple(found), matched=matched, notes=tuple(notes))


def totals(result: Backtest) -> dict[str, Decimal]:
    """The sums over all months, by name of the amount."""
    names = ("planned_usd", "volume_usd", "mix_usd", "cache_usd", "price_usd", "actual_usd")
    return {name: sum((getattr(month, name) for month in result.months), _ZERO) for name in names}


def _option(plan: Plan, option_id: str | None) -> OptionResult:
    if option_id is None:
        if plan.best_api is None:
            raise InputError("the plan buys no tokens, so there is nothing to hold against a bill; add an API model")
        return plan.best_api
    found = next((option for option in plan.options if option.id == option_id), None)
    if found is None or not any(line.category == "API" for line in found.lines):
        buying = [o.id for o in plan.options if any(line.category == "API" for line in o.lines)]
        raise InputError(f"{option_id} is no option of the plan that buys tokens; choose one of {', '.join(buying)}")
    return found


def _planned(option: OptionResult) -> dict[str, tuple[dict[_Key, Decimal], dict[_Key, Decimal]]]:
    """Month -> tokens by model and kind, and USD per token by model and kind."""
    found: dict[str, tuple[dict[_Key, Decimal], dict[_Key, Decimal]]] = {}
    for line in option.lines:
        if line.category == "API" and line.unit == "million tokens":
            tokens, price = found.setdefault(line.period_start[:7], ({}, {}))
            key = (_model_of(line), line.item.removesuffix(" tokens"))
            tokens[key] = rounded(line.quantity, _PLAN_DECIMALS) * TOKENS_PER_MTOK
            price[key] = rounded(line.unit_price_usd, _PLAN_DECIMALS) / TOKENS_PER_MTOK
    return found


def _locked(plan: Plan, month: str, prices: _Table) -> dict[_Key, Decimal]:
    """Prices of kinds that the plan's traffic lacks, from its price lock, drifted like the plan's input price."""
    found: dict[_Key, Decimal] = {}
    for model in plan.price_lock.models if plan.price_lock else ():
        plain = prices.get((model.matched_model, TokenKind.INPUT))
        for period in model.periods:
            rates = period.tiers[0].usd_per_mtok
            if plain is None or not rates.get(TokenKind.INPUT) or month not in {f"{day:%Y-%m}" for day in period.days}:
                continue
            drift = plain / rates[TokenKind.INPUT]
            for kind, rate in rates.items():
                if (model.matched_model, kind) not in prices:
                    found[model.matched_model, kind] = rate * drift
    return found


def _model_of(line: CostLine) -> str:
    return line.basis.partition(";")[0].partition(",")[0]


def _match(name: str, models: Sequence[str]) -> str | None:
    """The planned model that a bill means: the same id, without its provider, or with a date or version behind it."""
    asked = name.lower().removesuffix(" (batch)")
    if asked != name.lower():
        return None
    for model in models:
        bare = model.lower().partition("/")[2] or model.lower()
        if asked in (model.lower(), bare, bare.rpartition("/")[2]) or asked.startswith((f"{bare}-2", f"{bare}@")):
            return model
    return None


def _month(
    month: str,
    planned: _Table,
    prices: _Table,
    lines: Sequence[BillLine],
    matched: Mapping[str, str | None],
) -> MonthVariance:
    used: dict[_Key, Decimal] = defaultdict(Decimal)
    paid: dict[str, Decimal] = defaultdict(Decimal)
    for line in lines:
        model = matched[line.model] or line.model
        if line.tokens is not None:
            used[model, line.kind] += line.tokens
        if line.usd is not None:
            paid[model] += line.usd
    has_amounts = bool(paid)
    if not any(used.values()):
        raise InputError(
            f"the bill of {month} holds amounts but no token counts, so the difference cannot be split; "
            "add the usage export of the same month"
        )
    price = _prices(month, planned, prices, used, paid if has_amounts else {})
    planned_usd = _usd(planned, price)
    ratio = sum(used.values(), _ZERO) / sum(planned.values(), _ZERO)
    volume_usd = _usd({key: tokens * ratio for key, tokens in planned.items()}, price)
    mix_usd = _usd(_with_planned_cache(used, planned), price)
    cache_usd = _usd(used, price)
    actual_usd = sum(paid.values(), _ZERO).quantize(_MICRO_USD) if has_amounts else cache_usd
    days = {line.day for line in lines if len(line.day) > len("YYYY-MM")}
    return MonthVariance(
        month=month,
        planned_usd=planned_usd,
        actual_usd=actual_usd,
        volume_usd=volume_usd - planned_usd,
        mix_usd=mix_usd - volume_usd,
        cache_usd=cache_usd - mix_usd,
        price_usd=actual_usd - cache_usd,
        planned_tokens=sum(planned.values(), _ZERO),
        actual_tokens=sum(used.values(), _ZERO),
        planned_cached_frac=_cached_frac(planned),
        actual_cached_frac=_cached_frac(used),
        has_amounts=has_amounts,
        days_seen=len(days) if days else None,
    )


def _prices(
    month: str, planned: _Table, prices: _Table, used: _Table, paid: Mapping[str, Decimal]
) -> dict[_Key, Decimal]:
    """USD per token of all that is planned or used: the plan's, else that of its plain kind, else what was paid."""
    found = dict(prices)
    models = {model for model, _ in planned}
    for model, kind in used:
        if (model, kind) in found:
            continue
        if model in models:
            plain = (model, TokenKind.INPUT if kind in _INPUT_KINDS else TokenKind.OUTPUT)
            if plain not in prices:
                raise InputError(f"the plan has no price for {kind} tokens of {model}, which the bill of {month} holds")
            found[model, kind] = prices[plain]
        else:
            tokens = sum(count for (name, _), count in used.items() if name == model)
            if model not in paid:
                raise InputError(
                    f"the bill of {month} has no amount for {model}, which is not in the plan; add its costs"
                )
            found[model, kind] = paid[model] / tokens if tokens else _ZERO
    return found


def _with_planned_cache(used: _Table, planned: _Table) -> dict[_Key, Decimal]:
    """The tokens used, with the input of each planned model shared among its kinds as planned."""
    inputs: dict[str, Decimal] = defaultdict(Decimal)
    plan_inputs: dict[str, Decimal] = defaultdict(Decimal)
    for table, sums in ((used, inputs), (planned, plan_inputs)):
        for (model, kind), tokens in table.items():
            if kind in _INPUT_KINDS:
                sums[model] += tokens
    found = {key: tokens for key, tokens in used.items() if key[1] not in _INPUT_KINDS or not plan_inputs[key[0]]}
    for (model, kind), tokens in planned.items():
        if kind in _INPUT_KINDS and inputs[model]:
            found[model, kind] = inputs[model] * tokens / plan_inputs[model]
    return found


def _usd(tokens: _Table, price: _Table) -> Decimal:
    return sum((count * price[key] for key, count in tokens.items()), _ZERO).quantize(_MICRO_USD)


def _cached_frac(tokens: _Table) -> float | None:
    """Tokens read from the cache over all input tokens."""
    inputs = _of(tokens, _INPUT_KINDS)
    return float(_of(tokens, (TokenKind.CACHED_INPUT,)) / inputs) if inputs else None


def _of(tokens: _Table, kinds: Iterable[str]) -> Decimal:
    wanted = set(kinds)
    return sum((count for (_, kind), count in tokens.items() if kind in wanted), _ZERO)


def _days_in(month: str) -> int:
    year, number = (int(part) for part in month.split("-"))
    following = (year + number // 12, number % 12 + 1)
    return (date(*following, 1) - date(year, number, 1)).days
