"""The operator's rules through a whole plan: what the scenario says is what `hourly.csv` and the machines show."""

import csv
import dataclasses
import io
from pathlib import Path

import pytest
from plan_case import ONE_AT_A_TIME, SCENARIO, write_case

from planner.decision.decide import make_plan, size_fleets
from planner.decision.plan import Plan
from planner.errors import InputError
from planner.export.directory import plan_files
from planner.profile import Memory, Profile
from planner.scenario.load import load_inputs


def _plan(folder: Path, scenario: str, profile: Profile = ONE_AT_A_TIME) -> Plan:
    inputs = load_inputs(write_case(folder, scenario, profile))
    return make_plan(inputs, size_fleets(inputs))


def _hours(plan: Plan) -> list[dict[str, str]]:
    rows = csv.DictReader(io.StringIO(plan_files(plan)["hourly.csv"].decode()))
    return [row for row in rows if row["option"] == "aws-c7a-large"]


def test_zones_boot_and_batch_work_in_the_hours_of_a_plan(tmp_path: Path) -> None:
    """2.5 requests/s of a second each, so 3 replicas on average: with 3 zones, enough stands in the other two."""
    keys = (
        "[fleet]\nspare_replicas = 0\nmin_replicas = 0\nscale_by_hour = true\nzones = 3\nboot_s = 600\nmin_up_h = 3\n"
    )
    batch = '[workload]\nweek_shape = "servegen"\ndeferrable_frac = 0.25\ndeferrable_deadline_h = 6'
    scenario = SCENARIO.replace("[workload]", batch).replace("[candidates]", f"{keys}\n[candidates]", 1)
    hours = _hours(_plan(tmp_path, scenario))
    served, sent = ([float(h[key]) for h in hours] for key in ("requests_per_s", "arriving_per_s"))
    assert sum(served) == pytest.approx(sum(sent))
    assert max(served) < max(sent)
    needed, paid = ([int(h[key]) for h in hours] for key in ("needed_replicas", "paid_replicas"))
    for hour in range(168):
        assert paid[hour] - -(-paid[hour] // 3) >= needed[hour]
        assert paid[hour] >= paid[hour - 1] or paid[hour - 1] == paid[hour - 2] == paid[hour - 3]  # 3 hours at least
        if needed[hour] > needed[hour - 1]:  # booted in the hour before
            assert paid[hour - 1] - -(-paid[hour - 1] // 3) >= needed[hour]


def test_a_probability_needs_a_posterior_and_costs_replicas(tmp_path: Path) -> None:
    sure = SCENARIO.replace("[slo]", "[slo]\nprobability = 0.9")
    with pytest.raises(InputError, match="no posterior, so no probability can be stated"):
        _plan(tmp_path, sure)
    sets = tuple(
        dataclasses.replace(ONE_AT_A_TIME.fit.step_time, per_prefill_token_s=0.001 * factor)
        for factor in (0.9, 1.0, 1.1, 1.2)
    )
    unsure = dataclasses.replace(ONE_AT_A_TIME, fit=dataclasses.replace(ONE_AT_A_TIME.fit, posterior=sets))
    best, held = (_plan(tmp_path, text, unsure) for text in (SCENARIO, sure))
    machines = [
        {o.id: o.fleet.peak_machines for o in plan.options if o.fleet is not None}["aws-c7a-large"]
        for plan in (best, held)
    ]
    assert machines[0] < machines[1]


def test_a_model_that_does_not_fit_is_out_with_its_remedies(tmp_path: Path) -> None:
    """An offer of 4 GiB (aws-c7a-large) and weights of 6 GiB."""
    memory = Memory(scope="process", weights_file_gib=6.0, kv_bytes_per_token=None, peak_gib=None, available_gib=None)
    plan = _plan(tmp_path, SCENARIO, dataclasses.replace(ONE_AT_A_TIME, memory=memory))
    reason = next(e.reason for e in plan.excluded if e.id == "aws-c7a-large")
    assert "memory: needs 6 GiB, has 4; 1 replica(s)" in reason
    assert "quantise the weights to at most 4 GiB, 67% of their size" in reason
    assert "2 times the memory (tensor parallel)" in reason
