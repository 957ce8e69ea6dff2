"""Bills worked by hand from the providers' published rates (USD per million tokens), exact to the last decimal.

Each `working` is the arithmetic on paper: thousands of tokens (k) or millions (M) times the published rate.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from pricing.api import api_bill
from pricing.types import RequestShape, ShapeCount

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def calls(count: int, **tokens: int) -> ShapeCount:
    return ShapeCount(shape=RequestShape(**tokens), count=count)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def all_in_hours(*hours: int) -> list[float]:
    """All traffic in these hours of Mondays [UTC]; above 120 those of Saturdays."""
    return [1.0 if hour in hours else 0.0 for hour in range(168)]


@dataclass(frozen=True, kw_only=True)
class Worked:
    why: str
    model: str
    calls: list[ShapeCount]
    working: str
    usd: str
    when: datetime = NOON
    tier: str = "standard"
    hours: list[float] | None = field(default=None)


WORKED = [
    Worked(
        why="plain",
        model="openai/gpt-4o-mini",
        calls=[calls(1_000, input_tokens=2_000, output_tokens=100)],
        working="2M*0.15 = 0.30; 0.1M*0.60 = 0.06",
        usd="0.36",
    ),
    Worked(
        why="cached input",
        model="openai/gpt-4o-mini",
        calls=[calls(500, input_tokens=10_000, cached_input_tokens=8_000, output_tokens=200)],
        working="1M*0.15 = 0.15; cached 4M*0.075 = 0.30; 0.1M*0.60 = 0.06",
        usd="0.51",
    ),
    Worked(
        why="at the context tier",
        model="openai/gpt-6-luna",
        calls=[calls(1, input_tokens=272_000, output_tokens=1_000)],
        working="272k*0.10 = 0.0272; 1k*0.50 = 0.0005",
        usd="0.0277",
    ),
    Worked(
        why="one token over the context tier: every token at the higher rate",
        model="openai/gpt-6-luna",
        calls=[calls(1, input_tokens=272_001, output_tokens=1_000)],
        working="272.001k*0.20 = 0.0544002; 1k*0.75 = 0.00075",
        usd="0.0551502",
    ),
    Worked(
        why="at another provider's context tier",
        model="anthropic/claude-haiku-5-5",
        calls=[calls(1, input_tokens=100_000, output_tokens=500)],
        working="100k*0.10 = 0.01; 0.5k*0.50 = 0.00025",
        usd="0.01025",
    ),
    Worked(
        why="one token over it",
        model="anthropic/claude-haiku-5-5",
        calls=[calls(1, input_tokens=100_001, output_tokens=500)],
        working="100.001k*0.50 = 0.0500005; 0.5k*2.50 = 0.00125",
        usd="0.0512505",
    ),
    Worked(
        why="short and long requests in one histogram, tier by request, cached in both",
        model="anthropic/claude-haiku-5-5",
        calls=[
            calls(10, input_tokens=50_000, cached_input_tokens=40_000, output_tokens=1_000),
            calls(2, input_tokens=150_000, cached_input_tokens=140_000, output_tokens=1_000),
        ],
        working="short: 100k*0.10 + 400k*0.01 + 10k*0.50 = 0.019; long: 20k*0.50 + 280k*0.05 + 2k*2.50 = 0.029",
        usd="0.048",
    ),
    Worked(
        why="the day before a tier was dropped",
        model="anthropic/claude-sonnet-4-6",
        when=at("2026-03-12T23:59:59"),
        calls=[calls(1, input_tokens=300_000, output_tokens=1_000)],
        working="300k*6.00 = 1.80; 1k*22.50 = 0.0225",
        usd="1.8225",
    ),
    Worked(
        why="the day it was dropped",
        model="anthropic/claude-sonnet-4-6",
        when=at("2026-03-13"),
        calls=[calls(1, input_tokens=300_000, output_tokens=1_000)],
        working="300k*3.00 = 0.90; 1k*15.00 = 0.015",
        usd="0.915",
    ),
    Worked(
        why="last second of an introductory price",
        model="google/gemini-3.8-flash",
        when=at("2026-12-31T23:59:59"),
        calls=[calls(1_000, input_tokens=1_000, output_tokens=200)],
        working="1M*0.75 = 0.75; 0.2M*3.75 = 0.75",
        usd="1.50",
    ),
    Worked(
        why="first second after it",
        model="google/gemini-3.8-flash",
        when=at("2027-01-01"),
        calls=[calls(1_000, input_tokens=1_000, output_tokens=200)],
        working="1M*1.50 = 1.50; 0.2M*7.50 = 1.50",
        usd="3.00",
    ),
    Worked(
        why="the cached rate changes on the same day",
        model="google/gemini-3.8-flash",
        when=at("2027-01-01"),
        calls=[calls(100, input_tokens=5_000, cached_input_tokens=4_000, output_tokens=300)],
        working="0.1M*1.50 = 0.15; cached 0.4M*0.15 = 0.06; 0.03M*7.50 = 0.225",
        usd="0.435",
    ),
    Worked(
        why="another announced change, the day before",
        model="google/gemini-4-argon",
        when=at("2026-11-30"),
        calls=[calls(10, input_tokens=10_000, output_tokens=1_000)],
        working="0.1M*2 = 0.20; 0.01M*10 = 0.10",
        usd="0.30",
    ),
    Worked(
        why="another announced change, the day itself",
        model="google/gemini-4-argon",
        when=at("2026-12-01"),
        calls=[calls(10, input_tokens=10_000, output_tokens=1_000)],
        working="0.1M*4 = 0.40; 0.01M*20 = 0.20",
        usd="0.60",
    ),
    Worked(
        why="a month's thousand million tokens in short requests never reach the long-context tier",
        model="google/gemini-2.5-pro",
        calls=[calls(100_000, input_tokens=10_000, output_tokens=0)],
        working="1000M*1.25 = 1250 (as one call it would be 1000M*2.50 = 2500)",
        usd="1250",
    ),
    Worked(
        why="peak hours 01-04 and 06-10 UTC from Monday to Friday, even traffic",
        model="deepseek/deepseek-v4-flash",
        calls=[calls(1_000, input_tokens=10_000, output_tokens=1_000)],
        working="(35*0.30+133*0.15)/168 = 0.18125, 10M = 1.8125; (35*1.20+133*0.60)/168 = 0.725, 1M = 0.725",
        usd="2.5375",
    ),
    Worked(
        why="a peak hour on a Saturday is none",
        model="deepseek/deepseek-v4-flash",
        hours=all_in_hours(122),
        calls=[calls(1_000, input_tokens=10_000, output_tokens=1_000)],
        working="10M*0.15 = 1.50; 1M*0.60 = 0.60",
        usd="2.10",
    ),
    Worked(
        why="all traffic in a peak hour",
        model="deepseek/deepseek-v4-flash",
        hours=all_in_hours(2),
        calls=[calls(1_000, input_tokens=10_000, output_tokens=1_000)],
        working="10M*0.30 = 3.00; 1M*1.20 = 1.20",
        usd="4.20",
    ),
    Worked(
        why="all traffic off peak",
        model="deepseek/deepseek-v4-flash",
        hours=all_in_hours(12),
        calls=[calls(1_000, input_tokens=10_000, output_tokens=1_000)],
        working="10M*0.15 = 1.50; 1M*0.60 = 0.60",
        usd="2.10",
    ),
    Worked(
        why="the hours on both sides of the end of the peak",
        model="deepseek/deepseek-v4-flash",
        hours=all_in_hours(3, 4),
        calls=[calls(1_000, input_tokens=10_000, output_tokens=1_000)],
        working="10M*(0.30+0.15)/2 = 2.25; 1M*(1.20+0.60)/2 = 0.90",
        usd="3.15",
    ),
    Worked(
        why="cached input off peak",
        model="deepseek/deepseek-v4-flash",
        hours=all_in_hours(12),
        calls=[calls(1_000, input_tokens=10_000, cached_input_tokens=9_000, output_tokens=100)],
        working="1M*0.15 = 0.15; cached 9M*0.003 = 0.027; 0.1M*0.60 = 0.06",
        usd="0.237",
    ),
    Worked(
        why="a window that starts on the half hour",
        model="deepseek/deepseek-chat",
        hours=all_in_hours(0),
        calls=[calls(1_000, input_tokens=1_000, output_tokens=1_000)],
        working="00:00-00:30 at 0.135 and 0.55, 00:30-01:00 at 0.27 and 1.10: 1M*0.2025 + 1M*0.825",
        usd="1.0275",
    ),
    Worked(
        why="odd numbers",
        model="mistral/mistral-small-2603",
        calls=[calls(365, input_tokens=1_234, cached_input_tokens=234, output_tokens=567)],
        working="365k*0.15 = 0.05475; cached 85.41k*0.015 = 0.00128115; 206.955k*0.60 = 0.124173",
        usd="0.18020415",
    ),
    Worked(
        why="a model id with a slash at a host of open models",
        model="groq/openai/gpt-oss-20b",
        calls=[calls(7, input_tokens=4_808, output_tokens=10)],
        working="33.656k*0.075 = 0.0025242; 0.07k*0.30 = 0.000021",
        usd="0.0025452",
    ),
    Worked(
        why="cached input where there is no cached rate is input",
        model="together/Qwen/Qwen3.5-9B",
        calls=[calls(100, input_tokens=1_000, cached_input_tokens=900, output_tokens=10)],
        working="100k*0.17 = 0.017; 1k*0.25 = 0.00025",
        usd="0.01725",
    ),
    Worked(
        why="a provider whose ids the library itself cannot look up",
        model="fireworks/gpt-oss-20b",
        calls=[calls(3, input_tokens=3_180, output_tokens=8)],
        working="9.54k*0.07 = 0.0006678; 0.024k*0.30 = 0.0000072",
        usd="0.000675",
    ),
    Worked(
        why="five-minute and one-hour cache writes",
        model="anthropic/claude-sonnet-5-5",
        calls=[
            calls(10, input_tokens=10_000, cache_write_tokens=8_000, cache_write_1h_tokens=3_000, output_tokens=500)
        ],
        working="20k*2 = 0.04; write 50k*2.50 = 0.125; write 1h 30k*4 = 0.12; 5k*10 = 0.05",
        usd="0.335",
    ),
    Worked(
        why="a fee per request on top of the tokens",
        model="perplexity/sonar-pro",
        calls=[calls(1_000, input_tokens=500, output_tokens=200)],
        working="0.5M*3 = 1.50; 0.2M*15 = 3.00; 1k requests*14 per k = 14",
        usd="18.50",
    ),
    Worked(
        why="reasoning tokens at their own rate",
        model="openrouter/perplexity/sonar-deep-research",
        calls=[calls(10, input_tokens=1_000, output_tokens=5_000, reasoning_tokens=4_000)],
        working="10k*2 = 0.02; 10k*8 = 0.08; reasoning 40k*3 = 0.12",
        usd="0.22",
    ),
    Worked(
        why="reasoning tokens without a rate of their own are output",
        model="openai/gpt-6-luna",
        calls=[calls(10, input_tokens=1_000, output_tokens=5_000, reasoning_tokens=4_000)],
        working="10k*0.10 = 0.001; 50k*0.50 = 0.025",
        usd="0.026",
    ),
    Worked(
        why="batch in the long-context tier",
        model="google/gemini-2.5-pro",
        tier="batch",
        calls=[calls(1, input_tokens=300_000, output_tokens=1_000)],
        working="300k*1.25 = 0.375; 1k*7.50 = 0.0075",
        usd="0.3825",
    ),
    Worked(
        why="batch with cached input at half the cached rate",
        model="openai/gpt-6-luna",
        tier="batch",
        calls=[calls(100, input_tokens=10_000, cached_input_tokens=6_000, output_tokens=1_000)],
        working="0.4M*0.05 = 0.02; cached 0.6M*0.005 = 0.003; 0.1M*0.25 = 0.025",
        usd="0.048",
    ),
    Worked(
        why="priority tier",
        model="openai/gpt-6-luna",
        tier="priority",
        calls=[calls(100, input_tokens=10_000, output_tokens=1_000)],
        working="1M*0.20 = 0.20; 0.1M*1.00 = 0.10",
        usd="0.30",
    ),
]


@pytest.mark.parametrize("row", WORKED, ids=lambda row: f"{row.model}: {row.why}")
def test_bill_is_exact(row: Worked) -> None:
    bill = api_bill(row.model, row.calls, row.when, tier=row.tier, hourly_share=row.hours)
    assert bill.total_usd == Decimal(row.usd), row.working


def test_bill_lines_explain_the_total() -> None:
    shapes = [
        calls(10, input_tokens=50_000, cached_input_tokens=40_000, output_tokens=1_000),
        calls(2, input_tokens=150_000, cached_input_tokens=140_000, output_tokens=1_000),
    ]
    bill = api_bill("anthropic/claude-haiku-5-5", shapes, NOON)
    told = [(str(x.kind), x.above_input_tokens, x.tokens, str(x.usd_per_mtok), x.cost_usd) for x in bill.lines]
    assert told == [
        ("input", 0, 100_000, "0.1", Decimal("0.01")),
        ("cached input", 0, 400_000, "0.01", Decimal("0.004")),
        ("output", 0, 10_000, "0.5", Decimal("0.005")),
        ("input", 100_000, 20_000, "0.5", Decimal("0.01")),
        ("cached input", 100_000, 280_000, "0.05", Decimal("0.014")),
        ("output", 100_000, 2_000, "2.5", Decimal("0.005")),
    ]
    assert bill.requests == 12
    assert bill.source.startswith("genai-prices ")
    assert bill.source_url == "https://www.anthropic.com/pricing#api"
