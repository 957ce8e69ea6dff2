"""From what the readers found to a profile: the points, the fit, and what is known of the rest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from planner.errors import InputError
from planner.imports.document import read_document
from planner.imports.points import LevelsOfShape, by_shape, fitted_points, snapped
from planner.imports.record import Kind, ToolResult
from planner.imports.registry import read_results, reader_of, without_doubles
from planner.profile import (
    SCHEMA_VERSION,
    EngineLimits,
    Host,
    LevelSummary,
    Memory,
    Profile,
    Provenance,
    Scheduler,
    SourceFile,
    Statistics,
)
from planner.steptime.fit import LoadPoint, fit_step_time
from planner.steptime.levels import UNBOUNDED, running_limits
from planner.steptime.measurements import DEFAULT_STEP_TOKENS, shapes_of
from planner.steptime.reference import MIN_RATIO_SPAN
from planner.units import BYTES_PER_GIB
from planner.version import VERSION

MIN_SHAPES = 3
"""As many as the reference library asks for: a workload has more shapes than one, and outside the measured
prompt:output ratios errors are several times larger (docs/decisions)."""

MIN_POINTS = 6
"""Two loads at each of three shapes."""

SEED = 1
_SLOT_ENGINES = ("llama", "ollama")
_MAX_NAMED = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What one or several result files of one tool hold.

    `profile` is `None` where they can only be shown; `not_plannable` then says why, in one sentence. `levels` are all
    of them, in the order of the files; `notes` what a reader should know of the tool's figures.
    """

    tool: str
    subject: str
    profile: Profile | None
    not_plannable: str | None
    levels: tuple[LevelSummary, ...]
    files: tuple[SourceFile, ...]
    notes: tuple[str, ...]


def import_result(name: str, content: bytes, *, only: str | None = None, slots: int | None = None) -> Imported:
    """Read one result file of another load generator; `name` is only for messages and provenance.

    Detected by content: the tools of `registry.READERS`, as JSON, JSON lines or CSV, plain or gz, at most
    `document.MAX_BYTES` unpacked and `document.MAX_ROWS` entries. `only` chooses among several deployments in the file
    by words of their names; `slots` states that the engine serves that many sequences from fixed slots (llama.cpp,
    Ollama).

    Raises `InputError`, with one sentence for the user, for a file that is empty, too large, damaged, of no known tool,
    without a single level, or with several deployments of which `only` does not choose one. Nothing else is raised, and
    nothing is written.
    """
    return import_results({name: content}, only=only, slots=slots)


def import_results(
    files: Mapping[str, bytes], *, only: str | None = None, slots: int | None = None, skip_foreign: bool = False
) -> Imported:
    """As `import_result`, from several files of one sweep. With `skip_foreign` a file of no known tool is only
    noted."""
    results: list[ToolResult] = []
    skipped = []
    for name, content in files.items():
        try:
            document = read_document(name, content)
            if skip_foreign and reader_of(document) is None:
                skipped.append(name)
                continue
            results += read_results(document)
        except InputError as error:
            if not skip_foreign:
                raise
            skipped.append(f"{name} ({error})")
    if not results:
        raise InputError(
            f"none of the {len(files)} files is a result of a known tool; give the files that the load generator wrote"
        )
    chosen = _chosen(without_doubles(results), only)
    imported = _build(chosen, slots)
    if not skipped:
        return imported
    note = f"{len(skipped)} other files left alone: {', '.join(skipped[:_MAX_NAMED])}"
    return replace(imported, notes=(*imported.notes, note))


def _chosen(results: Sequence[ToolResult], only: str | None) -> list[ToolResult]:
    """The results of one tool and one subject. Raises `InputError` where there are several."""
    words = (only or "").lower().split()
    kept = [r for r in results if all(word in f"{r.tool} {r.subject.name}".lower() for word in words)]
    if not kept:
        raise InputError(f"no deployment in these files has {only!r} in its name; there are {_named(results)}")
    if len({(r.tool, r.subject) for r in kept}) > 1:
        raise InputError(
            f"these files hold measurements of several deployments or tools: {_named(kept)}; "
            "choose one with --only and words of its name"
        )
    return kept


def _named(results: Sequence[ToolResult]) -> str:
    names = list(dict.fromkeys(f"{r.subject.name} ({r.tool})" for r in results))
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return "; ".join(names[:_MAX_NAMED]) + more


def _build(results: Sequence[ToolResult], slots: int | None) -> Imported:
    first = results[0]
    levels = by_shape([level for result in results for level in result.levels])
    points, notes = fitted_points(levels)
    files = tuple(
        SourceFile(tool=r.tool, tool_version=r.tool_version, file=r.file, sha256=r.sha256, measured_at=r.measured_at)
        for r in results
    )
    files = tuple(dict.fromkeys(files))
    remarks = [f"imported from {first.tool}{f' {first.tool_version}' if first.tool_version else ''}"]
    remarks += [bias for r in results for bias in r.biases]
    remarks += [note for r in results for note in r.notes]
    remarks += [f"{level.shape}: {note}" for level in levels for note in level.level.notes]
    remarks += notes
    remarks += [f"{x.shape} at {x.level.target:g}: {reason}" for x in levels for reason in x.level.invalid_reasons]
    why_not = _why_not(points, levels, first.kind)
    profile = None
    summaries = tuple(_summary(entry) for entry in levels)
    remarks = list(dict.fromkeys(remarks))
    if why_not is None:
        try:
            profile = _profile(results, points, summaries, files, remarks, slots)
        except InputError as error:
            why_not = str(error)
    return Imported(
        tool=first.tool,
        subject=first.subject.name,
        profile=profile,
        not_plannable=why_not,
        levels=summaries,
        files=files,
        notes=tuple(remarks),
    )


def _why_not(points: Sequence[LoadPoint], levels: Sequence[LevelsOfShape], kind: Kind) -> str | None:
    """Why these points carry no plan: one sentence with what to measure. `None` where they do."""
    shapes = shapes_of(points)
    ratios = [p.input_tokens / p.output_tokens for p in shapes]
    span = max(ratios) / min(ratios) if ratios else 1.0
    concurrencies = {round(p.concurrency, 1) for p in points}
    usable = f"{len(points)} of {len(levels)} levels can be used"
    if len(concurrencies) < 2:
        advice = (
            "llama-bench runs one sequence at a time: use llama-batched-bench or `breakeven measure --gguf`"
            if kind is Kind.ENGINE_ONLY
            else "run the tool at several, for example 1, 4 and 16, and give all files together"
        )
        where = "at one load" if concurrencies else "at no load"
        return f"this can only be shown: {usable}, {where}; {advice}"
    if len(points) < MIN_POINTS:
        return (
            f"this can only be shown: {usable} and a plan needs {MIN_POINTS}; "
            "run the tool at more levels, or longer, and give all files together"
        )
    if len(shapes) < MIN_SHAPES or span < MIN_RATIO_SPAN:
        return (
            f"this can only be shown: {usable}, at {len(shapes)} prompt:output shape{'s' * (len(shapes) != 1)} whose "
            f"ratios "
            f"span a factor of {span:.3g}, and a plan needs {MIN_SHAPES} and {MIN_RATIO_SPAN:g}; run the tool also "
            f"with long "
            "prompts and short answers and the other way round, and give all files together"
        )
    return None


def _summary(entry: LevelsOfShape) -> LevelSummary:
    """Whole distributions where the tool gives them, else what it states."""
    level = entry.level
    samples = {
        "input_tokens": level.input_tokens,
        "output_tokens": level.output_tokens,
        "ttft_s": level.ttft_s,
        "tpot_s": level.tpot_s,
        "itl_s": level.itl_s,
        "e2e_s": level.e2e_s,
    }
    stated = {name: sample for name, sample in samples.items() if sample is not None and sample.distribution is None}
    whole = {name: sample.distribution if sample is not None else None for name, sample in samples.items()}
    requests_per_s = entry.requests_per_s
    return LevelSummary(
        shape=entry.shape,
        mode=level.mode,
        target=level.target,
        valid=not level.invalid_reasons,
        invalid_reasons=level.invalid_reasons,
        window_s=level.window_s,
        achieved_concurrency=entry.concurrency,
        requests_per_s=requests_per_s,
        input_tokens_per_s=level.input_tokens_per_s or requests_per_s * _mean(level.input_tokens),
        output_tokens_per_s=level.output_tokens_per_s or requests_per_s * _mean(level.output_tokens),
        input_tokens=whole["input_tokens"],
        output_tokens=whole["output_tokens"],
        ttft_s=whole["ttft_s"],
        tpot_s=whole["tpot_s"],
        itl_s=whole["itl_s"],
        e2e_s=whole["e2e_s"],
        failures=dict(level.failures),
        client_cpu_frac=None,
        client_lag_s=None,
        stated=stated,
    )


def _mean(sample: Statistics | None) -> float:
    return sample.mean if sample is not None else 0.0


def _profile(
    results: Sequence[ToolResult],
    points: Sequence[LoadPoint],
    levels: Sequence[LevelSummary],
    files: tuple[SourceFile, ...],
    notes: Sequence[str],
    slots: int | None,
) -> Profile:
    first = results[0]
    missing: dict[str, str] = {}
    limits = _limits(results, points, levels, slots, missing)
    fit = fit_step_time(points, limits=limits, seed=SEED)
    host = next((r.host for r in results if r.host is not None), None)
    accelerators = first.accelerators
    weights = next((r.weights_bytes for r in results if r.weights_bytes), None)
    if host is None:
        missing["host"] = f"{first.tool} does not describe the server's machine"
        host = Host(cpu_model="unknown", cpu_cores=0, ram_gib=0.0, accelerators=accelerators, os="unknown")
    dates = sorted({r.measured_at for r in results if r.measured_at})
    if not dates:
        missing["provenance.measured_at"] = f"{first.tool} does not say when"
    for name, value in (
        ("engine", first.subject.engine),
        ("engine_version", first.subject.engine_version),
        ("model", first.subject.model),
    ):
        if value is None:
            missing[f"provenance.{name}"] = f"{first.tool} does not name it"
    missing["memory"] = f"{first.tool} does not measure memory"
    missing["load_time_s"] = f"{first.tool} measures a server that is running"
    loaded_w = next((r.loaded_gpu_w for r in results if r.loaded_gpu_w), None)
    missing["power"] = (
        f"{first.tool} does not measure power"
        if loaded_w is None
        else f"only the loaded GPU power is known, {loaded_w:.0f} W"
    )
    if first.kind is Kind.ENGINE_ONLY:
        fit = replace(fit, fitted_ttft_error_frac=None, held_out_ttft_error_frac=None)
        missing["fit.held_out_ttft_error_frac"] = "engine-only: the TTFT of a loaded server was not measured"
    return Profile(
        schema_version=SCHEMA_VERSION,
        provenance=Provenance(
            source="imported",
            tool_version=VERSION,
            measured_at=dates[-1] if dates else "unknown",
            engine=first.subject.engine or "unknown",
            engine_version=first.subject.engine_version or "unknown",
            engine_flags={},
            model=first.subject.model or "unknown",
            is_synthetic=False,
            seed=SEED,
            notes=tuple(notes),
            files=files,
        ),
        host=host,
        limits=limits,
        fit=fit,
        memory=Memory(
            scope="gpu" if accelerators else "process",
            weights_file_gib=None if weights is None else weights / BYTES_PER_GIB,
            kv_bytes_per_token=None,
            peak_gib=None,
            available_gib=None,
        ),
        power=None,
        load_time_s=None,
        levels=tuple(levels),
        missing=missing,
    )


def _limits(
    results: Sequence[ToolResult],
    points: Sequence[LoadPoint],
    levels: Sequence[LevelSummary],
    slots: int | None,
    missing: dict[str, str],
) -> EngineLimits:
    """What is stated; else the most that was seen to run, and the longest request that was seen."""
    engine = (results[0].subject.engine or "").lower()
    slots = slots or next((r.slots for r in results if r.slots), None)
    budget = next((r.step_token_budget for r in results if r.step_token_budget), None)
    longest = max(p.input_tokens + p.output_tokens for p in points)
    for level in levels:
        inputs, outputs = level.known("input_tokens"), level.known("output_tokens")
        if inputs is not None and outputs is not None:
            longest = max(longest, (inputs.max or inputs.mean) + (outputs.max or outputs.mean))
    context = next((r.context_tokens for r in results if r.context_tokens), None)
    if context is None:
        context = int(longest)
        missing["limits.context_tokens"] = "the tool does not say; the longest request measured stands in"
    if slots is not None or any(name in engine for name in _SLOT_ENGINES):
        if slots is None:
            slots = max(int(p.concurrency) for p in points)
            missing["limits.max_sequences"] = (
                "the tool does not name the slots; the most in flight stand in (see --slots)"
            )
        return EngineLimits(
            scheduler=Scheduler.SLOTS,
            max_sequences=slots,
            step_token_budget=budget or DEFAULT_STEP_TOKENS,
            context_tokens=context,
            kv_capacity_tokens=slots * context,
        )
    missing["limits.max_sequences"] = "the tool does not say; the most that was seen to run stands in"
    missing["limits.kv_capacity_tokens"] = "the tool does not say; the most tokens held at once stand in"
    missing["limits.step_token_budget"] = f"the tool does not say; {UNBOUNDED.step_token_budget} are assumed"
    known = snapped([p for p in points if p.tpot_s is not None])
    running = running_limits(known)
    ran = [min(p.concurrency, running[p.input_tokens, p.output_tokens]) for p in known]
    held = [n * (p.input_tokens + p.output_tokens) for n, p in zip(ran, known, strict=True)]
    return EngineLimits(
        scheduler=Scheduler.PAGED,
        max_sequences=max(round(max(ran)), 1),
        step_token_budget=budget or UNBOUNDED.step_token_budget,
        context_tokens=context,
        kv_capacity_tokens=max(int(max(held)), context),
    )
