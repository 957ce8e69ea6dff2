"""A lock gives the same bills for ever, refuses what it does not hold, and is replaced only on request."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from planner.errors import InputError, PriceError
from pricing.api import DEFAULT_MODELS, api_bill
from pricing.book import open_book
from pricing.commands import register
from pricing.layers import layered
from pricing.lock import lock_changes, locked, make_lock, queries_of
from pricing.lockfile import lock_text, read_lock, write_lock
from pricing.own_prices import read_own_prices
from pricing.rates import RateQuery
from pricing.types import RequestShape, ShapeCount

CREATED = date(2026, 11, 20)
MONTHS = [datetime(2026 + (10 + n) // 12, (10 + n) % 12 + 1, 15, 12, tzinfo=UTC) for n in range(36)]
CALLS = [
    ShapeCount(shape=RequestShape(input_tokens=8_000, cached_input_tokens=3_000, output_tokens=300), count=12_345),
    ShapeCount(shape=RequestShape(input_tokens=120_000, output_tokens=900, reasoning_tokens=400), count=17),
]


def queries(*models: str) -> list[RateQuery]:
    return [RateQuery(model=model, at=at) for model in models for at in MONTHS]


def test_bills_from_a_lock_read_back_from_disk_equal_the_original(tmp_path: Path) -> None:
    lock = make_lock(queries(*DEFAULT_MODELS), CREATED)
    write_lock(lock, tmp_path / "prices.lock.json")
    again = read_lock(tmp_path / "prices.lock.json")
    assert again == lock
    assert lock_text(again) == lock_text(lock)
    for model in DEFAULT_MODELS:
        for at in MONTHS:
            assert api_bill(model, CALLS, at, resolve=locked(again)) == api_bill(model, CALLS, at)


def test_book_opens_own_prices_or_a_lock_but_not_both(tmp_path: Path) -> None:
    own, path = tmp_path / "own.toml", tmp_path / "lock.json"
    own.write_text(
        '[[discount]]\ntarget = "openai"\npercent = 50\nsource = "Contract 4711"\nas_of = 2026-11-01\n', "utf-8"
    )
    model, full = "openai/gpt-6-luna", api_bill("openai/gpt-6-luna", CALLS, MONTHS[0]).total_usd
    assert api_bill(model, CALLS, MONTHS[0], resolve=open_book().resolve).total_usd == full
    assert api_bill(model, CALLS, MONTHS[0], resolve=open_book(own).resolve).total_usd == full / 2
    write_lock(make_lock(queries(model), CREATED, open_book(own).resolve), path)
    assert api_bill(model, CALLS, MONTHS[0], resolve=open_book(lock=path).resolve).total_usd == full / 2
    with pytest.raises(InputError, match="either the price file"):
        open_book(own, path)


def test_a_dated_change_becomes_two_periods() -> None:
    lock = make_lock(queries("google/gemini-3.8-flash"), CREATED)
    periods = lock.models[0].periods
    assert [len(period.days) for period in periods] == [2, 34]
    assert periods[1].days[0] == date(2027, 1, 15)


def test_own_prices_and_hourly_profile_are_frozen_with_their_source(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(
        '[[discount]]\ntarget = "deepseek"\npercent = 10\nsource = "Contract 4711"\nas_of = 2026-11-01\n', "utf-8"
    )
    resolve = layered(read_own_prices(own).layers)
    share = tuple(float(hour) for hour in range(24))
    model = "deepseek/deepseek-v4-flash"
    asked = [RateQuery(model=model, at=at, hourly_share=share) for at in MONTHS]
    write_lock(make_lock(asked, CREATED, resolve), tmp_path / "lock.json")
    frozen = locked(read_lock(tmp_path / "lock.json"))
    bill = api_bill(model, CALLS, MONTHS[0], hourly_share=share, resolve=frozen)
    assert bill == api_bill(model, CALLS, MONTHS[0], hourly_share=share, resolve=resolve)
    assert [p.layer for p in bill.provenance] == ["library", "table", "discount"]
    with pytest.raises(PriceError, match="does not hold"):
        api_bill(model, CALLS, MONTHS[0], resolve=frozen)


COMMITTED = (
    '[[commitment]]\nkind = "minimum-spend"\nid = "a"\ntargets = ["openai"]\nusd_per_month = 10000.50\n'
    'from_date = 2027-01-01\nsource = "Contract 4711"\nas_of = 2026-11-01\nauthor = "KM"\n'
    '[[commitment]]\nkind = "prepaid"\nid = "b"\ntargets = ["openai", "mistral"]\npaid_usd = 1000\ncredit_usd = 1250\n'
    'bought_on = 2026-12-01\nexpires_on = 2027-12-01\nsource = "Order 17"\nas_of = 2026-11-20\n'
    '[[commitment]]\nkind = "provisioned"\nid = "c"\nmodel = "openai/gpt-6-sol"\nunits = 2\nusd_per_unit_h = 3\n'
    'tokens_per_min = 100_000\noutput_weight = 4.5\nsource = "Quote 18"\nas_of = 2026-11-20\n'
)


def test_commitments_of_every_kind_come_back_from_the_lock_as_they_were(tmp_path: Path) -> None:
    own, path = tmp_path / "own.toml", tmp_path / "lock.json"
    own.write_text(COMMITTED, "utf-8")
    book = open_book(own)
    assert len(book.commitments) == 3
    write_lock(make_lock(queries("openai/gpt-6-luna"), CREATED, book.resolve, book.commitments), path)
    assert open_book(lock=path).commitments == book.commitments
    with pytest.raises(InputError, match="holds own prices already"):
        open_book(own, path)


def test_refresh_does_not_lose_own_prices(app: typer.Typer, tmp_path: Path) -> None:
    own, path = tmp_path / "own.toml", tmp_path / "lock.json"
    own.write_text(COMMITTED, "utf-8")
    run = CliRunner()
    run.invoke(app, ["prices", "lock", "openai/gpt-6-luna", "--own", str(own), "--months", "1", "--out", str(path)])
    failed = run.invoke(app, ["prices", "refresh", str(path)]).exception
    assert isinstance(failed, InputError)
    assert "give them with --own" in str(failed)
    assert "nothing has changed" in run.invoke(app, ["prices", "refresh", str(path), "--own", str(own)]).stdout


def test_every_rate_of_a_lock_names_its_own_source(tmp_path: Path) -> None:
    own, path = tmp_path / "own.toml", tmp_path / "lock.json"
    own.write_text(
        '[[rate]]\nmodel = "openai/gpt-6-luna"\nabove_input_tokens = 100_000\nusd_per_mtok = { output = 0.45 }\n'
        'source = "Contract 4711"\nas_of = 2026-11-01\n'
        '[[discount]]\ntarget = "openai"\npercent = 10\nsource = "Framework"\nas_of = 2026-10-01\n',
        "utf-8",
    )
    write_lock(make_lock(queries("openai/gpt-6-luna"), CREATED, open_book(own).resolve), path)
    bill = api_bill("openai/gpt-6-luna", CALLS, MONTHS[0], resolve=open_book(lock=path).resolve)
    said = {(line.kind, line.above_input_tokens): [p.layer for p in line.provenance] for line in bill.lines}
    assert said["output", 0] == said["cached input", 0] == ["library", "discount"]
    assert said["output", 100_000] == said["reasoning", 100_000] == ["organisation"]
    text = path.read_text("utf-8").replace('"output": [\n', '"output": [\n9,', 1)
    path.write_text(text, "utf-8")
    with pytest.raises(InputError, match="points at a source that is not in provenance"):
        read_lock(path)


def test_a_lock_refuses_what_it_does_not_hold() -> None:
    frozen = locked(make_lock(queries("openai/gpt-6-luna"), CREATED))
    with pytest.raises(PriceError, match=r"does not hold openai/gpt-6-sol; make a new one"):
        api_bill("openai/gpt-6-sol", CALLS, MONTHS[0], resolve=frozen)
    with pytest.raises(PriceError, match="in tier batch"):
        api_bill("openai/gpt-6-luna", CALLS, MONTHS[0], tier="batch", resolve=frozen)
    with pytest.raises(PriceError, match="no price of openai/gpt-6-luna on 2026-11-16"):
        api_bill("openai/gpt-6-luna", CALLS, datetime(2026, 11, 16, tzinfo=UTC), resolve=frozen)


def test_changes_name_rate_and_first_day(tmp_path: Path) -> None:
    old = make_lock(queries("openai/gpt-6-luna", "mistral/mistral-small-2603"), CREATED)
    own = tmp_path / "own.toml"
    own.write_text(
        '[[rate]]\nmodel = "openai/gpt-6-luna"\nusd_per_mtok = { output = 0.45 }\nfrom_date = 2027-02-01\n'
        'source = "Contract 4711"\nas_of = 2026-11-01\n',
        "utf-8",
    )
    new = make_lock(queries_of(old), CREATED, layered(read_own_prices(own).layers))
    changes = lock_changes(old, new)
    assert {(c.model, c.kind, c.first_day) for c in changes} == {("openai/gpt-6-luna", "output", date(2027, 2, 15))}
    assert [(c.above_input_tokens, c.locked_usd_per_mtok, c.now_usd_per_mtok) for c in changes] == [
        (0, Decimal("0.5"), Decimal("0.45")),
        (272_000, Decimal("0.75"), Decimal("0.45")),
    ]
    assert lock_changes(old, old) == ()


@pytest.mark.parametrize(
    "text", ["", "{}", '{"schema_version": 2, "created_on": "2026-11-20", "models": []}', '{"schema_version": 1}']
)
def test_a_file_that_is_no_lock(text: str, tmp_path: Path) -> None:
    path = tmp_path / "lock.json"
    path.write_text(text, "utf-8")
    with pytest.raises(InputError, match="is no price lock"):
        read_lock(path)
    with pytest.raises(InputError, match="cannot read the price lock"):
        read_lock(tmp_path / "absent.json")


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    register(app)
    return app


def test_commands_lock_then_refresh_asks_before_it_replaces(app: typer.Typer, tmp_path: Path) -> None:
    run, path = CliRunner(), tmp_path / "prices.lock.json"
    made = run.invoke(
        app, ["prices", "lock", "openai/gpt-6-luna", "--from", "2026-12", "--months", "3", "--out", str(path), "--json"]
    )
    assert json.loads(made.stdout) == {"out": str(path), "models": 1, "months": 3}
    assert [str(d) for d in read_lock(path).models[0].periods[0].days] == ["2026-12-15", "2027-01-15", "2027-02-15"]
    again = run.invoke(app, ["prices", "lock", "openai/gpt-6-luna", "--out", str(path)])
    assert isinstance(again.exception, InputError)
    assert "nothing has changed" in run.invoke(app, ["prices", "refresh", str(path)]).stdout

    tampered = path.read_text("utf-8").replace('"output": "0.5"', '"output": "0.4"')
    path.write_text(tampered, "utf-8")
    checked = run.invoke(app, ["prices", "check", "--lock", str(path), "--json"])
    told = json.loads(checked.stdout)
    assert [m["model"] for m in told["models"]] == ["openai/gpt-6-luna"]
    assert [(c["locked_usd_per_mtok"], c["now_usd_per_mtok"]) for c in told["lock_changes"]] == [("0.4", "0.5")]
    asked = run.invoke(app, ["prices", "refresh", str(path)], input="n\n")
    assert "0.4 -> 0.5 USD per million" in asked.stdout
    assert path.read_text("utf-8") == tampered
    silent = json.loads(run.invoke(app, ["prices", "refresh", str(path), "--json"]).stdout)
    assert (len(silent["changes"]), silent["replaced"]) == (1, False)
    assert path.read_text("utf-8") == tampered
    run.invoke(app, ["prices", "refresh", str(path)], input="y\n")
    assert '"output": "0.5"' in path.read_text("utf-8")
    assert isinstance(run.invoke(app, ["prices", "lock", "--from", "soon"]).exception, InputError)
