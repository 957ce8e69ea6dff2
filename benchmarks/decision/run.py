"""How long the draws and a whole plan take: `.venv/bin/python benchmarks/decision/run.py`."""

import dataclasses
import time
from pathlib import Path

from planner.analysis.fan import cash_fan
from planner.analysis.risk import draw_worlds
from planner.cost.ledger import cash_by_month_usd, levelised_cost_usd_per_month
from planner.decision.decide import make_plan, size_fleets
from planner.decision.frontier import with_frontier
from planner.scenario.load import load_inputs

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
DRAWS, OPTIONS, MONTHS = 10_000, 10, 36


def main() -> None:
    for name in ("scenario.toml", "reference_70b.toml"):
        inputs = load_inputs(EXAMPLES / name)
        started = time.perf_counter()
        curves = size_fleets(inputs)
        sized = time.perf_counter()
        plan = make_plan(inputs, curves)
        made = time.perf_counter()
        with_frontier(plan, inputs, curves)
        tried = time.perf_counter()
        options = (plan.modelled * OPTIONS)[:OPTIONS]
        frame = dataclasses.replace(plan.frame, horizon_months=MONTHS)
        begun = time.perf_counter()
        worlds = draw_worlds(plan.assumptions, DRAWS, 1, months=MONTHS)
        for option in options:
            levelised_cost_usd_per_month(option, frame, worlds)
        drawn = time.perf_counter()
        sides = [cash_by_month_usd(option, frame, worlds) for option in options[:2]]
        costed = time.perf_counter()
        cash_fan("one", "other", *sides)
        fanned = time.perf_counter()
        print(
            f"{name}: {DRAWS:,} draws x {MONTHS} months x {OPTIONS} options {drawn - begun:.2f} s; "
            f"make_plan {made - sized:.2f} s; size_fleets {sized - started:.2f} s; "
            f"with_frontier {tried - made:.2f} s; fan of cash {fanned - costed:.3f} s"
        )


if __name__ == "__main__":
    main()
