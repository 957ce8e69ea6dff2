"""What happened to requests and levels: frozen records, the lines of `requests.jsonl` and `levels.jsonl`.

All `_ns` fields are readings of the monotonic clock of the machine that ran the load client; telemetry uses the same
clock. A run that was resumed has several sessions, and clocks compare within one session only.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


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
