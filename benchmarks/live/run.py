"""How wrong `breakeven measure --auto` is about its own held-back runs: N repetitions, errors of each, medians.

    .venv/bin/python benchmarks/live/run.py --repetitions 5 --out runs/live

Repetitions that are in the directory already are read, not run, so the benchmark can be done in pieces.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from measure.auto import DEFAULT_BUDGET_S
from planner.profile import HeldBackRun, load_profile

LIMITS = {"TPOT mean": 0.10, "E2E mean": 0.10, "TTFT p95": 0.25}


def errors(run: HeldBackRun) -> dict[str, float]:
    checks = {"TPOT mean": run.tpot_mean, "E2E mean": run.e2e_mean, "TTFT p95": run.ttft_p95}
    return {name: check.error_frac for name, check in checks.items() if check is not None}


def measure(directory: Path, target: list[str], duration_s: float) -> None:
    command = [sys.executable, "-m", "measure.cli", "measure", *target, "--auto", "--duration", str(duration_s)]
    how = ["--resume", str(directory)] if (directory / "run.json").exists() else None
    command = [*command[:4], *how] if how else [*command, "--out", str(directory)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--duration", type=float, default=DEFAULT_BUDGET_S, help="seconds of one --auto run")
    parser.add_argument("--synthetic", default="SmolLM2-135M:Q8_0")
    parser.add_argument("--gguf", help="a model file instead of a synthetic model")
    parser.add_argument("--out", type=Path, default=Path("runs/live"))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    target = ["--gguf", options.gguf] if options.gguf else ["--synthetic", options.synthetic]
    rows = []
    for number in range(1, options.repetitions + 1):
        directory = options.out / f"repetition-{number}"
        if not (directory / "profile.json").exists():
            measure(directory, target, options.duration)
        profile = load_profile(directory / "profile.json")
        invalid = sum(1 for level in profile.levels if not level.valid)
        for run in profile.held_back:
            rows.append({"repetition": number, "load_frac": run.load_frac, "requests": run.requests, **errors(run)})
        missing = 2 - len(profile.held_back)
        print(
            f"repetition {number}: {len(profile.levels)} levels, {invalid} invalid"
            + (f", {missing} held-back runs missing: not a quiet machine" if missing else ""),
            file=sys.stderr,
        )
    medians = {
        f"{load:.0%}": {
            name: statistics.median(abs(row[name]) for row in rows if row["load_frac"] == load and name in row)
            for name in LIMITS
        }
        for load in sorted({row["load_frac"] for row in rows if row["load_frac"] is not None})
    }
    if options.json:
        print(json.dumps({"repetitions": rows, "median_absolute_error_frac": medians, "limits_frac": LIMITS}))
        return
    print("| repetition | load | requests | TPOT mean | E2E mean | TTFT p95 |\n|---|---|---|---|---|---|")
    for row in rows:
        figures = " | ".join(f"{row[name]:+.1%}" if name in row else "-" for name in LIMITS)
        load = "-" if row["load_frac"] is None else f"{row['load_frac']:.0%}"
        print(f"| {row['repetition']} | {load} | {row['requests']} | {figures} |")
    for load, median in medians.items():
        print(f"| median of absolute errors | {load} | | " + " | ".join(f"{median[n]:.1%}" for n in LIMITS) + " |")


if __name__ == "__main__":
    main()
