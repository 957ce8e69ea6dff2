"""What a run is about, `run.json`: the target and what it turned out to be, the plan, the sessions."""

from dataclasses import dataclass
from typing import Literal

from measure.arrivals import Arrivals
from measure.records import PromptFit, SkippedLevel

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What the server did when it was tried out before the load (`measure.capabilities`).

    `None` means that it could not be told; `notes` says why. `length_field` is the request field that makes the model
    go on past its own end. `parallel_sequences` counts how many of `parallel_tried` requests sent at once were
    streamed at the same time. `repeat_ttft_ratio` is TTFT of a repeated prompt over TTFT of a new one of that length.
    """

    seconds: float
    first_answer_s: float
    api: Literal["completions", "chat"]
    refused_fields: tuple[str, ...] = ()
    streams_usage: bool | None = None
    usage_per_chunk: bool | None = None
    input_tokens_known: bool | None = None
    length_field: Literal["ignore_eos", "min_tokens"] | None = None
    stops_by_itself: bool | None = None
    reasoning_field: str | None = None
    tokens_per_chunk: float | None = None
    first_chunk_tokens: int | None = None
    parallel_sequences: int | None = None
    parallel_tried: int = 0
    prefix_cache: bool | None = None
    repeat_ttft_ratio: float | None = None
    cached_tokens: int | None = None
    tokenize_path: str | None = None
    metrics_path: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFacts:
    """The server as far as it is known. `None`: it does not say."""

    name: str
    version: str
    flags: dict[str, str]
    model: str
    is_synthetic: bool
    load_time_s: float | None
    pid: int | None
    context_tokens: int | None
    slots: int | None
    step_token_budget: int | None
    weights_file_bytes: int | None
    kv_bytes_per_token: float | None
    notes: tuple[str, ...] = ()
    kv_capacity_tokens: int | None = None
    capabilities: Capabilities | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """The machine of the load client, which for an embedded engine is the machine that is measured."""

    cpu_model: str
    cpu_cores: int
    ram_gib: float
    accelerators: tuple[str, ...]
    os: str
    python: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientBias:
    """What the load client makes of a server whose times are known (`measure.selftest`)."""

    streams: int
    ttft_bias_s: float | None
    itl_error_frac: float | None
    achieved_concurrency: float
    client_cpu_frac: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryReading:
    """An engine's memory after loading and before serving, with room for `context_tokens` in all sequences together.

    `resident_bytes` = pages of its own (`anonymous_bytes`) + pages of files, the mapped model file among them.
    """

    context_tokens: int
    resident_bytes: int
    anonymous_bytes: int
    model_file_bytes: int | None
    gpu_bytes: int | None  # on all GPUs together, by NVML's list of processes


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One start of the measuring program on this run directory; ties the monotonic clock to the calendar."""

    session: int
    started_at: str  # ISO 8601, UTC
    started_ns: int
    engine: EngineFacts
    host: HostFacts
    prompt_fit: PromptFit | None = None
    idle_start_ns: int | None = None  # a stretch with the engine ready and no load
    idle_end_ns: int | None = None
    client_bias: ClientBias | None = None  # at the most streams
    fewer_streams_biases: tuple[ClientBias, ...] = ()
    notes: tuple[str, ...] = ()
    memory_readings: tuple[MemoryReading, ...] = ()
    memory_reason: str | None = None  # why there are no readings at several context sizes


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Prompt and output length of a level's requests; the name says what kind of load that is."""

    name: str
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedLevel:
    """A closed-loop level before its time is known."""

    shape: Shape
    concurrency: int

    @property
    def level(self) -> str:
        return f"closed-{self.shape.name}-{self.concurrency}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRate:
    """An open-loop level: requests arrive at `rate_per_s` whatever became of the earlier ones. Never fitted."""

    shape: Shape
    rate_per_s: float
    arrivals: Arrivals = Arrivals.POISSON
    burstiness: float = 1.0
    prefix_share: float = 0.0

    @property
    def level(self) -> str:
        shared = f"-shared-{self.prefix_share:g}" if self.prefix_share else ""
        return f"open-{self.shape.name}-{self.rate_per_s:g}{shared}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedReplay:
    """The beginning of a request log, `duration_s` long after it is `speed_up` times as fast. Never fitted."""

    log: str
    speed_up: float
    duration_s: float

    @property
    def level(self) -> str:
        return f"replay-{self.speed_up:g}x"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to measure: a ladder of single prompts, then closed-loop and open-loop levels in this order.

    `budget_s` bounds the whole sweep, `level_s` one level. The ladder climbs to `longest_input_tokens`, or to the
    longest prompt whose estimated time fits into `ladder_frac` of the budget. `keeps_contended`: levels that other
    processes slowed down count, with a warning, instead of being invalid.
    """

    name: str
    budget_s: float | None
    level_s: float
    idle_s: float
    ladder_input_tokens: tuple[int, ...]
    longest_input_tokens: int | None
    ladder_output_tokens: int
    levels: tuple[PlannedLevel, ...]
    rates: tuple[PlannedRate, ...] = ()
    ladder_frac: float = 0.42
    keeps_contended: bool = False
    replay: PlannedReplay | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetInfo:
    """What is measured, well enough to come back to it: a server's URL, or a model file for the embedded engine."""

    kind: Literal["endpoint", "gguf"]
    location: str
    model: str | None = None
    api: Literal["completions", "chat"] | None = None  # None: completions where the server has them, else chat
    slots: int | None = None
    context_tokens: int | None = None
    port: int | None = None
    launch: str | None = None  # the command that starts the server at `location`


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """`run.json`: what was measured, where, with which seed and tool."""

    schema_version: int
    tool_version: str
    seed: int
    plan: Plan
    target: TargetInfo
    sessions: tuple[Session, ...]
    skipped: tuple[SkippedLevel, ...] = ()
