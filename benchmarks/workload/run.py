"""How long ten million requests take: python benchmarks/workload/run.py

Writes a log of ten million rows over 30 days to a temporary directory, reads it in a new process, and plans a fleet for
it: the staircase, 720 hours of whole replicas, the overflow to an API, and every request simulated once. Then
`breakeven plan` does everything at once, files included. Prints seconds and the peak of memory of each process.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb
import numpy as np

from planner.capacity.fleet import replicas_needed
from planner.capacity.hours import plan_hours
from planner.capacity.overflow import with_overflow
from planner.capacity.slo import Slo
from planner.capacity.staircase import CapacityCurve, FleetRules, capacity_curve
from planner.simulator.simulate import simulate
from planner.steptime.reference import reference_profile
from planner.traces.request_log import read_log
from planner.workload import week_of

ROWS = 10_000_000
DAYS = 30
REFERENCE = "llama-3.1-70b/h100_sxm/fp8/vllm/tp4"
SCENARIO = """
schema_version = 1
name = "Ten million requests in 30 days"
start_month = "2026-12"
horizon_months = 36
profile = "reference:{reference}"

[workload]
log = "{log}"
week_shape = "log"

[slo]
attainment_frac = 0.95
ttft_s = 2.0
tpot_s = 0.05

[fleet]
scale_by_hour = true

[candidates]
api = ["groq/llama-3.3-70b-versatile", "together/meta-llama/Llama-3.3-70B-Instruct-Turbo"]

[[candidates.rent]]
offer = "nebius-h100-8"
replicas_per_machine = 2

[[candidates.own]]
offer = "hgx-h100-8"
replicas_per_machine = 2
"""
SLO = Slo(attainment_frac=0.95, ttft_s=2.0, tpot_s=0.05)


def write_rows(path: Path, rows: int) -> None:
    """Days and nights, gamma-like lengths, ISO times: as a production log would have them."""
    with duckdb.connect() as connection:
        connection.execute("SELECT setseed(0.5)")
        connection.execute(
            f"""
            COPY (
              SELECT strftime(epoch_ms(1761955200000 + (sent_s * 1000)::BIGINT), '%Y-%m-%dT%H:%M:%S.%g') AS timestamp,
                     (100 - 900 * ln(1 - random()))::BIGINT AS input_tokens,
                     (20 - 180 * ln(1 - random()))::BIGINT AS output_tokens
              FROM (SELECT {DAYS} * 86400 * (i / {rows} - 0.5 / 6.2832 / {DAYS} * sin(6.2832 * {DAYS} * i / {rows}))
                      AS sent_s FROM range({rows}) AS t(i))
              ORDER BY sent_s
            ) TO '{path}' (HEADER)
            """
        )


def said(what: str, started: float) -> None:
    peak_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{what:58} {time.perf_counter() - started:6.1f} s   peak so far {peak_gib:.2f} GiB", flush=True)


def read_and_plan(path: Path, *, plan: bool) -> None:
    started = time.perf_counter()
    workload, report = read_log(path)
    said(f"read {workload.requests:,} rows, {len(report.bad_rows)} bad", started)
    if not plan:
        return
    profile = reference_profile(REFERENCE)
    week = week_of(workload)
    peak = workload.requests_per_s * max(week.weights)
    at = time.perf_counter()
    curve = capacity_curve(profile, workload, SLO, max_requests_per_s=peak)
    assert isinstance(curve, CapacityCurve)
    said(f"staircase to {curve.replicas[-1]} replicas", at)
    at = time.perf_counter()
    hours = plan_hours(curve, workload.requests_per_s, week, FleetRules(scale_by_hour=True))
    said(f"hours of the week, {hours.peak_replicas} replicas at the peak", at)
    at = time.perf_counter()
    with_overflow(curve, profile, workload, SLO, api_ttft_s=1.0)
    said("overflow at 21 loads and up to 4 fleet sizes", at)
    at = time.perf_counter()
    replicas = int(replicas_needed(curve, np.array([peak]))[0]) + 1
    result = simulate(profile.fit.step_time, profile.limits, workload, replicas=replicas)
    said(f"every request once on {replicas} replicas, {result.steps:,} steps", at)
    said("in all, reading included", started)


def plan_everything(log: Path) -> None:
    scenario = log.with_name("scenario.toml")
    scenario.write_text(SCENARIO.format(reference=REFERENCE, log=log.name))
    command = [
        sys.executable,
        "-m",
        "measure.cli",
        "plan",
        str(scenario),
        "--out",
        str(log.with_name("plan")),
        "--json",
    ]
    before_gib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    taken_s = time.perf_counter() - started
    peak_gib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    at_most = "at most " if peak_gib == before_gib else ""
    print(
        f"{'`breakeven plan`: 4 options, 36 months, all files':58} {taken_s:6.1f} s   peak {at_most}{peak_gib:.2f} GiB"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--plan", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.plan or given.read:
        read_and_plan(given.plan or given.read, plan=given.plan is not None)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.csv"
        write_rows(path, given.rows)
        print(f"{given.rows:,} rows over {DAYS} days, {path.stat().st_size / 2**20:,.0f} MiB", flush=True)
        for mode in ("--read", "--plan"):
            subprocess.run([sys.executable, __file__, mode, str(path)], check=True)
        plan_everything(path)


if __name__ == "__main__":
    main()
