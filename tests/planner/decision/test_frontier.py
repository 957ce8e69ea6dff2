"""Cost against latency: what nothing beats, by hand; the laws of a longer limit; the plan's own options at factor 1."""

import csv
import io
import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plan_case import SCENARIO, write_case

from planner.capacity.slo import Slo
from planner.charts.latency import cost_against_tpot, cost_against_ttft
from planner.cost.options import OptionKind
from planner.decision.decide import make_plan, size_fleets
from planner.decision.frontier import FACTORS, FEW_FACTORS, scaled, undominated, with_frontier
from planner.decision.plan import Plan
from planner.export.directory import latency_csv, plan_files
from planner.scenario.load import load_inputs


def frontier_of(scenario: Path) -> Plan:
    inputs = load_inputs(scenario)
    curves = size_fleets(inputs)
    return with_frontier(make_plan(inputs, curves), inputs, curves)


@pytest.fixture(scope="module")
def plan(repository: Path) -> Plan:
    return frontier_of(repository / "examples" / "reference_70b.toml")


def test_what_nothing_beats_by_hand() -> None:
    """(USD, s): b is dearer and slower than a, d costs what c costs and is slower, e equals a, f is not known."""
    a, b, c, d, e, f = (100.0, 2.0), (110.0, 3.0), (200.0, 1.0), (200.0, 1.5), (100.0, 2.0), (50.0, None)
    assert undominated([a, b, c, d, e, f]) == (True, False, True, False, True, False)
    assert undominated([]) == ()


@given(st.lists(st.tuples(st.integers(1, 6).map(float), st.integers(1, 6).map(float)), max_size=30))
def test_a_point_is_marked_if_and_only_if_no_other_is_as_good_in_both_and_better_in_one(
    points: list[tuple[float, float]],
) -> None:
    def beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
        return one[0] <= other[0] and one[1] <= other[1] and one != other

    expected = tuple(not any(beats(other, point) for other in points) for point in points)
    assert undominated(list(points)) == expected


def test_every_limit_is_scaled_and_a_missing_one_stays_missing() -> None:
    assert scaled(Slo(attainment_frac=0.9, ttft_s=2.0, e2e_s=8.0), 0.5) == Slo(
        attainment_frac=0.9, ttft_s=1.0, tpot_s=None, e2e_s=4.0
    )


def test_a_longer_limit_never_costs_more_nor_needs_more_machines(plan: Plan) -> None:
    assert plan.frontier is not None
    hosts = {option.id for option in plan.options if option.fleet}
    assert len(hosts) == 3
    for host in hosts:
        mine = sorted((p for p in plan.frontier.points if p.option == host), key=lambda p: p.slo_factor or 0.0)
        assert [point.slo_factor for point in mine] == list(FACTORS)
        costs = [point.usd_per_month for point in mine]
        assert costs == sorted(costs, reverse=True)
        machines = [point.machines or 0 for point in mine]
        assert machines == sorted(machines, reverse=True)
        assert machines[0] > machines[-1]


def test_every_fleet_of_flat_hours_holds_the_limit_that_it_was_sized_for(plan: Plan) -> None:
    """95 % of the requests within the limit in the fullest hour are at least 95 % over the week."""
    assert plan.frontier is not None
    for point in plan.frontier.points:
        if point.slo_factor is not None:
            assert point.slo is not None
            assert point.slo.ttft_s is not None
            assert point.latency.ttft_s is not None
            assert point.latency.ttft_s.p95 <= point.slo.ttft_s


def test_at_factor_one_stand_the_options_of_the_plan(plan: Plan) -> None:
    assert plan.frontier is not None
    shown = {p.option: p for p in plan.frontier.points if p.slo_factor in (None, 1.0)}
    assert set(shown) == {option.id for option in plan.options}
    for option in plan.options:
        assert shown[option.id].usd_per_month == option.levelised_usd_per_month
        assert shown[option.id].latency == option.latency


def test_unknown_latency_is_never_on_a_frontier_and_the_cheapest_known_always(plan: Plan) -> None:
    assert plan.frontier is not None
    for point in plan.frontier.points:
        if point.latency.ttft_s is None:
            assert not point.on_ttft_frontier
            assert point.latency.missing
    known = [p for p in plan.frontier.points if p.latency.ttft_s]
    assert min(known, key=lambda p: p.usd_per_month).on_ttft_frontier
    assert min(known, key=lambda p: p.latency.ttft_s.p95 if p.latency.ttft_s else math.inf).on_ttft_frontier


def test_a_limit_that_an_empty_replica_misses_is_named(tmp_path: Path) -> None:
    """A prompt takes 1 s on an empty replica, so 1.5 s times 0.5 and less cannot be held by any number of them."""
    found = frontier_of(write_case(tmp_path)).frontier
    assert found is not None
    missed = {(row.option, row.slo_factor) for row in found.not_held}
    assert missed == {(o, f) for o in ("aws-c7a-large", "cpu-1p-8c") for f in (0.25, 0.35, 0.5)}
    assert all("E2E of an empty replica" in row.reason for row in found.not_held)


def test_without_machines_there_are_only_the_apis(tmp_path: Path) -> None:
    start = SCENARIO.index("[[candidates.rent]]")
    only_api = SCENARIO[:start]
    found = frontier_of(write_case(tmp_path, only_api)).frontier
    assert found is not None
    assert [(p.kind, p.slo_factor) for p in found.points] == [(OptionKind.API, None)]


def test_a_stated_probability_tries_fewer_factors_with_the_same_laws(repository: Path, tmp_path: Path) -> None:
    text = (repository / "examples" / "scenario.toml").read_text()
    for name in ("profile.json", "azure_code_2023.csv"):
        (tmp_path / name).write_bytes((repository / "examples" / name).read_bytes())
    rows = (tmp_path / "azure_code_2023.csv").read_text().splitlines()[:1500]
    (tmp_path / "azure_code_2023.csv").write_text("\n".join(rows) + "\n")
    text = text.replace("ttft_s = 100.0", "ttft_s = 100.0\nprobability = 0.8")
    (tmp_path / "scenario.toml").write_text(text[: text.index("[[candidates.own]]")])
    found = frontier_of(tmp_path).frontier
    assert found is not None
    mine = [p for p in found.points if p.option == "aws-c7a-large"]
    assert [p.slo_factor for p in mine] == [f for f in FEW_FACTORS if f not in {n.slo_factor for n in found.not_held}]
    costs = [p.usd_per_month for p in mine]
    assert costs == sorted(costs, reverse=True)


def test_the_files_hold_the_points_of_the_frontier(plan: Plan) -> None:
    assert plan.frontier is not None
    verdict = json.loads(plan_files(plan)["verdict.json"])
    points = verdict["frontier"]["points"]
    rows = list(csv.DictReader(io.StringIO(latency_csv(plan).decode())))
    assert len(rows) == len(points) == len(plan.frontier.points)
    for row, point, option in zip(rows, points, plan.frontier.points, strict=True):
        assert row["option"] == point["option"] == option.option
        assert float(row["usd_per_month"]) == pytest.approx(point["usd_per_month"], abs=1e-6)
        assert row["on_ttft_frontier"] == str(point["on_ttft_frontier"]).lower()
        if point["latency"]["ttft_s"] is None:
            assert row["ttft_p95_s"] == ""
            assert row["missing"]
        else:
            assert float(row["ttft_p95_s"]) == pytest.approx(point["latency"]["ttft_s"]["p95"], abs=1e-6)
    latencies = {option["id"]: option["latency"] for option in verdict["options"]}
    assert latencies["hgx-h100-8"]["ttft_s"]["p50"] > 0


def test_the_figures_draw_the_points_and_fill_those_on_the_frontier(plan: Plan) -> None:
    assert plan.frontier is not None
    for figure, flag, metric in (
        (cost_against_ttft(plan), "on_ttft_frontier", "ttft_s"),
        (cost_against_tpot(plan), "on_tpot_frontier", "tpot_s"),
    ):
        steps, *options = figure.data
        known = [p for p in plan.frontier.points if getattr(p.latency, metric)]
        best = {(getattr(p.latency, metric).p95, p.usd_per_month) for p in known if getattr(p, flag)}
        assert set(zip(steps.x, steps.y, strict=True)) == best
        assert list(steps.x) == sorted(steps.x)
        assert list(steps.y) == sorted(steps.y, reverse=True)
        assert {trace.name.partition(": ")[0] for trace in options} == {"rent", "own", "mix"}
        assert sum(len(trace.x) for trace in options) == len(known)
        ends = min(x for trace in options for x in trace.x), max(x for trace in options for x in trace.x)
        marks = figure.layout.xaxis.tickvals
        assert 3 <= len(marks) <= 8
        assert all(ends[0] * 0.9 <= mark <= ends[1] * 1.1 for mark in marks)
        filled = sum(not symbol.endswith("-open") for trace in options for symbol in trace.marker.symbol)
        assert filled == sum(getattr(p, flag) for p in known)
