"""Models of hosts that the price library lacks are priced, listed and refused like all others."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from planner.errors import PriceError
from pricing.api import api_bill, api_models, rate_card
from pricing.types import RequestShape, ShapeCount

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def test_a_bill_of_a_host_from_our_table() -> None:
    """1,000 x (1,500 at 0.40 + 500 cached at 0.08 + 100 out at 1.75) per million = 0.600 + 0.040 + 0.175 USD."""
    shape = RequestShape(input_tokens=2_000, output_tokens=100, cached_input_tokens=500)
    bill = api_bill("deepinfra/zai-org/GLM-4.7", [ShapeCount(shape=shape, count=1_000)], NOON)
    assert bill.total_usd == Decimal("0.815")
    (why,) = bill.provenance
    assert (why.layer, why.source_url, why.as_of) == ("table", "https://deepinfra.com/pricing", date(2026, 11, 20))


def test_no_cache_rate_means_plain_input() -> None:
    shape = RequestShape(input_tokens=1_000_000, output_tokens=0, cached_input_tokens=400_000)
    with pytest.raises(PriceError, match="at most 131,072 input tokens"):
        api_bill("deepinfra/openai/gpt-oss-20b", [ShapeCount(shape=shape, count=1)], NOON)
    ten = RequestShape(input_tokens=100_000, output_tokens=0, cached_input_tokens=40_000)
    assert api_bill("deepinfra/openai/gpt-oss-20b", [ShapeCount(shape=ten, count=10)], NOON).total_usd == Decimal(
        "0.03"
    )


def test_wrong_names_and_tiers_are_refused_with_the_closest() -> None:
    with pytest.raises(PriceError, match="deepinfra/openai/gpt-oss-20b"):
        rate_card("deepinfra/openai/gpt-oss-20", NOON)
    with pytest.raises(PriceError, match="deepinfra"):
        rate_card("deepinfr/openai/gpt-oss-20b", NOON)
    with pytest.raises(PriceError, match='no "batch" price'):
        rate_card("deepinfra/openai/gpt-oss-20b", NOON, tier="batch")


def test_the_hosts_of_open_models_can_all_be_reached() -> None:
    providers = {model.provider for model in api_models()}
    labs = {"openai", "anthropic", "google", "mistral", "deepseek", "x-ai", "cohere"}
    hosts = {"together", "groq", "fireworks", "deepinfra", "cerebras", "baseten", "novita", "aws", "azure"}
    assert labs | hosts | {"openrouter"} <= providers
