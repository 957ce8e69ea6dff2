"""What the workbook's formulas read of the plan: assumptions, fleet rules, traffic."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from planner.capacity.fleet import Week
from planner.decision.plan import Plan
from planner.decision.wording import label
from planner.workbook.cells import Book, Look, Sheet


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """References to the cells that may be changed. `values` by the name of the assumption."""

    values: Mapping[str, str]
    spare_replicas: str
    min_replicas: str

    def __getitem__(self, name: str) -> str:
        return self.values[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class WeekCells:
    """Distinct hourly weights and how many hours of the week have each, as columns; `peak` is the last weight."""

    weights: str
    hours: str
    peak: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadCells:
    """The distinct hours of the week, and the mean tokens of a request."""

    week: WeekCells
    input_tokens: str
    output_tokens: str


_INPUT_COLUMNS = (
    *("assumption", "name in the scenario file", "unit", "low (P10)", "mid (best guess)", "high (P90)"),
    *("case", "own value", "value used", "source", "read on", "placeholder", "note"),
)
_WIDTHS = (40, 38, 20, 17, 17, 17, 8, 17, 17, 44, 12, 12, 44)
_FIRST = 6


def write_inputs(book: Book, plan: Plan) -> Inputs:
    """Every assumption with low, mid and high; the column "value used" is what all formulas read."""
    sheet = book.sheet("Inputs", _WIDTHS)
    sheet.text(0, 0, f"Inputs: {plan.scenario.name}", Look.TITLE)
    sheet.text(
        1, 0, "Change a yellow cell and every sheet follows. Case picks low, mid or high; an own value wins.", Look.NOTE
    )
    note = f"Currency {plan.scenario.currency}; fractions are shown as percentages; every value used has a name, in.*."
    sheet.text(2, 0, note, Look.NOTE)
    sheet.heads(_FIRST - 1, 0, _INPUT_COLUMNS, (3, 4, 5, 7, 8))
    found: dict[str, str] = {}
    for row, a in enumerate(plan.assumptions, start=_FIRST):
        given, shown = _looks(a.name)
        sheet.row(row, 0, (label(a.name), a.name))
        sheet.text(row, 2, a.unit, Look.UNIT)
        sheet.height(row, ((a.unit, _WIDTHS[2]), (a.source, _WIDTHS[9]), (a.note, _WIDTHS[12])))
        for column, value in enumerate((a.value.low, a.value.mid, a.value.high), start=3):
            sheet.number(row, column, value, given)
        sheet.text(row, 6, "mid", Look.INPUT_TEXT)
        sheet.worksheet.write_blank(row, 7, None, book.look(given))
        low, mid, high, case, own = (f"{c}{row + 1}" for c in "DEFGH")
        chosen = f'IF(ISNUMBER({own}),{own},IF({case}="low",{low},IF({case}="high",{high},{mid})))'
        found[a.name] = sheet.formula(row, 8, chosen, a.value.mid, shown)
        book.name(f"in.{a.name}", found[a.name])
        sheet.row(row, 9, (a.source, a.as_of, "yes" if a.is_placeholder else "", a.note), Look.UNIT)
    last = _FIRST + len(plan.assumptions) - 1
    sheet.worksheet.data_validation(_FIRST, 6, last, 6, {"validate": "list", "source": ["low", "mid", "high"]})
    rules, row = plan.scenario.fleet, last + 2
    sheet.text(row, 0, "Fleet rules", Look.SECTION)
    sheet.row(row + 1, 0, ("spare replicas on top of the need (N+1: 1)", "fleet.spare_replicas", "replicas"))
    spare = sheet.number(row + 1, 8, rules.spare_replicas, Look.INPUT_COUNT)
    sheet.row(row + 2, 0, ("least replicas", "fleet.min_replicas", "replicas"))
    least = sheet.number(row + 2, 8, rules.min_replicas, Look.INPUT_COUNT)
    sheet.row(row + 3, 0, ("machines rented by the hour follow the hour's need", "fleet.scale_by_hour", ""))
    sheet.text(row + 3, 8, "yes" if rules.scale_by_hour else "no")
    sheet.worksheet.freeze_panes(_FIRST, 2)
    sheet.worksheet.repeat_rows(_FIRST - 1)
    return Inputs(values=found, spare_replicas=spare, min_replicas=least)


def _looks(name: str) -> tuple[Look, Look]:
    """The formats of an assumption as an input and as the value used."""
    if "_frac" in name:
        return Look.INPUT_FRACTION, Look.FRACTION
    return (Look.INPUT_USD, Look.USD_FINE) if "usd" in name else (Look.INPUT, Look.NUMBER)


def write_workload(book: Book, plan: Plan) -> WorkloadCells:
    """What the log holds, and the distinct hours of the week."""
    sheet = book.sheet("Workload", (48, 18, 16, 16, 16, 16), landscape=False)
    sheet.text(0, 0, "Workload", Look.TITLE)
    work, slo = plan.workload, plan.scenario.slo
    facts: Sequence[tuple[str, float | str | None]] = (
        ("request log", plan.workload_source),
        ("requests in the log", work.requests),
        ("rows left out", plan.bad_rows),
        ("time that the log covers [s]", work.span_s),
        ("requests per second in the log", work.requests_per_s),
        ("fullest minute over the mean minute", work.peak_to_mean_1min),
        ("shape of the week", f"{plan.week_name} ({plan.week_source})"),
        ("share of requests that meet the service level", slo.attainment_frac),
        ("limit on the time to first token [s]", slo.ttft_s),
        ("limit on the time per output token [s]", slo.tpot_s),
        ("limit on the whole request [s]", slo.e2e_s),
    )
    for row, (name, value) in enumerate(facts, start=2):
        sheet.text(row, 0, name)
        if isinstance(value, int | float):
            sheet.number(row, 1, value, Look.COUNT if isinstance(value, int) else Look.NUMBER)
        else:
            sheet.text(row, 1, "not given" if value is None else value)
    row = len(facts) + 3
    sheet.heads(row, 0, ("tokens of a request", "mean", "p50", "p95", "p99", "max"), range(1, 6))
    means = []
    for offset, (name, d) in enumerate((("input", work.input_tokens), ("output", work.output_tokens)), start=1):
        sheet.text(row + offset, 0, f"{name} tokens")
        means.append(sheet.number(row + offset, 1, d.mean))
        for column, value in enumerate((d.p50, d.p95, d.p99, d.max), start=2):
            sheet.number(row + offset, column, value)
    row += 5
    sheet.heads(row - 1, 0, ("request rate of an hour over the week's mean", "hours of the week"), range(2))
    week = write_week(sheet, row, 0, plan.frame.week)
    return WorkloadCells(week=week, input_tokens=means[0], output_tokens=means[1])


def write_week(sheet: Sheet, row: int, column: int, week: Week) -> WeekCells:
    """The distinct hours of a week as two columns from `row` on."""
    for offset, (weight, hours) in enumerate(zip(week.weights, week.hours, strict=True)):
        sheet.number(row + offset, column, weight)
        sheet.number(row + offset, column + 1, hours, Look.COUNT)
    last = row + len(week.weights) - 1
    return WeekCells(
        weights=sheet.span(row, column, last, column),
        hours=sheet.span(row, column + 1, last, column + 1),
        peak=sheet.at(last, column),
    )
