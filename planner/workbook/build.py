"""The workbook for finance: live formulas from the inputs to NPV and break-even, each cell with the engine's value.

Sheets: Options (the answer), Inputs, Workload, Capacity, Prices, Rates, Schedule, BreakEven and Weights, Sensitivity,
Notes; where there is such a thing also Overflow, Commitments and Bills, Mix.
"""

import io
import math
from collections.abc import Sequence
from datetime import UTC, datetime

from xlsxwriter import Workbook

from planner.cost.draws import draws_from, mid_values
from planner.cost.options import ApiOption, HybridOption, Option, OptionKind, StagedOption
from planner.decision.plan import Plan
from planner.decision.wording import describe, label
from planner.units import TOKENS_PER_MTOK
from planner.version import VERSION
from planner.workbook.break_even import BreakEvenCells, write_break_even
from planner.workbook.capacity import write_capacity
from planner.workbook.cells import Book, Look, Sheet
from planner.workbook.commitments import write_terms
from planner.workbook.inputs import write_inputs, write_workload
from planner.workbook.prices import write_prices
from planner.workbook.schedule import Block, write_block
from planner.workbook.shared import Context, schedule_rows, write_shared

WORKBOOK_FILE = "plan.xlsx"

_CREATED = datetime(2000, 1, 1, tzinfo=UTC).replace(tzinfo=None)  # the same plan gives the same bytes on any day
_OPTION_COLUMNS = (
    *("option", "kind", "USD per month, levelised", "first month (P&L)", "cash, total", "P&L, total", "NPV"),
    *("USD per million tokens", "rank", "NPV saved against the cheapest API"),
)
_FIRST = 11
_NOTE_WIDTH = 120
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
    apis = _apis(shown)
    options = book.sheet("Options", (64, 12, 20, 20, 20, 20, 20, 18, 8, 20))
    inputs = write_inputs(book, plan)
    workload = write_workload(book, plan)
    capacity = write_capacity(book, shown, inputs, plan, mid)
    rates = write_prices(book, plan, apis, inputs, mid)
    terms = write_terms(book, plan, apis)
    rows = schedule_rows(book, plan)
    context = Context(
        rows=rows,
        shared=write_shared(rows, plan, mid, inputs),
        plan=plan,
        mid=mid,
        inputs=inputs,
        workload=workload,
        capacity=capacity,
        rates=rates,
        terms=terms,
    )
    blocks = [write_block(book, context, option) for option in shown]
    _write_options(options, context, blocks)
    cells = write_break_even(book, context, blocks)
    _write_answer(book, options, plan, cells)
    _charts(options, book, plan, cells)
    _write_sensitivity(book, plan, options)
    _write_notes(book, plan)
    options.worksheet.activate()


def _apis(options: Sequence[Option]) -> list[ApiOption]:
    """Every API model once, those inside mixes included."""
    found: dict[str, ApiOption] = {}
    for option in options:
        api = option.api if isinstance(option, HybridOption | StagedOption) else option
        if isinstance(api, ApiOption):
            found.setdefault(api.id, api)
    return list(found.values())


def _write_options(sheet: Sheet, ctx: Context, blocks: Sequence[Block]) -> None:
    """One row per option."""
    plan, shared, rows, horizon = ctx.plan, ctx.shared, ctx.rows, ctx.rows.horizon
    discount, paid_at_month_ends = (rows.months(shared.discount, first, horizon) for first in (0, 1))
    annuity = f"SUM({paid_at_month_ends})"
    requests = f"SUMPRODUCT({rows.months(shared.requests, 1, horizon)}*{paid_at_month_ends})"
    per_request = f"({ctx.workload.input_tokens}+{ctx.workload.output_tokens})"
    sheet.heads(_FIRST - 1, 0, _OPTION_COLUMNS, range(2, 10))
    sheet.worksheet.set_row(_FIRST - 1, 42)
    last = _FIRST + len(plan.options) - 1
    apis = [_FIRST + place for place, block in enumerate(blocks) if isinstance(block.option, ApiOption)]
    cheapest_npv = min((plan.options[row - _FIRST].npv_usd for row in apis), default=0.0)
    levels = [option.levelised_usd_per_month for option in plan.options]
    for row, (block, result) in enumerate(zip(blocks, plan.options, strict=True), start=_FIRST):
        cash, pnl = (rows.months(place, 0, horizon) for place in (block.cash, block.pnl))
        sheet.row(row, 0, (describe(result), result.kind))
        npv = sheet.formula(row, 6, f"SUMPRODUCT({cash}*{discount})", result.npv_usd, Look.USD)
        level = sheet.formula(row, 2, f"{npv}/{annuity}", result.levelised_usd_per_month, Look.USD)
        sheet.formula(row, 3, f"Schedule!{ctx.cell(block.pnl, 1)}", result.first_month_usd, Look.USD)
        sheet.formula(row, 4, f"SUM({cash})", result.cash_total_usd, Look.USD)
        sheet.formula(row, 5, f"SUM({pnl})", result.pnl_total_usd, Look.USD)
        tokens = f"{npv}/({requests}*{per_request}/{TOKENS_PER_MTOK})"
        sheet.formula(row, 7, tokens, result.usd_per_mtok, Look.USD_FINE)
        rank = 1 + sum(other < result.levelised_usd_per_month for other in levels)
        sheet.formula(row, 8, f"RANK({level},{sheet.span(_FIRST, 2, last, 2)},1)", rank, Look.COUNT)
        if apis:
            least = f"MIN({','.join(sheet.at(place, 6) for place in apis)})"
            sheet.formula(row, 9, f"{least}-{npv}", cheapest_npv - result.npv_usd, Look.USD)


def _write_answer(book: Book, sheet: Sheet, plan: Plan, cells: BreakEvenCells | None) -> None:
    last = _FIRST + len(plan.options) - 1
    names, costs = sheet.span(_FIRST, 0, last, 0), sheet.span(_FIRST, 2, last, 2)
    sheet.text(0, 0, plan.scenario.name, Look.TITLE)
    sheet.text(1, 0, "A forecast; every figure follows the yellow cells of Inputs and Prices.", Look.NOTE)
    sheet.text(3, 0, "cheapest option now")
    best = f"INDEX({names},MATCH(MIN({costs}),{costs},0))"
    cheapest = min(plan.options, key=lambda option: option.levelised_usd_per_month)
    book.name("out.cheapest", sheet.formula(3, 1, best, describe(cheapest), Look.STRONG))
    sheet.text(4, 0, "its levelised cost [USD per month]")
    least = sheet.formula(4, 1, f"MIN({costs})", cheapest.levelised_usd_per_month, Look.USD)
    book.name("out.levelised_usd_per_month", least)
    sheet.text(5, 0, "lowest volume at which the cheaper side changes [requests/day]")
    sheet.text(6, 0, "highest volume at which the cheaper side changes [requests/day]")
    for row, end in enumerate(("lowest", "highest"), start=5):
        if cells is None:
            sheet.text(row, 1, "none: see BreakEven")
        else:
            cell, value = cells.lowest if end == "lowest" else cells.highest
            book.name(f"out.break_even_{end}", sheet.formula(row, 1, cell, value, Look.COUNT))
    found = plan.break_even
    if found is not None:
        sheet.text(7, 0, "looked for between [requests/day]")
        sheet.number(7, 1, found.searched_from, Look.COUNT)
        sheet.number(7, 2, found.searched_to, Look.COUNT)
    sheet.text(8, 0, f"answer as planned: {plan.verdict.headline}", Look.NOTE)
    sheet.worksheet.freeze_panes(_FIRST, 1)


def _charts(sheet: Sheet, book: Book, plan: Plan, cells: BreakEvenCells | None) -> None:
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
    bars.set_x_axis({"name": "USD per month", "num_format": '[>=1000]#,##0,"k";#,##0'})
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
    hosts, apis = (
        {
            options.at(_FIRST + place, 2): o.levelised_usd_per_month
            for place, o in enumerate(plan.options)
            if o.kind in kinds
        }
        for kinds in ((OptionKind.RENT, OptionKind.OWN), (OptionKind.API,))
    )
    mid = min(hosts.values()) - min(apis.values()) if hosts and apis else 0.0
    if hosts and apis:
        sheet.text(2, 0, "difference now: cheapest self-hosted minus cheapest API", Look.TEXT)
        sheet.formula(2, 1, f"MIN({','.join(hosts)})-MIN({','.join(apis)})", mid, Look.USD_TOTAL)
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
    sheet.heads(4, 0, heads, range(2, 7))
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
    sheet.heads(row + 1, 0, heads, range(2, 7))
    for place, drawn in enumerate(plan.risk.options, start=row + 2):
        sheet.text(place, 0, drawn.id)
        spread = drawn.usd_per_month
        for column, value in enumerate((spread.p10, spread.p50, spread.p90, drawn.mean_regret_usd_per_month), start=2):
            sheet.number(place, column, value, Look.USD)
        sheet.number(place, 6, drawn.cheapest_frac, Look.FRACTION)
    sheet.worksheet.freeze_panes(5, 1)


def _write_notes(book: Book, plan: Plan) -> None:
    sheet = book.sheet("Notes", (_NOTE_WIDTH,), landscape=False)
    sheet.text(0, 0, "Notes", Look.TITLE)
    notes = [
        f"Made by breakeven {VERSION}. The same scenario, files and prices give this file byte for byte.",
        "Blue on yellow is an input. Black is a formula: it carries the planner's value and follows the inputs.",
        "Simulated, so looked up and not recomputed: how many replicas a rate needs (Capacity) and which share of the "
        "requests leaves a hybrid (Overflow).",
        "Chosen as the cheapest for the inputs as planned, not again here: the machines of mixes and hybrids and the "
        "month in which a staged option changes; yellow on Schedule and Mix.",
        "As planned and not recomputed: the tornado and the draws (Sensitivity). Everything else follows the inputs.",
        "Cash is money in the month it moves; P&L is cost in the month that bears it; over the life both are equal.",
        "Levelised: the constant month-end payment as dear as the cash, at the rate on Inputs.",
        plan.verdict.headline,
        plan.verdict.paragraph,
        *plan.verdict.cautions,
        *(f"{out.id} is out: {out.reason}" for out in plan.excluded),
        *(f"{file.role} {file.path}: sha256 {file.sha256}" for file in plan.files),
    ]
    for row, note in enumerate(dict.fromkeys(notes), start=2):
        sheet.text(row, 0, note, Look.WRAPPED)
        sheet.height(row, ((note, _NOTE_WIDTH),))
