"""Where the simulated TTFT misses the measured one, how many steps are missing?

    .venv/bin/python benchmarks/accuracy/waiting.py

Held-out points of the level table, run in the simulator with the fitted step time: (measured - simulated TTFT) /
measured TPOT, by engine and concurrency. An engine that looks for new requests at every step has none missing. Prints
the table of benchmarks/accuracy/README.md.
"""

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from planner.errors import InputError
from planner.steptime.levels import fit_levels
from planner.steptime.measurements import read_level_table
from planner.steptime.replay import replay_level
from planner.steptime.validate import MIN_POINTS, UNBOUNDED, fit_and_score_points

TABLE = Path(__file__).parents[2] / "planner/data/silicon_sample.csv.gz"
BANDS = ((8, 15), (16, 31), (32, 127), (128, 255))
ENGINES = ("vllm", "trtllm", "sglang")


def group_of(deployment: str) -> str:
    """The engine; SGLang on Hopper apart, which the publisher starts with other flags than on Blackwell."""
    engine = next(engine for engine in ENGINES if deployment.startswith(engine))
    if engine != "sglang":
        return engine
    return "sglang on H200" if "h200_sxm" in deployment else "sglang on B200, B300"


def main() -> None:
    found: dict[tuple[str, tuple[int, int]], list[tuple[float, float]]] = defaultdict(list)
    for deployment in read_level_table(TABLE).deployments:
        if len(deployment.points) < MIN_POINTS or "gb200" in deployment.name:
            continue
        print(deployment.name, file=sys.stderr)
        fitted, held_out = fit_and_score_points(deployment.points)
        try:
            step_time = fit_levels(fitted).step_time
        except InputError:
            continue
        for p in held_out:
            band = next((b for b in BANDS if b[0] <= p.concurrency <= b[1]), None)
            if band is None or not p.tpot_s:
                continue
            simulated = replay_level(
                step_time,
                UNBOUNDED,
                concurrency=p.concurrency,
                input_tokens=p.input_tokens,
                output_tokens=p.output_tokens,
            )
            missing = (p.ttft_s - simulated.ttft_s) / p.tpot_s
            found[group_of(deployment.name), band].append((simulated.ttft_s / p.ttft_s, missing))
    print("| engine | in flight | points | simulated / measured TTFT | steps missing, median (quartiles) |")
    print("|---|---|---|---|---|")
    for (group, band), rows in sorted(found.items()):
        ratio, missing = np.array(rows).T
        low, mid, high = np.percentile(missing, [25, 50, 75])
        print(
            f"| {group} | {band[0]} to {band[1]} | {len(rows)} | {np.median(ratio):.2f} "
            f"| {mid:.0f} ({low:.0f} to {high:.0f}) |"
        )


if __name__ == "__main__":
    main()
