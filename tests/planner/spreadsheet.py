"""Two spreadsheet programs that know nothing of this project: the `formulas` package, and LibreOffice where it is."""

import io
import re
import shutil
import subprocess
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import openpyxl

OFFICE = shutil.which("soffice")

_ALWAYS_RECALCULATE = """<?xml version="1.0" encoding="UTF-8"?>
<oor:items xmlns:oor="http://openoffice.org/2001/registry">
<item oor:path="/org.openoffice.Office.Calc/Formula/Load">
<prop oor:name="OOXMLRecalcMode" oor:op="fuse"><value>0</value></prop></item>
</oor:items>
"""
_LIMIT_S = 240

Cells = dict[str, Any]
"""Values by "SHEET!A1"."""


class Recalculated:
    """A workbook in the `formulas` package, read once and recomputed after every change."""

    def __init__(self, file: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the package's own
            import formulas

            self._model = formulas.ExcelModel().loads(str(file)).finish()
        self._name = file.name

    def cells(self, changes: Mapping[str, float] | None = None) -> Cells:
        given = {
            f"'[{self._name}]{cell.replace('!', chr(39) + '!').upper()}": value
            for cell, value in (changes or {}).items()
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            solution = self._model.calculate(inputs=given)
        return {
            key.partition("]")[2].replace("'!", "!"): ranges.value[0, 0]
            for key, ranges in solution.items()
            if ":" not in key and hasattr(ranges, "value")
        }


def by_office(contents: Sequence[bytes], directory: Path) -> list[Cells]:
    """Each workbook as LibreOffice recomputes and saves it, none of the values that it came with kept."""
    assert OFFICE is not None
    profile, out = directory / "profile", directory / "out"
    (profile / "user").mkdir(parents=True)
    (profile / "user" / "registrymodifications.xcu").write_text(_ALWAYS_RECALCULATE)
    files = [directory / f"{place}.xlsx" for place in range(len(contents))]
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content)
    subprocess.run(
        [
            *(OFFICE, f"-env:UserInstallation={profile.as_uri()}", "--headless", "--convert-to", "xlsx"),
            *("--outdir", str(out), *map(str, files)),
        ],
        check=True,
        capture_output=True,
        timeout=_LIMIT_S,
    )
    return [carried((out / file.name).read_bytes()) for file in files]


def carried(content: bytes) -> Cells:
    """The values that a workbook carries."""
    return {
        f"{sheet.title.upper()}!{cell.coordinate}": cell.value
        for sheet in openpyxl.load_workbook(io.BytesIO(content), data_only=True)
        for row in sheet.iter_rows()
        for cell in row
        if cell.value is not None
    }


def formulas_of(content: bytes) -> dict[str, str]:
    """Every formula of a workbook."""
    return {
        f"{sheet.title.upper()}!{cell.coordinate}": str(cell.value)
        for sheet in openpyxl.load_workbook(io.BytesIO(content))
        for row in sheet.iter_rows()
        for cell in row
        if cell.data_type == "f"
    }


def with_changes(content: bytes, changes: Mapping[str, float]) -> bytes:
    """The same workbook with numbers typed into some of its cells."""
    book = openpyxl.load_workbook(io.BytesIO(content))
    for cell, value in changes.items():
        sheet, _, place = cell.partition("!")
        book[sheet][place] = value
    typed = io.BytesIO()
    book.save(typed)
    return typed.getvalue()


def row_of(cell: str) -> str:
    """The sheet and row of a cell: "BREAKEVEN!12"."""
    return re.sub(r"![A-Z]+", "!", cell)
