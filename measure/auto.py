"""`--auto`: which level comes next, decided from what was measured so far. Arithmetic only, no clock.

One stream after another prompt length (the ladder) says how long requests take; that fixes three shapes. With the
balanced one the concurrency doubles until the throughput gains no more or the slots are full. A grid at the other
shapes follows, the first level once more (has the machine drifted?), a level beyond the slots, the numbers of slots
that the climb left out (five sequences may cost more than eight), levels once more whose throughput is still uncertain.
At the end come two open-loop runs at 50 and 85 % of the measured capacity, never fitted, and before, between and after
them the balanced level of the highest throughput: a machine whose speed wanders is then measured and predicted at about
the same speed, and its capacity is a mean over the run instead of its best moment.

Every decision is a function of the finished levels, so a run that was interrupted goes on where it stood.
"""

import itertools
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from measure.records import LevelSpec, SkippedLevel
from measure.run_info import Plan, PlannedLevel, Shape
from measure.sweep import LADDER_SHAPE, FinishedLevel, expected_request_s, ladder_points, predict_request_s
from planner.profile import LevelSummary

AUTO_PLAN = "auto"
DEFAULT_BUDGET_S = 300.0
CI_TARGET_FRAC = 0.05
"""Wanted half width of the 95 % interval of a level's throughput."""
MAX_REPEATS = 2
AGAIN = "-again"
"""Ends the name of the first level's repetition after the grid."""
LOADS = (0.5, 0.85)
"""Shares of the measured capacity at which the held-back runs are offered."""

_REPEAT = "-r"
_BESIDE = ("-before-50", "-before-85", "-after-85")
"""End the names of the full balanced levels before, between and after the held-back runs."""
_SURE_CLIMB = 3
_OTHER_SHAPES = 5
"""The climb above its third level leaves the time for this many levels of the other shapes."""
_LEVEL_FRAC, _LADDER_FRAC = 0.033, 0.065
_VALIDATION_FRACS = (0.16, 0.18)
_UNITS = (64, 32, 16, 8, 4)
_GROWTH_UNDER_LOAD = 5.0
_SHAPE_FRAC = 0.55
_GAIN = 1.05
_PLATEAU_LEVELS = 2
_MOST_STREAMS = 512
_OVERFULL = 1.2
_MOST_BETWEEN = 4
_MIN_REQUESTS, _REQUESTS_PER_STREAM = 8, 4
_MIN_WINDOW_S = 3.0
_LONGEST_BLIND_PROMPT = 2048
_LADDER = (16, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)


def auto_plan(*, budget_s: float, keeps_contended: bool) -> Plan:
    """A sweep of about `budget_s` seconds in all, start of the server not counted."""
    return Plan(
        name=AUTO_PLAN,
        budget_s=budget_s,
        level_s=budget_s * _LEVEL_FRAC,
        idle_s=min(3.0, budget_s / 80),
        ladder_input_tokens=_LADDER,
        longest_input_tokens=None,
        ladder_output_tokens=16,
        levels=(),
        ladder_frac=_LADDER_FRAC,
        keeps_contended=keeps_contended,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NextLevel:
    """A level to run now, with the time that one of its requests should take."""

    spec: LevelSpec
    expected_s: float


def ladder_rungs(plan: Plan, context_tokens: int | None) -> tuple[int, ...]:
    """The prompt lengths worth trying: up to the context, and not far into the dark where that is not known."""
    most = _LONGEST_BLIND_PROMPT if context_tokens is None else context_tokens - 2 * plan.ladder_output_tokens
    return tuple(n for n in plan.ladder_input_tokens if n <= most)


def next_level(
    plan: Plan,
    finished: Mapping[str, FinishedLevel],
    skipped: Collection[str],
    *,
    slots: int | None,
    context_tokens: int | None,
    kv_capacity_tokens: int | None = None,
    left_s: float,
) -> NextLevel | SkippedLevel | None:
    """The next level, one to leave out with the reason, or `None` at the end. The ladder must be finished."""
    assert plan.budget_s is not None
    shapes = choose_shapes(finished, context_tokens=context_tokens, level_s=plan.level_s)
    if shapes is None:
        return None
    prompt_heavy, balanced, output_heavy = shapes
    climbed = _climb(finished, skipped, slots)
    reserved_s = sum(_VALIDATION_FRACS) * plan.budget_s + len(_BESIDE) * plan.level_s
    if any(name.endswith(_BESIDE) or x.spec.is_validation for name, x in finished.items()):
        return _ending(plan, finished, skipped, balanced, slots)
    essential = dict(_essential_levels(climbed, prompt_heavy, balanced, output_heavy))
    beyond = _beyond_the_limit(prompt_heavy, balanced, slots=slots, kv_capacity_tokens=kv_capacity_tokens)
    between = between_the_climb(climbed) if slots is not None else ()
    optional = (
        _optional_levels(climbed, finished, prompt_heavy, balanced, output_heavy, beyond, between) if climbed else ()
    )
    for name, point in (*essential.items(), *optional):
        if name in finished or name in skipped:
            continue
        expected_s = expected_request_s(point, finished, plan.ladder_output_tokens)
        spec = _closed_spec(name, point, plan, expected_s)
        if spec is None:
            reason = f"two requests of about {expected_s:.1f} s each do not fit into {2 * plan.level_s:.0f} s"
            return SkippedLevel(level=name, reason=reason)
        is_climb = point.shape == balanced and point.concurrency in climbed[_SURE_CLIMB:]
        needed_s = spec.max_s + (_OTHER_SHAPES * plan.level_s if is_climb else 0.0)
        if needed_s <= left_s - reserved_s:
            return NextLevel(spec=spec, expected_s=expected_s)
        if name in essential:
            reason = f"no time left for it in the {plan.budget_s:.0f} s of the run; give a longer --duration"
            return SkippedLevel(level=name, reason=reason)
    return _ending(plan, finished, skipped, balanced, slots)


def choose_shapes(
    finished: Mapping[str, FinishedLevel], *, context_tokens: int | None, level_s: float
) -> tuple[Shape, Shape, Shape] | None:
    """Prompt-heavy 8:1, balanced 1:1, output-heavy 1:8, as long as context and time allow; `None` without a ladder.

    A request alone may take 11 % of a level's time, so that one among many, about five times as slow, takes about half.
    With 1 ms a prompt token, 6.5 ms an output token and levels of 10 s: 256:32, 64:64 and 16:128, of which the last one
    takes 0.85 s alone.
    """
    points = ladder_points(finished)
    tpots_s = [s.summary.tpot_s.mean for s in finished.values() if s.spec.shape == LADDER_SHAPE and s.summary.tpot_s]
    if not points or not tpots_s:
        return None
    for unit in _UNITS:
        shapes = (
            Shape(name="prompt-heavy", input_tokens=16 * unit, output_tokens=2 * unit),
            Shape(name="balanced", input_tokens=4 * unit, output_tokens=4 * unit),
            Shape(name="output-heavy", input_tokens=unit, output_tokens=8 * unit),
        )
        times_s = [
            (predict_request_s(points, shape.input_tokens) or points[0].request_s) + shape.output_tokens * min(tpots_s)
            for shape in shapes
        ]
        fits = context_tokens is None or 18.5 * unit <= context_tokens
        if unit == _UNITS[-1] or (fits and max(times_s) * _GROWTH_UNDER_LOAD <= _SHAPE_FRAC * level_s):
            return shapes
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """The most that was held, and with how many streams."""

    streams: int
    requests_per_s: float


def capacity(finished: Mapping[str, FinishedLevel], slots: int | None) -> Capacity | None:
    """Requests per second of the balanced shape at the concurrency where most were held and none waits for a slot.

    Repetitions of a level count by their mean: the best of several would be the machine's luckiest moment, and 85 %
    of that up to its limit. 5.8/s, then 5.2/s with eight streams: 5.5/s.
    """
    rates: dict[int, list[float]] = {}
    for x in finished.values():
        streams = round(x.spec.target)
        if x.spec.mode == "closed" and x.spec.shape == "balanced" and x.summary.valid and streams <= (slots or streams):
            rates.setdefault(streams, []).append(x.summary.requests_per_s)
    held = [Capacity(streams=streams, requests_per_s=sum(found) / len(found)) for streams, found in rates.items()]
    return max(held, key=lambda x: x.requests_per_s, default=None)


def _climb(finished: Mapping[str, FinishedLevel], skipped: Collection[str], slots: int | None) -> list[int]:
    """Concurrencies of the balanced shape: all that are finished, and the next one where the climb goes on."""
    climbed: list[int] = []
    best = [0.0]
    for streams in _doublings(slots):
        climbed.append(streams)
        done = finished.get(_name("balanced", streams))
        if done is None:
            return climbed[:-1] if _name("balanced", streams) in skipped else climbed
        best.append(max(best[-1], done.summary.output_tokens_per_s))
        if slots is None and len(best) > _PLATEAU_LEVELS + 1 and best[-1] < _GAIN * best[-1 - _PLATEAU_LEVELS]:
            return climbed
    return climbed


def _doublings(slots: int | None) -> Iterator[int]:
    """1, 2, 4, ... and the number of slots at the end: 1, 2, 4, 6 for six."""
    streams = 1
    while streams < (slots or _MOST_STREAMS):
        yield streams
        streams *= 2
    yield slots or _MOST_STREAMS


def between_the_climb(climbed: Sequence[int]) -> tuple[int, ...]:
    """Up to four concurrencies that the climb left out, each in the middle of the widest gap there is by then.

    1, 2, 4, 8 gives 6, 3, 5, 7 and 1, 2, 4, 8, 16 gives 12, 6, 10, 14: what an engine of slots takes for a step jumps
    up and down with the number of sequences, so that no curve through powers of two tells it.
    """
    known, found = sorted(climbed), list[int]()
    while len(found) < _MOST_BETWEEN:
        gap, low = max(((b - a, a) for a, b in itertools.pairwise(known)), key=lambda x: (x[0], -x[1]), default=(0, 0))
        if gap < 2:
            break
        found.append(low + gap // 2)
        known = sorted([*known, found[-1]])
    return tuple(found)


def _essential_levels(
    climbed: Sequence[int], prompt_heavy: Shape, balanced: Shape, output_heavy: Shape
) -> Iterator[tuple[str, PlannedLevel]]:
    """Levels without which a profile knows too little: the climb, and the other shapes at its top and middle."""
    for streams in climbed:
        yield _named(balanced, streams)
    if climbed:
        for streams in dict.fromkeys((climbed[-1], climbed[len(climbed) // 2])):
            yield _named(prompt_heavy, streams)
            yield _named(output_heavy, streams)
        yield _named(output_heavy, 1)


def _optional_levels(
    climbed: Sequence[int],
    finished: Mapping[str, FinishedLevel],
    prompt_heavy: Shape,
    balanced: Shape,
    output_heavy: Shape,
    beyond: tuple[str, PlannedLevel] | None,
    between: Sequence[int],
) -> Iterator[tuple[str, PlannedLevel]]:
    """Levels for which there is time or not, in the order of their worth."""
    shapes = {shape.name for shape in (prompt_heavy, balanced, output_heavy)}
    grid = [x for x in finished.values() if x.spec.mode == "closed" and x.spec.shape in shapes]
    yield from _repetitions(x for x in grid if not x.summary.valid)
    name, first = _named(balanced, climbed[0])
    yield f"{name}{AGAIN}", first
    if beyond is not None:
        yield beyond
    for streams in between:
        yield _named(output_heavy, streams)
    for streams in reversed(climbed[1:]):
        yield _named(prompt_heavy, streams)
        yield _named(output_heavy, streams)
    uncertain = (x for x in grid if x.summary.valid and _ci_frac(x.summary) > CI_TARGET_FRAC)
    yield from _repetitions(sorted(uncertain, key=lambda x: -_ci_frac(x.summary)))


def _beyond_the_limit(
    prompt_heavy: Shape, balanced: Shape, *, slots: int | None, kv_capacity_tokens: int | None
) -> tuple[str, PlannedLevel] | None:
    """A level that the engine cannot hold as a whole: half as many streams again as slots, or a fifth more tokens than
    its KV memory; `None` where no limit is known, or too many streams would be needed to reach it.

    8 slots: 12 streams. 40,000 tokens of KV memory and requests of 288: 167 streams.
    """
    if slots is not None:
        return _named(balanced, slots + max(1, slots // 2))
    if kv_capacity_tokens is None:
        return None
    tokens = prompt_heavy.input_tokens + prompt_heavy.output_tokens
    streams = math.ceil(_OVERFULL * kv_capacity_tokens / tokens)
    return _named(prompt_heavy, streams) if streams <= _MOST_STREAMS else None


def _repetitions(levels: Iterable[FinishedLevel]) -> Iterator[tuple[str, PlannedLevel]]:
    for done in levels:
        name, _, repeat = done.spec.level.partition(_REPEAT)
        number = int(repeat or 1) + 1
        if number <= 1 + MAX_REPEATS:
            spec = done.spec
            shape = Shape(name=spec.shape, input_tokens=spec.input_tokens, output_tokens=spec.output_tokens)
            yield f"{name}{_REPEAT}{number}", PlannedLevel(shape=shape, concurrency=round(spec.target))


def _ci_frac(summary: LevelSummary) -> float:
    return summary.output_tokens_per_s_ci_frac or 0.0


def _name(shape: str, streams: int) -> str:
    return f"closed-{shape}-{streams}"


def _named(shape: Shape, streams: int) -> tuple[str, PlannedLevel]:
    return _name(shape.name, streams), PlannedLevel(shape=shape, concurrency=streams)


def _closed_spec(name: str, point: PlannedLevel, plan: Plan, expected_s: float) -> LevelSpec | None:
    """A level with time for its warm-up and three requests a stream; `None` if two do not fit into twice the usual."""
    if 2 * expected_s > 2 * plan.level_s:
        return None
    max_s = min(2 * plan.level_s, max(plan.level_s, 4 * expected_s))
    return LevelSpec(
        level=name,
        shape=point.shape.name,
        mode="closed",
        target=point.concurrency,
        input_tokens=point.shape.input_tokens,
        output_tokens=point.shape.output_tokens,
        max_s=max_s,
        min_window_s=min(max(_MIN_WINDOW_S, plan.level_s / 3), max_s / 2),
        wanted_requests=max(_MIN_REQUESTS, _REQUESTS_PER_STREAM * point.concurrency),
    )


def validation_name(load: float) -> str:
    return f"validate-{load:.0%}".removesuffix("%")


def _ending(
    plan: Plan,
    finished: Mapping[str, FinishedLevel],
    skipped: Collection[str],
    balanced: Shape,
    slots: int | None,
) -> NextLevel | SkippedLevel | None:
    """The held-back runs, each once more where other processes disturbed it, and full balanced levels beside them."""
    assert plan.budget_s is not None
    full = capacity(finished, slots)
    if full is None:
        waiting = (name for name in map(validation_name, LOADS) if name not in skipped)
        return next((SkippedLevel(level=x, reason="no valid level says what the capacity is") for x in waiting), None)
    beside = PlannedLevel(shape=balanced, concurrency=full.streams)
    full_request_s = full.streams / full.requests_per_s
    for load, frac, suffix in zip((*LOADS, None), (*_VALIDATION_FRACS, 0.0), _BESIDE, strict=True):
        taken = (*finished, *skipped)
        if not any(name.endswith(suffix) for name in taken):
            name = _name("balanced", full.streams) + suffix
            spec = _closed_spec(name, beside, plan, full_request_s)
            if spec is None or 2 * full_request_s > plan.level_s:
                reason = f"two requests of about {full_request_s:.1f} s each do not fit into {plan.level_s:.0f} s"
                return SkippedLevel(level=name, reason=reason)
            return NextLevel(spec=replace(spec, max_s=min(spec.max_s, plan.level_s)), expected_s=full_request_s)
        if load is None:
            return None
        name = validation_name(load)
        first = finished.get(name)
        if first is not None and not first.summary.valid:
            name += f"{_REPEAT}2"
        if name in taken:
            continue
        return NextLevel(
            spec=LevelSpec(
                level=name,
                shape=balanced.name,
                mode="open",
                target=float(f"{load * full.requests_per_s:.4g}"),
                input_tokens=balanced.input_tokens,
                output_tokens=balanced.output_tokens,
                max_s=frac * plan.budget_s,
                warm_up=False,
                is_validation=True,
            ),
            expected_s=full_request_s,
        )
    return None
