"""How wrong `breakeven measure --auto` is about its own held-back runs: N repetitions, errors of each, medians.

    .venv/bin/python benchmarks/live/run.py --repetitions 5 --out runs/live

Repetitions that are in the directory already are read, not run, so the benchmark can be done in pieces. Profiles are
computed anew from the raw records, once as they are and once as if the speed of the cores had not been watched.
"""

import argparse
import json
import statistics
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from measure.auto import DEFAULT_BUDGET_S
from measure.profile import build_profile
from measure.rundir import RunDirectory
from measure.samples import TelemetrySample
from planner.profile import HeldBackRun, Profile

LIMITS = {"TPOT mean": 0.10, "E2E mean": 0.10, "TTFT p95": 0.25}


def errors(run: HeldBackRun) -> dict[str, float]:
    checks = {"TPOT mean": run.tpot_mean, "E2E mean": run.e2e_mean, "TTFT p95": run.ttft_p95}
    return {name: check.error_frac for name, check in checks.items() if check is not None}


def profile_of(directory: Path, *, watches_cores: bool) -> Profile:
    run = RunDirectory(directory)
    telemetry = list(run.read_telemetry())
    if not watches_cores:
        telemetry = [replace(x, core_work_s=None) if isinstance(x, TelemetrySample) else x for x in telemetry]
    return build_profile(run.read_info(), levels=run.read_levels(), requests=run.read_requests(), telemetry=telemetry)


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
    rows: list[dict[str, Any]] = []
    for number in range(1, options.repetitions + 1):
        directory = options.out / f"repetition-{number}"
        if not (directory / "profile.json").exists():
            measure(directory, target, options.duration)
        profile = profile_of(directory, watches_cores=True)
        blind = profile_of(directory, watches_cores=False)
        invalid = sum(1 for level in profile.levels if not level.valid)
        for run, unaware in zip(profile.held_back, blind.held_back, strict=True):
            row = {"repetition": number, "load_frac": run.load_frac, "requests": run.requests}
            rows.append({**row, "slowness": run.slowness, **errors(run), "unaware": errors(unaware)})
        missing = 2 - len(profile.held_back)
        print(
            f"repetition {number}: {len(profile.levels)} levels, {invalid} invalid"
            + (f", {missing} held-back runs missing: not a quiet machine" if missing else ""),
            file=sys.stderr,
        )
    loads = sorted({row["load_frac"] for row in rows if row["load_frac"] is not None})
    aware = {f"{load:.0%}": medians([row for row in rows if row["load_frac"] == load]) for load in loads}
    unaware = {f"{load:.0%}": medians([row["unaware"] for row in rows if row["load_frac"] == load]) for load in loads}
    if options.json:
        found = {"median_absolute_error_frac": aware, "without_core_speed_frac": unaware, "limits_frac": LIMITS}
        print(json.dumps({"repetitions": rows, **found}))
        return
    print("| repetition | load | requests | time of fixed work | TPOT mean | E2E mean | TTFT p95 | cores not watched |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        figures = " | ".join(f"{row[name]:+.1%}" if name in row else "-" for name in LIMITS)
        plain = ", ".join(f"{x:+.1%}" for x in row["unaware"].values())
        slow = "-" if row["slowness"] is None else f"{row['slowness']:.2f}"
        load = "-" if row["load_frac"] is None else f"{row['load_frac']:.0%}"
        print(f"| {row['repetition']} | {load} | {row['requests']} | {slow} | {figures} | {plain} |")
    for load, median in aware.items():
        plain = ", ".join(f"{unaware[load][name]:.1%}" for name in LIMITS)
        figures = " | ".join(f"{median[name]:.1%}" for name in LIMITS)
        print(f"| **median of absolute errors** | {load} | | | {figures} | {plain} |")


def medians(rows: list[dict[str, Any]]) -> dict[str, float]:
    return {name: statistics.median(abs(row[name]) for row in rows if name in row) for name in LIMITS}


if __name__ == "__main__":
    main()
