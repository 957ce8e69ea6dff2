"""Latency of every kind of option: by hand, against numpy, and against simulating every hour."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plan_case import ONE_AT_A_TIME, SCENARIO, write_case

from planner.cost.options import OptionKind
from planner.decision.decide import make_plan, size_fleets
from planner.decision.latency import Served, fleet_latency, representative, weighted_percentiles
from planner.decision.plan import OptionResult, Plan
from planner.distribution import Percentiles
from planner.errors import InputError
from planner.pages.link import from_query, to_query
from planner.scenario.load import load_inputs
from planner.scenario.toml_file import dump_scenario, load_scenario, parse_scenario
from planner.simulator.simulate import simulate
from planner.workload import Workload, at_rate

STATED = """
[latency."openai/gpt-4o-mini"]
source = "measured at the endpoint"
as_of = 2026-11-20
ttft_s = { p50 = 0.4, p95 = 1.1, p99 = 2.5 }
tpot_s = { p50 = 0.01, p95 = 0.02, p99 = 0.03 }
"""


def _even(count: int, gap_s: float, output: int = 1) -> Workload:
    return Workload(
        name="even",
        arrival_s=np.arange(count) * gap_s,
        input_tokens=np.full(count, 1000, dtype=np.int64),
        output_tokens=np.full(count, output, dtype=np.int64),
        span_s=count * gap_s,
        starts_at=None,
        source="by hand",
    )


def _plan(directory: Path, scenario: str = SCENARIO, **case: object) -> Plan:
    inputs = load_inputs(write_case(directory, scenario, **case))  # type: ignore[arg-type]
    return make_plan(inputs, size_fleets(inputs))


def _option(plan: Plan, kind: OptionKind) -> OptionResult:
    return next(option for option in plan.options if option.kind is kind)


def test_a_lone_request_takes_what_its_prompt_takes() -> None:
    """1,000 prompt tokens at 1 ms each are 1 s; twice as fast a machine takes half of it."""
    hours = [Served(weight=1.0, requests_per_s=0.5, replicas=1)]
    found = fleet_latency(ONE_AT_A_TIME, _even(100, 2.0), hours)
    assert found.ttft_s is not None
    assert (found.ttft_s.p50, found.ttft_s.p95, found.ttft_s.p99) == pytest.approx((1.0, 1.0, 1.0))
    assert found.tpot_s is None
    assert "second token" in found.missing
    faster = fleet_latency(ONE_AT_A_TIME, _even(100, 2.0), hours, throughput_ratio=2.0)
    assert faster.ttft_s is not None
    assert faster.ttft_s.p95 == pytest.approx(0.5)


def test_an_hour_counts_by_its_requests() -> None:
    """Pairs of requests: alone on two replicas all take 1 s, on one replica the second of each pair takes 2 s.

    90 % of the requests in the calm hour leave 5 % of all at 2 s: beyond p95, so p95 is 1 s and p99 is 2 s. At 80 % it
    is 10 %, and p95 is 2 s too.
    """
    pairs = dataclasses.replace(_even(200, 2.0), arrival_s=np.repeat(np.arange(100) * 4.0, 2))

    def p95_p99(calm: float) -> tuple[float, float]:
        hours = [
            Served(weight=calm, requests_per_s=0.5, replicas=2),
            Served(weight=1 - calm, requests_per_s=0.5, replicas=1),
        ]
        found = fleet_latency(ONE_AT_A_TIME, pairs, hours).ttft_s
        assert found is not None
        return found.p95, found.p99

    assert p95_p99(0.91) == pytest.approx((1.0, 2.0))
    assert p95_p99(0.80) == pytest.approx((2.0, 2.0))


def test_what_is_too_long_for_a_replica_is_in_no_percentile() -> None:
    load = _even(100, 2.0)
    load.input_tokens[::4] = 9000
    found = fleet_latency(ONE_AT_A_TIME, load, [Served(weight=1.0, requests_per_s=0.5, replicas=1)])
    assert found.unserved_frac == pytest.approx(0.25)
    assert found.ttft_s is not None
    assert found.ttft_s.p99 == pytest.approx(1.0)


@given(
    st.lists(st.lists(st.floats(0.001, 100.0), min_size=1, max_size=20), min_size=1, max_size=5),
    st.lists(st.integers(1, 100), min_size=5, max_size=5),
)
def test_weighted_percentiles_are_those_of_numpy(parts: list[list[float]], weights: list[int]) -> None:
    arrays = [np.array(part) for part in parts]
    found = weighted_percentiles(arrays, [float(w) for w in weights[: len(parts)]])
    each = np.concatenate([np.full(a.size, w / a.size) for a, w in zip(arrays, weights, strict=False)])
    exact = np.quantile(np.concatenate(arrays), [0.5, 0.95, 0.99], method="inverted_cdf", weights=each)
    assert found is not None
    values = np.sort(np.concatenate(arrays))
    for mine, theirs in zip((found.p50, found.p95, found.p99), exact, strict=True):
        # where the share is reached exactly, rounding decides between two neighbours
        assert (
            abs(int(np.searchsorted(values, mine)) - int(np.searchsorted(values, theirs))) <= (values == theirs).sum()
        )


def test_no_sample_has_no_percentiles() -> None:
    assert weighted_percentiles([], []) is None
    assert weighted_percentiles([np.array([np.nan])], [1.0]) is None


@given(st.lists(st.tuples(st.floats(0.0, 10.0), st.integers(1, 9)), min_size=1, max_size=168))
def test_representative_hours_are_hours_and_keep_all_requests(hours: list[tuple[float, int]]) -> None:
    week = [Served(weight=rate, requests_per_s=rate, replicas=n) for rate, n in hours]
    chosen = representative(week, 12)
    assert len(chosen) <= 12
    assert sum(h.weight for h in chosen) == pytest.approx(sum(rate for rate, _ in hours))
    assert {(h.requests_per_s, h.replicas) for h in chosen} <= set(hours)
    if len({hour for hour in hours if hour[0] > 0}) <= 12:
        assert {(h.requests_per_s, h.replicas) for h in chosen} == {hour for hour in hours if hour[0] > 0}


def test_sixteen_hours_stand_for_the_week_of_the_example(repository: Path) -> None:
    """All 168 hours simulated one by one, every request counted, against the planner's answer."""
    scenario = (repository / "examples" / "scenario.toml").read_text()
    inputs = load_inputs(repository / "examples")
    assert 'week_shape = "servegen"' in scenario
    curves = size_fleets(inputs)
    plan = make_plan(inputs, curves)
    own = _option(plan, OptionKind.OWN)
    assert own.fleet is not None
    profile = inputs.profiles[own.fleet.profile]
    hours = [hour for hour in own.fleet.week.hours if hour.requests_per_s > 0]
    runs = [
        simulate(
            profile.fit.step_time,
            profile.limits,
            at_rate(inputs.workload, hour.requests_per_s),
            replicas=hour.serving_replicas,
        ).ttft_s
        for hour in hours
    ]
    weights = np.concatenate([np.full(run.size, h.requests_per_s) for run, h in zip(runs, hours, strict=True)])
    exact = np.quantile(np.concatenate(runs), [0.5, 0.95, 0.99], method="inverted_cdf", weights=weights)
    assert own.latency.ttft_s is not None
    found = own.latency.ttft_s
    assert (found.p50, found.p95, found.p99) == pytest.approx(tuple(exact), rel=0.02)


def test_an_api_takes_what_the_scenario_states_or_nobody_knows(tmp_path: Path) -> None:
    unknown = _option(_plan(tmp_path), OptionKind.API).latency
    assert (unknown.ttft_s, unknown.tpot_s, unknown.e2e_s) == (None, None, None)
    assert "nobody stated what it takes" in unknown.missing
    stated = _option(_plan(tmp_path, SCENARIO + STATED), OptionKind.API).latency
    assert stated.ttft_s == Percentiles(p50=0.4, p95=1.1, p99=2.5)
    assert stated.tpot_s == Percentiles(p50=0.01, p95=0.02, p99=0.03)
    assert stated.e2e_s is None
    assert "e2e_s" in stated.missing
    assert stated.basis == "stated in the scenario: measured at the endpoint (2026-11-20)"
    one_figure = SCENARIO.replace("e2e_s = 1.5", "e2e_s = 1.5\napi_ttft_s = 0.7")
    first = _option(_plan(tmp_path, one_figure), OptionKind.API).latency
    assert first.ttft_s == Percentiles(p50=0.7, p95=0.7, p99=0.7)
    assert first.tpot_s is None


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("ttft_s = { p50 = 2.0, p95 = 1.1, p99 = 2.5 }", "ascend from p50 to p99"),
        ("ttft_s = { p50 = 0.4 }", "p95"),
        ("ttft_s = { p50 = -1.0, p95 = 1.1, p99 = 2.5 }", "at least 0"),
    ],
)
def test_a_stated_latency_that_cannot_be_is_refused_with_its_line(wrong: str, said: str) -> None:
    text = SCENARIO + STATED.replace("ttft_s = { p50 = 0.4, p95 = 1.1, p99 = 2.5 }", wrong)
    with pytest.raises(InputError, match=said) as caught:
        parse_scenario(text, name="x")
    assert "line" in str(caught.value)


def test_a_latency_of_no_candidate_is_refused_and_a_stated_one_is_kept_in_the_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="latency names a/b; give API candidates"):
        parse_scenario(SCENARIO + STATED.replace("openai/gpt-4o-mini", "a/b"), name="x")
    scenario = load_scenario(write_case(tmp_path, SCENARIO + STATED))
    assert parse_scenario(dump_scenario(scenario), name="again") == scenario
    without = load_scenario(write_case(tmp_path))
    query = to_query(without, scenario)
    assert query is not None
    assert from_query(without, query) == scenario


HYBRID = """
schema_version = 1
name = "hybrid"
start_month = "2026-12"
horizon_months = 12
profile = "profile.json"

[workload]
log = "log.csv"
requests_per_day = 86_400

[slo]
attainment_frac = 0.99
e2e_s = 1.5

[candidates]
api = ["openai/gpt-4o-mini"]

[[candidates.rent]]
offer = "aws-c7a-large"
replicas_per_machine = 1

[assumptions]
staff_fte = 0
migration_fte_months = 0
exit_fte_months = 0
"aws-c7a-large/usd_per_h" = 0.05
"""


def _bursty(directory: Path, scenario: str) -> Plan:
    """One request a second, and ten at once every 100 s: a single machine holds the first and not the second."""
    write_case(directory, scenario)
    arrivals = sorted([*range(1000), *(100 * k + 0.5 for k in range(10) for _ in range(10))])
    rows = "\n".join(f"{arrival},1000,1" for arrival in arrivals)
    (directory / "log.csv").write_text(f"arrival_s,input_tokens,output_tokens\n{rows}\n")
    inputs = load_inputs(directory)
    return make_plan(inputs, size_fleets(inputs))


def test_a_hybrid_needs_to_know_what_the_api_takes(tmp_path: Path) -> None:
    plan = _bursty(tmp_path, HYBRID)
    hybrid = _option(plan, OptionKind.HYBRID)
    assert hybrid.hybrid is not None
    assert hybrid.hybrid.overflow_frac > 0
    assert hybrid.latency.ttft_s is None
    assert "nobody stated what it takes" in hybrid.latency.missing

    stated = HYBRID.replace("e2e_s = 1.5", "e2e_s = 1.5\napi_ttft_s = 40.0")
    slow = _option(_bursty(tmp_path, stated), OptionKind.HYBRID).latency.ttft_s
    assert slow is not None
    assert slow.p50 == pytest.approx(1.0, abs=0.6)  # most stay: 1 s on a replica
    assert slow.p99 >= 40.0  # what leaves takes the API's 40 s at least


def test_a_replica_that_still_boots_serves_nobody(tmp_path: Path) -> None:
    """With the fleet following the hour, more hours are paid for a longer boot, and the requests take as long."""
    following = SCENARIO.replace("[candidates]", "[fleet]\nscale_by_hour = true\nboot_s = 1\n\n[candidates]").replace(
        'log = "log.csv"', 'log = "log.csv"\nweek_shape = "servegen"'
    )
    quick, slow = (
        _option(_plan(tmp_path, following.replace("boot_s = 1", f"boot_s = {boot}")), OptionKind.RENT)
        for boot in (0, 7200)
    )
    assert quick.fleet is not None
    assert slow.fleet is not None
    assert slow.fleet.week.replica_hours_per_week > quick.fleet.week.replica_hours_per_week
    assert slow.latency == quick.latency


def test_machines_of_several_offers_are_between_the_fleets_of_each(repository: Path) -> None:
    inputs = load_inputs(repository / "examples" / "reference_70b.toml")
    plan = make_plan(inputs, size_fleets(inputs))
    mix = _option(plan, OptionKind.MIX)
    assert mix.latency.ttft_s is not None
    singles = [o.latency.ttft_s for o in plan.options if o.fleet]
    slowest = max(single.p95 for single in singles if single)
    fastest = min(single.p95 for single in singles if single)
    assert fastest <= mix.latency.ttft_s.p95 <= slowest
    assert mix.latency.ttft_s.p95 <= inputs.scenario.slo.ttft_s  # type: ignore[operator]
