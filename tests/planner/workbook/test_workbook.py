"""plan.xlsx: another spreadsheet engine recomputes every formula to the planner's numbers, also after a change."""

import dataclasses
import io
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pytest
from plan_case import SCENARIO, write_case

from planner.analysis.compare import difference_of
from planner.cost.draws import draws_from, mid_values
from planner.cost.options import ApiOption, OwnOption, RentOption
from planner.decision.decide import make_plan, size_fleets
from planner.decision.plan import Plan
from planner.scenario.inputs import PlanInputs
from planner.scenario.load import load_inputs, read_inputs
from planner.scenario.tables import Figure, figure
from planner.workbook import workbook_xlsx

FILE = "plan.xlsx"


def mixed_scenario() -> str:
    """Growth, days and nights, cached input, drift, renewal within the horizon; both mixes win something."""
    text = SCENARIO
    for old, new in (
        ("horizon_months = 48", "horizon_months = 7"),
        ("[candidates]", "[fleet]\nscale_by_hour = true\nboot_s = 600\n\n[candidates]"),
        (
            "requests_per_day = 216_000",
            "requests_per_day = 40_000\ngrowth_frac_per_month = 0.3",
        ),
        ("growth_frac", 'week_shape = "servegen"\ngrowth_frac'),
        ("[slo]", "cached_input_frac = { low = 0.0, mid = 0.2, high = 0.5 }\n\n[slo]"),
        ("discount_rate_frac_per_year = 0", "discount_rate_frac_per_year = 0.1\nresale_frac_of_book_value = 0.8"),
        ("api_price_drift_frac_per_year = 0", "api_price_drift_frac_per_year = -0.1"),
        ("rental_price_drift_frac_per_year = 0", "rental_price_drift_frac_per_year = 0.05"),
        ("throughput_ratio = 1", "throughput_ratio = 0.9"),
        ("low = 0.05, mid = 0.1, high = 0.3", "low = 0.01, mid = 0.02, high = 0.3"),
        ('price_usd" = 2400', 'price_usd" = 300'),
        ('life_years" = 4', 'life_years" = 0.25'),
        ('residual_frac" = 0', 'residual_frac" = 0.1'),
    ):
        assert old in text, old
        text = text.replace(old, new)
    return text


@dataclasses.dataclass(frozen=True)
class Case:
    inputs: PlanInputs
    plan: Plan
    directory: Path
    content: bytes
    model: Any

    def recomputed(self, changes: Mapping[str, float] | None = None) -> dict[str, Any]:
        """Every cell as "SHEET!A1" after the changes, by the `formulas` package."""
        given = {
            f"'[{FILE}]{cell.replace('!', chr(39) + '!').upper()}": value for cell, value in (changes or {}).items()
        }
        solution = self.model.calculate(inputs=given)
        return {
            key.partition("]")[2].replace("'!", "!"): ranges.value[0, 0]
            for key, ranges in solution.items()
            if ":" not in key and hasattr(ranges, "value")
        }

    def own_values(self) -> dict[str, str]:
        """The cell for an own value by the name of the assumption."""
        sheet = openpyxl.load_workbook(io.BytesIO(self.content), read_only=True)["Inputs"]
        names = [row[1] for row in sheet.iter_rows(values_only=True)]
        return {str(name): f"Inputs!H{row}" for row, name in enumerate(names, start=1) if name}


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    directory = write_case(tmp_path_factory.mktemp("workbook"), mixed_scenario())
    inputs = load_inputs(directory)
    plan = make_plan(inputs, size_fleets(inputs))
    assert {option.kind for option in plan.options} == {"api", "rent", "own", "hybrid", "staged"}
    content = workbook_xlsx(plan)
    file = directory / FILE
    file.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package's own
        import formulas

        model = formulas.ExcelModel().loads(str(file)).finish()
    return Case(inputs=inputs, plan=plan, directory=directory, content=content, model=model)


def rows_of_options(cells: Mapping[str, Any], plan: Plan) -> dict[str, int]:
    return {option.id: 12 + place for place, option in enumerate(plan.options)}


@pytest.mark.filterwarnings("ignore")
def test_every_formula_recomputes_to_the_value_that_it_carries(case: Case) -> None:
    carried = openpyxl.load_workbook(io.BytesIO(case.content), data_only=True)
    written = openpyxl.load_workbook(io.BytesIO(case.content))
    found = case.recomputed()
    compared = 0
    for sheet in written:
        for row in sheet.iter_rows():
            for cell in row:
                if not (isinstance(cell.value, str) and cell.value.startswith("=")):
                    continue
                value = carried[sheet.title][cell.coordinate].value
                again = found[f"{sheet.title.upper()}!{cell.coordinate}"]
                if isinstance(value, str):
                    assert again == value
                else:
                    assert float(again) == pytest.approx(value, rel=1e-6, abs=1e-6), (sheet.title, cell.coordinate)
                compared += 1
    assert compared > 1500


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("changes", "api_price_factor"),
    [
        ({"discount_rate_frac_per_year": 0.25, "staff_usd_per_fte_year": 90_000.0}, 1.5),
        (
            {
                "cpu-1p-8c/replicas_per_machine": 3.0,
                "cpu-1p-8c/life_years": 0.5,
                "aws-c7a-large/usd_per_h": 0.25,
                "requests_per_day": 75_000.0,
                "growth_frac_per_month": -0.03,
                "cpu-1p-8c/price_usd": 250.0,
                "throughput_ratio": 0.7,
                "cached_input_frac": 0.35,
                "electricity_usd_per_kwh": 0.3,
            },
            0.6,
        ),
    ],
)
def test_a_changed_input_gives_what_the_planner_gives(
    case: Case, changes: dict[str, float], api_price_factor: float
) -> None:
    own_values = case.own_values()
    cells = {own_values[name]: value for name, value in changes.items()}
    prices = openpyxl.load_workbook(io.BytesIO(case.content))["Prices"]
    if api_price_factor != 1.0:
        cells |= {f"Prices!D{r}": prices[f"D{r}"].value * api_price_factor for r in range(5, prices.max_row + 1)}
    found = case.recomputed(cells)

    stated = {name: figure(value) for name, value in changes.items()}
    if "cached_input_frac" in stated:  # priced at the same three shares as in the workbook
        stated["cached_input_frac"] = Figure(low=0.0, mid=0.35, high=0.5)
    scenario = dataclasses.replace(case.plan.scenario, assumptions={**case.plan.scenario.assumptions, **stated})
    inputs = read_inputs(scenario, case.directory)
    if "cached_input_frac" in stated:
        inputs = dataclasses.replace(inputs, apis=case.inputs.apis)
    inputs = dataclasses.replace(
        inputs,
        apis=tuple(
            dataclasses.replace(api, usd_per_request=np.asarray(api.usd_per_request) * api_price_factor)
            for api in inputs.apis
        ),
    )
    expected = make_plan(inputs, size_fleets(case.inputs))
    rows = rows_of_options(found, case.plan)
    for option in expected.options:
        if option.kind in ("api", "rent", "own"):
            for column, value in (("G", option.npv_usd), ("C", option.levelised_usd_per_month)):
                assert float(found[f"OPTIONS!{column}{rows[option.id]}"]) == pytest.approx(value, rel=1e-6)
            assert float(found[f"OPTIONS!F{rows[option.id]}"]) == pytest.approx(option.pnl_total_usd, rel=1e-6)
    assert expected.break_even is not None
    crossings = [crossing.requests_per_day for crossing in expected.break_even.crossings]
    lowest, highest = float(found["OPTIONS!B6"]), float(found["OPTIONS!B7"])
    if len(crossings) == 1:
        assert lowest == pytest.approx(crossings[0], rel=1e-6)
        assert highest == pytest.approx(crossings[0], rel=1e-6)
    mid = draws_from([mid_values(expected.assumptions)])
    hosts = [option for option in expected.modelled if isinstance(option, RentOption | OwnOption)]
    apis = [option for option in expected.modelled if isinstance(option, ApiOption)]
    for volume in (lowest, highest):  # among several crossings of a staircase any may be found, but a true one
        around = np.array([[volume * (1 - 1e-6), volume * (1 + 1e-6)]])
        below, above = difference_of(hosts, apis, expected.frame)(mid)(around)[0]
        assert (below <= 0) != (above <= 0)
    before = case.plan.break_even
    assert before is not None
    assert before.crossings[0].requests_per_day != pytest.approx(crossings[0], rel=1e-3)


def test_the_same_plan_gives_the_same_bytes_and_no_date_of_today(case: Case) -> None:
    assert workbook_xlsx(case.plan) == case.content
    with zipfile.ZipFile(io.BytesIO(case.content)) as packed:
        assert "2000-01-01T00:00:00Z" in packed.read("docProps/core.xml").decode()


def test_a_text_like_a_formula_stays_a_text(case: Case) -> None:
    evil = '=HYPERLINK("http://127.0.0.1","x")'
    plan = dataclasses.replace(
        case.plan,
        scenario=dataclasses.replace(case.plan.scenario, name=evil),
        assumptions=tuple(dataclasses.replace(a, source=evil, note="@SUM(1)") for a in case.plan.assumptions),
        workload_source="+1+1",
    )
    book = openpyxl.load_workbook(io.BytesIO(workbook_xlsx(plan)))
    sources = [row[9] for row in book["Inputs"].iter_rows(min_row=7, max_row=6 + len(plan.assumptions))]
    assert {cell.value for cell in sources} == {evil}
    assert {cell.data_type for cell in sources} == {"s"}
    assert {cell.quotePrefix for cell in sources} == {True}
    assert book["Options"]["A1"].data_type == "s"
    assert book["Workload"]["B3"].data_type == "s"


def test_sheets_dates_and_numbers_are_what_finance_expects(case: Case) -> None:
    book = openpyxl.load_workbook(io.BytesIO(case.content), data_only=True)
    wanted = {"Inputs", "Workload", "Schedule", "Options", "Sensitivity", "Prices", "Notes"}
    assert wanted <= set(book.sheetnames)
    schedule = book["Schedule"]
    assert schedule["H4"].value.date().isoformat() == "2026-12-01"
    assert schedule["H4"].number_format == "yyyy-mm"
    assert schedule.freeze_panes == "C6"
    prices = book["Prices"]
    assert [cell.value for cell in prices[4]][:4] == ["model", "priced as", "kind", "USD per million"]
    assert prices["D5"].value == pytest.approx(0.15)
    assert prices["G5"].value.startswith("2026-")
    cash = [row for row in schedule.iter_rows(min_row=6) if row[2].value == "cash" and "sale" in str(row[1].value)]
    assert min(float(cell.value or 0) for row in cash for cell in row[6:]) < 0
