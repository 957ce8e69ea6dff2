"""The report as PDF, printed by a Chromium that is installed; without one, a sentence and no failure."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

PDF_FILE = "report.pdf"
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_LIMIT_S = 90.0
_RENDER_MS = 10_000  # virtual time for the charts to be drawn


def print_pdf(report: Path) -> tuple[Path | None, str]:
    """Print `report` to report.pdf beside it. Returns the file, or `None` and the reason.

    The PDF carries the moment of its making, so its bytes differ from run to run and the manifest does not name it.
    """
    chromium = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if chromium is None:
        return None, f"no {PDF_FILE}: Chromium is not installed; print {report.name} from a browser instead"
    target = report.with_name(PDF_FILE)
    with tempfile.TemporaryDirectory(prefix="breakeven-") as profile:
        command = [
            *(
                chromium,
                "--headless",
                "--disable-gpu",
                "--no-first-run",
                "--disable-extensions",
                "--no-pdf-header-footer",
            ),
            *(
                f"--user-data-dir={profile}",
                f"--virtual-time-budget={_RENDER_MS}",
                f"--print-to-pdf={target.resolve()}",
            ),
            *(("--no-sandbox",) if hasattr(os, "geteuid") and os.geteuid() == 0 else ()),
            report.resolve().as_uri(),
        ]
        try:
            ran = subprocess.run(command, capture_output=True, timeout=_LIMIT_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return None, f"no {PDF_FILE}: {chromium} did not print within {_LIMIT_S:.0f} s ({type(error).__name__})"
    if ran.returncode or not target.exists():
        return (
            None,
            f"no {PDF_FILE}: {chromium} ended with {ran.returncode}; print {report.name} from a browser instead",
        )
    return target, f"printed by {chromium}"
