"""What all writers of the schedule stand on, and the rows that all options read: months, traffic, load, prices."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from planner.cost.draws import Draws
from planner.cost.paths import newer_model_factor, requests_per_s
from planner.cost.schedule import period_start
from planner.decision.plan import Plan
from planner.units import DAYS_PER_MONTH, HOURS_PER_MONTH, MONTHS_PER_YEAR, SECONDS_PER_DAY
from planner.workbook.capacity import Capacity
from planner.workbook.cells import Book, Look
from planner.workbook.inputs import Inputs, WorkloadCells
from planner.workbook.prices import RateCells
from planner.workbook.rows import FIRST_MONTH_COLUMN, Array, Formula, Rows

_HEAD_ROW = 3
_MONTHS_ON_A_PAGE = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """Rows that all options read, by their place on the sheet (counted from 0)."""

    months: int
    rate: int
    requests: int
    api_drift: int
    rent_drift: int
    discount: int
    load: int
    load_per_rate: int
    peak_load_per_rate: int
    newer_model: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The cells behind the schedule. `terms` are those of commitments, by id and name of the term."""

    rows: Rows
    shared: Shared
    plan: Plan
    mid: Draws
    inputs: Inputs
    workload: WorkloadCells
    capacity: Capacity
    rates: RateCells
    terms: Mapping[tuple[str, str], str]

    def cell(self, row: int, month: int) -> str:
        """A cell of the schedule, as the schedule writes it."""
        return self.rows.cell(row, month)

    def only_if(self, serving: int | None, month: int) -> str:
        """A factor: 1 in the months in which the row `serving` says so, nothing where there is no such row."""
        return "" if serving is None else f"*{self.rows.cell(serving, month)}"


def schedule_rows(book: Book, plan: Plan) -> Rows:
    """The empty sheet."""
    horizon = plan.frame.horizon_months
    pages_wide = -(-horizon // _MONTHS_ON_A_PAGE)
    sheet = book.sheet("Schedule", (30, 46, 15, 16, 38, 18, 18), pages_wide=pages_wide)
    sheet.worksheet.repeat_columns(0, 1)
    sheet.worksheet.set_column(FIRST_MONTH_COLUMN, FIRST_MONTH_COLUMN + horizon, 18)
    return Rows(sheet, horizon)


def write_shared(rows: Rows, plan: Plan, mid: Draws, inputs: Inputs) -> Shared:
    """The head of the sheet and the rows that all options read."""
    sheet = rows.sheet
    sheet.text(0, 0, "Schedule", Look.TITLE)
    note = "Month 0 is paid before the first month, everything else at the end of its month. A month has 730 hours."
    sheet.text(1, 0, note, Look.NOTE)
    sheet.heads(_HEAD_ROW, 0, ("option", "item", "row", "unit", "rests on", "total"), (5,))
    rows.next_row = _HEAD_ROW + 1
    for month in range(rows.horizon + 1):
        first_day = period_start(plan.scenario.start_month, month)
        sheet.month(_HEAD_ROW, FIRST_MONTH_COLUMN + month, first_day)
    sheet.worksheet.freeze_panes(_HEAD_ROW + 2, 2)
    sheet.worksheet.repeat_rows(_HEAD_ROW, _HEAD_ROW + 1)
    count = np.arange(rows.horizon + 1.0)
    growth = 1.0 + float(mid.values["growth_frac_per_month"][0])
    years = (count - 1) / MONTHS_PER_YEAR

    def drifted(name: str) -> Array:
        return np.asarray((1.0 + float(mid.values[name][0])) ** years)

    def drift(name: str) -> Formula:
        return lambda m: f"(1+{inputs[name]})^(({rows.cell(months, m)}-1)/{MONTHS_PER_YEAR})"

    months = rows.line("shared", "month", "", "", "", None, count, Look.COUNT)
    index = rows.line(
        *("shared", "traffic over the first month's", "", "1", "growth_frac_per_month"),
        lambda m: f"(1+{inputs['growth_frac_per_month']})^({rows.cell(months, m)}-1)",
        rows.from_month_1(growth ** (count[1:] - 1)),
    )
    mean = requests_per_s(mid, plan.frame)[0]
    rate = rows.line(
        *("shared", "mean request rate", "", "1/s", "requests_per_day"),
        lambda m: f"{inputs['requests_per_day']}/{SECONDS_PER_DAY:.0f}*{rows.cell(index, m)}",
        rows.from_month_1(mean),
    )
    requests = rows.line(
        *("shared", "requests", "", "1/month", "requests_per_day"),
        lambda m: f"{rows.cell(rate, m)}*{SECONDS_PER_DAY:.0f}*{HOURS_PER_MONTH:.0f}/24",
        rows.from_month_1(mean * SECONDS_PER_DAY * DAYS_PER_MONTH),
        Look.COUNT,
    )
    gain, every = "newer_model_gain_frac_per_year", "newer_model_every_months"
    newer = newer_model_factor(mid, plan.frame)[0]

    def switched(m: int) -> str:
        step = f"MAX(ROUND({inputs[every]},0),1)"
        return f"(1-{inputs[gain]})^(INT(({rows.cell(months, m)}-1)/{step})*{step}/{MONTHS_PER_YEAR})"

    factor = rows.line(
        *("shared", "cost of the same work with newer models", "", "1", f"{gain}, {every}"),
        switched,
        rows.from_month_1(newer),
    )
    over = f"/{inputs['throughput_ratio']}" if "throughput_ratio" in inputs.values else ""
    ratio = float(mid.values["throughput_ratio"][0]) if over else 1.0
    per_rate = growth ** (count[1:] - 1) * newer / ratio
    load_per_rate = rows.line(
        *("shared", "load of one's own machines per request/s of the first month", "", "1", "throughput_ratio"),
        lambda m: f"{rows.cell(index, m)}*{rows.cell(factor, m)}{over}",
        rows.from_month_1(per_rate),
    )
    peak = rows.line(
        *("shared", "highest so far", "", "1", "machines owned or reserved stay"),
        lambda m: (
            rows.cell(load_per_rate, m)
            if m == 1
            else f"MAX({rows.cell(rows.next_row, m - 1)},{rows.cell(load_per_rate, m)})"
        ),
        rows.from_month_1(np.maximum.accumulate(per_rate)),
    )
    load = rows.line(
        *("shared", "load of one's own machines", "", "1/s", "requests_per_day, throughput_ratio"),
        lambda m: f"{rows.cell(rate, m)}*{rows.cell(factor, m)}{over}",
        rows.from_month_1(mean * newer / ratio),
    )
    api_name, rent_name = "api_price_drift_frac_per_year", "rental_price_drift_frac_per_year"
    api = rows.line(
        *("shared", "API prices over announced ones", "", "1", api_name),
        lambda m: f"{drift(api_name)(m)}*{rows.cell(factor, m)}",
        rows.from_month_1(drifted(api_name)[1:] * newer),
    )
    rent = rows.line(
        *("shared", "rental prices over today's", "", "1", rent_name),
        drift(rent_name),
        rows.from_month_1(drifted(rent_name)[1:]),
    )
    yearly = "discount_rate_frac_per_year"
    discount = rows.line(
        *("shared", "present value of 1", "", "1", yearly),
        lambda m: f"(1+{inputs[yearly]})^(-{rows.cell(months, m)}/{MONTHS_PER_YEAR})",
        (1.0 + float(mid.values[yearly][0])) ** (-count / MONTHS_PER_YEAR),
        from_month=0,
    )
    return Shared(
        months=months,
        rate=rate,
        requests=requests,
        api_drift=api,
        rent_drift=rent,
        discount=discount,
        load=load,
        load_per_rate=load_per_rate,
        peak_load_per_rate=peak,
        newer_model=factor,
    )
