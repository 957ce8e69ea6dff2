"""One list of beliefs: defaults, offers and the scenario's own figures, and what is refused."""

import dataclasses
from pathlib import Path

import pytest
from plan_case import ONE_AT_A_TIME, SCENARIO, write_case

from planner.cost.limits import bounds
from planner.decision.decide import make_plan, size_fleets
from planner.errors import InputError
from planner.profile import Profile
from planner.ranges import Assumption
from planner.scenario.assumptions import gather_assumptions
from planner.scenario.load import load_inputs


def gathered(directory: Path, extra: str = "", profile: Profile = ONE_AT_A_TIME) -> dict[str, Assumption]:
    inputs = load_inputs(write_case(directory, SCENARIO.replace("throughput_ratio = 1\n", "") + extra, profile))
    plan = make_plan(inputs, size_fleets(inputs))
    return {assumption.name: assumption for assumption in plan.assumptions}


def test_the_scenario_wins_by_name_and_keeps_the_unit(tmp_path: Path) -> None:
    found = gathered(tmp_path)
    assert found["pue_ratio"].value.mid == 1.5
    assert found["pue_ratio"].source == "the scenario file"
    assert found["pue_ratio"].unit == "facility power / IT power"
    assert found["staff_fte"].source == "a test"
    assert not found["staff_fte"].is_placeholder
    assert found["cpu-1p-8c/life_years"].value.low == found["cpu-1p-8c/life_years"].value.high == 4


def test_every_assumption_says_where_it_comes_from(tmp_path: Path) -> None:
    for assumption in gathered(tmp_path).values():
        assert assumption.source, assumption.name
        assert assumption.unit, assumption.name


def test_throughput_is_as_uncertain_as_the_held_out_error(tmp_path: Path) -> None:
    value = gathered(tmp_path)["throughput_ratio"].value
    assert (value.low, value.mid, value.high) == pytest.approx((0.9, 1.0, 1.1))  # TPOT 5 %, TTFT 10 %: the larger


def test_requests_that_were_never_measured_widen_it(tmp_path: Path) -> None:
    small = dataclasses.replace(ONE_AT_A_TIME.fit.hull, max_input_tokens=500)
    fit = dataclasses.replace(ONE_AT_A_TIME.fit, hull=small)
    found = gathered(tmp_path, profile=dataclasses.replace(ONE_AT_A_TIME, fit=fit))["throughput_ratio"]
    assert (found.value.low, found.value.high) == pytest.approx((0.4, 1.6))  # 10 % and half of 100 %
    assert "100% of the requests lie outside" in found.source


def test_an_error_that_nobody_measured_is_a_wide_placeholder(tmp_path: Path) -> None:
    unchecked = dataclasses.replace(ONE_AT_A_TIME.fit, held_out_tpot_error_frac=None, held_out_ttft_error_frac=None)
    found = gathered(tmp_path, profile=dataclasses.replace(ONE_AT_A_TIME, fit=unchecked))["throughput_ratio"]
    assert (found.value.low, found.value.high) == (0.7, 1.3)
    assert found.is_placeholder


def test_all_impossible_figures_are_listed_together(tmp_path: Path) -> None:
    wrong = '"cpu-1p-8c/resale" = 1\nnetwork_cost = 2\nresale_frac_of_book_value = -0.5\n'
    with pytest.raises(InputError) as caught:
        gathered(tmp_path, wrong + '"aws-c7a-large/replicas_per_machine" = 0.5\n')
    message = str(caught.value)
    for said in (
        'assumptions."cpu-1p-8c/resale" is not known',
        'assumptions."network_cost" is not known',
        'assumptions."resale_frac_of_book_value" must be at least 0, got -0.5',
        'assumptions."aws-c7a-large/replicas_per_machine" must be at least 1, got 0.5',
    ):
        assert said in message


def test_every_default_has_bounds_that_hold(tmp_path: Path) -> None:
    for assumption in gathered(tmp_path).values():
        least, most = bounds(assumption.name)
        assert least > float("-inf"), f"{assumption.name} has no least value"
        assert least <= assumption.value.low <= assumption.value.high <= most


def test_without_a_profile_nothing_is_said_of_throughput(tmp_path: Path) -> None:
    inputs = load_inputs(write_case(tmp_path))
    found = gather_assumptions(
        dataclasses.replace(inputs.scenario, assumptions={}),
        defaults=inputs.defaults,
        log_requests_per_day=1.0,
        profile=None,
        outside_hull_frac=0.0,
        rentals=(),
        purchases=(),
    )
    assert "throughput_ratio" not in {assumption.name for assumption in found}


def test_an_error_beyond_the_limit_is_told_and_held(tmp_path: Path) -> None:
    weak = dataclasses.replace(ONE_AT_A_TIME.fit, held_out_ttft_error_frac=1.06)
    found = gathered(tmp_path, profile=dataclasses.replace(ONE_AT_A_TIME, fit=weak))["throughput_ratio"]
    assert (found.value.low, found.value.high) == pytest.approx((0.1, 1.9))
    assert "106%" in found.source
    assert "held to 90% here" in found.source
    assert found.is_placeholder


def test_an_undated_figure_of_the_scenario_is_a_guess(tmp_path: Path) -> None:
    found = gathered(tmp_path)
    assert found["growth_frac_per_month"].is_placeholder
    assert found["aws-c7a-large/replicas_per_machine"].is_placeholder
