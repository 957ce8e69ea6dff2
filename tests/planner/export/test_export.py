"""The plan directory: same bytes, spreadsheets that cannot be tricked, pages that cannot be injected."""

import csv
import dataclasses
import hashlib
import io
import json
import math
import re
from pathlib import Path

import markupsafe
import pytest
from plan_case import ONE_AT_A_TIME, SCENARIO, write_case

from planner.cells import EXCEL, EXCEL_SEMICOLON, Flavour
from planner.cost.options import OptionKind
from planner.decision.decide import make_plan, size_fleets
from planner.decision.plan import Plan
from planner.export.directory import assumptions_csv, costs_csv, focus_csv, hourly_csv, plan_files, write_plan
from planner.scenario.inputs import Excluded
from planner.scenario.load import load_inputs


def plan_in(directory: Path) -> Plan:
    inputs = load_inputs(directory)
    return make_plan(inputs, size_fleets(inputs))


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return plan_in(write_case(tmp_path_factory.mktemp("export")))


def rows(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode())))


def test_planning_twice_gives_the_same_bytes_in_another_place(plan: Plan, tmp_path: Path) -> None:
    assert plan_files(plan_in(write_case(tmp_path))) == plan_files(plan)


def test_the_manifest_names_the_bytes_of_inputs_and_outputs(plan: Plan, tmp_path: Path) -> None:
    directory = write_case(tmp_path)
    write_plan(plan, tmp_path / "plan")
    manifest = json.loads((tmp_path / "plan" / "manifest.json").read_bytes())
    for name, digest in manifest["outputs"].items():
        assert hashlib.sha256((tmp_path / "plan" / name).read_bytes()).hexdigest() == digest
    for file in manifest["inputs"]:
        assert hashlib.sha256((directory / file["path"]).read_bytes()).hexdigest() == file["sha256"]
    assert set(manifest["outputs"]) == {
        *(
            "verdict.json",
            "costs.csv",
            "costs_excel.csv",
            "costs_excel_semicolon.csv",
            "assumptions.csv",
            "hourly.csv",
            "latency.csv",
            "focus.csv",
            "plan.xlsx",
            "report.html",
            "prices.lock.json",
        ),
    }


def test_the_manifest_says_which_prices_were_locked(plan: Plan) -> None:
    files = plan_files(plan)
    manifest = json.loads(files["manifest.json"])
    lock = json.loads(files["prices.lock.json"])
    assert manifest["price_lock"] == {
        "file": "prices.lock.json",
        "created_on": lock["created_on"],
        "sha256": hashlib.sha256(files["prices.lock.json"]).hexdigest(),
    }
    assert set(manifest["versions"]) >= {"breakeven", "genai-prices", "xlsxwriter"}


def test_the_rows_of_costs_add_up_to_the_verdict(plan: Plan) -> None:
    verdict = json.loads(plan_files(plan)["verdict.json"])
    for option in verdict["options"]:
        mine = [row for row in rows(costs_csv(plan)) if row["option"] == option["id"]]
        for view in ("cash", "pnl"):
            total = math.fsum(float(row[f"{view}_usd"]) for row in mine)
            assert total == pytest.approx(option[f"{view}_total_usd"], abs=1e-6 * len(mine))
        assert {row["currency"] for row in mine} == {"USD"}


def test_a_resale_is_a_negative_number_and_not_a_guarded_text(plan: Plan) -> None:
    changed = dataclasses.replace(
        plan,
        options=tuple(
            dataclasses.replace(o, lines=tuple(dataclasses.replace(line, cash_usd=-1.5) for line in o.lines[:1]))
            for o in plan.options
        ),
    )
    assert {row["cash_usd"] for row in rows(costs_csv(changed))} == {"-1.500000"}


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_text_that_would_be_a_formula_is_guarded(plan: Plan, start: str) -> None:
    poisoned = dataclasses.replace(
        plan,
        assumptions=tuple(dataclasses.replace(a, source=f"{start}HYPERLINK(1)", note="a, b") for a in plan.assumptions),
    )
    for row in rows(assumptions_csv(poisoned)):
        assert row["source"].startswith("'")
        assert row["note"] == "a, b"


def test_assumptions_carry_range_source_and_placeholder(plan: Plan) -> None:
    found = {row["name"]: row for row in rows(assumptions_csv(plan))}
    assert found["staff_fte"] == {
        "name": "staff_fte",
        "low": "0.050000",
        "mid": "0.100000",
        "high": "0.300000",
        "unit": "full-time positions for the whole self-hosted service",
        "source": "a test",
        "as_of": "2026-11-20",
        "placeholder": "false",
        "note": found["staff_fte"]["note"],
    }
    assert found["resale_frac_of_book_value"]["placeholder"] == "true"


def test_hours_of_the_week_stand_in_order(plan: Plan) -> None:
    mine = [row for row in rows(hourly_csv(plan)) if row["option"] == "aws-c7a-large"]
    assert [int(row["hour_of_week"]) for row in mine] == list(range(168))
    assert {row["paid_replicas"] for row in mine} == {"4"}
    assert float(mine[0]["utilisation_frac"]) == pytest.approx(2.5 / 4)


def test_the_report_escapes_what_files_say(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    profile = dataclasses.replace(
        ONE_AT_A_TIME, provenance=dataclasses.replace(ONE_AT_A_TIME.provenance, model=evil, engine=evil)
    )
    scenario = SCENARIO.replace("worked example", evil).replace('source = "a test"', f'source = "{evil}"')
    plan = plan_in(write_case(tmp_path, scenario, profile))
    plan = dataclasses.replace(plan, excluded=(Excluded(id=evil, kind=OptionKind.API, reason=evil),))
    report = plan_files(plan)["report.html"].decode()
    assert evil not in report
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in report


def test_the_report_stands_alone(plan: Plan) -> None:
    report = plan_files(plan)["report.html"].decode()
    outside = report.replace("https://www.w3.org", "")
    assert 'src="http' not in outside
    assert '<link rel="stylesheet"' not in outside
    assert report.count("plotly.js v") == 1
    assert plan.verdict.headline in report
    for point in plan.verdict.points:
        said = re.sub("`(.+?)`", r"<code>\1</code>", str(markupsafe.escape(point.says)))
        assert f"<dt>{point.about}</dt><dd>{said}</dd>" in report
    assert "<code>breakeven measure --gguf YOUR_MODEL.gguf</code>" in report


def test_numbers_are_finite_and_keys_sorted(plan: Plan) -> None:
    text = plan_files(plan)["verdict.json"].decode()
    verdict = json.loads(text)
    assert list(verdict) == sorted(verdict)
    assert "NaN" not in text
    assert verdict["break_even"]["crossings"][0]["requests_per_day"] == pytest.approx(297_390.2, abs=0.1)


@pytest.mark.parametrize(("flavour", "separator", "mark"), [(EXCEL, ",", "."), (EXCEL_SEMICOLON, ";", ",")])
def test_the_excel_flavours_hold_the_same_rows(plan: Plan, flavour: Flavour, separator: str, mark: str) -> None:
    content = costs_csv(plan, flavour)
    assert content.startswith(b"\xef\xbb\xbfoption")
    assert content.count(b"\r\n") == content.count(b"\n") == 1 + sum(len(o.lines) for o in plan.options)
    found = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig")), delimiter=separator))
    for row, machine in zip(found, rows(costs_csv(plan)), strict=True):
        for name, value in machine.items():
            is_number = name in ("quantity", "unit_price_usd", "cash_usd", "pnl_usd")
            assert row[name] == (value.replace(".", mark) if is_number else value)


@pytest.mark.parametrize("text", ["=1+1", " =1+1", "\n=1+1", "\x00=1+1", "\ufeff=1+1", "-1", "+1", "@A1", "|=1"])
def test_no_file_holds_a_text_cell_that_begins_a_formula(plan: Plan, text: str) -> None:
    line = dataclasses.replace(plan.options[0].lines[0], item=text, basis=text, unit=text)
    poisoned = dataclasses.replace(
        plan,
        scenario=dataclasses.replace(plan.scenario, name=text),
        options=(dataclasses.replace(plan.options[0], id=text, lines=(line,)),),
        assumptions=tuple(
            dataclasses.replace(a, name=text, source=text, note=text, unit=text) for a in plan.assumptions
        ),
    )
    tables = [costs_csv(poisoned), costs_csv(poisoned, EXCEL), focus_csv(poisoned), assumptions_csv(poisoned)]
    for content in tables:
        for cells in csv.reader(io.StringIO(content.decode("utf-8-sig"))):
            for cell in cells:
                begins = cell.lstrip("\ufeff \t")[:1]
                assert begins not in ("=", "+", "@", "\t", "\r")
                assert begins != "-" or float(cell) < 0
