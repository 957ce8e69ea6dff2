"""The report as PDF through the real Chromium, and the sentence where there is none."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from plan_case import SCENARIO, write_case

from planner.decision.decide import make_plan, size_fleets
from planner.export.directory import write_plan
from planner.export.report_pdf import PDF_FILE, print_pdf
from planner.scenario.load import load_inputs

PAGE = b"<!DOCTYPE html><title>t</title><p>hello</p>"


@pytest.mark.browser
@pytest.mark.skipif(shutil.which("chromium") is None, reason="Chromium is not installed")
def test_chromium_prints_a_pdf_that_the_manifest_names(tmp_path: Path) -> None:
    """Two printings seconds apart are the same bytes; a plan without one does not keep that of an earlier report."""
    first, said = print_pdf(PAGE)
    assert first is not None, said
    assert first.startswith(b"%PDF-")
    assert b"(D:20000101000000" in first
    scenario = write_case(tmp_path, SCENARIO.replace("horizon_months = 48", "horizon_months = 2"))
    inputs = load_inputs(scenario)
    plan = make_plan(inputs, size_fleets(inputs))
    out = tmp_path / "plan"
    write_plan(plan, out, lambda report: print_pdf(PAGE)[0])
    assert (out / PDF_FILE).read_bytes() == first
    manifest = json.loads((out / "manifest.json").read_bytes())
    assert manifest["outputs"][PDF_FILE] == hashlib.sha256(first).hexdigest()
    write_plan(plan, out)
    assert not (out / PDF_FILE).exists()


def test_without_chromium_there_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert print_pdf(PAGE) == (
        None,
        "no report.pdf: Chromium is not installed; print the report from a browser instead",
    )
