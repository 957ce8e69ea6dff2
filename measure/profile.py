"""From raw records to the profile: a pure function that can be re-run on any run directory."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from measure.calibration import calibrate, load_points
from measure.energy import energy_notes, energy_of_level, power_of_run
from measure.held_back import held_back_runs
from measure.judge import (
    bias_note,
    drift_note,
    is_contention,
    judge_levels,
    measures_this_machine,
    telemetry_note,
    uncertain_note,
)
from measure.memory import memory_of_run
from measure.records import LevelRecord, RequestRecord
from measure.run_info import EngineFacts, RunInfo
from measure.samples import Sensors, TelemetrySample
from measure.slowness import slowness, slowness_note
from measure.summary import NO_REQUEST_ENDED, cache_notes, recount_notes, recounted, summarise_level
from measure.sweep import WARM_UP_SHAPE
from planner.errors import InputError
from planner.profile import (
    SCHEMA_VERSION,
    EngineLimits,
    Host,
    LevelSummary,
    Profile,
    Provenance,
    Scheduler,
)
from planner.steptime.fit import LoadPoint

_DEFAULT_STEP_TOKENS = 2048
_MAX_REASONS = 4


def build_profile(
    info: RunInfo,
    *,
    levels: Sequence[LevelRecord],
    requests: Iterable[RequestRecord],
    telemetry: Sequence[Sensors | TelemetrySample],
) -> Profile:
    """Raises `InputError` when the run holds too little to fit a step time to."""
    if not info.sessions:
        raise InputError("the run has no session yet: the server never came up; start it with --resume")
    session = info.sessions[-1]
    levels = [level for level in levels if level.spec.shape != WARM_UP_SHAPE]
    if not measures_this_machine(info.target):
        telemetry = ()
    samples = [entry for entry in telemetry if isinstance(entry, TelemetrySample)]
    sensors = [entry for entry in telemetry if isinstance(entry, Sensors)]
    own = _samples_by_session(telemetry)
    grouped = _grouped(levels, requests)
    by_level = {(x.spec.level, x.session): recounted(x, grouped[x.spec.level, x.session]) for x in levels}
    measured = [summarise_level(level, by_level[level.spec.level, level.session]) for level in levels]
    summaries, warnings = judge_levels(info, levels, measured, samples, sensors)
    summaries = [
        replace(summary, energy=energy_of_level(level, own.get(level.session, ())))
        for level, summary in zip(levels, summaries, strict=True)
    ]
    missing: dict[str, str] = {}
    limits = _limits(session.engine, summaries, missing)
    points = load_points(summaries)
    if len({point.concurrency for point in points}) < 2:
        raise InputError(_too_few(points, summaries, warnings))
    # a GPU's steps hang on its own clock, not on the speed of the cores beside it
    slow = slowness(levels, {} if session.host.accelerators else own)
    fit = calibrate(points, levels, summaries, by_level, limits=limits, slowness=slow, seed=info.seed)
    power = power_of_run(session, levels, own.get(session.session, ()), sensors, missing)
    memory = memory_of_run(session, samples, sensors, missing)
    if session.engine.load_time_s is None:
        missing["load_time_s"] = "the server was running already"
    engine = session.engine
    notes = [*engine.notes, *session.notes, *warnings, *bias_note(session), *energy_notes(summaries)]
    notes += slowness_note(levels, slow)
    notes += telemetry_note(own.get(session.session, ()))
    notes += [f"{level.spec.level}: {note}" for level in levels for note in level.notes]
    notes += recount_notes(levels)
    notes += cache_notes(levels, summaries)
    notes += [f"{skipped.level}: {skipped.reason}" for skipped in info.skipped]
    notes += [*uncertain_note(levels, summaries), *drift_note(levels, summaries)]
    notes += [f"{s.shape} at {s.target:g}: {'; '.join(s.invalid_reasons)}" for s in summaries if not s.valid]
    return Profile(
        schema_version=SCHEMA_VERSION,
        provenance=Provenance(
            source="measured",
            tool_version=info.tool_version,
            measured_at=session.started_at,
            engine=engine.name,
            engine_version=engine.version,
            engine_flags=engine.flags,
            model=engine.model,
            is_synthetic=engine.is_synthetic,
            seed=info.seed,
            notes=tuple(notes),
        ),
        host=Host(
            cpu_model=session.host.cpu_model,
            cpu_cores=session.host.cpu_cores,
            ram_gib=session.host.ram_gib,
            accelerators=session.host.accelerators,
            os=session.host.os,
        ),
        limits=limits,
        fit=fit,
        memory=memory,
        power=power,
        load_time_s=engine.load_time_s,
        levels=tuple(summaries),
        missing=missing,
        held_back=held_back_runs(fit.step_time, limits, levels, summaries, by_level, slow),
    )


def _samples_by_session(telemetry: Sequence[Sensors | TelemetrySample]) -> dict[int, list[TelemetrySample]]:
    """Samples under the session whose sensors were named before them: clocks compare within one session only."""
    found: dict[int, list[TelemetrySample]] = {}
    session = 0
    for entry in telemetry:
        if isinstance(entry, Sensors):
            session = entry.session
        else:
            found.setdefault(session, []).append(entry)
    return found


def _grouped(
    levels: Sequence[LevelRecord], requests: Iterable[RequestRecord]
) -> dict[tuple[str, int], list[RequestRecord]]:
    """The requests of the levels; those of a level that never finished are left out."""
    by_level: dict[tuple[str, int], list[RequestRecord]] = {(x.spec.level, x.session): [] for x in levels}
    for request in requests:
        if (request.level, request.session) in by_level:
            by_level[request.level, request.session].append(request)
    return by_level


def _too_few(points: Sequence[LoadPoint], summaries: Sequence[LevelSummary], warnings: Sequence[str]) -> str:
    """Why there is no profile, with the reasons of the levels that do not count and what would help."""
    reasons = list(dict.fromkeys(reason for s in summaries for reason in s.invalid_reasons))
    more = [f"{len(reasons) - _MAX_REASONS} more reasons"] if len(reasons) > _MAX_REASONS else []
    why = "; ".join([*reasons[:_MAX_REASONS], *more, *warnings])
    if len({s.target for s in summaries if s.mode == "closed"}) < 2:
        advice = "measure at more with --concurrency 1,2,4, or continue the run with --resume"
    elif any(is_contention(reason) for reason in reasons):
        advice = "run again on an idle machine, or count the disturbed levels with --resume RUN_DIR --busy-ok"
    elif NO_REQUEST_ENDED in reasons:
        advice = "run again with a longer --duration, or with fewer --output-tokens"
    else:
        advice = "remove the cause and run again"
    return (
        f"{len(points)} of the run's {len(summaries)} levels can be used, at fewer than two concurrencies, "
        "too few for a profile"
        f"{f' ({why})' if why else ''}; {advice}"
    )


def _limits(engine: EngineFacts, summaries: Sequence[LevelSummary], missing: dict[str, str]) -> EngineLimits:
    """What the server says of itself; where it says nothing, what it was seen to hold."""
    seen_sequences = max((round(s.target) for s in summaries if s.mode == "closed"), default=1)
    seen_tokens = max(
        (s.input_tokens.max + s.output_tokens.max for s in summaries if s.input_tokens and s.output_tokens), default=1.0
    )
    context = engine.context_tokens
    if context is None:
        context = int(seen_tokens)
        missing["limits.context_tokens"] = "the server does not say; the longest request measured stands in"
    if engine.slots is not None:
        return EngineLimits(
            scheduler=Scheduler.SLOTS,
            max_sequences=engine.slots,
            step_token_budget=engine.step_token_budget or _DEFAULT_STEP_TOKENS,
            context_tokens=context,
            kv_capacity_tokens=engine.kv_capacity_tokens or engine.slots * context,
        )
    missing["limits.max_sequences"] = "the server does not say; the highest concurrency measured stands in"
    if engine.kv_capacity_tokens is None:
        missing["limits.kv_capacity_tokens"] = (
            "the server does not say; the context times the concurrency measured stands in"
        )
    return EngineLimits(
        scheduler=Scheduler.PAGED,
        max_sequences=seen_sequences,
        step_token_budget=engine.step_token_budget or _DEFAULT_STEP_TOKENS,
        context_tokens=context,
        kv_capacity_tokens=engine.kv_capacity_tokens or seen_sequences * context,
    )
