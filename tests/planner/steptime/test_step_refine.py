"""Refinement by simulation: it finds the coefficients of a simulated engine, and helps on a measured one."""

import dataclasses

import numpy as np
import pytest

from planner.profile import EngineLimits, Scheduler, StepTime
from planner.steptime.fit import LoadPoint, fit_step_time
from planner.steptime.refine import ClosedLevel, refine_step_time, simulate_level

TRUTH = StepTime(
    base_s=0.006,
    per_prefill_token_s=0.0011,
    per_sequence_s=0.0,
    per_sqrt_sequence_s=0.0,
    per_resident_token_s=9e-6,
    per_attention_pair_s=1.2e-7,
    request_overhead_s=0.008,
    decode_curve=((1, 0.0), (2, 0.013), (4, 0.018), (8, 0.021)),
    mixed_step_s=0.02,
)
SLOTS = EngineLimits(
    scheduler=Scheduler.SLOTS,
    max_sequences=8,
    step_token_budget=2048,
    context_tokens=4096,
    kv_capacity_tokens=32768,
)
SHAPES = ((256, 32), (64, 64), (16, 128))


def level(concurrency: int, prompt: int, output: int) -> ClosedLevel:
    """What the true engine does with output lengths that vary by a tenth and staggered starts."""
    rng = np.random.default_rng((concurrency, prompt))
    spread = output // 10
    asked = ClosedLevel(
        concurrency=concurrency,
        input_tokens=np.full(12 * concurrency, prompt),
        output_tokens=output + rng.integers(-spread, spread + 1, 12 * concurrency),
        start_s=np.linspace(0.0, 0.5, concurrency, endpoint=False),
        ttft_s=1.0,
        tpot_s=1.0,
    )
    true = simulate_level(TRUTH, SLOTS, asked)
    return dataclasses.replace(asked, ttft_s=true.ttft_s, tpot_s=true.tpot_s)


LEVELS = [level(n, *shape) for n in (1, 2, 4, 8) for shape in SHAPES]
LEVELS += [level(1, prompt, 16) for prompt in (64, 512, 1024)]
POINTS = [
    LoadPoint(
        concurrency=x.concurrency,
        input_tokens=float(x.input_tokens.mean()),
        output_tokens=float(x.output_tokens.mean()),
        ttft_s=x.ttft_s,
        tpot_s=x.tpot_s,
    )
    for x in LEVELS
]


def worst(step_time: StepTime) -> tuple[float, float]:
    """Largest relative error of a level's mean TPOT and TTFT, simulated."""
    simulated = [(simulate_level(step_time, SLOTS, x), x) for x in LEVELS]
    tpot = max(abs(got.tpot_s / (x.tpot_s or 1.0) - 1) for got, x in simulated)
    return tpot, max(abs(got.ttft_s / x.ttft_s - 1) for got, x in simulated)


def test_the_true_engine_is_found_again_where_means_alone_miss_it() -> None:
    fit = fit_step_time(POINTS, limits=SLOTS, seed=0)
    refined = refine_step_time(fit, LEVELS, limits=SLOTS, seed=0)
    assert worst(fit.step_time)[1] > 0.10
    tpot, ttft = worst(refined.step_time)
    assert tpot < 0.02
    assert ttft < 0.05
    assert refined.step_time.base_s == pytest.approx(TRUTH.base_s, rel=0.1)
    assert refined.step_time.per_prefill_token_s == pytest.approx(TRUTH.per_prefill_token_s, rel=0.1)
    assert refined.step_time.mixed_step_s == pytest.approx(TRUTH.mixed_step_s, rel=0.35)
    heights = [height for _, height in refined.step_time.decode_curve]
    assert heights == pytest.approx([height for _, height in TRUTH.decode_curve], rel=0.1)
    assert refined.fitted_tpot_error_frac is not None
    assert refined.fitted_tpot_error_frac < 0.02
    assert len(refined.posterior) == len(fit.posterior)


def test_the_posterior_is_narrow_where_the_levels_agree_and_wider_where_they_do_not() -> None:
    fit = fit_step_time(POINTS, limits=SLOTS, seed=0)
    rng = np.random.default_rng(1)
    noisy = [dataclasses.replace(x, tpot_s=(x.tpot_s or 0.0) * float(rng.lognormal(0.0, 0.1))) for x in LEVELS]
    spread = {}
    for name, levels in {"exact": LEVELS, "noisy": noisy}.items():
        sets = refine_step_time(fit, levels, limits=SLOTS, seed=0).posterior
        spread[name] = float(np.std([np.log(s.base_s + s.decode_curve[-1][1]) for s in sets]))
    assert spread["noisy"] > 2 * spread["exact"]


def test_a_single_level_leaves_the_fit_as_it_is() -> None:
    fit = fit_step_time(POINTS, limits=SLOTS, seed=0)
    assert refine_step_time(fit, LEVELS[:1], limits=SLOTS, seed=0) is fit


def test_levels_that_the_context_cannot_hold_are_left_out() -> None:
    fit = fit_step_time(POINTS, limits=SLOTS, seed=0)
    short = dataclasses.replace(SLOTS, context_tokens=100)
    refined = refine_step_time(fit, LEVELS, limits=short, seed=0)
    assert refined is fit
