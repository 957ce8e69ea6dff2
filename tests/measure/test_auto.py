"""Which level `--auto` runs next: a machine made of formulas answers, and one real run goes through."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from measure.architectures import find_architecture
from measure.auto import LOADS, auto_plan, between_the_climb, capacity, choose_shapes, ladder_rungs, next_level
from measure.progress import LevelProgress
from measure.quant import Quant
from measure.records import LevelSpec, SkippedLevel
from measure.run_info import TargetInfo
from measure.rundir import RunDirectory
from measure.session import resume_measurement, run_measurement
from measure.sweep import LADDER_SHAPE, FinishedLevel
from measure.synthetic import write_synthetic_gguf
from planner.distribution import summarise
from planner.profile import LevelSummary

PREFILL_S, TOKEN_S = 0.001, 0.0065
Throughput = Callable[[int], float]


def summary(spec: LevelSpec, *, request_s: float, tokens_per_s: float, valid: bool = True) -> LevelSummary:
    tpot_s = (request_s - PREFILL_S * spec.input_tokens) / spec.output_tokens
    return LevelSummary(
        shape=spec.shape,
        mode=spec.mode,
        target=spec.target,
        valid=valid,
        invalid_reasons=() if valid else ("other processes used 1 cores",),
        window_s=5.0,
        achieved_concurrency=spec.target,
        requests_per_s=tokens_per_s / spec.output_tokens,
        input_tokens_per_s=0.0,
        output_tokens_per_s=tokens_per_s,
        input_tokens=summarise([spec.input_tokens]),
        output_tokens=summarise([spec.output_tokens]),
        ttft_s=summarise([PREFILL_S * spec.input_tokens]),
        tpot_s=summarise([tpot_s]),
        itl_s=summarise([tpot_s]),
        e2e_s=summarise([request_s]),
        failures={},
        client_cpu_frac=0.0,
        client_lag_s=None,
        output_tokens_per_s_ci_frac=0.01,
    )


def ladder() -> dict[str, FinishedLevel]:
    finished = {}
    for tokens in (16, 64, 256, 1024):
        spec = LevelSpec(
            level=f"ladder-{tokens}",
            shape=LADDER_SHAPE,
            mode="closed",
            target=1,
            input_tokens=tokens,
            output_tokens=16,
            max_s=9.0,
        )
        time_s = PREFILL_S * tokens + 16 * TOKEN_S
        finished[spec.level] = FinishedLevel(spec=spec, summary=summary(spec, request_s=time_s, tokens_per_s=100.0))
    return finished


def took_s(spec: LevelSpec, tokens_per_s: float) -> float:
    """Time of a level that ends when it has its requests: two request times of warm-up, then what its streams need."""
    if spec.wanted_requests is None:
        return spec.max_s
    request_s = spec.target * spec.output_tokens / tokens_per_s
    return min(spec.max_s, request_s * (2 + spec.wanted_requests / spec.target))


def walk(
    throughput: Throughput,
    *,
    slots: int | None,
    budget_s: float = 300.0,
    spoil: str | None = None,
    kv: int | None = None,
) -> tuple[list[LevelSpec], list[SkippedLevel]]:
    """Everything that a machine with that balanced throughput [tokens/s] is asked to do."""
    plan = auto_plan(budget_s=budget_s, keeps_contended=False)
    finished, specs, skipped, left_s = ladder(), list[LevelSpec](), list[SkippedLevel](), 0.9 * budget_s
    while True:
        choice = next_level(
            plan,
            finished,
            {x.level for x in skipped},
            slots=slots,
            context_tokens=4096,
            kv_capacity_tokens=kv,
            left_s=left_s,
        )
        if choice is None:
            return specs, skipped
        if isinstance(choice, SkippedLevel):
            skipped.append(choice)
            continue
        spec = choice.spec
        assert spec.level not in finished
        rate = throughput(round(spec.target)) if spec.mode == "closed" else 100.0
        request_s = max(spec.target, 1.0) * spec.output_tokens / rate
        done = summary(spec, request_s=request_s, tokens_per_s=rate, valid=spec.level != spoil)
        finished[spec.level] = FinishedLevel(spec=spec, summary=done)
        specs.append(spec)
        left_s -= took_s(spec, rate)


def balanced(specs: list[LevelSpec]) -> list[float]:
    """The climb: balanced levels before the first of another shape."""
    others = (k for k, spec in enumerate(specs) if spec.shape != "balanced")
    return [spec.target for spec in specs[: next(others)]]


def test_the_climb_goes_through_a_dip_up_to_the_slots() -> None:
    # llama.cpp on two cores: two streams are slower than one, eight are faster
    measured = {1: 125.0, 2: 86.0, 4: 122.0, 6: 170.0, 9: 170.0}
    specs, _ = walk(lambda n: measured.get(n, 150.0), slots=6)
    assert balanced(specs) == [1, 2, 4, 6]


def test_without_slots_the_climb_ends_two_levels_past_the_plateau() -> None:
    # saturates at 800 tokens/s: 8 streams; 16 and 32 gain nothing
    specs, _ = walk(lambda n: min(100.0 * n, 800.0), slots=None, budget_s=2000.0)
    assert balanced(specs) == [1, 2, 4, 8, 16, 32]


def test_while_the_last_point_still_gains_the_climb_goes_on() -> None:
    specs, _ = walk(lambda n: 100.0 * n, slots=None, budget_s=2000.0)
    assert balanced(specs)[-1] == 512


def test_three_ratios_one_level_beyond_the_slots_and_the_first_level_again() -> None:
    specs, _ = walk(lambda n: 100.0 * n**0.5, slots=8)
    ratios = {spec.input_tokens / spec.output_tokens for spec in specs}
    assert ratios == {8.0, 1.0, 0.125}
    assert max(spec.target for spec in specs if spec.mode == "closed") == 12
    assert "closed-balanced-1-again" in {spec.level for spec in specs}


def test_two_held_back_runs_at_half_and_85_percent_of_capacity_end_the_run_among_full_levels() -> None:
    specs, _ = walk(lambda n: 100.0 * n**0.5, slots=4)
    last = specs[-5:]
    assert [spec.is_validation for spec in last] == [False, True, False, True, False]
    assert not any(spec.is_validation for spec in specs[:-5])
    best = 100.0 * 4**0.5 / last[0].output_tokens  # six in flight are more, but two of them wait
    held_back, full = last[1::2], last[::2]
    assert [spec.target for spec in held_back] == pytest.approx([load * best for load in LOADS], rel=1e-3)
    assert all(spec.mode == "open" and not spec.warm_up for spec in held_back)
    assert all((spec.mode, spec.shape, spec.target) == ("closed", "balanced", 4) for spec in full)


def test_the_capacity_is_a_mean_over_repetitions_and_not_the_luckiest_one() -> None:
    spec = replace(ladder()["ladder-16"].spec, shape="balanced", output_tokens=10)
    finished = {
        name: FinishedLevel(
            spec=replace(spec, level=name, target=streams),
            summary=summary(replace(spec, target=streams), request_s=1.0, tokens_per_s=rate),
        )
        for name, streams, rate in (("4", 4, 54.0), ("8", 8, 58.0), ("8-before-50", 8, 52.0), ("12", 12, 90.0))
    }
    found = capacity(finished, 8)
    assert found is not None
    assert (found.streams, found.requests_per_s) == (8, pytest.approx(5.5))


def test_the_numbers_of_slots_between_the_climb_are_measured_too() -> None:
    assert between_the_climb([1, 2, 4, 8]) == (6, 3, 5, 7)
    assert between_the_climb([1, 2, 4, 8, 16]) == (12, 6, 10, 14)
    assert between_the_climb([1, 2]) == ()
    specs, _ = walk(lambda n: 100.0 * n**0.5, slots=8, budget_s=400.0)
    assert {1, 2, 3, 4, 5, 6, 7, 8} <= {spec.target for spec in specs if spec.shape == "output-heavy"}
    paged, _ = walk(lambda n: min(100.0 * n, 800.0), slots=None, budget_s=2000.0)
    assert not {3, 5, 6, 7} & {spec.target for spec in paged}


def test_a_disturbed_level_is_run_again() -> None:
    specs, _ = walk(lambda n: 100.0 * n**0.5, slots=4, spoil="closed-balanced-4")
    assert "closed-balanced-4-r2" in {spec.level for spec in specs}


def test_a_disturbed_held_back_run_is_run_again() -> None:
    specs, _ = walk(lambda n: 100.0 * n**0.5, slots=4, spoil="validate-50")
    assert [spec.level for spec in specs if spec.is_validation] == ["validate-50", "validate-50-r2", "validate-85"]


def test_the_run_keeps_to_its_time() -> None:
    specs, skipped = walk(lambda n: 100.0 * n**0.5, slots=64, budget_s=120.0)
    assert sum(took_s(spec, 100.0 * spec.target**0.5) for spec in specs) <= 0.9 * 120.0
    assert skipped
    assert [spec.level for spec in specs if spec.is_validation] == ["validate-50", "validate-85"]


def test_shapes_fit_time_and_context() -> None:
    # alone, 16:128 takes 0.016 + 0.83 s: about a tenth of 10 s; 32:256 would take 1.7 s
    fast = choose_shapes(ladder(), context_tokens=4096, level_s=10.0)
    assert fast is not None
    assert [(s.input_tokens, s.output_tokens) for s in fast] == [(256, 32), (64, 64), (16, 128)]
    short = choose_shapes(ladder(), context_tokens=200, level_s=10.0)
    assert short is not None
    assert all(s.input_tokens + s.output_tokens <= 200 for s in short)
    long = choose_shapes(ladder(), context_tokens=4096, level_s=100.0)
    assert long is not None
    assert [(s.input_tokens, s.output_tokens) for s in long] == [(1024, 128), (256, 256), (64, 512)]
    assert choose_shapes({}, context_tokens=None, level_s=10.0) is None


def test_the_ladder_ends_at_the_context_and_does_not_go_far_without_one() -> None:
    plan = auto_plan(budget_s=240.0, keeps_contended=False)
    assert ladder_rungs(plan, 1024) == (16, 64, 128, 256, 512)
    assert ladder_rungs(plan, None)[-1] == 2048


def test_invalid_levels_say_nothing_about_capacity() -> None:
    spec = replace(ladder()["ladder-16"].spec, level="closed-balanced-1", shape="balanced")
    bad = FinishedLevel(spec=spec, summary=summary(spec, request_s=1.0, tokens_per_s=999.0, valid=False))
    assert capacity({"closed-balanced-1": bad}, None) is None


class Silent:
    def __init__(self, stop_after: int | None = None) -> None:
        self.levels: list[str] = []
        self._stop_after = stop_after

    def note(self, text: str) -> None:
        pass

    def level(self, progress: LevelProgress) -> None:
        pass

    def finished(self, level: str, summary: LevelSummary) -> None:
        self.levels.append(level)
        if len(self.levels) == self._stop_after:
            raise KeyboardInterrupt


@pytest.mark.engine
def test_a_run_on_the_real_engine_ends_with_its_own_errors_and_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    model = tmp_path / "tiny.gguf"
    write_synthetic_gguf(model, find_architecture("Tiny-1M"), Quant.Q8_0, seed=0)
    target = TargetInfo(kind="gguf", location=str(model), slots=2, context_tokens=512)
    plan = auto_plan(budget_s=18.0, keeps_contended=True)
    run, first, second = tmp_path / "run", Silent(stop_after=7), Silent()
    with pytest.raises(KeyboardInterrupt):
        run_measurement(target, plan, run, seed=1, progress=first)
    profile = resume_measurement(run, progress=second)
    assert not set(first.levels) & set(second.levels)
    marked = [level.spec.level for level in RunDirectory(run).read_levels() if level.spec.is_validation]
    assert {name.removesuffix("-r2") for name in marked} == {"validate-50", "validate-85"}  # a busy machine repeats one
    kept = [level for level in profile.levels if level.is_validation and level.valid]
    assert [x.rate_per_s for x in profile.held_back] == [level.target for level in kept]
    assert all(x.requests >= 5 and x.e2e_mean.measured_s > 0 for x in profile.held_back)
    assert profile.fit.points == sum(1 for level in profile.levels if level.mode == "closed" and level.valid)


def test_a_long_climb_leaves_time_for_the_other_shapes() -> None:
    specs, skipped = walk(lambda n: 100.0 * n**0.2, slots=None)
    assert {spec.shape for spec in specs} == {"balanced", "prompt-heavy", "output-heavy"}
    climb = [x.level for x in skipped if x.level.removeprefix("closed-balanced-").isdigit()]
    assert climb == [f"closed-balanced-{2 * max(balanced(specs)):g}"]


def test_a_known_kv_memory_is_filled_beyond_its_end() -> None:
    specs, _ = walk(lambda n: min(100.0 * n, 800.0), slots=None, budget_s=2000.0, kv=16_000)
    beyond = [spec for spec in specs if spec.shape == "prompt-heavy" and spec.target not in balanced(specs)]
    assert len(beyond) == 1
    tokens = beyond[0].target * (beyond[0].input_tokens + beyond[0].output_tokens)
    assert 1.2 * 16_000 <= tokens < 1.2 * 16_000 + beyond[0].input_tokens + beyond[0].output_tokens
