"""What API calls cost: request shapes times counts, at the rates in force on the day, exact and unrounded."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal

from genai_prices.types import ModelInfo

from planner.errors import PriceError
from planner.units import TOKENS_PER_MTOK
from pricing.extras import cache_storage
from pricing.library import conditional_prices, in_utc, known_model, next_change, pricing_url, snapshot
from pricing.rates import (
    STANDARD,
    RateQuery,
    Resolve,
    ResolvedRates,
    describe_windows,
    library_rates,
    tiers_of,
    why_of,
)
from pricing.tally import ShapeTally, tally_shapes
from pricing.types import ApiBill, ApiBillLine, ApiModel, RateCard, RateRow, ShapeCount, TokenKind

DEFAULT_MODELS = (
    "openai/gpt-6-luna",
    "anthropic/claude-haiku-5-5",
    "google/gemini-3.8-flash",
    "deepseek/deepseek-v4-flash",
    "mistral/mistral-small-2603",
    "groq/openai/gpt-oss-20b",
    "fireworks/gpt-oss-20b",
    "together/Qwen/Qwen3.5-9B",
)
"""What a small model of one's own would really be compared with (2026-11-20).

The small models of five laboratories, one with an announced rise and one with peak hours, and small open-weight models
at three hosts.
"""


def api_bill(
    model: str,
    shapes: Sequence[ShapeCount] | ShapeTally,
    at: datetime,
    *,
    tier: str = STANDARD,
    hourly_share: Sequence[float] | None = None,
    resolve: Resolve = library_rates,
) -> ApiBill:
    """What `shapes` cost on `model` ("provider/model-id") at the prices in force at `at`, in USD, unrounded.

    Equal to the sum of the library's price of every single request: the context tier is decided per request, cached
    input is billed at the cached rate where there is one, a price that depends on the hour is averaged over a week by
    `hourly_share` (24 weights for every day or 168 from Monday on, None: even). `tier` is "standard", "batch", "flex",
    "priority" or what `rate_card` lists. `resolve` says where rates come from: the library, `layered(...)` or
    `locked(...)`. Pass `tally_shapes(shapes)` to price the same requests on many models and months.

    Worked: 1,000 requests of 2,000 input and 100 output tokens at 0.15 and 0.60 USD per Mtok cost
    1000 * (2000 * 0.15 + 100 * 0.60) / 1e6 = 0.36 USD.
    Raises `PriceError` for an unknown or ambiguous model, a tier without a price, a request over the context window and
    a token kind without a price; `InputError` for an impossible shape.
    """
    rates = resolve(_query(model, at, tier, hourly_share))
    tally = shapes if isinstance(shapes, ShapeTally) else tally_shapes(shapes)
    if rates.context_window is not None and tally.longest_input_tokens > rates.context_window:
        raise PriceError(
            f"{model} takes at most {rates.context_window:,} input tokens, but a request has "
            f"{tally.longest_input_tokens:,}; leave the model out or cut the requests"
        )
    lines = tuple(_lines(rates, tally))
    return ApiBill(
        model=model,
        matched_model=rates.matched_model,
        at=in_utc(at),
        requests=tally.requests,
        lines=lines,
        total_usd=sum((line.cost_usd for line in lines), Decimal(0)),
        source=rates.provenance[0].source,
        source_url=rates.provenance[0].source_url,
        provenance=rates.provenance,
    )


def rate_card(
    model: str,
    at: datetime,
    *,
    tier: str = STANDARD,
    hourly_share: Sequence[float] | None = None,
    resolve: Resolve = library_rates,
) -> RateCard:
    """The rates of `model` on the day of `at` for display. Raises `PriceError` like `api_bill`."""
    rates = resolve(_query(model, at, tier, hourly_share))
    rows = tuple(
        RateRow(kind=kind, usd_per_mtok=entry.usd_per_mtok[kind], above_input_tokens=entry.above_input_tokens)
        for entry in rates.tiers
        for kind in TokenKind
        if kind in entry.own
    )
    info = known_model(rates.matched_model)
    stored = cache_storage(rates.matched_model, at)
    return RateCard(
        model=model,
        matched_model=rates.matched_model,
        at=in_utc(at),
        context_window=rates.context_window,
        rows=rows,
        hours=() if info is None else describe_windows(info, at),
        tiers=(STANDARD,) if info is None else (STANDARD, *tiers_of(info)),
        next_change=None if info is None else next_change(info, at),
        source=rates.provenance[0].source,
        source_url=rates.provenance[0].source_url,
        provenance=rates.provenance,
        cache_storage_usd_per_mtok_h=None if stored is None else stored.usd_per_mtok_h,
    )


def api_models() -> tuple[ApiModel, ...]:
    """Every model of the library that has a price per token, ordered by provider and id."""
    return tuple(
        ApiModel(
            provider=provider.id,
            id=info.id,
            name=info.name or info.id,
            context_window=info.context_window,
            deprecated=bool(info.deprecated),
            has_cache_rate=_has_rate(info, "cache_read_mtok"),
            has_batch_rate="batch" in tiers_of(info),
            source_url=pricing_url(provider),
        )
        for provider in sorted(snapshot().providers, key=lambda provider: provider.id)
        for info in sorted(provider.models, key=lambda info: info.id)
        if _has_rate(info, "input_mtok") or _has_rate(info, "output_mtok")
    )


def _query(model: str, at: datetime, tier: str, hourly_share: Sequence[float] | None) -> RateQuery:
    share = None if hourly_share is None else tuple(hourly_share)
    return RateQuery(model=model, at=at, tier=tier, hourly_share=share)


def _lines(rates: ResolvedRates, tally: ShapeTally) -> Iterator[ApiBillLine]:
    for entry in rates.tiers:
        for kind in TokenKind:
            amount = tally.sum(kind, above=entry.above_input_tokens, up_to=entry.up_to_input_tokens)
            if not amount or (kind is TokenKind.REQUEST and kind not in entry.own):
                continue
            rate = entry.usd_per_mtok.get(kind)
            if rate is None:
                raise PriceError(
                    f"{rates.model} has no price for {kind} tokens in {rates.provenance[0].source}, "
                    f"and the requests have {amount:,}"
                )
            yield ApiBillLine(
                kind=kind,
                tokens=amount,
                usd_per_mtok=rate,
                cost_usd=amount * rate / TOKENS_PER_MTOK,
                above_input_tokens=entry.above_input_tokens,
                provenance=why_of(rates, entry, kind),
            )


def _has_rate(info: ModelInfo, price_key: str) -> bool:
    return any(getattr(row.prices, price_key) for row in conditional_prices(info))
