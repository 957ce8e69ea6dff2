"""The fit gives back coefficients it was fed, measured TTFTs, and says how wrong it is."""

import dataclasses
import math

import pytest

from planner.errors import InputError
from planner.profile import EngineLimits, Scheduler, StepTime
from planner.simulator.step_cost import decode_s, lone_ttft_s, step_s
from planner.steptime.fit import LoadPoint, fit_step_time, predict_level

PAGED = EngineLimits(
    scheduler=Scheduler.PAGED,
    max_sequences=256,
    step_token_budget=2048,
    context_tokens=32_768,
    kv_capacity_tokens=1_000_000,
)
SLOTS = dataclasses.replace(PAGED, scheduler=Scheduler.SLOTS, max_sequences=16)

GPU = StepTime(
    base_s=0.006,
    per_prefill_token_s=60e-6,
    per_sequence_s=50e-6,
    per_sqrt_sequence_s=300e-6,
    per_resident_token_s=20e-9,
    per_attention_pair_s=2e-9,
    request_overhead_s=0.004,
)


def _points(truth: StepTime, limits: EngineLimits, concurrencies: tuple[float, ...]) -> list[LoadPoint]:
    points = []
    for i, o in ((2000, 250), (1000, 1000), (200, 1600)):
        for n in concurrencies:
            p = predict_level(truth, limits, concurrency=n, input_tokens=i, output_tokens=o)
            points.append(LoadPoint(concurrency=n, input_tokens=i, output_tokens=o, ttft_s=p.ttft_s, tpot_s=p.tpot_s))
    return points


def test_a_step_by_hand() -> None:
    step_time = dataclasses.replace(
        GPU, base_s=0.005, per_prefill_token_s=1e-4, per_sequence_s=1e-3, per_sqrt_sequence_s=0.0
    )
    # 5 ms + 100 * 0.1 ms + 4 * 1 ms + 1000 * 20 ns + 0 = 19.02 ms
    seconds = step_s(step_time, prefill_tokens=100, sequences=4, resident_tokens=1000, attention_pairs=0)
    assert seconds == pytest.approx(0.01902)


def test_the_decode_curve_is_flat_left_linear_between_and_sloped_right() -> None:
    step_time = dataclasses.replace(
        GPU, per_sequence_s=0.0, per_sqrt_sequence_s=0.0, decode_curve=((2, 0.002), (4, 0.006), (8, 0.007))
    )
    assert [decode_s(step_time, d) for d in (0, 1, 2, 3, 4, 6, 8, 12)] == pytest.approx(
        [0.0, 0.002, 0.002, 0.004, 0.006, 0.0065, 0.007, 0.008]
    )


def test_a_decode_curve_that_falls_is_followed_between_its_points_but_not_beyond_the_last() -> None:
    saw = dataclasses.replace(
        GPU, per_sequence_s=0.0, per_sqrt_sequence_s=0.0, decode_curve=((1, 0.0), (7, 0.027), (8, 0.020))
    )
    assert [decode_s(saw, d) for d in (4, 7, 7.5, 8, 12)] == pytest.approx([0.0135, 0.027, 0.0235, 0.020, 0.020])


def test_the_fit_recovers_a_smooth_truth() -> None:
    fit = fit_step_time(_points(GPU, PAGED, (1, 4, 16, 64)), limits=PAGED, seed=1)
    assert fit.points == 12
    assert fit.hull.max_concurrency == 64
    assert (fit.hull.min_input_output_ratio, fit.hull.max_input_output_ratio) == (0.125, 8.0)
    assert fit.fitted_tpot_error_frac == pytest.approx(0, abs=0.01)
    assert fit.held_out_tpot_error_frac == pytest.approx(0, abs=0.02)
    unseen = predict_level(fit.step_time, PAGED, concurrency=32, input_tokens=800, output_tokens=400)
    truth = predict_level(GPU, PAGED, concurrency=32, input_tokens=800, output_tokens=400)
    assert unseen.tpot_s == pytest.approx(truth.tpot_s, rel=0.02)


def test_slots_follow_a_jump_that_no_smooth_form_has() -> None:
    truth = dataclasses.replace(
        GPU,
        per_sequence_s=0.0,
        per_sqrt_sequence_s=0.0,
        per_prefill_token_s=1e-3,
        decode_curve=((1, 0.0), (2, 0.011), (4, 0.018), (8, 0.021), (16, 0.046)),
    )
    fit = fit_step_time(_points(truth, SLOTS, (1, 2, 4, 8, 16)), limits=SLOTS, seed=1)
    assert fit.fitted_tpot_error_frac is not None
    assert fit.fitted_tpot_error_frac < 0.05
    seconds = [s for _, s in fit.step_time.decode_curve]
    assert seconds == sorted(seconds)


def test_slots_follow_kernels_that_take_longer_for_seven_sequences_than_for_eight() -> None:
    # medians of single steps of llama.cpp, 135M-parameter Q8_0 shape on two cores, less those of one sequence
    curve = ((1, 0.0), (2, 0.010), (3, 0.016), (4, 0.016), (5, 0.021), (6, 0.022), (7, 0.027), (8, 0.020))
    truth = dataclasses.replace(
        GPU, per_sequence_s=0.0, per_sqrt_sequence_s=0.0, per_prefill_token_s=1e-3, decode_curve=curve
    )
    limits = dataclasses.replace(SLOTS, max_sequences=8)
    fit = fit_step_time(_points(truth, limits, tuple(map(float, range(1, 9)))), limits=limits, seed=1)
    found = [decode_s(fit.step_time, d) for d in range(1, 9)]
    assert found[4:] == pytest.approx([seconds for _, seconds in curve[4:]], rel=0.05)
    assert found[6] > 1.2 * found[7]


def test_prompt_cost_fits_measured_single_stream_ttft() -> None:
    """llama.cpp, 135M-parameter shape on two CPU cores: TTFT grows faster than the square of long prompts."""
    measured = {128: 0.175, 256: 0.325, 512: 0.707, 2048: 3.86, 7437: 40.4}
    points = [
        LoadPoint(concurrency=1, input_tokens=i, output_tokens=64, ttft_s=t, tpot_s=0.008) for i, t in measured.items()
    ]
    points.append(LoadPoint(concurrency=4, input_tokens=131, output_tokens=64, ttft_s=0.5, tpot_s=0.022))
    fit = fit_step_time(points, limits=SLOTS, seed=1)
    for tokens, seconds in measured.items():
        assert lone_ttft_s(fit.step_time, SLOTS, tokens) == pytest.approx(seconds, rel=0.05)


def test_all_coefficients_are_finite_and_not_negative_in_every_posterior_set() -> None:
    fit = fit_step_time(_points(GPU, PAGED, (1, 16)), limits=PAGED, seed=3)
    for step_time in (fit.step_time, *fit.posterior):
        numbers = [v for v in dataclasses.astuple(step_time) if isinstance(v, float)]
        assert all(math.isfinite(v) and v >= 0 for v in numbers)


def test_the_same_seed_gives_the_same_fit() -> None:
    points = _points(GPU, PAGED, (1, 8))
    assert fit_step_time(points, limits=PAGED, seed=7) == fit_step_time(points, limits=PAGED, seed=7)


def test_one_shape_at_two_concurrencies_works() -> None:
    points = _points(GPU, PAGED, (1, 8))[:2]
    fit = fit_step_time(points, limits=PAGED, seed=1)
    assert fit.hull.min_input_output_ratio == fit.hull.max_input_output_ratio == 8.0
    assert fit.fitted_tpot_error_frac == pytest.approx(0, abs=0.05)
    assert fit.held_out_tpot_error_frac is None


def test_one_level_is_one_clear_sentence() -> None:
    with pytest.raises(InputError, match="two concurrencies or more"):
        fit_step_time(_points(GPU, PAGED, (4,)), limits=PAGED, seed=1)


def test_a_zero_is_refused() -> None:
    point = LoadPoint(concurrency=1, input_tokens=100, output_tokens=10, ttft_s=0.0, tpot_s=0.01)
    with pytest.raises(InputError, match="not above 0"):
        fit_step_time([point], limits=PAGED, seed=1)
