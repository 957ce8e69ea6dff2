"""Whatever cannot be priced stops with a sentence that names the way out; nothing becomes a silent number."""

from datetime import UTC, datetime

import pytest

from planner.errors import InputError, PriceError
from pricing.api import api_bill, rate_card
from pricing.hardware import find_accelerator, purchase_for, purchase_offer, rental_offer, smallest_rental_for
from pricing.types import RequestShape, ShapeCount

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SMALL = [ShapeCount(shape=RequestShape(input_tokens=1_000, output_tokens=100), count=1)]


@pytest.mark.parametrize(
    ("model", "hints"),
    [
        ("openai/gpt-6-lunaa", ["closest at openai: openai/gpt-6-luna"]),
        ("anthropic/claude-nonexistent-9", ["is not in genai-prices", "anthropic/claude-"]),
        ("opnai/gpt-6-luna", ['knows no provider "opnai"', "openai", "openai/gpt-6-luna"]),
        ("gemini/gemini-2.5-pro", ['knows no provider "gemini"', "google/gemini-2.5-pro"]),
        ("gpt-6-luna", ["must be written as provider/model-id", "openai/gpt-6-luna"]),
        ("nothing-like-it", ["must be written as provider/model-id", "breakeven prices list"]),
        ("", ["must be written as provider/model-id"]),
        ("openai/", ["must be written as provider/model-id"]),
        ("zzz/zzz", ['knows no provider "zzz"', "known are anthropic"]),
        ("fireworks/llama-3.3-70b", ["closest at fireworks", "elsewhere: "]),
    ],
)
def test_unknown_model_names_the_closest_real_ones(model: str, hints: list[str]) -> None:
    with pytest.raises(PriceError) as error:
        api_bill(model, SMALL, NOON)
    assert all(hint in str(error.value) for hint in hints), error.value


@pytest.mark.parametrize(
    ("model", "real"),
    [
        ("anthropic/claude-sonnet-4-5-foo", "anthropic/claude-sonnet-4-5"),
        ("azure/gpt-6-luna", "openai/gpt-6-luna"),
        ("openai/gpt-5.2-20251211", "openai/gpt-5.2"),
    ],
)
def test_a_name_that_only_fits_a_pattern_is_refused(model: str, real: str) -> None:
    with pytest.raises(PriceError, match="only a pattern leads to") as error:
        api_bill(model, SMALL, NOON)
    assert f"write {real} if" in str(error.value)


def test_a_name_that_the_library_lists_word_for_word_is_taken() -> None:
    bill = api_bill("openai/gpt-4o-mini-2024-07-18", SMALL, NOON)
    assert (bill.model, bill.matched_model) == ("openai/gpt-4o-mini-2024-07-18", "openai/gpt-4o-mini")
    assert api_bill("OpenAI/GPT-4o-mini", SMALL, NOON).matched_model == "openai/gpt-4o-mini"


def test_request_over_the_context_window() -> None:
    fits = [ShapeCount(shape=RequestShape(input_tokens=131_072, output_tokens=1), count=1)]
    assert api_bill("groq/openai/gpt-oss-20b", fits, NOON).requests == 1
    over = [ShapeCount(shape=RequestShape(input_tokens=131_073, output_tokens=1), count=1)]
    with pytest.raises(PriceError, match=r"at most 131,072 input tokens, but a request has 131,073"):
        api_bill("groq/openai/gpt-oss-20b", over, NOON)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("openai/whisper-1", "no price per token"),
        ("mistral/mistral-nemo:free", "no price per token"),
        ("cerebras/qwen-3-coder-480b", "no price per token"),
        ("openrouter/google/gemma-3-12b-it:free", "free|no price per token"),
    ],
)
def test_no_token_price_is_not_zero(model: str, reason: str) -> None:
    with pytest.raises(PriceError, match=reason):
        api_bill(model, SMALL, NOON)


def test_output_tokens_on_a_model_without_output_price() -> None:
    with pytest.raises(PriceError, match="no price for output tokens"):
        api_bill("cohere/embed-v4.0", SMALL, NOON)


@pytest.mark.parametrize(
    ("model", "tier", "when", "reason"),
    [
        ("deepseek/deepseek-v4-flash", "batch", NOON, 'no "batch" price .* it has: standard$'),
        ("together/Qwen/Qwen3.5-9B", "batch", NOON, 'no "batch" price'),
        (
            "openai/gpt-6-luna",
            "express",
            NOON,
            'no "express" price .* it has: standard, batch, fast, flex, priority',
        ),
        ("openai/gpt-6-luna", "default", NOON, "says nothing about input tokens"),
        ("openai/gpt-6-luna", "batch", datetime(2026, 10, 13, tzinfo=UTC), "known from 2026-10-14 on"),
    ],
)
def test_a_tier_that_does_not_match_is_not_the_standard_price(
    model: str, tier: str, when: datetime, reason: str
) -> None:
    with pytest.raises(PriceError, match=reason):
        api_bill(model, SMALL, when, tier=tier)


@pytest.mark.parametrize(
    ("shape", "count"),
    [
        (RequestShape(input_tokens=-1, output_tokens=0), 1),
        (RequestShape(input_tokens=10, output_tokens=0, cached_input_tokens=11), 1),
        (RequestShape(input_tokens=10, output_tokens=0, cached_input_tokens=6, cache_write_tokens=5), 1),
        (RequestShape(input_tokens=10, output_tokens=0, cache_write_tokens=5, cache_write_1h_tokens=6), 1),
        (RequestShape(input_tokens=10, output_tokens=1, reasoning_tokens=2), 1),
        (RequestShape(input_tokens=10, output_tokens=1), -1),
        (RequestShape(input_tokens=10, output_tokens=1), 2.5),
    ],
)
def test_impossible_shapes_and_counts(shape: RequestShape, count: int) -> None:
    with pytest.raises(InputError):
        api_bill("openai/gpt-6-luna", [ShapeCount(shape=shape, count=count)], NOON)


@pytest.mark.parametrize("share", [[1.0] * 23, [0.0] * 24, [-1.0] + [1.0] * 23])
def test_impossible_hourly_profile(share: list[float]) -> None:
    with pytest.raises(InputError, match="24 weights"):
        api_bill("deepseek/deepseek-v4-flash", SMALL, NOON, hourly_share=share)
    with pytest.raises(InputError, match="24 weights"):
        rate_card("openai/gpt-6-luna", NOON, hourly_share=share)


def test_unknown_machines_name_the_closest() -> None:
    with pytest.raises(PriceError, match=r"aws-c7a-large"):
        rental_offer("aws-c7a.large")
    with pytest.raises(PriceError, match=r"hgx-h100-8"):
        purchase_offer("hgx-h100")
    with pytest.raises(PriceError, match=r"closest: .*H100"):
        find_accelerator("NVIDIA H1000")
    with pytest.raises(PriceError, match=r"largest is"):
        smallest_rental_for(1_000, 1.0, None)
    with pytest.raises(PriceError, match=r"largest is cpu-2p-192c with 192"):
        purchase_for(None, cpu_cores=1_000)
