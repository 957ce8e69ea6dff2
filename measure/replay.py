"""A stretch of a request log, sent to a server as it arrived once: the log's own gaps and lengths, faster if wanted.

Prompts are slices of one long text that is encoded before the level starts, so that even a log of long prompts takes
little memory; each begins with its own number, like all prompts, so no prefix cache can answer a part of it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from measure.endpoint import NONCE_DIGITS, Dialect, Endpoint, build_template
from measure.prompts import NonceSource, random_words
from measure.records import LevelSpec, PromptFit
from measure.run_info import PlannedReplay
from planner.errors import InputError
from planner.traces.request_log import read_log
from planner.workload import Workload

REPLAY_SHAPE = "replay"
DRAIN_S = 60.0
"""How long requests may still run after the last one was sent; those that take longer are cut."""

_MARGIN_TOKENS = 16
_MARGIN_FRAC = 0.03  # prompts are measured out in words, and come out that much longer at worst
_START_WORDS = 61


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """Requests to send: times [s after the start of the level], and lengths as they fit the server's context."""

    arrival_s: NDArray[np.float64]
    input_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]
    clipped: int

    @property
    def requests(self) -> int:
        return int(self.arrival_s.size)


def read_replay(planned: PlannedReplay, *, context_tokens: int | None) -> Replay:
    """The beginning of the log, as much of it as `planned` replays. Raises `InputError` as `read_log` does."""
    workload, _ = read_log(Path(planned.log))
    return cut_replay(workload, planned, context_tokens=context_tokens)


def cut_replay(workload: Workload, planned: PlannedReplay, *, context_tokens: int | None) -> Replay:
    """The requests of the first `duration_s` x `speed_up` seconds, closer together by `speed_up`, within the context.

    An output longer than half the context is shortened to that, then the prompt until both fit; a request of no output
    asks for one token. Raises `InputError` when fewer than two requests are in the stretch.
    """
    if not 0 < planned.speed_up < float("inf"):
        raise InputError(f"a log cannot be replayed {planned.speed_up} times as fast; give a number above 0")
    count = int(np.searchsorted(workload.arrival_s, planned.duration_s * planned.speed_up, side="left"))
    if count < 2:
        raise InputError(
            f"{planned.log}: the first {planned.duration_s * planned.speed_up:g} s of the log hold {count} request(s); "
            "replay more of it with a longer --duration or a higher --speed-up"
        )
    prompt = workload.input_tokens[:count].astype(np.int64)
    output = np.maximum(workload.output_tokens[:count].astype(np.int64), 1)
    clipped = 0
    if context_tokens is not None:
        short_output = np.minimum(output, max(1, context_tokens // 2))
        margin = _MARGIN_TOKENS + np.ceil(_MARGIN_FRAC * np.minimum(prompt, context_tokens)).astype(np.int64)
        short_prompt = np.maximum(np.minimum(prompt, context_tokens - short_output - margin), 1)
        clipped = int(np.count_nonzero((short_output < output) | (short_prompt < prompt)))
        prompt, output = short_prompt, short_output
    return Replay(
        arrival_s=workload.arrival_s[:count] / planned.speed_up,
        input_tokens=prompt,
        output_tokens=output,
        clipped=clipped,
    )


def replay_spec(planned: PlannedReplay, replay: Replay) -> LevelSpec:
    """An open-loop level whose window holds every request, from the first one sent to the last one complete."""
    return LevelSpec(
        level=planned.level,
        shape=REPLAY_SHAPE,
        mode="open",
        target=replay.requests / planned.duration_s,
        input_tokens=round(float(replay.input_tokens.mean())),
        output_tokens=round(float(replay.output_tokens.mean())),
        max_s=planned.duration_s + DRAIN_S,
        wanted_requests=replay.requests,
        warm_up=False,
    )


def replay_notes(planned: PlannedReplay, replay: Replay) -> tuple[str, ...]:
    """What was replayed, and how much of it was shortened."""
    stretch = f"the first {planned.duration_s * planned.speed_up:.0f} s of {Path(planned.log).name}"
    notes = [f"{replay.requests} requests, {stretch}, {planned.speed_up:g} times as fast"]
    if replay.clipped:
        share = replay.clipped / replay.requests
        notes.append(f"{replay.clipped} requests ({share:.1%}) were shortened to the server's context")
    return tuple(notes)


def replay_payloads(
    replay: Replay, endpoint: Endpoint, dialect: Dialect, fit: PromptFit, nonces: NonceSource, seed: int
) -> Iterator[tuple[bytes, int]]:
    """The bytes of every request and its output tokens, in order of arrival; the same seed gives the same texts."""
    rng = np.random.default_rng((seed, replay.requests))
    words = np.maximum(1, np.rint((replay.input_tokens - fit.offset_tokens) / fit.tokens_per_word)).astype(np.int64)
    encoded = random_words(rng, int(words.max()) + _START_WORDS).encode()
    ends = np.append(np.flatnonzero(np.frombuffer(encoded, np.uint8) == ord(" ")), len(encoded)) + 1
    starts = rng.integers(0, _START_WORDS, replay.requests)
    frame = _Frame(endpoint, dialect)
    for first, count, output in zip(starts.tolist(), words.tolist(), replay.output_tokens.tolist(), strict=True):
        begin = int(ends[first - 1]) if first else 0
        part = encoded[begin : int(ends[first + count - 1]) - 1]
        yield frame.payload(next(nonces), part, output), output


class _Frame:
    """A request taken apart around its nonce, its text and its output length."""

    _TEXT = "@text@"
    _OUTPUT = 987654321

    def __init__(self, endpoint: Endpoint, dialect: Dialect) -> None:
        template = build_template(endpoint, dialect, self._TEXT, self._OUTPUT)
        head, self._before = template.head.split(b"\r\n\r\n", 1)
        self._head = re.sub(rb"\r\nContent-Length: \d+", b"", head)
        self._between, rest = template.tail.split(self._TEXT.encode(), 1)
        self._after: Sequence[bytes] = rest.split(str(self._OUTPUT).encode())

    def payload(self, nonce: int, text: bytes, output_tokens: int) -> bytes:
        after = str(output_tokens).encode().join(self._after)
        body = b"%b%0*d%b%b%b" % (self._before, NONCE_DIGITS, nonce, self._between, text, after)
        return b"%b\r\nContent-Length: %d\r\n\r\n%b" % (self._head, len(body), body)
