"""Published terms filled into commitments, worked by hand; unknown offers, models and unit numbers are refused."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from exact_settlement import free_usd, settle_provisioned

from planner.errors import InputError, PriceError
from pricing.api import rate_card
from pricing.commitment_offers import throughputs
from pricing.commitment_rows import COMMITMENT, commitment_row
from pricing.commitments import Commitment, FreeQuota, KeptCache, ProvisionedUnits
from pricing.layers import Note
from pricing.own_prices import read_own_prices
from pricing.types import TokenKind

WHY = Note(source="Contract 4711", as_of=date(2026, 11, 1))
SAID = 'source = "Contract 4711"\nas_of = 2026-11-01\n'


def read(tmp_path: Path, text: str) -> tuple[Commitment, ...]:
    path = tmp_path / "prices.toml"
    path.write_text(text, "utf-8")
    return read_own_prices(path).commitments


PTU = '[[commitment]]\nkind = "provisioned"\nid = "ptu"\noffer = "{}"\nmodel = "{}"\nunits = {}\n'


def test_units_by_offer(tmp_path: Path) -> None:
    """15 units at 1 USD for 730 h: 10,950. They carry 15 * 23,750 * 60 = 21,375,000 weighted tokens an hour."""
    (units,) = read(tmp_path, PTU.format("azure-ptu-global", "openai/gpt-5-mini", 15))
    assert isinstance(units, ProvisionedUnits)
    assert (units.usd_per_unit_h, units.tokens_per_min, units.output_weight) == (1, 23_750, 8.0)
    assert "commitment_offers.toml azure-ptu-global" in units.why.source
    month = settle_provisioned(units, [21_375_000.0] * 730, Decimal(1000))
    assert (month.fixed_usd, month.spilled_usd, month.utilisation_frac) == (10_950, 0, 1.0)


def test_a_reservation_by_the_month_and_a_price_of_ones_own(tmp_path: Path) -> None:
    (units,) = read(tmp_path, PTU.format("azure-ptu-global-1-month", "openai/gpt-5", 20))
    assert isinstance(units, ProvisionedUnits)
    assert units.usd_per_unit_h * 730 * 20 == pytest.approx(Decimal(5_200))
    (cheaper,) = read(tmp_path, PTU.format("azure-ptu-global", "openai/gpt-5", 20) + 'usd_per_unit_h = "0.80"\n' + SAID)
    assert isinstance(cheaper, ProvisionedUnits)
    assert (cheaper.usd_per_unit_h, cheaper.tokens_per_min) == (Decimal("0.80"), 4_750)
    assert (cheaper.why.source, cheaper.why.as_of) == ("Contract 4711", date(2026, 11, 1))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (PTU.format("azure-ptu-globl", "openai/gpt-5", 15), 'commitment 1: there is no offer "azure-ptu-globl"'),
        (PTU.format("azure-ptu-global", "openai/gpt-6-luna", 15), 'no throughput for "openai/gpt-6-luna"'),
        (PTU.format("azure-ptu-global", "openai/gpt-5", 14), "from 15 units in steps of 5, not 14"),
        (PTU.format("azure-ptu-global", "openai/gpt-5", 17), "from 15 units in steps of 5, not 17"),
        ('[[commitment]]\nkind = "free-quota"\nid = "q"\noffer = "none"\n', 'there is no offer "none"'),
        (
            f'[[commitment]]\nkind = "minimum-spend"\nid = "m"\noffer = "x"\ntargets = ["openai"]\n{SAID}',
            "no published offers",
        ),
        (
            '[[commitment]]\nkind = "kept-cache"\nid = "c"\nmodel = "openai/gpt-6-luna"\nstored_tokens = 1\n',
            "no listed price for keeping a cache",
        ),
    ],
)
def test_terms_that_nobody_sells_are_refused(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        read(tmp_path, text)


def test_a_kept_cache_costs_by_token_and_hour(tmp_path: Path) -> None:
    """0.2M tokens for 730 h at 0.50 = 73 USD, twice that once the introductory price ends, nothing before it starts."""
    text = '[[commitment]]\nkind = "kept-cache"\nid = "manual"\nmodel = "google/gemini-3.8-flash"\n'
    (kept,) = read(tmp_path, text + "stored_tokens = 200_000\nfrom_date = 2026-12-01\n")
    assert isinstance(kept, KeptCache)
    assert [kept.usd_in(date(2026, 11, 1)), kept.usd_in(date(2026, 12, 1)), kept.usd_in(date(2027, 1, 1))] == [
        0,
        73,
        146,
    ]


def test_a_cache_is_not_kept_for_nothing_where_the_price_ends() -> None:
    kept = KeptCache(id="c", model="a/b", stored_tokens=1, hours_per_month=Decimal(730), rates=(), why=WHY)
    with pytest.raises(PriceError, match="no price for keeping a cache on 2027-01-01"):
        kept.usd_in(date(2027, 1, 1))


def test_free_tokens_end_with_the_day() -> None:
    """2.5 million a day; days of 1 and 5 million that list at 12 USD: 3.5 of 6 million are free, 7 USD."""
    quota = FreeQuota(id="q", targets=("openai",), tokens_per_day=2_500_000, why=WHY)
    assert free_usd(quota, [1_000_000, 5_000_000], Decimal(12)) == 7
    assert free_usd(quota, [0], Decimal(0)) == 0


def test_every_kind_survives_the_lock(tmp_path: Path) -> None:
    text = PTU.format("azure-ptu-global", "openai/gpt-5", 15)
    text += '[[commitment]]\nkind = "free-quota"\nid = "q"\noffer = "openai-data-sharing-small-tier-1"\n'
    text += '[[commitment]]\nkind = "kept-cache"\nid = "c"\nmodel = "google/gemini-3.8-flash"\nstored_tokens = 5\n'
    for commitment in read(tmp_path, text):
        assert COMMITMENT.validate_python(commitment_row(commitment)).value() == commitment


def test_output_weights_follow_the_price_ratio() -> None:
    """The maker's rule: an output token counts for as many input tokens as its price does."""
    at = datetime(2026, 11, 20, tzinfo=UTC)
    for row in throughputs():
        for model in row.models:
            rates = {r.kind: r.usd_per_mtok for r in rate_card(model, at).rows if r.above_input_tokens == 0}
            assert rates[TokenKind.OUTPUT] / rates[TokenKind.INPUT] == Decimal(str(row.output_weight)), model


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("openai/gpt-6-lunar", "closest at openai: .*openai/gpt-6-luna"),
        ("openai/gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
    ],
)
def test_a_rule_for_a_model_that_nobody_knows_is_refused(tmp_path: Path, target: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        read(tmp_path, f'[[discount]]\ntarget = "{target}"\npercent = 5\n{SAID}')


def test_a_rule_for_a_model_of_ones_own_stands(tmp_path: Path) -> None:
    text = f'[[rate]]\nmodel = "openai/ours"\nusd_per_mtok = {{ input = 1, output = 2 }}\n{SAID}'
    text += f'[[surcharge]]\ntarget = "openai/ours"\npercent = 5\n{SAID}'
    assert read(tmp_path, text) == ()
