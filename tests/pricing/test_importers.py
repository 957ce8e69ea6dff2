"""Machines from a catalogue file and from quotes: what is taken, and what cannot be true."""

import json
from datetime import date
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from planner.errors import InputError
from pricing.commands import register
from pricing.importers import read_quotes, read_skypilot
from pricing.types import Term

DAY = date(2026, 11, 20)
HEAD = "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,Region,GpuInfo,SpotPrice,AvailabilityZone\n"
CATALOGUE = HEAD + (
    "cpu-4,,,4,16,0.2,us-east-1,,,\n"
    "gpu_8x_h100,H100,8,208,1800,23.92,us-east-1,\"{'Gpus': []}\",,\n"
    "p5.48xlarge,H100,8,192,2048,55.04,us-east-1,,20.1,a\n"
    "p5.48xlarge,H100,8,192,2048,55.04,us-east-1,,24.5,b\n"
    "p5.48xlarge,H100,8,192,2048,55.04,us-east-1,,22.0,c\n"
    "b200-cheap,B200,1,16,128,0.01,us,,,\n"
    ",A100-80GB,8,,,40.5,us-central1,,,\n"
    "weird,TPU-v99,1,8,32,1.0,us,,,\n"
    "typo,L4,1,8,32,1.0x,us,,,\n"
    "dear,L4,1,8,32,1000,us,,,\n"
    "cpu-free,,,64,128,0.001,us,,,\n"
)


def test_catalogue_rows_become_offers_and_impossible_ones_are_listed_by_line(tmp_path: Path) -> None:
    path = tmp_path / "vms.csv"
    path.write_text(CATALOGUE, "utf-8")
    found = read_skypilot(path, "Lambda", DAY)
    offers = {offer.id: offer for offer in found.rentals}
    assert set(offers) == {
        "lambda-cpu-4-us-east-1-on-demand",
        "lambda-gpu-8x-h100-us-east-1-on-demand",
        "lambda-p5.48xlarge-us-east-1-on-demand",
        "lambda-p5.48xlarge-us-east-1-spot",
    }
    spot = offers["lambda-p5.48xlarge-us-east-1-spot"]
    assert (spot.usd_per_h.low, spot.usd_per_h.mid, spot.usd_per_h.high) == (20.1, 22.0, 24.5)
    assert (spot.term, spot.accelerator, spot.accelerators, spot.vcpus) == (Term.SPOT, "h100-sxm", 8, 192)
    assert offers["lambda-cpu-4-us-east-1-on-demand"].accelerator is None
    told = {row.line: row.reason for row in found.refused}
    assert set(told) == {7, 8, 9, 10, 11, 12}
    assert "would not pay the cards' electricity of 0.030 USD" in told[7]
    assert "card without its host" in told[8]
    assert 'no accelerator "TPU-v99"' in told[9]
    assert 'Price is no number: "1.0x"' in told[10]
    assert "above 100 USD per card" in told[11]
    assert "64 vCPUs cannot be true" in told[12]


def test_a_file_with_other_columns(tmp_path: Path) -> None:
    path = tmp_path / "vms.csv"
    path.write_text("a,b\n1,2\n", "utf-8")
    with pytest.raises(InputError, match="no column AcceleratorCount, AcceleratorName, InstanceType"):
        read_skypilot(path, "x", DAY)
    with pytest.raises(InputError, match="cannot read"):
        read_skypilot(tmp_path / "absent.csv", "x", DAY)


QUOTE_HEAD = (
    "id,kind,name,provider,cores,ram_gib,accelerator,accelerators,currency,price_low,price_mid,price_high,"
    "idle_w,loaded_w,life_years,residual_frac,term,min_term_months,source,quoted_on,note\n"
)
OWNED = (
    "our-h200,purchase,8 x H200,Dealer,112,2048,NVIDIA H200,8,USD,310000,325000,340000,"
    "2200,7800,5,0.05,,,Q-17,2026-11-02,\n"
)
RENTED = "our-h100,rental,8 x H100,Cloud,128,1600,h100-sxm,8,USD,15,16,18,,,,,reserved,12,Q-18,2026-11-03,one year\n"


def test_quotes_become_offers(tmp_path: Path) -> None:
    path = tmp_path / "quotes.csv"
    path.write_text("\ufeff" + QUOTE_HEAD + OWNED + RENTED, "utf-8")
    found = read_quotes(path)
    owned, rented = found.purchases[0], found.rentals[0]
    assert (owned.id, owned.accelerator, owned.price_usd.mid, owned.loaded_w.mid) == (
        "our-h200",
        "h200",
        325_000,
        7_800,
    )
    assert (owned.residual_frac.mid, owned.source_url, owned.checked_on) == (0.05, "Q-17", date(2026, 11, 2))
    assert (rented.term, rented.min_term_months, rented.usd_per_h.high) == (Term.RESERVED, 12, 18.0)
    assert not owned.is_placeholder


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (OWNED.replace("USD", "EUR"), 'line 2: currency "EUR": prices must be in USD'),
        (OWNED.replace("purchase", "lease"), "neither rental nor purchase"),
        (OWNED.replace("310000", "330000"), "low <= mid <= high"),
        (OWNED.replace("Q-17", ""), "source is empty"),
        (OWNED.replace("7800", "1000"), "idle_w is above loaded_w"),
        (OWNED.replace("7800", "2300"), "loaded_w is too low"),
        (OWNED.replace("0.05", "1.5"), "residual_frac must lie between 0 and 1"),
        (OWNED.replace("NVIDIA H200", "NVIDIA H900"), 'no accelerator "NVIDIA H900"'),
        (OWNED + OWNED, 'line 3: id "our-h200" is empty or appears twice'),
        (OWNED.replace("2026-11-02", "2.11.2026"), "Invalid isoformat"),
        (RENTED.replace("15,16,18", "0.01,0.02,0.03"), "cannot be true"),
        (RENTED.replace("reserved", "sometime"), "sometime"),
    ],
)
def test_a_wrong_quote_stops_with_its_line(row: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "quotes.csv"
    path.write_text(QUOTE_HEAD + row, "utf-8")
    with pytest.raises(InputError, match=complaint):
        read_quotes(path)


def test_command_lists_taken_and_refused(tmp_path: Path) -> None:
    path = tmp_path / "vms.csv"
    path.write_text(CATALOGUE, "utf-8")
    app = typer.Typer()
    register(app)
    command = ["prices", "import", str(path), "--from", "skypilot", "--provider", "lambda"]
    told = json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)
    assert (len(told["rentals"]), len(told["refused"])) == (4, 6)
    text = CliRunner().invoke(app, command).stdout
    assert "4 rentals, 0 purchases, 6 rows refused" in text
    assert "line 7: b200-cheap" in text
    quotes = tmp_path / "quotes.csv"
    quotes.write_text(QUOTE_HEAD + OWNED + RENTED, "utf-8")
    assert "1 rentals, 1 purchases, 0 rows refused" in CliRunner().invoke(app, ["prices", "import", str(quotes)]).stdout
