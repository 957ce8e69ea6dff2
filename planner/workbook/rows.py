"""Rows of the schedule: one number or formula per month, with the planner's value, and a total over the life."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xlsxwriter.utility import xl_col_to_name

from planner.workbook.cells import Look, Sheet

Array = NDArray[np.floating[Any]]
Formula = Callable[[int], str]

FIRST_MONTH_COLUMN = 6


class Rows:
    """Writes row after row from `next_row` on.

    `values` holds the numbers of each row, months 0 to `horizon`; `cash` and `pnl` the rows that the totals of the
    option in the making add up.
    """

    def __init__(self, sheet: Sheet, horizon: int) -> None:
        self.sheet, self.horizon = sheet, horizon
        self.next_row = 0
        self.values: dict[int, Array] = {}
        self.cash: list[int] = []
        self.pnl: list[int] = []

    def cell(self, row: int, month: int) -> str:
        """A cell of this sheet, as this sheet writes it."""
        return f"{xl_col_to_name(FIRST_MONTH_COLUMN + month)}{row + 1}"

    def months(self, row: int, first: int, last: int) -> str:
        """Absolute reference to months `first` to `last` of a row, from any sheet."""
        return self.sheet.span(row, FIRST_MONTH_COLUMN + first, row, FIRST_MONTH_COLUMN + last)

    def parameter(self, option_id: str, item: str, unit: str, value: float) -> str:
        """A number that holds for all months and may be changed."""
        self.sheet.row(self.next_row, 0, (option_id, item, "input", unit))
        cell = self.sheet.number(self.next_row, FIRST_MONTH_COLUMN - 1, value, Look.INPUT_COUNT)
        self.next_row += 1
        return cell

    def line(
        self,
        option_id: str,
        item: str,
        what: str,
        unit: str,
        basis: str,
        formula: Formula | None,
        values: Array,
        look: Look = Look.NUMBER,
        from_month: int = 1,
    ) -> int:
        """One row over the months; `values` has one number per month 0..horizon. Returns its place."""
        row = self.next_row
        self.values[row] = np.array(values)
        self.sheet.row(row, 0, (option_id, item, what, unit, basis))
        for month in range(from_month if formula else 0, self.horizon + 1):
            column, value = FIRST_MONTH_COLUMN + month, float(values[month])
            if formula is None:
                self.sheet.number(row, column, value, look)
            else:
                self.sheet.formula(row, column, formula(month), value, look)
        self.next_row += 1
        return row

    def money(
        self,
        option_id: str,
        item: str,
        what: str,
        basis: str,
        formula: Formula | None,
        values: Array,
        *,
        cash: bool = True,
        pnl: bool = True,
        from_month: int = 1,
    ) -> int:
        """A row of amounts that counts as cash, as P&L or as both, with its total over the life."""
        row = self.line(option_id, item, what, "USD", basis, formula, values, Look.USD, from_month)
        self._sum(row, float(values.sum()), Look.USD)
        self.cash += [row] if cash else []
        self.pnl += [row] if pnl else []
        return row

    def total(self, option_id: str, what: str, rows: Sequence[int], values: Array) -> int:
        row = self.line(
            *(option_id, f"total {what}", what, "USD", ""),
            lambda m: "+".join(self.cell(row, m) for row in rows) or "0",
            values,
            Look.USD_TOTAL,
            0,
        )
        self._sum(row, float(values.sum()), Look.USD_TOTAL)
        return row

    def _sum(self, row: int, value: float, look: Look) -> None:
        first, last = self.cell(row, 0), self.cell(row, self.horizon)
        self.sheet.formula(row, FIRST_MONTH_COLUMN - 1, f"SUM({first}:{last})", value, look)

    def from_month_1(self, values: Array) -> Array:
        return np.concatenate([[0.0], values])
