"""The report as PDF through the real Chromium, and the sentence where there is none."""

import shutil
from pathlib import Path

import pytest

from planner.export.report_pdf import print_pdf

PAGE = "<!DOCTYPE html><title>t</title><p>hello</p>"


@pytest.mark.browser
@pytest.mark.skipif(shutil.which("chromium") is None, reason="Chromium is not installed")
def test_chromium_prints_a_pdf(tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    report.write_text(PAGE)
    file, said = print_pdf(report)
    assert file is not None, said
    assert file.read_bytes().startswith(b"%PDF-")


def test_without_chromium_there_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert print_pdf(tmp_path / "report.html") == (
        None,
        "no report.pdf: Chromium is not installed; print report.html from a browser instead",
    )
