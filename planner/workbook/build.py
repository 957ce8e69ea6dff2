"""The workbook for finance: live formulas from the inputs to NPV and break-even, each cell with the engine's value.

Sheets: Options (the answer), Inputs, Workload, Capacity, Prices, Rates, Schedule, BreakEven and Weights, Sensitivity,
Notes.
"""

import io
import math
from collections.abc import Sequence
from datetime import UTC, datetime

from xlsxwriter import Workbook

from planner.cost.draws import Draws, draws_from, mid_values
from planner.cost.options import ApiOption, HybridOption, Option, OwnOption, RentOption, StagedOption
from planner.decision.plan import Plan
from planner.decision.wording import describe, label
from planner.units import TOKENS_PER_MTOK
from planner.version import VERSION
from planner.workbook.break_even import BreakEvenCells, write_break_even
from planner.workbook.cells import Book, Look, Sheet
from planner.workbook.inputs import Inputs, write_capacity, write_inputs, write_prices, write_workload
from planner.workbook.schedule import ScheduleSheet

WORKBOOK_FILE = "plan.xlsx"

_CREATED = datetime(2000, 1, 1, tzinfo=UTC).replace(tzinfo=None)  # the same plan gives the same bytes on any day
_OPTION_COLUMNS = (
    *("option", "kind", "USD per month, levelised", "first month (P&L)", "cash, total", "P&L, total", "NPV"),
    *("USD per million tokens", "rank", "NPV saved against the cheapest API"),
)
_FIRST = 11
_ROW_PIXELS = 17  # of a row in this font


def workbook_xlsx(plan: Plan) -> bytes:
    """The bytes of plan.xlsx."""
    content = io.BytesIO()
    workbook = Workbook(
        content,
        {
            "in_memory": True,
            "strings_to_formulas": False,
            "strings_to_numbers": False,
            "strings_to_urls": False,
            "nan_inf_to_errors": False,
        },
    )
    workbook.set_properties(
        {"title": plan.scenario.name, "comments": f"breakeven {VERSION}: a forecast, not a bill", "created": _CREATED}
    )
    workbook.set_calc_mode("auto")
    _write(Book(workbook), plan)
    workbook.close()
    return content.getvalue()


def _write(book: Book, plan: Plan) -> None:
    mid = draws_from([mid_values(plan.assumptions)])
    by_id = {option.id: option for option in plan.modelled}
    shown = [by_id[result.id] for result in plan.options]
    hosts, apis = _hosts(shown), _apis(shown)
    options = book.sheet("Options", (58, 10, 16, 16, 16, 16, 16, 14, 8, 18))
    inputs = write_inputs(book, plan)
    week = write_workload(book, plan)
    stairs = write_capacity(book, hosts, inputs, plan, mid)
    rates = write_prices(book, plan, apis, inputs, mid)
    schedule = ScheduleSheet(book, plan, mid, inputs, week, stairs, rates)
    levelised = _write_options(options, plan, schedule, inputs, mid)
    cells = write_break_even(book, plan, mid, inputs, week, stairs, schedule, levelised)
    _write_answer(options, plan, cells)
    _charts(options, book, plan, schedule, cells)
    _write_sensitivity(book, plan, options)
    _write_notes(book, plan, cells)
    options.worksheet.activate()


def _hosts(options: Sequence[Option]) -> list[RentOption | OwnOption]:
    """Every host once, those inside mixes included."""
    found: dict[str, RentOption | OwnOption] = {}
    for option in options:
        host = option.host if isinstance(option, HybridOption | StagedOption) else option
        if isinstance(host, RentOption | OwnOption):
            found.setdefault(host.id, host)
    return list(found.values())


def _apis(options: Sequence[Option]) -> list[ApiOption]:
    """Every API model once, those inside mixes included."""
    found: dict[str, ApiOption] = {}
    for option in options:
        api = option.api if isinstance(option, HybridOption | StagedOption) else option
        if isinstance(api, ApiOption):
            found.setdefault(api.id, api)
    return list(found.values())


def _write_options(sheet: Sheet, plan: Plan, schedule: ScheduleSheet, inputs: Inputs, mid: Draws) -> dict[str, str]:
    """One row per option; returns where the levelised cost of each stands."""
    shared, horizon = schedule.shared, plan.frame.horizon_months
    discount = schedule.rows.months(shared.discount, 0, horizon)
    paid_at_month_ends = schedule.rows.months(shared.discount, 1, horizon)
    annuity = f"SUM({paid_at_month_ends})"
    requests = f"SUMPRODUCT({schedule.rows.months(shared.requests, 1, horizon)}*{paid_at_month_ends})"
    per_request = plan.workload.input_tokens.mean + plan.workload.output_tokens.mean
    sheet.row(_FIRST - 1, 0, _OPTION_COLUMNS, Look.HEAD)
    sheet.worksheet.set_row(_FIRST - 1, 42)
    last = _FIRST + len(plan.options) - 1
    apis = [_FIRST + place for place, block in enumerate(schedule.blocks) if isinstance(block.option, ApiOption)]
    cheapest_npv = min((plan.options[row - _FIRST].npv_usd for row in apis), default=0.0)
    levels = [option.levelised_usd_per_month for option in plan.options]
    found = {}
    for row, (block, result) in enumerate(zip(schedule.blocks, plan.options, strict=True), start=_FIRST):
        cash, pnl = (schedule.rows.months(place, 0, horizon) for place in (block.cash, block.pnl))
        sheet.row(row, 0, (describe(result), result.kind))
        npv = sheet.formula(row, 6, f"SUMPRODUCT({cash}*{discount})", result.npv_usd, Look.USD)
        found[result.id] = sheet.formula(row, 2, f"{npv}/{annuity}", result.levelised_usd_per_month, Look.USD)
        sheet.formula(row, 3, f"Schedule!{schedule.rows.cell(block.pnl, 1)}", result.first_month_usd, Look.USD)
        sheet.formula(row, 4, f"SUM({cash})", result.cash_total_usd, Look.USD)
        sheet.formula(row, 5, f"SUM({pnl})", result.pnl_total_usd, Look.USD)
        tokens = f"{npv}/({requests}*{per_request!r}/{TOKENS_PER_MTOK})"
        sheet.formula(row, 7, tokens, result.usd_per_mtok, Look.USD_FINE)
        column = sheet.span(_FIRST, 2, last, 2)
        rank = 1 + sum(level < result.levelised_usd_per_month for level in levels)
        sheet.formula(row, 8, f"RANK({found[result.id]},{column},1)", rank, Look.COUNT)
        if apis:
            least = f"MIN({','.join(sheet.at(place, 6) for place in apis)})"
            sheet.formula(row, 9, f"{least}-{npv}", cheapest_npv - result.npv_usd, Look.USD)
    return found


def _write_answer(sheet: Sheet, plan: Plan, cells: BreakEvenCells | None) -> None:
    last = _FIRST + len(plan.options) - 1
    names, costs = sheet.span(_FIRST, 0, last, 0), sheet.span(_FIRST, 2, last, 2)
    sheet.text(0, 0, plan.scenario.name, Look.TITLE)
    sheet.text(1, 0, "A forecast; every figure follows the yellow cells of Inputs and Prices.", Look.NOTE)
    sheet.text(3, 0, "cheapest option now")
    best = f"INDEX({names},MATCH(MIN({costs}),{costs},0))"
    sheet.formula(3, 1, best, describe(plan.options[0]) if plan.options else "none", Look.TITLE)
    sheet.text(4, 0, "its levelised cost [USD per month]")
    sheet.formula(4, 1, f"MIN({costs})", plan.options[0].levelised_usd_per_month, Look.USD)
    sheet.text(5, 0, "lowest volume at which the cheaper side changes [requests/day]")
    sheet.text(6, 0, "highest volume at which the cheaper side changes [requests/day]")
    found = plan.break_even
    for row, cell, place in ((5, cells.lowest if cells else None, 0), (6, cells.highest if cells else None, -1)):
        crossing = found.crossings[place].requests_per_day if found and found.crossings else "none"
        if cell:
            sheet.formula(row, 1, cell, crossing, Look.NUMBER)
        else:
            sheet.text(row, 1, "not in this workbook: see Notes")
    if found is not None:
        sheet.text(7, 0, "looked for between [requests/day]")
        sheet.number(7, 1, found.searched_from, Look.COUNT)
        sheet.number(7, 2, found.searched_to, Look.COUNT)
    sheet.text(8, 0, f"answer as planned: {plan.verdict.headline}", Look.NOTE)
    sheet.worksheet.freeze_panes(_FIRST, 1)


def _charts(sheet: Sheet, book: Book, plan: Plan, schedule: ScheduleSheet, cells: BreakEvenCells | None) -> None:
    last = _FIRST + len(plan.options) - 1
    bars = book.workbook.add_chart({"type": "bar"})
    bars.add_series(
        {
            "name": "USD per month, levelised",
            "categories": f"={sheet.span(_FIRST, 0, last, 0)}",
            "values": f"={sheet.span(_FIRST, 2, last, 2)}",
            "fill": {"color": "#2F8DE4"},
        }
    )
    bars.set_title({"name": "Levelised cost per month"})
    bars.set_legend({"none": True})
    bars.set_y_axis({"reverse": True})
    height = 120 + 26 * len(plan.options)
    bars.set_size({"width": 760, "height": height})
    sheet.worksheet.insert_chart(last + 2, 0, bars)
    if cells is None:
        return
    lines = book.workbook.add_chart({"type": "scatter", "subtype": "straight"})
    for name, values, colour in (
        ("cheapest self-hosted", cells.self_hosted, "#009E73"),
        ("cheapest API", cells.tokens, "#2F8DE4"),
    ):
        lines.add_series(
            {"name": name, "categories": f"={cells.volumes}", "values": f"={values}", "line": {"color": colour}}
        )
    lines.set_title({"name": "USD per month over requests per day"})
    lines.set_x_axis({"log_base": 10, "num_format": "0E+0", "name": "requests per day"})
    lines.set_y_axis({"log_base": 10, "num_format": "0E+0", "name": "USD per month, levelised", "crossing": "min"})
    lines.set_size({"width": 760, "height": 360})
    sheet.worksheet.insert_chart(last + 4 + math.ceil(height / _ROW_PIXELS), 0, lines)


def _write_sensitivity(book: Book, plan: Plan, options: Sheet) -> None:
    sheet = book.sheet("Sensitivity", (48, 34, 14, 14, 22, 22, 18, 16))
    sheet.text(
        0, 0, "Sensitivity: self-hosting minus API, USD per month, one assumption at its low and high", Look.TITLE
    )
    note = "As planned. To see one row live, set its case to low or high on Inputs and read the difference below."
    sheet.text(1, 0, note, Look.NOTE)
    rows = {kind: [] for kind in ("api", "host")}  # type: dict[str, list[str]]
    for place, option in enumerate(plan.options, start=_FIRST):
        kind = {"api": "api", "rent": "host", "own": "host"}.get(option.kind)
        if kind:
            rows[kind].append(options.at(place, 2))
    api, host = plan.best_api, plan.best_self_host
    if api is not None and host is not None:
        sheet.text(2, 0, "difference now: cheapest self-hosted minus cheapest API", Look.TEXT)
        now = host.levelised_usd_per_month - api.levelised_usd_per_month
        sheet.formula(2, 1, f"MIN({','.join(rows['host'])})-MIN({','.join(rows['api'])})", now, Look.USD_TOTAL)
    heads = (
        "assumption",
        "name",
        "low",
        "high",
        "difference at low",
        "difference at high",
        "swing",
        "turns the answer",
    )
    sheet.row(4, 0, heads, Look.HEAD)
    mid = host.levelised_usd_per_month - api.levelised_usd_per_month if api and host else 0.0
    for row, bar in enumerate(plan.sensitivity, start=5):
        sheet.row(row, 0, (label(bar.name), bar.name))
        sheet.number(row, 2, bar.low)
        sheet.number(row, 3, bar.high)
        for column, usd in enumerate(
            (bar.difference_at_low_usd_per_month, bar.difference_at_high_usd_per_month, bar.swing_usd_per_month), 4
        ):
            sheet.number(row, column, usd, Look.USD)
        sheet.text(row, 7, "yes" if bar.turns(mid) else "no")
    row = 7 + len(plan.sensitivity)
    sheet.text(row, 0, f"All assumptions drawn at once, {plan.risk.draws:,} times, seed {plan.risk.seed}", Look.TITLE)
    heads = (
        "option",
        "",
        "P10 USD/month",
        "P50 USD/month",
        "P90 USD/month",
        "mean regret USD/month",
        "cheapest in",
        "",
    )
    sheet.row(row + 1, 0, heads, Look.HEAD)
    for place, drawn in enumerate(plan.risk.options, start=row + 2):
        sheet.text(place, 0, drawn.id)
        spread = drawn.usd_per_month
        for column, value in enumerate((spread.p10, spread.p50, spread.p90, drawn.mean_regret_usd_per_month), start=2):
            sheet.number(place, column, value, Look.USD)
        sheet.number(place, 6, drawn.cheapest_frac, Look.FRACTION)
    sheet.worksheet.freeze_panes(5, 1)


def _write_notes(book: Book, plan: Plan, cells: BreakEvenCells | None) -> None:
    sheet = book.sheet("Notes", (120,), landscape=False)
    sheet.text(0, 0, "Notes", Look.TITLE)
    committed = any(isinstance(o, ApiOption) and o.promises is not None for o in plan.modelled)
    notes = [
        f"Made by breakeven {VERSION}. The same scenario, files and prices give this file byte for byte.",
        "Blue on yellow is an input. Black is a formula: it carries the planner's value and follows the inputs.",
        "Not recomputed: capacity and overflow (simulated), tornado, draws, and the size of mixes, the cheapest "
        "for the inputs as planned and can be changed on Schedule.",
        "Cash is money in the month it moves; P&L is cost in the month that bears it; over the life both are equal.",
        "Levelised: the constant month-end payment as dear as the cash, at the rate on Inputs.",
        *(
            ["A commitment's lines are values and the break-even is left out: the bill is no multiple of the traffic."]
            if committed
            else []
        ),
        *([] if cells or committed else ["No break-even: a side has no option, or lines of the schedule are values."]),
        plan.verdict.headline,
        *(f"{point.about}: {point.says}" for point in plan.verdict.points),
        *plan.verdict.cautions,
        *(f"{out.id} is out: {out.reason}" for out in plan.excluded),
        *(f"{file.role} {file.path}: sha256 {file.sha256}" for file in plan.files),
    ]
    for row, note in enumerate(dict.fromkeys(notes), start=2):
        sheet.text(row, 0, note, Look.WRAPPED)
