"""The measured profile: what one replica of one model on one machine does, in a versioned JSON file.

A profile is computed from raw records by `measure.profile` (or imported from another tool) and is all that the planner
knows about speed. Every figure is a measurement or `None`; reasons for `None` stand in `Profile.missing`.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from planner.distribution import Distribution
from planner.errors import InputError

SCHEMA_VERSION: Final = 1


class Scheduler(StrEnum):
    """How the engine fills a step."""

    SLOTS = "slots"  # llama.cpp, Ollama: fixed slots, prompts join the decodes in one batch
    PAGED = "paged"  # vLLM, SGLang: paged KV cache, chunked prefill, recompute preemption


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLimits:
    """What bounds a step and the batch of one replica."""

    scheduler: Scheduler
    max_sequences: int
    step_token_budget: int
    context_tokens: int  # longest prompt + output of one request
    kv_capacity_tokens: int  # all sequences together


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTime:
    """Duration of one engine step as a function of what it holds, in seconds.

    `t = base_s + per_prefill_token_s * P + decode(D) + per_resident_token_s * K + per_attention_pair_s * A` with
    P prefill tokens in the step, D decoding sequences, K resident KV tokens of the decoding sequences and
    A = sum(chunk * (context_before + chunk / 2)) over the prompt chunks, in token pairs.
    `per_squared_context_s * sum((context_after^3 - context_before^3) / 3)` comes on top where long prompts cost more
    than quadratically (attention on a CPU once the KV cache outgrows its caches). `mixed_step_s` is added to a step
    that holds both prompt tokens and decoding sequences, where the engine makes two passes of it (llama.cpp with a KV
    cache per slot).

    `decode(D) = per_sequence_s * D + per_sqrt_sequence_s * sqrt(D)`, or, where `decode_curve` is given (engines whose
    decode cost jumps with the batch), the piecewise linear curve through its (D, seconds) points, flat to the left of
    the first, and to the right of the last with the last segment's slope where that rises. It may fall from one point
    to the next: kernels made for four or eight sequences at once take longer for seven. `per_sequence_s` and
    `per_sqrt_sequence_s` are then 0.

    `request_overhead_s` is added once to the TTFT of every request (HTTP, tokenizer, scheduling).
    All coefficients are >= 0. Source of the form: docs/decisions and benchmarks/accuracy.
    """

    base_s: float
    per_prefill_token_s: float
    per_sequence_s: float
    per_sqrt_sequence_s: float
    per_resident_token_s: float
    per_attention_pair_s: float
    request_overhead_s: float
    decode_curve: tuple[tuple[int, float], ...] = ()
    per_squared_context_s: float = 0.0
    mixed_step_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Hull:
    """The region of loads that was measured; outside it the planner widens or refuses."""

    max_input_tokens: int
    max_output_tokens: int
    max_concurrency: int
    min_input_output_ratio: float
    max_input_output_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTimeFit:
    """A fitted `StepTime`, its uncertainty and how wrong it was.

    `posterior` holds equally likely alternative coefficient sets (bootstrap); empty when there were too few points.
    `fitted_error_frac` and `held_out_error_frac` are absolute relative errors of mean TPOT and TTFT on the points used
    for the fit and on points never used; `None` when there were none.
    """

    step_time: StepTime
    posterior: tuple[StepTime, ...]
    hull: Hull
    points: int
    fitted_tpot_error_frac: float | None
    fitted_ttft_error_frac: float | None
    held_out_tpot_error_frac: float | None
    held_out_ttft_error_frac: float | None

    @property
    def held_out_error_frac(self) -> float | None:
        """The larger of the two held-out errors; `None` when no point was held out."""
        errors = [e for e in (self.held_out_tpot_error_frac, self.held_out_ttft_error_frac) if e is not None]
        return max(errors, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowEnergy:
    """Energy over exactly one steady window, by the device's counter and by the trapezoid rule over power samples.

    `scope` names what it covers: all GPUs' boards, the CPU packages, or the whole node; scopes are never added up.
    `disagreement_frac` is the difference over the counter's figure; above 0.05 the level is noted.
    """

    scope: Literal["gpu", "cpu-package", "node"]
    counter_j: float | None
    trapezoid_j: float | None
    disagreement_frac: float | None

    @property
    def energy_j(self) -> float:
        """By the counter, else by the trapezoid rule."""
        return self.counter_j if self.counter_j is not None else self.trapezoid_j or 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """What another tool states of a sample that it does not pass on; `None` where it says nothing."""

    mean: float
    count: int | None = None
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    max: float | None = None

    @property
    def distribution(self) -> Distribution | None:
        """The same as a `Distribution`, where nothing is missing."""
        if None in (self.count, self.p50, self.p95, self.p99, self.max):
            return None
        return Distribution(
            count=self.count or 0,
            mean=self.mean,
            p50=self.p50 or 0.0,
            p95=self.p95 or 0.0,
            p99=self.p99 or 0.0,
            max=self.max or 0.0,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelSummary:
    """One load level of one shape, over its steady window. The JSON of `breakeven measure --json` is a list of these.

    `target` is the concurrency (closed loop) or the offered rate per second (open loop). TTFT runs from the socket
    write to the first content; TPOT is (last - first content) / (tokens - 1) per request; ITL pools the gaps
    between tokens; E2E ends at the last content. `None` distributions: no request succeeded, or none had two tokens.

    A level that was imported from another tool may know less: `window_s` is then `None`, and a sample of which the tool
    states only some figures stands in `stated` by the name of its field (`ttft_s`, ...), its distribution being `None`.
    """

    shape: str
    mode: Literal["closed", "open"]
    target: float
    valid: bool
    invalid_reasons: tuple[str, ...]
    window_s: float | None
    achieved_concurrency: float
    requests_per_s: float
    input_tokens_per_s: float
    output_tokens_per_s: float
    input_tokens: Distribution | None
    output_tokens: Distribution | None
    ttft_s: Distribution | None
    tpot_s: Distribution | None
    itl_s: Distribution | None
    e2e_s: Distribution | None
    failures: dict[str, int]
    client_cpu_frac: float | None  # of one core
    client_lag_s: Distribution | None  # intended start to socket write
    energy: tuple[WindowEnergy, ...] = ()
    cached_input_frac: float | None = None  # of the prompt tokens, from the server's prefix cache as it says itself
    stated: dict[str, Statistics] = field(default_factory=dict)

    is_validation: bool = False  # an open-loop level kept to state the error of predictions, never fitted
    output_tokens_per_s_ci_frac: float | None = None  # half the 95 % interval over the mean, from slices of the window
    indicative_p99: tuple[str, ...] = ()  # distributions whose p99 comes from fewer than 662 samples
    warnings: tuple[str, ...] = ()  # what disturbed a level that was kept all the same (`--busy-ok`)

    def known(self, name: Literal["input_tokens", "output_tokens", "ttft_s", "tpot_s", "e2e_s"]) -> Statistics | None:
        """All that is known of a sample: of its whole distribution, or what a tool states of it."""
        whole: Distribution | None = getattr(self, name)
        if whole is None:
            return self.stated.get(name)
        return Statistics(
            mean=whole.mean, count=whole.count, p50=whole.p50, p95=whole.p95, p99=whole.p99, max=whole.max
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One mean or percentile that was measured in a held-back run and predicted for the same arrivals, in seconds."""

    measured_s: float
    predicted_s: float

    @property
    def error_frac(self) -> float:
        """Relative error with its sign: 0.1 measured and 0.09 predicted give -0.1."""
        return self.predicted_s / self.measured_s - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldBackRun:
    """An open-loop run that was never fitted, beside what the step time and the simulator say of its arrivals.

    `load_frac` is the offered rate over the measured capacity, `None` where the rate was given by hand. `slowness` is
    how much longer a fixed piece of work took on the machine's cores during the run than during the fitted levels, as a
    factor; the prediction is for a machine as slow as that. `None`: not measured, the prediction is for the mean speed.
    """

    rate_per_s: float
    load_frac: float | None
    requests: int
    tpot_mean: Check | None
    e2e_mean: Check
    ttft_p95: Check
    slowness: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Where the server's memory goes, in GiB; scope says whose memory it is.

    `kv_bytes_per_token` is the architecture's arithmetic, `kv_bytes_per_token_measured` the slope of what the engine
    allocated over its context size. After loading, `loaded_gib = weights_gib + kv_cache_gib + overhead_gib`;
    `headroom_gib` is what the machine, or its GPUs, had left at the fullest moment of the run.
    """

    scope: Literal["process", "gpu"]
    weights_file_gib: float | None
    kv_bytes_per_token: float | None
    peak_gib: float | None
    available_gib: float | None
    kv_bytes_per_token_measured: float | None = None
    loaded_gib: float | None = None
    weights_gib: float | None = None
    kv_cache_gib: float | None = None
    overhead_gib: float | None = None
    headroom_gib: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """Mean power without load and in the steady windows. `scope` names what the figure covers; never call it total."""

    scope: Literal["gpu", "cpu-package", "node"]
    idle_w: float
    loaded_w: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The machine that was measured. A replica is one engine on this machine."""

    cpu_model: str
    cpu_cores: int
    ram_gib: float
    accelerators: tuple[str, ...]
    os: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A result of another tool that a profile was made from. `None`: the file does not say."""

    tool: str
    tool_version: str | None
    file: str
    sha256: str
    measured_at: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where the figures come from and how to repeat them."""

    source: Literal["measured", "imported"]
    tool_version: str
    measured_at: str  # ISO 8601, UTC
    engine: str
    engine_version: str
    engine_flags: dict[str, str]
    model: str
    is_synthetic: bool  # random weights: speed and memory are real, text is not
    seed: int
    notes: tuple[str, ...] = ()
    files: tuple[SourceFile, ...] = ()  # of an imported profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Everything the planner knows about one replica. `missing` maps a field that is `None` to the reason."""

    schema_version: Literal[1]
    provenance: Provenance
    host: Host
    limits: EngineLimits
    fit: StepTimeFit
    memory: Memory
    power: Power | None
    load_time_s: float | None
    levels: tuple[LevelSummary, ...]
    missing: dict[str, str]
    held_back: tuple[HeldBackRun, ...] = ()

    __pydantic_config__ = ConfigDict(extra="forbid")


_ADAPTER = TypeAdapter(Profile)


def load_profile(path: Path) -> Profile:
    """Read `profile.json`. Raises `InputError` with the place of the first thing that is wrong."""
    try:
        return _ADAPTER.validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"cannot read the profile {path}: {error.strerror}; make one with `breakeven measure`"
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InputError(
            f"{path} is no profile of schema version {SCHEMA_VERSION}: {place}: {first['msg']}; "
            "recompute it with `breakeven profile RUN_DIR`"
        ) from None


def dump_profile(profile: Profile) -> bytes:
    """The JSON bytes of a profile; `load_profile` gives back an equal one."""
    return _ADAPTER.dump_json(profile, indent=2) + b"\n"
