"""Which levels count for the fit, and as what."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from planner.imports.record import ToolLevel
from planner.steptime.fit import LoadPoint
from planner.steptime.measurements import shapes_of

OPEN_STANDS_IN = (
    "fewer than two closed-loop levels: open-loop ones are fitted, each as the closed loop with as many requests in "
    "flight "
    "as one of its requests met (their mean, and one more where arrivals are random)"
)
_UNNAMED = "?:?"


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelsOfShape:
    """A level with the name of its shape, `prompt:output` tokens, and the figures that follow from others.

    By Little's law the requests in flight are the rate times the mean E2E; in a closed loop the target is held.
    """

    shape: str
    level: ToolLevel
    concurrency: float
    requests_per_s: float


def by_shape(levels: Sequence[ToolLevel]) -> list[LevelsOfShape]:
    """The levels, those of like lengths under one name, ascending in load within it."""
    probes = {id(level): point for level in levels if (point := _probe(level)) is not None}
    shapes = shapes_of(list(probes.values()))
    entries = []
    for level in levels:
        e2e_s = level.e2e_s.mean if level.e2e_s is not None else None
        if e2e_s is None and level.ttft_s is not None and level.tpot_s is not None and level.output_tokens is not None:
            e2e_s = level.ttft_s.mean + max(level.output_tokens.mean - 1, 0.0) * level.tpot_s.mean
        flying = level.concurrency
        if flying is None:
            flying = level.target if level.mode == "closed" else level.target * (e2e_s or 0.0)
        rate = level.requests_per_s
        if rate is None:
            rate = flying / e2e_s if e2e_s else 0.0
        mine = probes.get(id(level))
        place = next((s for s in shapes if mine is not None and shapes_of([s, mine]) == [s]), None)
        name = _UNNAMED if place is None else f"{place.input_tokens:.0f}:{place.output_tokens:.0f}"
        entries.append(LevelsOfShape(shape=name, level=level, concurrency=flying, requests_per_s=rate))
    order = {name: index for index, name in enumerate(dict.fromkeys(entry.shape for entry in entries))}
    return sorted(entries, key=lambda entry: (order[entry.shape], entry.level.mode, entry.level.target))


def _probe(level: ToolLevel) -> LoadPoint | None:
    """The level as a point, whatever its load; `None` where lengths or TTFT are missing."""
    if level.input_tokens is None or level.output_tokens is None or level.ttft_s is None:
        return None
    numbers = (level.input_tokens.mean, level.output_tokens.mean, level.ttft_s.mean)
    if not all(number > 0 for number in numbers):
        return None
    tpot_s = level.tpot_s.mean if level.tpot_s is not None and level.tpot_s.mean > 0 else None
    return LoadPoint(
        concurrency=max(level.target, 1e-9),
        input_tokens=numbers[0],
        output_tokens=numbers[1],
        ttft_s=numbers[2],
        tpot_s=tpot_s,
    )


def fitted_points(entries: Sequence[LevelsOfShape]) -> tuple[list[LoadPoint], list[str]]:
    """The valid closed-loop levels as points, and what a reader should know of the choice.

    Open-loop levels are fitted only where there are fewer than two closed-loop concurrencies. A request of a Poisson
    process meets as many others as are in flight on average, so with itself it runs among their mean plus one; at a
    constant rate it is one of the mean: 2 requests/s of 4 s count as a closed loop of 9 or of 8.
    """
    closed = [p for e in entries if e.level.mode == "closed" and (p := _point(e, _held(e))) is not None]
    if len({round(p.concurrency, 1) for p in closed}) >= 2:
        return closed, []
    opened = [
        p
        for e in entries
        if e.level.mode == "open"
        and (p := _point(e, e.concurrency + 1 if e.level.is_poisson else max(e.concurrency, 1.0))) is not None
    ]
    return [*closed, *opened], [OPEN_STANDS_IN] if opened else []


def _held(entry: LevelsOfShape) -> float:
    """What a closed loop held: its target, or less where the tool's pauses between requests left places free."""
    target = entry.level.target
    return min(max(entry.concurrency, 1.0), target) if entry.level.is_steady else target


def _point(entry: LevelsOfShape, concurrency: float) -> LoadPoint | None:
    probe = _probe(entry.level)
    if probe is None or entry.level.invalid_reasons or not concurrency > 0:
        return None
    return LoadPoint(
        concurrency=concurrency,
        input_tokens=probe.input_tokens,
        output_tokens=probe.output_tokens,
        ttft_s=probe.ttft_s,
        tpot_s=probe.tpot_s,
    )


def snapped(points: Sequence[LoadPoint]) -> list[LoadPoint]:
    """The points with the mean lengths of their shape, for what compares loads of exactly one shape."""
    shapes = shapes_of(points)
    groups = [[p for p in points if shapes_of([shape, p]) == [shape]] for shape in shapes]
    snapped = []
    for p in points:
        group = next(g for g in groups if p in g)
        snapped.append(
            replace(
                p,
                input_tokens=sum(q.input_tokens for q in group) / len(group),
                output_tokens=sum(q.output_tokens for q in group) / len(group),
            )
        )
    return snapped
