"""What fits into the time: hand-worked figures and laws."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from measure.run_info import PlannedLevel, Shape
from measure.sweep import (
    LadderPoint,
    crowd_request_s,
    grid_plan,
    grid_spec,
    ladder_spec,
    longest_that_fits,
    predict_request_s,
    quick_plan,
    share_of_time_s,
)

SHAPE = Shape(name="balanced", input_tokens=64, output_tokens=64)


def point(tokens: float, seconds: float) -> LadderPoint:
    return LadderPoint(input_tokens=tokens, request_s=seconds)


def test_two_points_give_a_parabola_through_zero() -> None:
    # t = 0.0025 n + 0.000005 n^2: 0.3 s at 100, 1.2 s at 300, 7.5 s at 1000
    assert predict_request_s([point(100, 0.3), point(300, 1.2)], 1000) == pytest.approx(7.5)


def test_three_points_find_the_base_too() -> None:
    # t = 0.1 + 0.001 n + 0.000002 n^2
    points = [point(n, 0.1 + 0.001 * n + 0.000002 * n * n) for n in (100, 500, 2000)]
    assert predict_request_s(points, 8000) == pytest.approx(136.1)


def test_one_point_predicts_nothing() -> None:
    assert predict_request_s([point(100, 1)], 200) is None
    assert longest_that_fits([point(100, 1)], 1000, 100) == 0


def test_longest_prompt_of_a_linear_engine() -> None:
    points = [point(100, 0.1), point(1000, 1.0)]
    assert longest_that_fits(points, 8000, 5.0) == pytest.approx(5000, abs=1)
    assert longest_that_fits(points, 3000, 5.0) == 3000
    assert longest_that_fits(points, 3000, 0.0) == 0


@given(seconds=st.floats(0.01, 100), more=st.floats(0, 100))
def test_more_time_never_shortens_the_longest_prompt(seconds: float, more: float) -> None:
    points = [point(128, 0.2), point(512, 0.9), point(2048, 4.4)]
    assert longest_that_fits(points, 10_000, seconds + more) >= longest_that_fits(points, 10_000, seconds)


def test_short_prompts_are_repeated_long_ones_are_not() -> None:
    plan = quick_plan(budget_s=100, longest_input_tokens=None)
    assert ladder_spec(128, plan, predicted_s=0.2, max_s=5).wanted_requests == 3
    assert ladder_spec(512, plan, predicted_s=0.7, max_s=5).wanted_requests == 2
    assert ladder_spec(7000, plan, predicted_s=30, max_s=60).wanted_requests == 1


def test_time_is_shared_by_the_root_of_the_concurrency() -> None:
    levels = [PlannedLevel(shape=SHAPE, concurrency=n) for n in (1, 4, 9)]
    assert share_of_time_s(levels, 60, 1.0) == pytest.approx(10)  # 1 / (1 + 2 + 3)
    assert share_of_time_s(levels[1:], 50, 1.0) == pytest.approx(20)


def test_slow_levels_may_take_up_to_half_of_what_remains() -> None:
    levels = [PlannedLevel(shape=SHAPE, concurrency=n) for n in (1, 4, 9)]
    assert share_of_time_s(levels, 60, 8.0) == pytest.approx(24)  # three request times
    assert share_of_time_s(levels, 60, 20.0) == pytest.approx(30)


def test_a_level_that_cannot_hold_two_requests_is_left_out() -> None:
    plan = quick_plan(budget_s=100, longest_input_tokens=None)
    level = PlannedLevel(shape=SHAPE, concurrency=4)
    assert grid_spec(level, plan, expected_request_s=3.0, share_s=5.9) is None
    spec = grid_spec(level, plan, expected_request_s=0.5, share_s=60.0)
    assert spec is not None
    assert spec.max_s == pytest.approx(2 * 0.5 + 3.0 + 1.0)  # no longer than it needs
    assert spec.wanted_requests == 16


def test_without_a_budget_a_level_takes_its_duration() -> None:
    plan = grid_plan(concurrency=[8, 1, 8], input_tokens=100, output_tokens=None, level_s=30)
    assert [level.concurrency for level in plan.levels] == [1, 8]
    spec = grid_spec(plan.levels[1], plan, expected_request_s=1.0, share_s=None)
    assert spec is not None
    assert (spec.max_s, spec.wanted_requests) == (30, None)
    assert spec.level == "closed-given-8"


def test_without_lengths_the_three_shapes_of_the_capacity_model_are_planned() -> None:
    plan = grid_plan(concurrency=[1, 2], input_tokens=None, output_tokens=None, level_s=30)
    ratios = {level.shape.input_tokens / level.shape.output_tokens for level in plan.levels}
    assert ratios == {8.0, 1.0, 0.125}
    assert len(plan.levels) == 6


def test_crowding() -> None:
    assert crowd_request_s(1.0, measured_at=1, concurrency=8) == pytest.approx(5.278, abs=1e-3)  # 8^0.8
    assert crowd_request_s(2.0, measured_at=4, concurrency=4) == 2.0
