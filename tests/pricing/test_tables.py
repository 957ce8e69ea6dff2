"""Every row of every table can be defended: source, date, plausible figures; and offers match a measured host."""

import tomllib
from datetime import date
from importlib.resources import files
from pathlib import Path

import pytest

from planner.errors import PriceError
from pricing import load
from pricing.hardware import (
    find_accelerator,
    purchase_for,
    purchase_offer,
    purchase_offers,
    rental_offer,
    rental_offers,
    smallest_rental_for,
)
from pricing.operations import NOT_COUNTED, default_assumptions, electricity, electricity_regions
from pricing.types import Term

TODAY = date(2026, 11, 20)
TABLES = sorted(Path(str(files("pricing") / "data")).glob("*.toml"))


@pytest.mark.parametrize("table", TABLES, ids=lambda path: path.name)
def test_every_row_of_every_table_has_source_and_date(table: Path) -> None:
    for rows in tomllib.loads(table.read_text("utf-8")).values():
        assert rows
        for row in rows:
            key = row.get("id", row.get("name"))
            source = row.get("source_url", row.get("source", ""))
            known = "://" in source or row.get("is_placeholder") or source == NOT_COUNTED
            assert known, f"{table.name}: {key} has no address"
            assert len(source) > 10, f"{table.name}: {key} has no source"
            assert date(2024, 1, 1) <= row.get("checked_on", row.get("as_of")) <= TODAY, f"{table.name}: {key}"


def test_rentals_of_one_family_scale_with_their_size() -> None:
    family = [offer for offer in rental_offers() if offer.id.startswith("aws-c7a-")]
    assert len(family) == 10
    assert {offer.vcpus for offer in family} >= {2, 4, 8, 16, 32, 64, 96, 192}
    for offer in family:
        assert offer.usd_per_h.mid / offer.vcpus == pytest.approx(0.05132)
        assert offer.ram_gib == 2 * offer.vcpus


def test_rental_price_per_card_is_plausible() -> None:
    """A B200 at 0.01 USD per hour stood in a public catalogue once."""
    for offer in rental_offers():
        if offer.accelerators:
            assert 0.2 < offer.usd_per_h.mid / offer.accelerators < 20, offer.id
        if offer.term is Term.SPOT:
            twin = rental_offer(offer.id.removesuffix("-spot"))
            assert offer.usd_per_h.mid < twin.usd_per_h.mid


def test_offers_name_known_cards() -> None:
    for offer in (*rental_offers(), *purchase_offers()):
        if offer.accelerator is not None:
            assert find_accelerator(offer.accelerator).id == offer.accelerator


def test_purchases_are_physically_plausible() -> None:
    for offer in purchase_offers():
        cards_w = 0.0
        if offer.accelerator is not None:
            cards_w = offer.accelerators * find_accelerator(offer.accelerator).board_w
        assert cards_w <= offer.loaded_w.high, offer.id
        assert 0.05 < offer.idle_w.mid / offer.loaded_w.mid < 0.5, offer.id
        assert 3 <= offer.life_years.mid <= 6


@pytest.mark.parametrize(
    ("reported", "card"),
    [
        ("NVIDIA H100 80GB HBM3", "h100-sxm"),
        ("NVIDIA H200", "h200"),
        ("NVIDIA B200", "b200"),
        ("Tesla T4", "t4"),
        ("NVIDIA A100-SXM4-80GB", "a100-80"),
        ("NVIDIA A100-SXM4-40GB", "a100-40"),
        ("NVIDIA GeForce RTX 4090", "rtx-4090"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "rtx-pro-6000"),
        ("h100-sxm", "h100-sxm"),
    ],
)
def test_card_is_found_by_the_name_its_driver_reports(reported: str, card: str) -> None:
    assert find_accelerator(reported).id == card


@pytest.mark.parametrize(
    ("cores", "ram_gib", "card", "offer"),
    [
        (2, 3.7, None, "aws-c7a-large"),
        (2, 7.7, None, "aws-m7a-large"),
        (2, 15.6, None, "aws-r7a-large"),
        (3, 4.0, None, "aws-c7a-xlarge"),
        (192, 300.0, None, "aws-c7a-48xlarge"),
        (8, 64.0, "NVIDIA H200", "nebius-h200-1"),
        (4, 16.0, "Tesla T4", "aws-g4dn-xlarge"),
    ],
)
def test_cheapest_rental_that_holds_a_measured_host(cores: int, ram_gib: float, card: str | None, offer: str) -> None:
    assert smallest_rental_for(cores, ram_gib, card).id == offer


@pytest.mark.parametrize(
    ("card", "cores", "offer"),
    [(None, 2, "cpu-1p-8c"), (None, 9, "cpu-1p-32c"), (None, 192, "cpu-2p-192c"), ("NVIDIA H200", 1, "hgx-h200-8")],
)
def test_smallest_machine_to_own(card: str | None, cores: int, offer: str) -> None:
    assert purchase_for(card, cores).id == offer
    assert purchase_offer(offer).id == offer


def test_assumptions_carry_unit_range_source_and_say_when_they_are_placeholders() -> None:
    named = {a.name: a for a in default_assumptions()}
    assert set(named) >= {
        "electricity_usd_per_kwh",
        "pue_ratio",
        "colocation_usd_per_kw_month",
        "support_frac_per_year",
        "staff_fte",
        "staff_usd_per_fte_year",
        "network_frac_of_hardware",
        "discount_rate_frac_per_year",
        "api_price_drift_frac_per_year",
    }
    assert named["staff_fte"].is_placeholder
    assert named["staff_fte"].value.low > 0
    assert named["support_frac_per_year"].is_placeholder
    assert not named["pue_ratio"].is_placeholder
    drift = named["api_price_drift_frac_per_year"].value
    assert drift.low < 0 < drift.high
    for assumption in named.values():
        assert assumption.value.low < assumption.value.high or assumption.source == NOT_COUNTED
        assert date.fromisoformat(assumption.as_of) <= TODAY


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('id = "x"\nusd_per_h = 0.0', "usd_per_h: .*above 0"),
        ('id = "x"\nusd_per_h = {low=3, mid=2, high=4}', "low <= mid <= high"),
        ('id = "x"\nusd_per_h = 1.0\ncolour = "red"', "colour: Extra inputs"),
        ('id = "x"\nusd_per_h = 1.0\naccelerator = "h200"', "given together"),
        ('id = "UPPER"\nusd_per_h = 1.0', "id: "),
    ],
)
def test_a_wrong_row_is_named(text: str, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rest = 'name="n"\nprovider="p"\nregion="r"\nvcpus=1\nram_gib=1\naccelerators=0\nterm="spot"\n'
    rest += 'source_url="https://x"\nchecked_on=2026-11-20\n'
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rentals.toml").write_text(f"[[rental]]\n{rest}{text}\n", "utf-8")
    monkeypatch.setattr(load, "files", lambda _: tmp_path)
    with pytest.raises(PriceError, match=rf"rentals\.toml, row 1 .*{complaint}"):
        load.load_rentals.__wrapped__()


def test_electricity_by_region_takes_the_place_of_the_default() -> None:
    assert "eu" in electricity_regions()
    ohio = electricity("us-ohio")
    assert (ohio.name, ohio.value.mid, ohio.as_of) == ("electricity_usd_per_kwh", 0.079, "2025-06-25")
    local = {a.name: a for a in default_assumptions("us-ohio")}
    general = {a.name: a for a in default_assumptions()}
    assert local["electricity_usd_per_kwh"] == ohio
    assert {k: v for k, v in local.items() if k != ohio.name} == {k: v for k, v in general.items() if k != ohio.name}
    assert electricity("eu-finland").value.mid < electricity("eu").value.mid < electricity("eu-ireland").value.mid
    with pytest.raises(PriceError, match="us-ohio"):
        electricity("ohio")
