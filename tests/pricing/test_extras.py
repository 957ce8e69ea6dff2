"""What the library lacks: peak days, regions, cache storage; worked by hand, refused where unknown."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from planner.errors import InputError, PriceError
from pricing.api import api_bill, rate_card
from pricing.check import aged_rows
from pricing.extras import find_region, peak_weekdays
from pricing.layers import layered
from pricing.library import find_model
from pricing.own_prices import read_own_prices
from pricing.rates import Resolve
from pricing.types import RequestShape, ShapeCount

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
CALLS = [ShapeCount(shape=RequestShape(input_tokens=10_000, output_tokens=1_000), count=100)]


def in_regions(tmp_path: Path, text: str) -> Resolve:
    path = tmp_path / "prices.toml"
    path.write_text(text, "utf-8")
    return layered(read_own_prices(path).layers)


def test_peak_days_begin_with_their_row_and_are_named() -> None:
    assert peak_weekdays("deepseek/deepseek-v4-pro", datetime(2026, 8, 22, 23, tzinfo=UTC)) is None
    found = peak_weekdays("deepseek/deepseek-v4-pro", datetime(2026, 8, 23, tzinfo=UTC))
    assert found is not None
    assert found[0] == {1, 2, 3, 4, 5}
    bill = api_bill("deepseek/deepseek-v4-pro", CALLS, NOON)
    assert [(p.layer, p.as_of) for p in bill.provenance] == [
        ("library", date(2026, 11, 20)),
        ("table", date(2026, 11, 20)),
    ]


def test_peak_days_follow_a_profile_of_the_week() -> None:
    """Half of the traffic in a peak hour of Tuesday, half on Sunday: (0.30 + 0.15) / 2 and (1.20 + 0.60) / 2."""
    week = [0.0] * 168
    week[24 + 7] = week[6 * 24 + 7] = 3.0
    bill = api_bill("deepseek/deepseek-v4-flash", CALLS, NOON, hourly_share=week)
    assert bill.total_usd == Decimal("0.225") + Decimal("0.09")


def test_a_region_comes_on_top_of_discounts_and_own_rates(tmp_path: Path) -> None:
    """Input 1M at 2.00 - 10 % + 10 % = 1.98; output 0.1M at 10.00 - 10 % + 10 % = 0.99."""
    why = 'source = "Contract 4711"\nas_of = 2026-11-01\n'
    resolve = in_regions(
        tmp_path, f'regions = ["anthropic-us"]\n[[discount]]\ntarget = "anthropic"\npercent = 10\n{why}'
    )
    bill = api_bill("anthropic/claude-sonnet-5", CALLS, NOON, resolve=resolve)
    assert bill.total_usd == Decimal("2.97")
    last = bill.lines[0].provenance[-1]
    assert (last.layer, last.source) == ("surcharge", "api_extras.toml anthropic-us")
    assert "support.claude.com" in str(last.source_url)
    other = api_bill("mistral/mistral-small-2603", CALLS, NOON, resolve=resolve)
    assert other == api_bill("mistral/mistral-small-2603", CALLS, NOON)


def test_a_model_that_the_region_does_not_offer_stops(tmp_path: Path) -> None:
    resolve = in_regions(tmp_path, 'regions = ["anthropic-us"]')
    with pytest.raises(PriceError, match=r"claude-haiku-4-5 has no price for region anthropic-us .* claude-sonnet-5"):
        api_bill("anthropic/claude-haiku-4-5", CALLS, NOON, resolve=resolve)
    with pytest.raises(InputError, match=r'no region "mars" .* anthropic-us, openai-regional, vertex-regional'):
        in_regions(tmp_path, 'regions = ["mars"]')
    with pytest.raises(InputError, match="must be a list of names"):
        in_regions(tmp_path, 'regions = "anthropic-us"')


@pytest.mark.parametrize("region", ["anthropic-us", "openai-regional", "vertex-regional"])
def test_every_model_of_a_region_is_in_the_library_under_that_id(region: str) -> None:
    row = find_region(region)
    assert {find_model(f"{row.provider}/{model}")[1].id for model in row.models} == row.models


def test_the_rate_card_shows_what_keeping_a_cache_costs() -> None:
    later = datetime(2027, 1, 1, tzinfo=UTC)
    assert rate_card("google/gemini-3.8-flash", NOON).cache_storage_usd_per_mtok_h == Decimal("0.50")
    assert rate_card("google/gemini-3.8-flash", later).cache_storage_usd_per_mtok_h == Decimal("1.00")
    assert rate_card("google/gemini-2.5-pro", NOON).cache_storage_usd_per_mtok_h == Decimal("4.50")
    assert rate_card("openai/gpt-6-luna", NOON).cache_storage_usd_per_mtok_h is None


def test_the_age_of_the_table_is_told() -> None:
    (row,) = [table for table in aged_rows(date(2027, 1, 19)) if table.table == "API extras"]
    assert (row.rows, row.green, row.amber, row.red, row.placeholders) == (8, 0, 8, 0, 2)
