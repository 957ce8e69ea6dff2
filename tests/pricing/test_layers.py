"""Your own prices: which layer wins, what it costs, where it came from; files that are wrong are named."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from planner.errors import InputError, PriceError
from pricing.api import api_bill, rate_card
from pricing.layers import layered
from pricing.own_prices import OwnPrices, read_own_prices
from pricing.rates import Resolve
from pricing.types import RequestShape, ShapeCount

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
CALLS = [ShapeCount(shape=RequestShape(input_tokens=10_000, cached_input_tokens=4_000, output_tokens=1_000), count=100)]
WHY = 'source = "Contract 4711"\nas_of = 2026-11-01\n'


def own(tmp_path: Path, text: str) -> OwnPrices:
    path = tmp_path / "prices.toml"
    path.write_text(text, "utf-8")
    return read_own_prices(path)


def resolver(tmp_path: Path, text: str) -> Resolve:
    return layered(own(tmp_path, text).layers)


def test_discount_on_a_provider(tmp_path: Path) -> None:
    """0.6M*0.10*0.8 = 0.048; cached 0.4M*0.01*0.8 = 0.0032; 0.1M*0.50*0.8 = 0.04."""
    resolve = resolver(tmp_path, f'[[discount]]\ntarget = "openai"\npercent = 20\n{WHY}')
    bill = api_bill("openai/gpt-6-luna", CALLS, NOON, resolve=resolve)
    assert bill.total_usd == Decimal("0.0912")
    assert [(p.layer, p.source) for p in bill.provenance] == [
        ("library", "genai-prices 0.2.3"),
        ("discount", "Contract 4711"),
    ]
    other = api_bill("mistral/mistral-small-2603", CALLS, NOON, resolve=resolve)
    assert other == api_bill("mistral/mistral-small-2603", CALLS, NOON)


def test_discount_on_the_model_beats_the_one_on_its_provider(tmp_path: Path) -> None:
    text = f'[[discount]]\ntarget = "openai"\npercent = 20\n{WHY}'
    text += f'[[discount]]\ntarget = "openai/gpt-6-luna"\npercent = 12.5\n{WHY}'
    card = rate_card("openai/gpt-6-luna", NOON, resolve=resolver(tmp_path, text))
    assert card.rows[0].usd_per_mtok == Decimal("0.0875")


def test_organisation_rate_over_discount_and_scenario_over_organisation(tmp_path: Path) -> None:
    """Output 0.30 by contract and not discounted again; the scenario then asks: what if it were 0.20?"""
    text = f'[[discount]]\ntarget = "openai"\npercent = 20\n{WHY}'
    text += f'[[rate]]\nmodel = "openai/gpt-6-luna"\nusd_per_mtok = {{ output = 0.30 }}\n{WHY}'
    bill = api_bill("openai/gpt-6-luna", CALLS, NOON, resolve=resolver(tmp_path, text))
    assert bill.total_usd == Decimal("0.048") + Decimal("0.0032") + Decimal("0.03")
    assert [p.layer for p in bill.provenance] == ["organisation", "library", "discount"]
    text += '[[rate]]\nlayer = "scenario"\nmodel = "openai/gpt-6-luna"\nusd_per_mtok = { output = 0.20 }\n'
    text += 'source = "What if"\nas_of = 2026-11-20\nauthor = "KM"\n'
    bill = api_bill("openai/gpt-6-luna", CALLS, NOON, resolve=resolver(tmp_path, text))
    assert bill.total_usd == Decimal("0.048") + Decimal("0.0032") + Decimal("0.02")
    first = bill.provenance[0]
    assert (first.layer, first.source, first.note) == ("scenario", "What if", "sets output; by KM")


def test_surcharges_come_on_top_of_everything(tmp_path: Path) -> None:
    """Input 0.10*0.8*1.1*1.19 = 0.10472; output 0.30 by contract, *1.1*1.19 = 0.3927."""
    text = f'[[discount]]\ntarget = "openai"\npercent = 20\n{WHY}'
    text += f'[[rate]]\nmodel = "openai/gpt-6-luna"\nusd_per_mtok = {{ output = 0.30 }}\n{WHY}'
    text += f'[[surcharge]]\ntarget = "openai/gpt-6-luna"\npercent = 10\nnote = "data residency"\n{WHY}'
    text += f'[[surcharge]]\ntarget = "openai"\npercent = 19\n{WHY}'
    card = rate_card("openai/gpt-6-luna", NOON, resolve=resolver(tmp_path, text))
    rates = {str(row.kind): row.usd_per_mtok for row in card.rows if row.above_input_tokens == 0}
    assert (rates["input"], rates["output"]) == (Decimal("0.10472"), Decimal("0.3927"))
    assert [p.layer for p in card.provenance] == ["organisation", "library", "discount", "surcharge", "surcharge"]
    assert "10 % on top of openai/gpt-6-luna; data residency" in [p.note for p in card.provenance]


def test_rate_holds_from_its_first_day_until_the_day_before_its_last(tmp_path: Path) -> None:
    text = '[[rate]]\nmodel = "openai/gpt-6-luna"\nusd_per_mtok = { input = 0.05 }\n'
    text += f"from_date = 2027-01-01\nto_date = 2027-02-01\n{WHY}"
    resolve = resolver(tmp_path, text)
    days = ["2026-12-31", "2027-01-01", "2027-01-31", "2027-02-01"]
    rates = [
        rate_card("openai/gpt-6-luna", datetime.fromisoformat(day), resolve=resolve).rows[0].usd_per_mtok
        for day in days
    ]
    assert rates == [Decimal("0.1"), Decimal("0.05"), Decimal("0.05"), Decimal("0.1")]


def test_own_context_tier_and_window(tmp_path: Path) -> None:
    """Up to 32,000 tokens of prompt 0.05, longer 0.08; the published tier above 272,000 is overruled as well."""
    text = f'[[rate]]\nmodel = "openai/gpt-6-luna"\nusd_per_mtok = {{ input = 0.05 }}\n{WHY}'
    text += '[[rate]]\nmodel = "openai/gpt-6-luna"\nabove_input_tokens = 32_000\ncontext_window = 400_000\n'
    text += f"usd_per_mtok = {{ input = 0.08 }}\n{WHY}"
    resolve = resolver(tmp_path, text)

    def usd(tokens: int) -> Decimal:
        shape = RequestShape(input_tokens=tokens, output_tokens=0)
        return api_bill("openai/gpt-6-luna", [ShapeCount(shape=shape, count=1)], NOON, resolve=resolve).total_usd

    assert usd(32_000) == Decimal("0.0016")
    assert usd(32_001) == Decimal("0.00256008")
    assert usd(300_000) == Decimal("0.024")
    with pytest.raises(PriceError, match="400,000"):
        usd(400_001)


def test_model_of_ones_own_that_no_library_knows(tmp_path: Path) -> None:
    text = f'[[rate]]\nmodel = "intranet/llama"\nusd_per_mtok = {{ input = 0.02, output = 0.04 }}\n{WHY}'
    bill = api_bill("intranet/llama", CALLS, NOON, resolve=resolver(tmp_path, text))
    assert bill.total_usd == Decimal("0.024")
    assert (bill.source, bill.source_url) == ("Contract 4711", None)
    half = f'[[rate]]\nmodel = "intranet/llama"\nusd_per_mtok = {{ input = 0.02 }}\n{WHY}'
    with pytest.raises(PriceError, match='no provider "intranet"'):
        api_bill("intranet/llama", CALLS, NOON, resolve=resolver(tmp_path, half))


def test_own_batch_rate_where_the_library_has_none(tmp_path: Path) -> None:
    text = '[[rate]]\nmodel = "together/Qwen/Qwen3.5-9B"\ntier = "batch"\n'
    text += f"usd_per_mtok = {{ input = 0.085, output = 0.125 }}\n{WHY}"
    resolve = resolver(tmp_path, text)
    assert api_bill("together/Qwen/Qwen3.5-9B", CALLS, NOON, tier="batch", resolve=resolve).total_usd == Decimal(
        "0.0975"
    )
    assert api_bill("together/Qwen/Qwen3.5-9B", CALLS, NOON, resolve=resolve).total_usd == Decimal("0.195")


def test_two_rules_of_one_rank_contradict(tmp_path: Path) -> None:
    twice = f'[[rate]]\nmodel = "openai/gpt-6-luna"\nusd_per_mtok = {{ input = 0.05 }}\n{WHY}' * 2
    with pytest.raises(PriceError, match="two organisation rates hold on the same day"):
        api_bill("openai/gpt-6-luna", CALLS, NOON, resolve=resolver(tmp_path, twice))
    twice = f'[[discount]]\ntarget = "openai"\npercent = 5\n{WHY}' * 2
    with pytest.raises(PriceError, match="two discounts for openai"):
        api_bill("openai/gpt-6-luna", CALLS, NOON, resolve=resolver(tmp_path, twice))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[[rate]\n", "is no TOML file"),
        ("[[rates]]\n", "unknown table rates; known are regions, rate, discount, surcharge, commitment"),
        ('[[rate]]\nmodel = "openai/x"\nusd_per_mtok = { input = 1 }\n', "rate 1: source: Field required"),
        (f'[[rate]]\nmodel = "gpt"\nusd_per_mtok = {{ input = 1 }}\n{WHY}', "rate 1: model: "),
        (
            f'[[rate]]\nmodel = "openai/x"\nusd_per_mtok = {{ inputs = 1 }}\n{WHY}',
            "no token kind inputs; known are input",
        ),
        (f'[[rate]]\nmodel = "openai/x"\nusd_per_mtok = {{ input = -1 }}\n{WHY}', "usd_per_mtok.input: .*greater"),
        (f'[[discount]]\ntarget = "openai"\npercent = 100\n{WHY}', "discount 1: percent: .*less than 100"),
        (f'[[discount]]\ntarget = "openai"\npercent = 5\nfrm = 1\n{WHY}', "frm: Extra inputs"),
        (
            f'[[discount]]\ntarget = "o"\npercent = 5\nfrom_date = 2027-01-01\nto_date = 2027-01-01\n{WHY}',
            "to_date must lie after from_date",
        ),
        (f'[[commitment]]\nkind = "gift"\n{WHY}', "commitment 1: .*gift"),
        (
            f'[[commitment]]\nkind = "prepaid"\nid = "a"\ntargets = ["openai"]\npaid_usd = 1\ncredit_usd = 1\n'
            f"bought_on = 2027-01-01\nexpires_on = 2026-01-01\n{WHY}",
            "expires_on must lie after bought_on",
        ),
    ],
)
def test_a_wrong_file_is_named(text: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=complaint):
        own(tmp_path, text)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the price file"):
        read_own_prices(tmp_path / "absent.toml")


def test_commitments_are_read(tmp_path: Path) -> None:
    text = f"""
[[commitment]]
kind = "minimum-spend"
id = "floor"
targets = ["openai"]
usd_per_month = 10_000
from_date = 2027-01-01
{WHY}
[[commitment]]
kind = "prepaid"
id = "credit"
targets = ["anthropic"]
paid_usd = 1000
credit_usd = 1250
bought_on = 2026-12-01
expires_on = 2027-03-01
{WHY}
[[commitment]]
kind = "provisioned"
id = "reserved"
model = "openai/gpt-6-sol"
units = 2
usd_per_unit_h = 3
tokens_per_min = 1000
output_weight = 4.0
{WHY}
"""
    found = own(tmp_path, text).commitments
    assert [c.id for c in found] == ["floor", "credit", "reserved"]
    assert found[0].window.from_date == date(2027, 1, 1)


@pytest.mark.parametrize(
    "rule",
    [
        'discount]]\ntarget = "opnai"\npercent = 5\n',
        'surcharge]]\ntarget = "opnai/gpt-6-luna"\npercent = 5\n',
        'commitment]]\nkind = "minimum-spend"\nid = "a"\ntargets = ["mistral", "opnai"]\nusd_per_month = 5\n',
    ],
)
def test_a_rule_for_an_unknown_provider_stops(tmp_path: Path, rule: str) -> None:
    with pytest.raises(InputError, match=r'there is no provider "opnai"; closest: openai'):
        own(tmp_path, f"[[{rule}{WHY}")
