"""plan.xlsx: other spreadsheet programs recompute every formula to the planner's numbers, also after a change."""

import dataclasses
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import openpyxl
import pytest
from plan_case import SCENARIO, write_case
from spreadsheet import OFFICE, Cells, Recalculated, by_office, carried, formulas_of, row_of, with_changes
from workbook_case import Case, case_of, changed_text, every_kind, in_another_world

import planner.workbook.break_even as break_even_sheet
from planner.analysis.breakeven import break_even, search_volumes
from planner.analysis.compare import difference_of, staircase_edges
from planner.cost.draws import draws_from, mid_values
from planner.cost.options import ApiOption, OwnOption, RentOption
from planner.decision.decide import make_plan, size_fleets
from planner.decision.plan import Plan
from planner.scenario.load import load_inputs
from planner.workbook import workbook_xlsx

LIVE = Path(__file__).parents[3] / "examples"

CHANGES = {
    "requests_per_day": 75_000.0,
    "growth_frac_per_month": 0.1,
    "discount_rate_frac_per_year": 0.25,
    "throughput_ratio": 0.7,
    "cached_input_frac": 0.35,
    "staff_usd_per_fte_year": 90_000.0,
    "electricity_usd_per_kwh": 0.3,
    "cpu-1p-8c/replicas_per_machine": 3.0,
    "cpu-1p-8c/life_years": 0.5,
    "cpu-1p-8c/price_usd": 250.0,
    "aws-c7a-large/usd_per_h": 0.25,
    "nebius-h100-1-spot/usd_per_h": 0.15,
    "spot_interrupted_frac": 0.2,
    "reserved-3y-h100-sxm-8/usd_per_h": 0.4,
    "installation_frac_of_hardware": 0.1,
    "migration_fte_months": 0.2,
    "storage_usd_per_month": 30.0,
    "egress_usd_per_mtok": 3.0,
    "evaluation_usd_per_year": 1_200.0,
    "tax_frac": 0.2,
    "newer_model_gain_frac_per_year": 0.2,
    "newer_model_every_months": 2.0,
}
DEARER_TOKENS = 1.3


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> Case:
    case = every_kind(tmp_path_factory.mktemp("every"), horizon=3)
    return dataclasses.replace(case, content=few_volumes(case.plan))


def few_volumes(plan: Plan) -> bytes:
    """The workbook with a coarser search for the break-even: the package needs 10 ms for each formula."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(break_even_sheet, "_GRID_STEPS", 8)
        patch.setattr(break_even_sheet, "_HALVINGS", 22)
        return workbook_xlsx(plan)


def typed(case: Case, changes: Mapping[str, float], api_price_factor: float) -> dict[str, float]:
    """The cells into which somebody types the changes."""
    own_values = case.own_values()
    prices = openpyxl.load_workbook(io.BytesIO(case.content))["Prices"]
    dearer = {f"Prices!D{r}": prices[f"D{r}"].value * api_price_factor for r in range(5, prices.max_row + 1)}
    return {own_values[name]: value for name, value in changes.items()} | dearer | case.terms()


def assert_same(found: Cells, wanted: Cells, formulas: Mapping[str, str], least: int) -> None:
    """Every formula gives the value wanted, within 1e-6 of it; what two costs differ by, within 1e-6 of them."""
    largest: dict[str, float] = {}
    for cell, value in wanted.items():
        if cell.startswith("BREAKEVEN!") and isinstance(value, float):
            largest[row_of(cell)] = max(largest.get(row_of(cell), 0.0), abs(value))
    numbers = 0
    for cell in formulas:
        value = wanted[cell]
        if isinstance(value, str):
            assert found[cell] == value, cell
            continue
        numbers += 1
        closeness = max(1e-6, 1e-6 * largest.get(row_of(cell), 0.0))
        assert float(found[cell]) == pytest.approx(value, rel=1e-6, abs=closeness), (cell, formulas[cell])
    assert numbers >= least


def assert_break_even(found: Cells, plan: Plan) -> None:
    """The volumes on the first sheet are crossings by the engine; the only one, where there is only one."""
    mid = draws_from([mid_values(plan.assumptions)])
    hosts = [option for option in plan.modelled if isinstance(option, RentOption | OwnOption)]
    apis = [option for option in plan.modelled if isinstance(option, ApiOption)]
    difference = difference_of(hosts, apis, plan.frame)
    edges = staircase_edges(hosts, plan.frame, mid)
    crossings = break_even(difference, mid, mid, search_volumes(plan.requests_per_day), edges).crossings
    if not crossings:
        assert found["OPTIONS!B6"] == found["OPTIONS!B7"] == "none"
        return
    for cell in ("OPTIONS!B6", "OPTIONS!B7"):
        volume = float(found[cell])
        below, above = difference(mid)(np.array([[volume * (1 - 1e-6), volume * (1 + 1e-6)]]))[0]
        assert (below <= 0) != (above <= 0)
        if len(crossings) == 1:
            assert volume == pytest.approx(crossings[0].requests_per_day, rel=1e-6)


def test_every_line_of_every_kind_of_option_follows_its_inputs(every: Case, tmp_path: Path) -> None:
    """API, rent in all its terms, own, hybrids, staged, mixes, every commitment, storage, egress, tax: 3 months."""
    file = tmp_path / "plan.xlsx"
    file.write_bytes(every.content)
    formulas = formulas_of(every.content)
    changed = in_another_world(every, CHANGES, DEARER_TOKENS)
    found = Recalculated(file).cells(typed(every, CHANGES, DEARER_TOKENS))
    assert_same(found, carried(few_volumes(changed)), formulas, 1_500)
    assert_break_even(found, changed)
    for row, option in enumerate(changed.options, start=12):
        before = every.plan.options[row - 12]
        assert float(found[f"OPTIONS!G{row}"]) == pytest.approx(option.npv_usd, rel=1e-6)
        assert option.npv_usd != pytest.approx(before.npv_usd, rel=1e-2), "the change changes something"


@pytest.mark.skipif(OFFICE is None, reason="LibreOffice is not installed")
def test_libre_office_agrees_also_on_the_example(every: Case, tmp_path: Path) -> None:
    """36 months of the example with its mix of offers, and the plan with everything in it, as they are and changed."""
    inputs = load_inputs(LIVE)
    plan = make_plan(inputs, size_fleets(inputs))
    example = Case(inputs=inputs, plan=plan, content=workbook_xlsx(plan))
    assert "mix" in {option.kind for option in plan.options}
    names = example.own_values()
    changes = {name: value for name, value in CHANGES.items() if name in names}
    changed = [in_another_world(every, CHANGES, DEARER_TOKENS), in_another_world(example, changes, DEARER_TOKENS)]
    contents = [
        *(every.content, with_changes(every.content, typed(every, CHANGES, DEARER_TOKENS))),
        *(example.content, with_changes(example.content, typed(example, changes, DEARER_TOKENS))),
    ]
    wanted = [every.content, few_volumes(changed[0]), example.content, workbook_xlsx(changed[1])]
    plans = [every.plan, changed[0], plan, changed[1]]
    for found, want, content, made in zip(by_office(contents, tmp_path), wanted, contents, plans, strict=True):
        assert_same(found, carried(want), formulas_of(content), 1_500)
        assert_break_even(found, made)


def test_a_plan_of_one_side_says_why_there_is_no_break_even(tmp_path: Path) -> None:
    scenario = SCENARIO.replace('api = ["openai/gpt-4o-mini"]', "").replace("horizon_months = 48", "horizon_months = 2")
    inputs = load_inputs(write_case(tmp_path, scenario))
    plan = make_plan(inputs, size_fleets(inputs))
    assert plan.break_even is None
    book = openpyxl.load_workbook(io.BytesIO(workbook_xlsx(plan)))
    said = [row[0].value for row in book["BreakEven"].iter_rows()]
    assert "no API model is an option: the scenario names none." in said
    assert book["Options"]["B6"].value == "none: see BreakEven"


def test_the_same_plan_gives_the_same_bytes_and_no_date_of_today(tmp_path: Path) -> None:
    plan = case_of(tmp_path, changed_text(horizon=2)).plan
    content = workbook_xlsx(plan)
    assert workbook_xlsx(plan) == content
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        assert "2000-01-01T00:00:00Z" in packed.read("docProps/core.xml").decode()


def test_a_text_like_a_formula_stays_a_text(every: Case) -> None:
    evil = '=HYPERLINK("http://127.0.0.1","x")'
    plan = dataclasses.replace(
        every.plan,
        scenario=dataclasses.replace(every.plan.scenario, name=evil),
        assumptions=tuple(dataclasses.replace(a, source=evil, note="@SUM(1)") for a in every.plan.assumptions),
        workload_source="+1+1",
    )
    book = openpyxl.load_workbook(io.BytesIO(workbook_xlsx(plan)))
    sources = [row[9] for row in book["Inputs"].iter_rows(min_row=7, max_row=6 + len(plan.assumptions))]
    assert {cell.value for cell in sources} == {evil}
    assert {cell.data_type for cell in sources} == {"s"}
    assert {cell.quotePrefix for cell in sources} == {True}
    assert book["Options"]["A1"].data_type == "s"
    assert book["Workload"]["B3"].data_type == "s"


def test_sheets_dates_and_numbers_are_what_finance_expects(every: Case) -> None:
    book = openpyxl.load_workbook(io.BytesIO(every.content), data_only=True)
    wanted = {"Inputs", "Workload", "Schedule", "Options", "Sensitivity", "Prices", "Notes", "BreakEven"}
    assert wanted <= set(book.sheetnames)
    schedule = book["Schedule"]
    assert schedule["H4"].value.date().isoformat() == "2026-12-01"
    assert schedule["H4"].number_format == "yyyy-mm"
    assert schedule.freeze_panes == "C6"
    prices = book["Prices"]
    assert [cell.value for cell in prices[4]][:4] == ["model", "priced as", "kind", "USD per million"]
    assert prices["D5"].value == pytest.approx(0.15)
    assert prices["D5"].number_format.startswith("[$USD]")
    assert prices["G5"].value.startswith("2026-")
    cash = [row for row in schedule.iter_rows(min_row=6) if row[2].value == "cash" and "sale" in str(row[1].value)]
    assert min(float(cell.value or 0) for row in cash for cell in row[6:]) < 0
    assert {book[name].page_setup.fitToWidth for name in ("Options", "Inputs", "Schedule", "Notes")} <= {1, None}
    assert all(sheet.sheet_properties.pageSetUpPr.fitToPage for sheet in book)
    names = set(book.defined_names)
    assert {"in.requests_per_day", "in.aws_c7a_large.usd_per_h", "out.break_even_lowest"} <= names


def test_nothing_of_the_schedule_is_a_bare_number_but_quantities_that_were_chosen(every: Case) -> None:
    """In the months of the schedule only planned machines and the number of the month are no formulas."""
    schedule = openpyxl.load_workbook(io.BytesIO(every.content))["Schedule"]
    bare = {
        str(row[1].value)
        for row in schedule.iter_rows(min_row=5)
        for cell in row[6:]
        if isinstance(cell.value, int | float) and row[1].value != "month"
    }
    assert bare
    assert all(item.startswith("machines planned: ") for item in bare), bare
