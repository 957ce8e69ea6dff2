"""How far attainment by hour is from simulating each hour: `.venv/bin/python benchmarks/decision/hours.py`."""

import dataclasses
from pathlib import Path

import numpy as np

from planner.capacity.slo import attainment_frac
from planner.decision.decide import make_plan, size_fleets
from planner.scenario.load import load_inputs
from planner.simulator.simulate import simulate
from planner.workload import at_rate, burst_sample

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def main() -> None:
    for name in ("scenario.toml", "reference_70b.toml"):
        read = load_inputs(EXAMPLES / name)
        at_once = dataclasses.replace(read.scenario.fleet, boot_s=0.0)  # so that what is paid is what serves
        inputs = dataclasses.replace(read, scenario=dataclasses.replace(read.scenario, fleet=at_once))
        plan = make_plan(inputs, size_fleets(inputs))
        load, slo = burst_sample(inputs.workload), inputs.scenario.slo.slo
        for option in plan.options:
            if option.fleet is None:
                continue
            profile = inputs.profiles[option.fleet.profile]
            above = []
            for hour in option.fleet.week.hours:
                assert hour.shares is not None
                result = simulate(
                    profile.fit.step_time,
                    profile.limits,
                    at_rate(load, hour.requests_per_s),
                    replicas=hour.paid_replicas,
                )
                above.append(hour.shares.attained_frac - attainment_frac(result, slo))
            print(
                f"{name}: {option.id}: {len(above)} hours, stated minus simulated in points: mean "
                f"{100 * np.mean(above):+.2f}, lowest {100 * min(above):+.2f}, highest {100 * max(above):+.2f}"
            )


if __name__ == "__main__":
    main()
