"""The break-even sheet: what both sides cost over volume, and where the cheaper side changes, recomputed by formulas.

One formula prices an option at one volume (`planner.workbook.weights`, `planner.workbook.bills`). A grid of volumes
shows where the cheaper side changes first and last; halving between two neighbours finds the place. The planner
searches more finely (`planner.analysis.breakeven`); its own crossings stand among the volumes here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
from xlsxwriter.utility import xl_rowcol_to_cell

from planner.analysis.breakeven import VOLUME, search_volumes
from planner.analysis.compare import difference_of
from planner.cost.draws import each_at
from planner.cost.ledger import levelised_cost_usd_per_month
from planner.cost.options import ApiOption, Option, OwnOption, RentOption
from planner.decision.plan import Plan
from planner.workbook.bills import HEAD_ROW, CommittedBills
from planner.workbook.cells import Book, Look, Sheet
from planner.workbook.rows import Array
from planner.workbook.schedule import ApiRows, Block
from planner.workbook.shared import Context
from planner.workbook.weights import Weights

_GRID_STEPS = 96
_HALVINGS = 34
_BESIDE = 1e-7
_MOST_SEEDS = 20
_FIRST = HEAD_ROW + 1

Cost = Callable[[int, str], str]
"""Given a row and the cell of its volume, the formula of a levelised cost there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakEvenCells:
    """The lowest and highest volume at which the cheaper side changes, cell and value, and the table for a chart."""

    lowest: tuple[str, float | str]
    highest: tuple[str, float | str]
    volumes: str
    self_hosted: str
    tokens: str


def write_break_even(book: Book, ctx: Context, blocks: Sequence[Block]) -> BreakEvenCells | None:
    """The sheet; where a side has no option it says so, and the result is `None`."""
    hosts = [block for block in blocks if isinstance(block.option, RentOption | OwnOption)]
    apis = [block for block in blocks if isinstance(block.option, ApiOption)]
    if hosts and apis:
        return _Writer(book, ctx, hosts, apis).write()
    sheet = book.sheet("BreakEven", (120,))
    sheet.text(0, 0, "Break-even", Look.TITLE)
    for row, why in enumerate(_why_none(ctx.plan, bool(hosts), bool(apis)), start=2):
        sheet.text(row, 0, why, Look.WRAPPED)
    return None


def _why_none(plan: Plan, has_hosts: bool, has_apis: bool) -> list[str]:
    """Why there is no break-even: which side is missing, and what took its candidates out."""
    found = ["There is no break-even, because it compares self-hosting with an API:"]
    candidates = plan.scenario.candidates
    sides = (
        (has_hosts, "no machine of one's own is an option", {m.offer for m in (*candidates.rent, *candidates.own)}),
        (has_apis, "no API model is an option", set(candidates.api)),
    )
    for there, said, names in sides:
        if not there:
            found.append(f"{said}{'' if names else ': the scenario names none'}.")
            found += [f"{out.id} is out: {out.reason}" for out in plan.excluded if out.id in names]
    return found


class _Writer:
    def __init__(self, book: Book, ctx: Context, hosts: Sequence[Block], apis: Sequence[Block]) -> None:
        self.plan, self.mid = ctx.plan, ctx.mid
        self.options: list[Option] = [block.option for block in (*hosts, *apis)]
        self.hosts = [block.option for block in hosts if isinstance(block.option, RentOption | OwnOption)]
        self.apis = [block.option for block in apis if isinstance(block.option, ApiOption)]
        self.difference = difference_of(self.hosts, self.apis, self.plan.frame)(self.mid)
        self.sheet: Sheet = book.sheet("BreakEven", (38, 20))
        self.sheet.worksheet.set_column(1, len(self.options) + 8, 20)
        weights = Weights(book, ctx)
        committed = [block for block in apis if isinstance(block.alone, ApiRows) and block.alone.bill is not None]
        self.bills = CommittedBills(book, ctx, weights, committed)
        self.costs: list[Cost] = [
            *(_at_volume(weights.host(block)) for block in hosts),
            *(self._api(weights, block) for block in apis),
        ]
        self.own, self.tokens, self.minus, self.change, self.low, self.high, self.below = (
            len(self.options) + place for place in range(1, 8)
        )

    def _api(self, weights: Weights, block: Block) -> Cost:
        assert isinstance(block.alone, ApiRows)
        if block.alone.bill is not None:
            return lambda row, volume: self.bills.cost(block.option.id, row)
        fixed, each = weights.fixed(block, ()), weights.per_request(block, block.alone.usage)
        return lambda row, volume: f"({fixed}+{each}*{volume})/{weights.annuity}"

    def write(self) -> BreakEvenCells:
        sheet = self.sheet
        sheet.text(0, 0, "Break-even: levelised USD per month over volume", Look.TITLE)
        note = (
            "A difference below zero: self-hosting is cheaper. Windows narrower than two rows of the grid stay unseen."
        )
        sheet.text(1, 0, note, Look.NOTE)
        names = [option.id for option in self.options]
        heads = ("cheapest self-hosted", "cheapest API", "difference", "change")
        table = ("requests per day (first month)", *names, *heads)
        sheet.heads(HEAD_ROW, 0, table, range(len(table)))
        sheet.worksheet.freeze_panes(_FIRST, 1)
        sheet.worksheet.repeat_rows(HEAD_ROW)
        grid = self._grid()
        last = _FIRST + len(grid) - 1
        differences = np.empty(len(grid))
        for place, (volume, values) in enumerate(self._costs_at(grid)):
            row = _FIRST + place
            sheet.number(row, 0, volume)
            differences[place] = self._evaluate(row, volume, values)
            if place:
                here, before = (f"({_local(r, self.minus)}<=0)" for r in (row, row - 1))
                turns = float((differences[place] <= 0) != (differences[place - 1] <= 0))
                sheet.formula(row, self.change, f"IF({here}<>{before},1,0)", turns, Look.COUNT)
        span = sheet.span(_FIRST + 1, self.change, last, self.change)
        places = np.flatnonzero((differences[1:] <= 0) != (differences[:-1] <= 0))
        changes = sheet.formula(3, 1, f"SUM({span})", float(places.size), Look.COUNT)
        sheet.text(3, 0, "changes of the cheaper side")
        found = []
        for row, (name, place, which) in enumerate(
            (("lowest break-even [requests/day]", 0, "first"), ("highest break-even [requests/day]", -1, "last")),
            start=4,
        ):
            pick = f"MATCH(1,{span},0)" if which == "first" else f"SUMPRODUCT(MAX({span}*(ROW({span})-{_FIRST + 1})))"
            index = int(places[place]) + 1 if places.size else 0
            start = last + 3 + (row - 4) * (_HALVINGS + 4)
            cell, value = self._halve(start, which, pick, index, changes, grid)
            sheet.text(row, 0, name)
            now: float | str = value if places.size else "none"
            found.append((sheet.formula(row, 1, f'IF({changes}=0,"none",{cell})', now), now))
        return BreakEvenCells(
            lowest=found[0],
            highest=found[1],
            volumes=sheet.span(_FIRST, 0, last, 0),
            self_hosted=sheet.span(_FIRST, self.own, last, self.own),
            tokens=sheet.span(_FIRST, self.tokens, last, self.tokens),
        )

    def _grid(self) -> Array:
        """The range that the planner searched, and both sides of the crossings it found."""
        found = self.plan.break_even
        volumes = search_volumes(self.plan.requests_per_day)
        crossings = [c.requests_per_day for c in found.crossings] if found is not None else []
        seeds = [*crossings[: _MOST_SEEDS // 2], *crossings[-_MOST_SEEDS // 2 :]]
        beside = [volume * (1 + side) for volume in seeds for side in (-_BESIDE, _BESIDE)]
        return np.unique(np.concatenate([np.geomspace(volumes[0], volumes[-1], _GRID_STEPS + 1), beside]))

    def _costs_at(self, volumes: Array) -> list[tuple[float, list[float]]]:
        """Each volume with the cost of every option there, by the engine."""
        worlds = each_at(self.mid, VOLUME, volumes)
        costs = [levelised_cost_usd_per_month(option, self.plan.frame, worlds) for option in self.options]
        return list(zip(volumes.tolist(), np.transpose(costs).tolist(), strict=True))

    def _evaluate(self, row: int, requests_per_day: float, values: Sequence[float]) -> float:
        """Every option, the cheapest of each side and the difference at the volume of a row; returns the difference."""
        sheet, volume = self.sheet, _local(row, 0)
        self.bills.write(row, self.sheet.at(row, 0), requests_per_day)
        for column, (cost, value) in enumerate(zip(self.costs, values, strict=True), start=1):
            sheet.formula(row, column, cost(row, volume), value, Look.USD)
        hosted = len(self.hosts)
        own, tokens = min(values[:hosted]), min(values[hosted:])
        cells = [_local(row, column) for column in range(1, len(self.options) + 1)]
        hosts, apis = ",".join(cells[:hosted]), ",".join(cells[hosted:])
        sheet.formula(row, self.own, f"MIN({hosts})", own, Look.USD)
        sheet.formula(row, self.tokens, f"MIN({apis})", tokens, Look.USD)
        minus = f"{_local(row, self.own)}-{_local(row, self.tokens)}"
        sheet.formula(row, self.minus, minus, own - tokens, Look.USD)
        return own - tokens

    def _halve(self, start: int, which: str, pick: str, index: int, changes: str, grid: Array) -> tuple[str, float]:
        """Rows that halve the bracket on a logarithmic scale; the last one's upper end is the volume."""
        sheet = self.sheet
        volumes, differences = (
            sheet.span(_FIRST, column, _FIRST + len(grid) - 1, column) for column in (0, self.minus)
        )
        sheet.text(start, 0, f"Halving around the {which} change", Look.SECTION)
        heads = ("middle", *(option.id for option in self.options), "", "", "difference", "", "low", "high")
        sheet.heads(start + 1, 0, (*heads, "cheaper below"), range(len(heads) + 1))
        low, high = (float(grid[max(index - 1, 0)]), float(grid[index])) if index else (float(grid[0]), float(grid[1]))
        cheaper_below = bool(self.difference(np.array([[low]]))[0, 0] <= 0)
        first = start + 2
        chosen = f"IF({changes}=0,1,{pick})"
        brackets = [(low, high)]
        for _ in range(_HALVINGS):
            middle = float(np.sqrt(low * high))
            same = bool(self.difference(np.array([[middle]]))[0, 0] <= 0) == cheaper_below
            low, high = (middle, high) if same else (low, middle)
            brackets.append((low, high))
        middles = np.sqrt(np.prod(brackets, axis=1))
        for row, (low, high), (middle, values) in zip(count(first), brackets, self._costs_at(middles), strict=False):
            if row == first:
                below = float(cheaper_below)
                sheet.formula(row, self.low, f"INDEX({volumes},{chosen})", low)
                sheet.formula(row, self.high, f"INDEX({volumes},{chosen}+1)", high)
                sheet.formula(row, self.below, f"IF(INDEX({differences},{chosen})<=0,1,0)", below, Look.COUNT)
            else:
                above = row - 1
                is_same = f"({_local(above, self.minus)}<=0)=({_local(first, self.below)}=1)"
                mid_cell = _local(above, 0)
                sheet.formula(row, self.low, f"IF({is_same},{mid_cell},{_local(above, self.low)})", low)
                sheet.formula(row, self.high, f"IF({is_same},{_local(above, self.high)},{mid_cell})", high)
            sheet.formula(row, 0, f"SQRT({_local(row, self.low)}*{_local(row, self.high)})", middle)
            self._evaluate(row, middle, values)
        return sheet.at(first + _HALVINGS, self.high), high


def _at_volume(cost: Callable[[str], str]) -> Cost:
    return lambda row, volume: cost(volume)


def _local(row: int, column: int) -> str:
    """A cell of this sheet, as this sheet writes it."""
    return str(xl_rowcol_to_cell(row, column))
