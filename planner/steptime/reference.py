"""Reference profiles: other people's measurements of models that you need no GPU to plan with.

Fitted on the fly from the level means in `data/silicon_sample.csv.gz` (its source stands in `SOURCE`), so they can
never disagree with the fitting code. What such a table does not hold (memory, watts, load time, the engine's own
limits) is missing in the profile, with the reason.
"""

import dataclasses
import functools
import math
import statistics
from dataclasses import dataclass
from importlib.resources import as_file, files

from planner.errors import InputError
from planner.profile import (
    SCHEMA_VERSION,
    EngineLimits,
    Host,
    Memory,
    Profile,
    Provenance,
    Scheduler,
    StepTimeFit,
)
from planner.steptime.fit import LoadPoint, fit_step_time
from planner.steptime.measurements import DEPLOYMENT_COLUMNS, Deployment, read_level_table
from planner.steptime.validate import MIN_POINTS
from planner.version import VERSION

SOURCE = "aiconfigurator-core 0.12.0, systems/silicon_sample.csv (Apache-2.0), means of closed-loop benchmark runs"

STEP_TOKENS = 8192
"""The token budget of a step that large servers are usually started with; the measurements do not state theirs."""

MIN_RATIO_SPAN = 8.0
"""Prompt:output ratios must span at least this factor: outside the measured ratios errors are several times larger."""

NODE_ACCELERATORS = 8
"""What one machine of an `_sxm` system holds: more is not believed there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One deployment that somebody else measured. `not_plannable` says why no plan may rest on it, `None` if one may.

    Errors are mean absolute relative errors of TPOT and TTFT on points left out of the fit one by one.
    """

    name: str
    model: str
    system: str
    accelerators: int
    engine: str
    engine_version: str | None
    precision: str | None
    last_measured: str | None
    points: int
    shapes: int
    held_out_tpot_error_frac: float | None
    held_out_ttft_error_frac: float | None
    not_plannable: str | None
    source: str


def list_references() -> tuple[Reference, ...]:
    """Every deployment of the library with enough points to fit, in order of name."""
    found = [_describe(deployment, _fit(deployment, 0)) for deployment in _deployments().values()]
    return tuple(sorted(found, key=lambda reference: reference.name))


def reference_profile(name: str) -> Profile:
    """The profile of one reference, marked as imported.

    Raises `InputError` for a name that is not in the library, or one measured at too few shapes to plan with.
    """
    deployment = _deployments().get(name)
    if deployment is None:
        near = [known for known in _deployments() if all(word in known for word in name.lower().split())]
        hint = f"; did you mean {', '.join(near[:3])}?" if near else "; `breakeven profile --list` names all"
        raise InputError(f"no reference profile {name!r}{hint}")
    fit = _fit(deployment, 64)
    reference = _describe(deployment, fit)
    if reference.not_plannable:
        raise InputError(f"the reference profile {name} cannot be planned with: {reference.not_plannable}")
    most = max(deployment.points, key=lambda p: p.concurrency * (p.input_tokens + p.output_tokens))
    unknown = "the published measurements do not say"
    return Profile(
        schema_version=SCHEMA_VERSION,
        provenance=Provenance(
            source="imported",
            tool_version=VERSION,
            measured_at=f"{deployment.last_measured}T00:00:00Z" if deployment.last_measured else "unknown",
            engine=reference.engine,
            engine_version=reference.engine_version or "unknown",
            engine_flags={},
            model=reference.model,
            is_synthetic=False,
            seed=1,
            notes=(
                f"someone else's measurement: {SOURCE}",
                f"the most that was measured at once stands for the limits; {STEP_TOKENS} tokens a step are assumed",
                *_polling_note(reference),
            ),
        ),
        host=Host(
            cpu_model="unknown",
            cpu_cores=0,
            ram_gib=0.0,
            accelerators=(reference.system,) * reference.accelerators,
            os="unknown",
        ),
        limits=EngineLimits(
            scheduler=Scheduler.PAGED,
            max_sequences=fit.hull.max_concurrency,
            step_token_budget=STEP_TOKENS,
            context_tokens=int(max(p.input_tokens + p.output_tokens for p in deployment.points)),
            kv_capacity_tokens=int(most.concurrency * (most.input_tokens + most.output_tokens)),
        ),
        fit=fit,
        memory=Memory(scope="gpu", weights_file_gib=None, kv_bytes_per_token=None, peak_gib=None, available_gib=None),
        power=None,
        load_time_s=None,
        levels=(),
        missing=dict.fromkeys(("memory", "power", "load_time_s", "levels", "host"), unknown),
    )


def _polling_note(reference: Reference) -> tuple[str, ...]:
    """Evidence: benchmarks/accuracy, the steps that simulated TTFTs miss."""
    if reference.engine != "sglang" or reference.system not in ("b200_sxm", "b300_sxm"):
        return ()
    return (
        "the publisher has SGLang look for new requests at every 30th step only (every 10th below 16 streams): its "
        "TTFTs are about 15 steps longer than those of a server with the default, which is what a plan shows",
    )


@functools.cache
def _deployments() -> dict[str, Deployment]:
    """By name, those with enough points; the table is read once per process."""
    with as_file(files("planner").joinpath("data/silicon_sample.csv.gz")) as path:
        table = read_level_table(path)
    found: dict[str, Deployment] = {}
    for deployment in table.deployments:
        if len(deployment.points) >= MIN_POINTS and _can_be_fitted(deployment):
            name = _name(deployment)
            found[name] = _joined(found[name], deployment) if name in found else deployment
    return found


def _joined(a: Deployment, b: Deployment) -> Deployment:
    """One deployment that the table writes in two ways; where both measured a level, their mean."""
    levels: dict[tuple[float, float, float], list[LoadPoint]] = {}
    for p in (*a.points, *b.points):
        levels.setdefault((p.input_tokens, p.output_tokens, p.concurrency), []).append(p)
    points = [
        dataclasses.replace(
            same[0],
            ttft_s=statistics.fmean(p.ttft_s for p in same),
            tpot_s=statistics.fmean(p.tpot_s for p in same if p.tpot_s is not None),
        )
        for _, same in sorted(levels.items())
    ]
    dates = [date for date in (a.last_measured, b.last_measured) if date]
    return dataclasses.replace(b, points=tuple(points), last_measured=max(dates, default=None))


def _can_be_fitted(deployment: Deployment) -> bool:
    return len({p.concurrency for p in deployment.points}) >= 2


def _column(deployment: Deployment, name: str) -> str:
    return deployment.key[DEPLOYMENT_COLUMNS.index(name)]


def _count(deployment: Deployment, name: str) -> int:
    """A parallel size; 1 where the table leaves it empty or 0."""
    text = _column(deployment, name)
    return max(int(float(text)), 1) if text else 1


@dataclass(frozen=True, slots=True)
class _Sizes:
    """Parallel sizes: tensor, pipeline, data (attention), tensor and expert (mixture layers)."""

    tp: int
    pp: int
    dp: int
    moe_tp: int
    ep: int

    @property
    def accelerators(self) -> int:
        """Attention (tp * dp) and experts (tp * ep) run on the same devices; times the pipeline stages."""
        return max(self.tp * self.dp, self.moe_tp * self.ep) * self.pp


def _sizes(deployment: Deployment) -> _Sizes:
    """The parallel sizes of a deployment, with the table's slip mended.

    Runs with tensor and expert parallelism over the same t devices stand in it with a product of both as one of the
    sizes: t * t, 1, t, t or t, t, 1, t * t or 1, t * t, t, t (tp, dp, moe_tp, ep). Every such row that carries its
    sizes in its name says `tp<t>_ep<t>`; 8 GPUs of one machine are not 64. Rows without a name follow the same rule.
    """
    columns = ("tp_size", "pp_size", "attention_dp_size", "moe_tp_size", "moe_ep_size")
    tp, pp, dp, moe_tp, ep = (_count(deployment, column) for column in columns)
    t = round(math.sqrt(max(tp, dp, ep)))
    slips = {(t * t, 1, t, t): (t, 1), (t, t, 1, t * t): (t, t), (1, t * t, t, t): (1, t)}
    if t > 1 and (tp, dp, moe_tp, ep) in slips and deployment.named_tp in (None, t):
        attention_tp, attention_dp = slips[tp, dp, moe_tp, ep]
        is_both = attention_tp == attention_dp
        return _Sizes(1 if is_both else attention_tp, pp, attention_dp, 1, t)
    return _Sizes(tp, pp, dp, moe_tp, ep)


def _name(deployment: Deployment) -> str:
    """Readable and unique: model, system, precision, engine and the sizes that tell deployments apart."""
    model = _column(deployment, "model_path").split("/")[-1]
    found = _sizes(deployment)
    others = (("pp", found.pp), ("dp", found.dp), ("moetp", found.moe_tp), ("ep", found.ep))
    sizes = [f"tp{found.tp}"]
    sizes += [f"{label}{size}" for label, size in others if size > (found.tp if label == "moetp" else 1)]
    engine = "-".join(part for part in (_column(deployment, "backend"), _column(deployment, "backend_version")) if part)
    parts = (model, _column(deployment, "system"), _column(deployment, "precision"), engine, *sizes)
    return "/".join(part for part in parts if part).lower()


def _fit(deployment: Deployment, posterior_size: int) -> StepTimeFit:
    limits = EngineLimits(
        scheduler=Scheduler.PAGED,
        max_sequences=int(max(p.concurrency for p in deployment.points)),
        step_token_budget=STEP_TOKENS,
        context_tokens=1 << 30,
        kv_capacity_tokens=1 << 40,
    )
    return fit_step_time(deployment.points, limits=limits, seed=1, posterior_size=posterior_size)


def _describe(deployment: Deployment, fit: StepTimeFit) -> Reference:
    shapes = {(p.input_tokens, p.output_tokens) for p in deployment.points}
    span = fit.hull.max_input_output_ratio / fit.hull.min_input_output_ratio
    accelerators, system = _sizes(deployment).accelerators, _column(deployment, "system")
    not_plannable = None
    if len(shapes) < 3 or span < MIN_RATIO_SPAN:
        not_plannable = (
            f"measured at {len(shapes)} shape(s) whose prompt:output ratios span a factor of {span:.3g}; "
            f"a plan needs 3 or more and {MIN_RATIO_SPAN:g}"
        )
    elif system.endswith("_sxm") and accelerators > NODE_ACCELERATORS:
        not_plannable = f"its parallel sizes multiply to {accelerators} accelerators, and one machine holds 8"
    return Reference(
        name=_name(deployment),
        model=_column(deployment, "model_path"),
        system=system,
        accelerators=accelerators,
        engine=_column(deployment, "backend"),
        engine_version=_column(deployment, "backend_version") or None,
        precision=_column(deployment, "precision") or None,
        last_measured=deployment.last_measured,
        points=len(deployment.points),
        shapes=len(shapes),
        held_out_tpot_error_frac=fit.held_out_tpot_error_frac,
        held_out_ttft_error_frac=fit.held_out_ttft_error_frac,
        not_plannable=not_plannable,
        source=SOURCE,
    )
