"""What every reader returns: one internal record, whatever the tool calls things and whichever units it writes."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from planner.profile import Host, Statistics

Mode = Literal["closed", "open"]


class Kind(StrEnum):
    """What was measured."""

    SERVED = "served"  # a server under load, through HTTP
    ENGINE_ONLY = "engine-only"  # the engine's loop called directly: no queueing, no HTTP, no scheduling


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRequest:
    """One request, in seconds on the tool's own clock, in this project's words.

    `first_s` and `last_s` are the first and last content; `ended_s` the end of the exchange. A request that the tool
    cut off at the end of its run has `outcome` "cut", a failed one the failure's class, a successful one "ok".
    `gaps_s` are the gaps between chunks where the tool keeps them.
    """

    start_s: float
    ended_s: float
    outcome: str
    first_s: float | None = None
    last_s: float | None = None
    input_tokens: float | None = None
    output_tokens: float | None = None
    tpot_s: float | None = None  # where the tool knows better than (last - first) / (tokens - 1)
    gaps_s: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolLevel:
    """One load level. All latencies in seconds, by this project's definitions; `None` where the tool does not say.

    `target` is requests in flight (closed) or offered per second (open), `concurrency` the mean in flight. `is_steady`
    says that the figures are from a window in which the load was held, and not from a whole run with ramp and drain.
    """

    mode: Mode
    target: float
    is_poisson: bool = False
    is_steady: bool = False
    window_s: float | None = None
    concurrency: float | None = None
    requests_per_s: float | None = None
    input_tokens_per_s: float | None = None
    output_tokens_per_s: float | None = None
    input_tokens: Statistics | None = None
    output_tokens: Statistics | None = None
    ttft_s: Statistics | None = None
    tpot_s: Statistics | None = None
    itl_s: Statistics | None = None
    e2e_s: Statistics | None = None
    failures: tuple[tuple[str, int], ...] = ()
    invalid_reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What was measured, as far as the tool says: two results with equal subjects may make one profile."""

    model: str | None = None
    engine: str | None = None
    engine_version: str | None = None
    precision: str | None = None
    hardware: str | None = None
    parallelism: str | None = None  # for example "tp8 ep8"

    @property
    def name(self) -> str:
        parts = (self.model, self.hardware, self.precision, self.engine, self.engine_version, self.parallelism)
        return " ".join(part for part in parts if part) or "an unnamed model"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """What one file says about one subject.

    `biases` are what is known to be wrong with the tool's figures and what was done about it here.
    `run` groups files of one run of the tool (aiperf writes two about the same requests).
    """

    tool: str
    tool_version: str | None
    file: str
    sha256: str
    measured_at: str | None
    subject: Subject
    levels: tuple[ToolLevel, ...]
    kind: Kind = Kind.SERVED
    host: Host | None = None
    accelerators: tuple[str, ...] = ()
    slots: int | None = None
    context_tokens: int | None = None
    step_token_budget: int | None = None
    weights_bytes: int | None = None
    loaded_gpu_w: float | None = None
    biases: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    run: str | None = None
