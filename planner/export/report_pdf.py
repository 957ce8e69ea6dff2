"""The report as PDF, printed by a Chromium that is installed; without one, a sentence and no failure."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

PDF_FILE = "report.pdf"
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_LIMIT_S = 90.0
_RENDER_MS = 10_000  # virtual time for the charts to be drawn
_DATES = re.compile(rb"(/(?:CreationDate|ModDate) ?\(D:)\d{14}")
_ONE_DATE = rb"\g<1>20000101000000"  # as long as any other, so that no place in the file moves


def chromium() -> str | None:
    """The Chromium that is installed."""
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


def print_pdf(report: bytes) -> tuple[bytes | None, str]:
    """The report, a page of HTML, as PDF and who printed it; or `None` and the reason.

    The moment of printing is taken out, so the same report gives the same bytes with the same Chromium.
    """
    program = chromium()
    if program is None:
        return None, f"no {PDF_FILE}: Chromium is not installed; print the report from a browser instead"
    with tempfile.TemporaryDirectory(prefix="breakeven-") as directory:
        page, target = Path(directory) / "report.html", Path(directory) / PDF_FILE
        page.write_bytes(report)
        command = [
            *(program, "--headless", "--disable-gpu", "--no-first-run", "--disable-extensions"),
            *("--no-pdf-header-footer", f"--user-data-dir={Path(directory) / 'profile'}"),
            *(f"--virtual-time-budget={_RENDER_MS}", f"--print-to-pdf={target}"),
            *(("--no-sandbox",) if hasattr(os, "geteuid") and os.geteuid() == 0 else ()),
            page.as_uri(),
        ]
        try:
            ran = subprocess.run(command, capture_output=True, timeout=_LIMIT_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return None, f"no {PDF_FILE}: {program} did not print within {_LIMIT_S:.0f} s ({type(error).__name__})"
        if ran.returncode or not target.exists():
            said = f"no {PDF_FILE}: {program} ended with {ran.returncode}; print the report from a browser instead"
            return None, said
        return _DATES.sub(_ONE_DATE, target.read_bytes()), f"{PDF_FILE} printed by {program}"
