"""Bills against the price library's own price of every single request, and laws that any bill obeys."""

import csv
import random
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from functools import cache
from pathlib import Path

import pytest
from genai_prices import Usage, calc_price
from genai_prices.types import ConditionalPrice, ModelInfo, Provider
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.api import DEFAULT_MODELS, api_bill, api_models, rate_card, tally_shapes
from pricing.library import snapshot
from pricing.tally import PromptTotal, tally_prompts
from pricing.types import ApiBill, RequestShape, ShapeCount

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAYS = st.datetimes(min_value=datetime(2025, 1, 1), max_value=datetime(2029, 1, 1), timezones=st.just(UTC))


@pytest.fixture(scope="module")
def azure_shapes(azure_log: Path) -> list[ShapeCount]:
    with azure_log.open(newline="") as file:
        rows = Counter((int(row["ContextTokens"]), int(row["GeneratedTokens"])) for row in csv.DictReader(file))
    return [
        ShapeCount(shape=RequestShape(input_tokens=given, output_tokens=made), count=count)
        for (given, made), count in rows.items()
    ]


@pytest.mark.parametrize("model", DEFAULT_MODELS)
def test_prompt_lengths_summed_first_cost_the_same(model: str, azure_shapes: list[ShapeCount]) -> None:
    cached = [
        ShapeCount(
            shape=RequestShape(
                input_tokens=entry.shape.input_tokens,
                output_tokens=entry.shape.output_tokens,
                cached_input_tokens=round(entry.shape.input_tokens * 0.37),
            ),
            count=entry.count,
        )
        for entry in azure_shapes
    ]
    requests, outputs = Counter[int](), Counter[int]()
    for entry in azure_shapes:
        requests[entry.shape.input_tokens] += entry.count
        outputs[entry.shape.input_tokens] += entry.count * entry.shape.output_tokens
    prompts = [PromptTotal(input_tokens=n, requests=requests[n], output_tokens=outputs[n]) for n in requests]
    assert api_bill(model, tally_prompts(prompts, 0.37), NOON) == api_bill(model, cached, NOON)


def looked_up(model: str) -> tuple[str, str]:
    """Provider and model as the library's own look-up wants them."""
    provider, _, name = model.partition("/")
    return provider, f"accounts/fireworks/models/{name}" if provider == "fireworks" else name


def library_price(model: str, shape: RequestShape, moment: datetime) -> Decimal:
    provider, name = looked_up(model)
    usage = Usage(
        input_tokens=shape.input_tokens,
        output_tokens=shape.output_tokens,
        cache_read_tokens=shape.cached_input_tokens,
    )
    return calc_price(usage, name, provider_id=provider, genai_request_timestamp=moment).total_price


def hours_of(day: datetime) -> list[datetime]:
    return [day.replace(hour=hour, minute=0, second=0, microsecond=0) for hour in range(24)]


@pytest.mark.parametrize("model", [m for m in DEFAULT_MODELS if not m.startswith("deepseek/")])
def test_real_log_costs_what_its_requests_cost_one_by_one(model: str, azure_shapes: list[ShapeCount]) -> None:
    one_by_one = sum(library_price(model, entry.shape, NOON) * entry.count for entry in azure_shapes)
    bill = api_bill(model, azure_shapes, NOON)
    assert bill.total_usd == one_by_one
    assert bill.requests == 8_819
    assert {str(line.kind): line.tokens for line in bill.lines} == {"input": 18_059_974, "output": 245_896}


def test_time_of_day_price_is_the_mean_over_the_hours_of_a_week(azure_shapes: list[ShapeCount]) -> None:
    some = azure_shapes[:200]
    model = "deepseek/deepseek-v4-flash"
    by_hour = [sum(library_price(model, e.shape, hour) * e.count for e in some) for hour in hours_of(NOON)]
    assert len(set(by_hour)) == 2
    week = by_hour * 5 + [min(by_hour)] * 48  # no peak at the weekend
    assert api_bill(model, some, NOON).total_usd == pytest.approx(sum(week) / 168, rel=Decimal("1e-24"))
    shares = [float(hour % 5) for hour in range(24)]
    weighted = sum(Decimal(hour % 24 % 5) * price for hour, price in enumerate(week)) / Decimal(7 * sum(shares))
    assert api_bill(model, some, NOON, hourly_share=shares).total_usd == pytest.approx(weighted, rel=Decimal("1e-24"))


def draw_shape(data: st.DataObject, longest: int) -> RequestShape:
    given_tokens = data.draw(st.integers(0, longest))
    cached = data.draw(st.integers(0, given_tokens))
    written = data.draw(st.integers(0, given_tokens - cached))
    made = data.draw(st.integers(0, 50_000))
    return RequestShape(
        input_tokens=given_tokens,
        cached_input_tokens=cached,
        cache_write_tokens=written,
        cache_write_1h_tokens=data.draw(st.integers(0, written)),
        output_tokens=made,
        reasoning_tokens=data.draw(st.integers(0, made)),
    )


def usage_of(shape: RequestShape) -> Usage:
    return Usage(
        input_tokens=shape.input_tokens,
        cache_read_tokens=shape.cached_input_tokens,
        cache_write_tokens=shape.cache_write_tokens,
        cache_write_1h_tokens=shape.cache_write_1h_tokens,
        output_tokens=shape.output_tokens,
        output_reasoning_tokens=shape.reasoning_tokens,
    )


@cache
def billable() -> list[tuple[Provider, ModelInfo]]:
    """Models with input and output prices, seen without our own code."""
    found = []
    for provider in snapshot().providers:
        for info in provider.models:
            rows = info.prices if isinstance(info.prices, list) else [ConditionalPrice(prices=info.prices)]
            if all(row.prices.input_mtok and row.prices.output_mtok for row in rows):
                found.append((provider, info))
    return found


@settings(deadline=None)
@given(st.data())
def test_any_model_any_day_any_shape_equals_the_library(data: st.DataObject) -> None:
    provider, info = data.draw(st.sampled_from(billable()))
    day = data.draw(DAYS)
    shape = draw_shape(data, info.context_window or 1_000_000)
    count = data.draw(st.integers(1, 1_000_000))
    hour = data.draw(st.sampled_from([h for h in hours_of(day) if not half_hour_window(info, h)]))
    shares = [1.0 if h == hour.hour else 0.0 for h in range(168)]  # that hour of Mondays
    bill = api_bill(f"{provider.id}/{info.id}", [ShapeCount(shape=shape, count=count)], day, hourly_share=shares)
    assert bill.matched_model == f"{provider.id}/{info.id}"
    per_call = info.calc_price(usage_of(shape), provider, genai_request_timestamp=hour).total_price
    assert bill.total_usd == per_call * count


def half_hour_window(info: ModelInfo, hour: datetime) -> bool:
    return info.get_prices(hour) != info.get_prices(hour + timedelta(minutes=59))


@settings(deadline=None)
@given(st.data())
def test_counts_add_up_and_order_does_not_matter(data: st.DataObject) -> None:
    model = data.draw(st.sampled_from(DEFAULT_MODELS))
    shapes = [
        ShapeCount(shape=draw_shape(data, 131_072), count=data.draw(st.integers(0, 10_000)))
        for _ in range(data.draw(st.integers(1, 6)))
    ]
    whole = api_bill(model, shapes, NOON)
    assert whole.total_usd == sum((api_bill(model, [one], NOON).total_usd for one in shapes), Decimal(0))
    assert whole.total_usd == sum((line.cost_usd for line in whole.lines), Decimal(0))
    shuffled = random.Random(7).sample(shapes, len(shapes))
    assert api_bill(model, shuffled, NOON) == whole
    assert api_bill(model, tally_shapes(shapes), NOON) == whole
    tripled = [ShapeCount(shape=one.shape, count=3 * one.count) for one in shapes]
    assert api_bill(model, tripled, NOON).total_usd == 3 * whole.total_usd


def test_no_requests_cost_nothing() -> None:
    bill = api_bill("openai/gpt-6-luna", [], NOON)
    assert (bill.requests, bill.lines, bill.total_usd) == (0, (), Decimal(0))


def test_same_bill_for_the_same_instant_in_another_zone_or_without_one() -> None:
    shapes = [ShapeCount(shape=RequestShape(input_tokens=1_000, output_tokens=200), count=1_000)]
    tokyo = datetime(2027, 1, 1, 8, 59, tzinfo=timezone(timedelta(hours=9)))
    assert bill_at(shapes, tokyo).total_usd == Decimal("1.50")
    assert bill_at(shapes, datetime(2027, 1, 1)).total_usd == Decimal("3.00")


def bill_at(shapes: list[ShapeCount], moment: datetime) -> ApiBill:
    return api_bill("google/gemini-3.8-flash", shapes, moment)


def test_default_models_are_current_varied_and_large_enough() -> None:
    known = {f"{m.provider}/{m.id}": m for m in api_models()}
    chosen = [known[model] for model in DEFAULT_MODELS]
    assert len({m.provider for m in chosen}) >= 6
    assert not any(m.deprecated for m in chosen)
    assert all(m.context_window is not None and m.context_window >= 8_192 for m in chosen)
    assert sum(m.has_cache_rate for m in chosen) >= 6
    assert all(m.source_url for m in chosen)
    cards = [rate_card(model, NOON) for model in DEFAULT_MODELS]
    assert any(card.next_change for card in cards)
    assert any(card.hours for card in cards)


def test_rate_card_names_the_announced_change_and_the_peak_hours() -> None:
    card = rate_card("google/gemini-3.8-flash", NOON)
    assert str(card.next_change) == "2027-01-01"
    assert rate_card("google/gemini-3.8-flash", datetime(2027, 1, 1, tzinfo=UTC)).next_change is None
    flash = rate_card("deepseek/deepseek-v4-flash", NOON)
    assert flash.hours == (
        "01:00-04:00 UTC: input 0.3, cached input 0.006, output 1.2 USD per Mtok",
        "06:00-10:00 UTC: input 0.3, cached input 0.006, output 1.2 USD per Mtok",
    )
    assert {str(row.kind): row.usd_per_mtok for row in flash.rows}["input"] == Decimal("0.18125")


def test_every_model_has_a_price_that_is_always_in_force() -> None:
    """The library falls back to a model's first price when no condition holds; it must then be unconditional."""
    for provider in snapshot().providers:
        for info in provider.models:
            if isinstance(info.prices, list):
                assert info.prices[0].constraint is None, f"{provider.id}/{info.id}"
