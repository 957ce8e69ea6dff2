"""Sheets of the workbook: typed cells in a few formats, formulas that carry their value, references to cells."""

import math
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from typing import Any

from xlsxwriter import Workbook
from xlsxwriter.format import Format
from xlsxwriter.utility import xl_col_to_name, xl_rowcol_to_cell
from xlsxwriter.worksheet import Worksheet

from planner.cells import plain_text


class Look(Enum):
    """The formats of the workbook. Inputs are blue on yellow, what is computed is black, as finance expects."""

    TEXT = "text"
    UNIT = "unit"
    WRAPPED = "wrapped"
    TITLE = "title"
    STRONG = "strong"
    SECTION = "section"
    HEAD = "head"
    HEAD_NUMBER = "head of a column of numbers"
    NOTE = "note"
    USD = "usd"
    USD_TOTAL = "usd total"
    USD_FINE = "usd fine"
    NUMBER = "number"
    COUNT = "count"
    FRACTION = "fraction"
    DATE = "date"
    MONTH = "month"
    INPUT = "input"
    INPUT_COUNT = "input count"
    INPUT_USD = "input usd"
    INPUT_FRACTION = "input fraction"
    INPUT_TEXT = "input text"


_LINE_POINTS, _MARGIN = 13, 2
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.]")
_BASE: dict[str, Any] = {"font_name": "Arial", "font_size": 10, "valign": "top"}
_INPUT: dict[str, Any] = {"font_color": "#0000FF", "bg_color": "#FFF9DB", "border": 1, "border_color": "#D0D0D0"}
_USD = '[$USD] #,##0.00;[Red]-[$USD] #,##0.00;"-"??'
_USD_FINE = "[$USD] #,##0.00######;[Red]-[$USD] #,##0.00######"
_NUMBER = "#,##0.00####"
_LOOKS: dict[Look, dict[str, Any]] = {
    Look.TEXT: {},
    Look.UNIT: {"text_wrap": True, "indent": 1},
    Look.WRAPPED: {"text_wrap": True},
    Look.TITLE: {"bold": True, "font_size": 14},
    Look.STRONG: {"bold": True},
    Look.SECTION: {"bold": True, "bg_color": "#E8EEF4", "bottom": 1},
    Look.HEAD: {"bold": True, "text_wrap": True, "bottom": 1, "bg_color": "#F1F3F5"},
    Look.HEAD_NUMBER: {"bold": True, "text_wrap": True, "bottom": 1, "bg_color": "#F1F3F5", "align": "right"},
    Look.NOTE: {"italic": True, "font_color": "#59636E"},
    Look.USD: {"num_format": _USD},
    Look.USD_TOTAL: {"num_format": _USD, "bold": True, "top": 1},
    Look.USD_FINE: {"num_format": _USD_FINE},
    Look.NUMBER: {"num_format": _NUMBER},
    Look.COUNT: {"num_format": "#,##0"},
    Look.FRACTION: {"num_format": "0.00%"},
    Look.DATE: {"num_format": "yyyy-mm-dd"},
    Look.MONTH: {"num_format": "yyyy-mm", "bold": True, "bottom": 1, "bg_color": "#F1F3F5", "align": "right"},
    Look.INPUT: {**_INPUT, "num_format": _NUMBER},
    Look.INPUT_COUNT: {**_INPUT, "num_format": "#,##0"},
    Look.INPUT_USD: {**_INPUT, "num_format": _USD_FINE},
    Look.INPUT_FRACTION: {**_INPUT, "num_format": "0.00%"},
    Look.INPUT_TEXT: {**_INPUT, "align": "center"},
}


class Book:
    """A workbook in the making, its formats and its sheets."""

    def __init__(self, workbook: Workbook) -> None:
        self._workbook = workbook
        self._formats: dict[tuple[Look, bool], Format] = {}
        self._names: set[str] = set()

    def name(self, name: str, reference: str) -> None:
        """Call a cell by a name, with everything that a name may not hold replaced; the first of equal ones keeps it.

        "aws-c7a-large/usd_per_h" becomes in.aws_c7a_large.usd_per_h where it is given as "in.aws-c7a-large/usd_per_h".
        """
        allowed = _NOT_IN_NAMES.sub("_", name.replace("/", "."))
        if allowed.lower() not in self._names:
            self._names.add(allowed.lower())
            self._workbook.define_name(allowed, f"={reference}")

    def sheet(self, name: str, widths: Sequence[float], *, landscape: bool = True, pages_wide: int = 1) -> "Sheet":
        """A new sheet with column widths in characters, printed on so many pages side by side."""
        worksheet: Worksheet = self._workbook.add_worksheet(name)
        for column, width in enumerate(widths):
            worksheet.set_column(column, column, width)
        worksheet.hide_gridlines(2)
        worksheet.set_paper(9)
        worksheet.set_margins(left=0.4, right=0.4, top=0.6, bottom=0.6)
        worksheet.fit_to_pages(pages_wide, 0)
        worksheet.set_footer("&L&A&RPage &P of &N")
        if landscape:
            worksheet.set_landscape()
        return Sheet(self, worksheet, name)

    def look(self, look: Look, *, guarded: bool = False) -> Format:
        """The format; `guarded` marks a text that begins like a formula as a text for good."""
        key = (look, guarded)
        if key not in self._formats:
            self._formats[key] = self._workbook.add_format(
                {**_BASE, **_LOOKS[look], **({"quote_prefix": True} if guarded else {})}
            )
        return self._formats[key]

    @property
    def workbook(self) -> Workbook:
        return self._workbook


@dataclass(frozen=True, slots=True)
class Sheet:
    """One sheet; rows and columns count from 0."""

    book: Book
    worksheet: Worksheet
    name: str

    def text(self, row: int, column: int, value: object, look: Look = Look.TEXT) -> None:
        """A text cell, whatever the text looks like: never a formula, a link or a number."""
        line = plain_text(value)
        guarded = line.startswith("'")
        self.worksheet.write_string(row, column, line.removeprefix("'"), self.book.look(look, guarded=guarded))

    def number(self, row: int, column: int, value: float, look: Look = Look.NUMBER) -> str:
        """A number cell; returns its absolute reference."""
        self.worksheet.write_number(row, column, value, self.book.look(look))
        return self.at(row, column)

    def month(self, row: int, column: int, first_day: str, look: Look = Look.MONTH) -> None:
        """A date cell from an ISO date."""
        day = date.fromisoformat(first_day)
        self.worksheet.write_datetime(row, column, datetime(day.year, day.month, day.day), self.book.look(look))

    def formula(self, row: int, column: int, formula: str, value: float | str, look: Look = Look.NUMBER) -> str:
        """A formula with the value that it has now; returns its absolute reference."""
        self.worksheet.write_formula(row, column, f"={formula}", self.book.look(look), value)
        return self.at(row, column)

    def row(self, row: int, column: int, texts: Sequence[object], look: Look = Look.TEXT) -> None:
        """Text cells side by side."""
        for offset, text in enumerate(texts):
            self.text(row, column + offset, text, look)

    def height(self, row: int, texts: Iterable[tuple[str, float]]) -> None:
        """Make a row high enough for texts that wrap in columns of so many characters: not every program does."""
        lines = max(math.ceil(len(text) / (width - _MARGIN)) for text, width in texts)
        if lines > 1:
            self.worksheet.set_row(row, lines * _LINE_POINTS)

    def heads(self, row: int, column: int, texts: Sequence[object], numbers: Collection[int] = ()) -> None:
        """The heads of a table; those at the places `numbers` stand over numbers and so to the right."""
        for offset, text in enumerate(texts):
            self.text(row, column + offset, text, Look.HEAD_NUMBER if offset in numbers else Look.HEAD)

    def at(self, row: int, column: int) -> str:
        """Absolute reference to a cell from any sheet."""
        return f"{self.name}!{xl_rowcol_to_cell(row, column, row_abs=True, col_abs=True)}"

    def span(self, first_row: int, first_column: int, last_row: int, last_column: int) -> str:
        """Absolute reference to a block of cells from any sheet."""
        first, last = xl_col_to_name(first_column), xl_col_to_name(last_column)
        return f"{self.name}!${first}${first_row + 1}:${last}${last_row + 1}"
