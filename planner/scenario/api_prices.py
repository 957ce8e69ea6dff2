"""The log's mix of requests at the prices of every candidate API model, each month of the plan at its own date."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from planner.cost.commitments import Promises
from planner.cost.options import ApiOption, OptionKind
from planner.cost.schedule import period_start
from planner.errors import InputError, PriceError
from planner.scenario.inputs import Excluded
from planner.scenario.tables import Scenario
from planner.units import TOKENS_PER_MTOK
from planner.workload import WeekShape, Workload
from pricing.api import api_bill, rate_card
from pricing.book import Book
from pricing.commitments import Commitment, FreeQuota, ProvisionedUnits, covers
from pricing.lock import PriceLock, dated_by_sources, make_lock
from pricing.rates import RateQuery, Resolve
from pricing.tally import PromptTotal, ShapeTally, tally_prompts
from pricing.types import ApiBill, TokenKind

_MID_MONTH_DAY = 15
_SHARED = "its free tokens ask for prompts and answers to be shared with the provider (requirements.may_share_data)"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiPrices:
    """The priced models, those that cannot serve the log with the reason, and the rates that all of this used.

    `lock` is `None` where the scenario names no API model.
    """

    options: tuple[ApiOption, ...]
    excluded: tuple[Excluded, ...]
    lock: PriceLock | None


def price_api_models(scenario: Scenario, workload: Workload, week: WeekShape, book: Book) -> ApiPrices:
    """Price the log's mix of requests on every candidate model, each month at its own date (the 15th, noon UTC).

    A price that depends on the hour is averaged over the hours of `week`, which are taken as UTC.
    A model whose context window is too short for the log is excluded with the reason. Raises `PriceError` for a model
    that is not known, `InputError` for commitments that cannot be planned with together.
    """
    figure = scenario.assumptions.get("cached_input_frac", scenario.workload.cached_input_frac)
    levels = tuple(sorted({figure.low, figure.mid, figure.high}))
    prompts = _prompts(workload)
    tallies = [tally_prompts(prompts, level) for level in levels]
    months = [_mid_month(scenario.start_month, month) for month in range(1, scenario.horizon_months + 1)]
    models = scenario.candidates.api
    shares = [_hours_that_matter(model, months[0], week, book.resolve) for model in models]
    pairs = list(zip(models, shares, strict=True))
    priced = [_price(model, levels, tallies, months, share, book.resolve) for model, share in pairs]
    queries = [RateQuery(model=model, at=at, hourly_share=share) for model, share in pairs for at in months]
    lock = make_lock(queries, months[0].date(), book.resolve, book.commitments) if models else None
    options = [option for option in priced if isinstance(option, ApiOption)]
    refused = [] if scenario.requirements.may_share_data is not False else _that_share_data(options, book.commitments)
    allowed = [commitment for commitment in book.commitments if commitment not in refused]
    return ApiPrices(
        options=tuple(_promised(option, allowed, months) for option in options),
        excluded=(
            *(option for option in priced if isinstance(option, Excluded)),
            *(Excluded(id=quota.id, kind=OptionKind.API, reason=_SHARED) for quota in refused),
        ),
        lock=None if lock is None else dated_by_sources(lock),
    )


def _hours_that_matter(model: str, at: datetime, week: WeekShape, resolve: Resolve) -> tuple[float, ...] | None:
    """The hours of `week` where the price depends on them, else None; a lock that holds only one of both decides."""
    if len(set(week.weights)) == 1:
        return None
    flat, shaped = RateQuery(model=model, at=at), RateQuery(model=model, at=at, hourly_share=week.weights)
    try:
        evenly = resolve(flat)
    except PriceError:
        return week.weights
    try:
        return None if resolve(shaped).tiers == evenly.tiers else week.weights
    except PriceError:
        return None


def _price(
    model: str,
    levels: Sequence[float],
    tallies: Sequence[ShapeTally],
    months: Sequence[datetime],
    hourly_share: Sequence[float] | None,
    resolve: Resolve,
) -> ApiOption | Excluded:
    window = rate_card(model, months[0], hourly_share=hourly_share, resolve=resolve).context_window
    longest = tallies[0].longest_input_tokens
    if window is not None and longest > window:
        reason = f"takes at most {window:,} input tokens, but a request of the log has {longest:,}"
        return Excluded(id=model, kind=OptionKind.API, reason=reason)
    bills = [
        [api_bill(model, tally, at, hourly_share=hourly_share, resolve=resolve) for at in months] for tally in tallies
    ]
    requests = tallies[0].requests
    present = {line.kind for row in bills for bill in row for line in bill.lines}
    kinds = tuple(kind for kind in TokenKind if kind in present)
    tokens = np.zeros((len(kinds), len(levels), len(months)))
    usd = np.zeros_like(tokens)
    for level, row in enumerate(bills):
        for month, bill in enumerate(row):
            for line in bill.lines:
                place = (kinds.index(TokenKind(line.kind)), level, month)
                tokens[place] += line.tokens / requests
                usd[place] += float(line.cost_usd / requests)
    first = bills[0][0]
    return ApiOption(
        id=model,
        matched_model=first.matched_model,
        source=first.source,
        source_url=first.source_url,
        kinds=tuple(str(kind) for kind in kinds),
        cached_levels=tuple(levels),
        tokens_per_request=tokens,
        usd_per_request=usd,
        basis_by_month=tuple(
            tuple(_basis(kind, [row[month] for row in bills]) for month in range(len(months))) for kind in kinds
        ),
    )


def _basis(kind: TokenKind, bills: Sequence[ApiBill]) -> str:
    """Every layer that had a say in the rate of one kind, over all context tiers that the log reaches."""
    unit, per = ("request", 1.0) if kind is TokenKind.REQUEST else ("million tokens", TOKENS_PER_MTOK)
    said = dict.fromkeys(
        str(why) for bill in bills for line in bill.lines if line.kind == kind for why in line.provenance
    )
    rates = [
        float(sum(line.cost_usd for line in mine) / tokens) * per
        for bill in bills
        if (mine := [line for line in bill.lines if line.kind == kind])
        and (tokens := sum(line.tokens for line in mine))
    ]
    priced = [_undrifted(min(rates), max(rates), unit)] if rates else []
    url = [bills[0].source_url] if bills[0].source_url else []
    return "; ".join((bills[0].matched_model, *said, *url, *priced))


def _undrifted(low: float, high: float, unit: str) -> str:
    """The mean price of the log's mix before drift; a span where it depends on the cached part."""
    span = f"{low:.6g}" if f"{low:.6g}" == f"{high:.6g}" else f"{low:.6g} to {high:.6g}"
    return f"{span} USD/{unit} times api_price_drift_frac_per_year"


def _that_share_data(options: Sequence[ApiOption], commitments: Sequence[Commitment]) -> list[FreeQuota]:
    quotas = [commitment for commitment in commitments if isinstance(commitment, FreeQuota) and commitment.shares_data]
    return [quota for quota in quotas if any(covers(quota, option.matched_model) for option in options)]


def _promised(option: ApiOption, commitments: Sequence[Commitment], months: Sequence[datetime]) -> ApiOption:
    """The option with the commitments that cover it."""
    mine = tuple(c for c in commitments if covers(c, option.matched_model))
    if not mine:
        return option
    starts = tuple(at.date().replace(day=1) for at in months)
    reserved = [c for c in mine if isinstance(c, ProvisionedUnits)]
    for day in starts:
        both = [c.id for c in reserved if c.window.holds(day)]
        if len(both) > 1:
            raise InputError(
                f"the provisioned commitments {' and '.join(both)} for {option.id} both hold in {day:%Y-%m}; "
                "enter them as one with the sum of their units"
            )
    return replace(option, promises=Promises(commitments=mine, month_starts=starts))


def _prompts(workload: Workload) -> list[PromptTotal]:
    lengths, place, counts = np.unique(workload.input_tokens, return_inverse=True, return_counts=True)
    outputs = np.zeros(len(lengths), dtype=np.int64)
    np.add.at(outputs, place, workload.output_tokens)
    return [
        PromptTotal(input_tokens=length, requests=count, output_tokens=output)
        for length, count, output in zip(lengths.tolist(), counts.tolist(), outputs.tolist(), strict=True)
    ]


def _mid_month(start_month: str, month: int) -> datetime:
    first = datetime.fromisoformat(period_start(start_month, month))
    return first.replace(day=_MID_MONTH_DAY, hour=12, tzinfo=UTC)
