"""Which columns of a request log hold what: well-known formats by their column names, others by clear ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from planner.errors import InputError
from planner.units import MILLISECONDS_PER_SECOND, NANOSECONDS_PER_SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Which column holds what. `time_unit_s` is the length of one unit of a numeric time, `None` to go by magnitude.

    In a log of buckets, `count` holds the requests of a bucket and `end` its end; tokens are then the bucket's sums.
    """

    format: str
    time: str
    input: str
    output: str
    time_unit_s: float | None = None
    count: str | None = None
    end: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name in (self.time, self.input, self.output, self.count, self.end) if name)


_MILLISECOND_S = 1 / MILLISECONDS_PER_SECOND

_KNOWN = (
    Columns(format="azure", time="TIMESTAMP", input="ContextTokens", output="GeneratedTokens"),
    Columns(
        format="mooncake",
        time="timestamp",
        input="input_length",
        output="output_length",
        time_unit_s=_MILLISECOND_S,
    ),
    Columns(format="burstgpt", time="Timestamp", input="Request tokens", output="Response tokens", time_unit_s=1.0),
    Columns(format="vllm", time="arrival_time", input="input_toks", output="output_toks", time_unit_s=1.0),
    Columns(
        format="openai-usage",
        time="start_time",
        input="input_tokens",
        output="output_tokens",
        time_unit_s=1.0,
        count="num_model_requests",
        end="end_time",
    ),
)

TIME_NAMES = (
    *("arrival_s", "arrival_time_s", "time_s", "timestamp_s", "timestamp_ms", "time_ms", "timestamp_ns", "timestamp"),
    *("time", "datetime", "arrival_time", "arrived_at", "created_at", "created", "start_time"),
)
_INPUT_NAMES = ("input_tokens", "prompt_tokens", "context_tokens", "input_length", "request_tokens", "num_input_tokens")
_OUTPUT_NAMES = (
    *("output_tokens", "completion_tokens", "generated_tokens", "output_length", "response_tokens"),
    "num_output_tokens",
)
_TEXT_NAMES = frozenset({"prompt", "completion", "question", "answer", "response", "conversations", "messages"})
_SUFFIX_UNIT_S = {"_s": 1.0, "_ms": _MILLISECOND_S, "_ns": 1 / NANOSECONDS_PER_SECOND}


ROLES = ("arrival", "input", "output")


def recognise(path: Path, header: Sequence[str], mapping: Mapping[str, str]) -> Columns:
    """The columns of a log, from the names in its header or first object.

    `mapping` names the columns of `ROLES` that the header's own names do not tell; what it leaves out is looked for.
    Raises `InputError` naming the column that is missing.
    """
    names = [name.strip() for name in header]
    for role, name in mapping.items():
        if role not in ROLES:
            raise InputError(f"there is no column {role!r} to name; a log has {', '.join(ROLES)}")
        if name not in names:
            raise InputError(f"{path}:1: no column {name!r} for the {role}; there are {', '.join(names[:12])}")
    for known in () if mapping else _KNOWN:
        if set(known.names) <= set(names):
            return known
    by_key = {name.lower().replace(" ", "_"): name for name in names}
    found = [
        next((by_key[n] for n in wanted if n in by_key), None) for wanted in (TIME_NAMES, _INPUT_NAMES, _OUTPUT_NAMES)
    ]
    time, prompt, output = (mapping.get(role, name) for role, name in zip(ROLES, found, strict=True))
    if time is None or prompt is None or output is None:
        missing = "the time" if time is None else "input tokens" if prompt is None else "output tokens"
        raise InputError(
            f"{path}:1: no column for {missing} "
            f"among {', '.join(names[:12])}; say which it is, as in --column arrival=ts --column input=prompt_toks"
            + (
                f"; texts are counted first: `breakeven workload {path.name} --out counted.csv` writes a log that can "
                "be planned with"
                if set(by_key) & _TEXT_NAMES
                else ""
            )
        )
    if len({time, prompt, output}) < len(ROLES):
        raise InputError(
            f"{path}:1: one column stands for two of {', '.join(ROLES)}: {time}, {prompt}, {output}; "
            "name three different ones with --column"
        )
    unit = next((u for suffix, u in _SUFFIX_UNIT_S.items() if time.lower().endswith(suffix)), None)
    return Columns(format="generic", time=time, input=prompt, output=output, time_unit_s=unit)
