"""What a run leaves behind: frozen records, one JSON line each.

All `_ns` fields are readings of the monotonic clock of the machine that ran the load client; telemetry uses the same
clock. A run that was resumed has several sessions, and clocks compare within one session only.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from measure.arrivals import Arrivals

SCHEMA_VERSION = 1


class Outcome(StrEnum):
    """How a request ended. Everything but `ok` and `cut` is a failure."""

    OK = "ok"
    CUT = "cut"  # still running when its level ended; its tokens count, its latency does not
    CONNECT = "connect"  # no connection
    RESET = "reset"  # the connection broke after bytes had come back, or twice before
    TIMEOUT = "timeout"
    HTTP_4XX = "http_4xx"
    HTTP_5XX = "http_5xx"
    ERROR_EVENT = "error_event"  # an error inside a 200
    NO_TOKENS = "no_tokens"
    TRUNCATED = "truncated"  # content, then an end without finish_reason or usage: the server broke it off
    GARBAGE = "garbage"  # not HTTP, not an event stream, not JSON

    @property
    def is_failure(self) -> bool:
        return self not in (Outcome.OK, Outcome.CUT)


class TokenSource(StrEnum):
    """Where the output token count comes from; sources are never mixed within a level."""

    USAGE = "usage"
    TOKENIZER = "tokenizer"  # the server's own tokenizer over the joined text, after the level
    APPROXIMATE = "approximate"  # another model's tokenizer over the joined text
    CHUNKS = "chunks"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """One request. A time that did not happen is `None`.

    `intended_ns`: when the schedule wanted it; `dispatched_ns`: when the client turned to it; `written_ns`: just after
    the socket took its bytes, the zero of all latencies; `first_chunk_ns`: first event of any kind; `first_content_ns`:
    first event with text, reasoning or tool arguments; `first_answer_ns`: first event with text.
    `content_offsets_us` are the arrivals of all events with content after `written_ns` [microseconds];
    `content_tokens` the server's running token count at those events, where it gives one.
    """

    level: str
    session: int
    index: int
    outcome: Outcome
    requested_output_tokens: int
    intended_ns: int
    dispatched_ns: int
    written_ns: int | None
    first_chunk_ns: int | None
    first_content_ns: int | None
    first_answer_ns: int | None
    last_content_ns: int | None
    ended_ns: int
    input_tokens: int | None
    cached_tokens: int | None
    output_tokens: int | None
    token_source: TokenSource | None
    finish_reason: str | None
    content_offsets_us: tuple[int, ...]
    content_tokens: tuple[int, ...]
    server_prefill_s: float | None
    server_decode_s: float | None
    reconnects: int
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelSpec:
    """One load level to hold. It ends at `max_requests` completions or after `max_s`, whichever comes first.

    The steady window opens when the warm-up ends (see `measure.load`) and closes when the level has had
    `wanted_requests` completions in at least `min_window_s`, or at `max_s`.
    """

    level: str
    shape: str
    mode: Literal["closed", "open"]
    target: float
    input_tokens: int
    output_tokens: int
    max_s: float
    min_window_s: float = 2.0
    wanted_requests: int | None = None
    warm_up: bool = True
    prefix_share: float = 0.0  # of each prompt's tokens that all prompts of the level begin with
    is_validation: bool = False  # kept to state the error of predictions, never fitted


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmUp:
    """Output tokens per second in consecutive slices before the steady window, and whether they had settled."""

    seconds: float
    slice_s: float
    output_tokens_per_s: tuple[float, ...]
    variation_frac: float | None  # standard deviation over mean of the last three slices
    is_stable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Recount:
    """Tokens of a level whose server reports no usage, counted after the level; they stand for those of its requests.

    `output_tokens[i]` are those of the request with index i, `None` where it had no text. `input_tokens` is what the
    prompts were measured out to.
    """

    source: TokenSource
    tokenizer: str
    input_tokens: int
    output_tokens: tuple[int | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelRecord:
    """A finished level. Its requests are the lines of `requests.jsonl` with its `level` and `session`."""

    spec: LevelSpec
    session: int
    started_ns: int
    window_start_ns: int
    window_end_ns: int
    ended_ns: int
    stop_reason: str
    warm_up: WarmUp
    client_cpu_s: float  # of the client process within the window
    notes: tuple[str, ...] = ()
    recount: Recount | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedLevel:
    """A level that was planned and not run, with the reason."""

    level: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptFit:
    """Server-side prompt tokens as `offset_tokens + tokens_per_word * words`, from probes of the server."""

    offset_tokens: float
    tokens_per_word: float


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


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuSample:
    """One GPU; `power_w` is NVML's figure, on Ampere and later a mean over the last second."""

    index: int
    memory_used_gib: float
    utilisation_frac: float | None
    power_w: float | None
    energy_j: float | None  # counter since the driver was loaded
    temperature_c: float | None
    sm_clock_hz: float | None = None
    memory_clock_hz: float | None = None
    throttle_reasons: tuple[str, ...] = ()
    other_processes: int | None = None  # on this GPU, beside the server's own; `None` where process ids do not match


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetrySample:
    """One line of `telemetry.jsonl`. Server figures cover the process tree under the server's process id."""

    t_ns: int
    host_cpu_frac: float  # of all cores
    load_1min: float
    ram_available_gib: float
    server_rss_gib: float | None
    server_pss_gib: float | None  # read less often than the rest: costly
    server_cpu_s: float | None  # CPU time since its start
    package_energy_j: float | None  # RAPL counter, wrap-around removed
    gpus: tuple[GpuSample, ...]
    own_cpu_s: float | None = None  # of the sampling process itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensors:
    """The first line of a telemetry session: what could not be read, with the reason."""

    session: int
    interval_s: float
    ram_total_gib: float
    gpu_names: tuple[str, ...]
    gpu_memory_total_gib: tuple[float, ...]
    missing: dict[str, str]
    cpu_count: int | None = None
