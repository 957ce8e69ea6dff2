"""How a value becomes a cell that a spreadsheet reads as what it is: numbers stay numbers, texts are never formulas."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

DECIMALS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Flavour:
    """How a CSV file is written: `MACHINE` is for programs, the others are for a double click in Excel."""

    separator: str
    decimal_mark: str
    line_end: str
    byte_order_mark: bool


MACHINE = Flavour(separator=",", decimal_mark=".", line_end="\n", byte_order_mark=False)
EXCEL = Flavour(separator=",", decimal_mark=".", line_end="\r\n", byte_order_mark=True)
EXCEL_SEMICOLON = Flavour(separator=";", decimal_mark=",", line_end="\r\n", byte_order_mark=True)
"""For Excel in languages that write 1,5: it reads a file's separators as its own language's."""

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\0")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def plain_text(value: object) -> str:
    """One line of text without control characters, behind a quote where a spreadsheet would run it as a formula.

    >>> plain_text("=1+1"), plain_text("a, b"), plain_text("-5 %")
    ("'=1+1", 'a, b', "'-5 %")
    """
    text = str(value)
    line = _UNPRINTABLE.sub(" ", " ".join(text.splitlines()))
    return (
        f"'{line}" if text.startswith(_FORMULA_STARTS) or line.lstrip("\ufeff ").startswith(_FORMULA_STARTS) else line
    )


def csv_bytes(columns: Sequence[str], rows: Iterable[Sequence[object]], flavour: Flavour = MACHINE) -> bytes:
    """One header row and the rows, UTF-8; a cell is quoted where it holds the separator, a quote or a line end."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=flavour.separator, lineterminator=flavour.line_end)
    writer.writerow(columns)
    writer.writerows([csv_cell(value, flavour.decimal_mark) for value in row] for row in rows)
    return text.getvalue().encode("utf-8-sig" if flavour.byte_order_mark else "utf-8")


def csv_cell(value: object, decimal_mark: str = ".") -> str:
    """A number as plain decimals without exponent or separators, never guarded; anything else as `plain_text`.

    >>> csv_cell(-1.5), csv_cell(-1.5, ","), csv_cell(True), csv_cell(None), csv_cell("@A1")
    ('-1.500000', '-1,500000', 'true', '', "'@A1")
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"{round(value, DECIMALS) + 0.0:.{DECIMALS}f}".replace(".", decimal_mark)
    if isinstance(value, Decimal):
        return decimal_text(value).replace(".", decimal_mark)
    return plain_text(value)


def decimal_text(value: Decimal) -> str:
    """Every digit of a decimal number, at least two after the point, no exponent.

    >>> decimal_text(Decimal("1E+3")), decimal_text(Decimal("-0.12500")), decimal_text(Decimal("-0"))
    ('1000.00', '-0.125', '0.00')
    """
    digits = f"{value + 0:f}" if value else "0"
    whole, _, fraction = digits.partition(".")
    return f"{whole}.{fraction.rstrip('0').ljust(2, '0')}"


def rounded(value: float, decimals: int) -> Decimal:
    """A float as the decimal number with so many digits after the point that is nearest to it."""
    return Decimal(value).quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_EVEN)
