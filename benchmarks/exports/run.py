"""How long every file of the example plan takes to make, and how large it is: python benchmarks/exports/run.py."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

from planner.cells import EXCEL
from planner.decision.decide import make_plan, size_fleets
from planner.decision.plan import Plan
from planner.export.directory import assumptions_csv, costs_csv, focus_csv, hourly_csv, plan_files
from planner.export.report import render_report
from planner.scenario.load import load_inputs
from planner.workbook import workbook_xlsx

RUNS = 5


def median_s(plan: Plan, make: Callable[[Plan], object]) -> float:
    """Median wall time of a few runs."""
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        make(plan)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


if __name__ == "__main__":
    inputs = load_inputs(Path(__file__).parents[2] / "examples")
    plan = make_plan(inputs, size_fleets(inputs))
    makers: dict[str, Callable[[Plan], object]] = {
        "costs.csv": costs_csv,
        "costs_excel.csv": lambda p: costs_csv(p, EXCEL),
        "focus.csv": focus_csv,
        "assumptions.csv": assumptions_csv,
        "hourly.csv": hourly_csv,
        "report.html": render_report,
        "plan.xlsx": workbook_xlsx,
    }
    files = plan_files(plan)
    for name, make in makers.items():
        print(f"{name:18} {median_s(plan, make) * 1e3:8.0f} ms {len(files[name]):12,} bytes")
    total = sum(map(len, files.values()))
    print(f"{'all ' + str(len(files)) + ' files':18} {median_s(plan, plan_files) * 1e3:8.0f} ms {total:12,} bytes")
