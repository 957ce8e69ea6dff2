"""Hold a CSV file against the static rules of FOCUS 1.2 with focus-validator, and say in one line what fails.

Run by `make focus-check` in an environment of its own, because the validator needs Python 3.12 and older numpy and
pandas than breakeven: python check.py FILE.csv [FILE.csv ...]. Ends with 1 where a rule fails that is not known to be
broken in the validator, with 2 where the validator itself does not run.

What has to be known about focus-validator 2.2.1: it ends with 0 although rules fail, so its lines are read; it looks
for its list of currencies in the working directory, so it runs where it is installed; and its rules
InvoiceId-C-004-C and InvoiceId-C-005-C each demand the opposite of the other, so one of them always fails.
"""

import re
import subprocess
import sys
import sysconfig
from pathlib import Path

CRITERIA = (
    "UNIT_PRICING_SUPPORTED",
    "PUBLIC_PRICE_LIST_SUPPORTED",
    "NEGOTIATED_PRICING_SUPPORTED",
    "USAGE_MEASUREMENT_SUPPORTED",
    "SUB_ACCOUNT_SUPPORTED",
    "TAGGING_SUPPORTED",
    "MULTIPLE_PRICING_CATEGORIES_SUPPORTED",
    "ACCOUNT_NAMING_SUPPORTED",
)
"""What the file claims to carry; rules about anything else (regions, resources, virtual currency) are skipped."""

OPPOSITES = {"InvoiceId-C-004-C", "InvoiceId-C-005-C"}
SUMMARY = re.compile(r"^Total: (\d+) \| Pass: (\d+) \| Fail: (\d+) \| Skipped: (\d+)", re.MULTILINE)
FAILED = re.compile(r"^❌ (\S+):", re.MULTILINE)


def check(file: Path) -> bool:
    """Whether the file passes; prints the validator's counts and the rules that failed."""
    command = [
        *(str(Path(sys.executable).with_name("focus-validator")), "--data-file", str(file.resolve())),
        *("--validate-version", "1.2", "--block-download", "--applicability-criteria", ",".join(CRITERIA)),
    ]
    ran = subprocess.run(command, cwd=sysconfig.get_paths()["purelib"], capture_output=True, text=True, check=False)
    summary = SUMMARY.search(ran.stdout)
    if ran.returncode or summary is None:
        print(f"{file}: focus-validator did not run: {(ran.stderr or ran.stdout).strip()[-2000:]}", file=sys.stderr)
        raise SystemExit(2)
    failed = set(FAILED.findall(ran.stdout))
    known = failed & OPPOSITES if len(failed & OPPOSITES) == 1 else set()
    unexpected = sorted(failed - known)
    if len(failed) != int(summary[3]):
        unexpected.append(f"{summary[3]} failures said, {len(failed)} named")
    print(f"{file}: {summary[0]} | not expected: {', '.join(unexpected) or 'none'}")
    return not unexpected


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    raise SystemExit(0 if all([check(Path(name)) for name in sys.argv[1:]]) else 1)
