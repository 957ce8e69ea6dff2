"""Try a server out before putting load on it: which fields it takes, what it tells, how it treats requests at once.

Everything here is observed, not looked up by the server's name. The whole probe is bounded in time; what did not fit is
left out and said.
"""

import asyncio
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from measure.client import LoadClient
from measure.endpoint import Api, Dialect, Endpoint, build_template
from measure.exchange import Exchange
from measure.prompts import NonceSource, random_words, send_one
from measure.records import Outcome
from measure.run_info import Capabilities
from measure.tokens import find_tokenize_path
from measure.web import try_asking
from planner.errors import EngineError

_LIMIT_S = 20.0
_FIRST_ANSWER_S = 600.0
_LOADING_POLL_S = 0.5
_TOKENS = 24
_AT_ONCE = 4
_REPEATED_WORDS = 400
_REPEATS = 3
_CACHED_RATIO = 0.5
_MIN_PREFILL_S = 0.01
_SHORT_ANSWER = "Answer with the single word yes and nothing else."
_OPTIONAL_FIELDS: dict[str, Callable[[Dialect, bool], Dialect]] = {
    "stream_options.include_usage": lambda dialect, on: replace(dialect, stream_usage=on),
    "ignore_eos": lambda dialect, on: replace(dialect, ignore_eos=on),
    "stream_options.continuous_usage_stats": lambda dialect, on: replace(dialect, usage_per_chunk=on),
    "cache_prompt": lambda dialect, on: replace(dialect, cache_prompt_field=on),
}


@dataclass(slots=True)
class _Found:
    """What the probe collects for `Capabilities`."""

    values: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


async def probe_capabilities(
    endpoint: Endpoint, *, api: Api | None, model: str, is_llama: bool, seed: int
) -> tuple[Dialect, Capabilities]:
    """Find the dialect of the server and what it can do. `api=None`: text completions where there are some, else chat.

    Raises `EngineError` when no plain request is answered.
    """
    started_s = time.monotonic()
    client = LoadClient(endpoint, timeout_s=_FIRST_ANSWER_S)
    probe = _Probe(client=client, endpoint=endpoint, seed=seed)
    try:
        dialect, refused, first = await probe.find_dialect(api, model, is_llama=is_llama)
        first_answer_s = time.monotonic() - started_s
        probe.limit(_LIMIT_S)
        found = _Found()
        for step in (probe.read_stream, probe.find_length_field, probe.send_at_once, probe.repeat_a_prompt):
            if probe.left_s() <= 0:
                found.notes.append(f"not tried within {_LIMIT_S:g} s: {step.__name__.replace('_', ' ')}")
                continue
            dialect = await step(dialect, found)
    finally:
        await client.aclose()
    found.values["tokenize_path"] = await asyncio.to_thread(find_tokenize_path, endpoint, model)
    metrics = await asyncio.to_thread(try_asking, endpoint, "/metrics")
    found.values["metrics_path"] = "/metrics" if metrics.status == 200 and b"# TYPE" in metrics.body else None
    capabilities = Capabilities(
        seconds=time.monotonic() - started_s,
        first_answer_s=first_answer_s,
        api=dialect.api.value,
        refused_fields=tuple(refused),
        input_tokens_known=first.input_tokens is not None,
        notes=tuple(found.notes),
        **found.values,
    )
    return dialect, capabilities


class _Probe:
    def __init__(self, *, client: LoadClient, endpoint: Endpoint, seed: int) -> None:
        self._client = client
        self._endpoint = endpoint
        self._nonces = NonceSource(seed + 1)
        self._rng = np.random.default_rng((seed, 1))
        self._end_s = float("inf")

    def limit(self, seconds: float) -> None:
        self._end_s = time.monotonic() + seconds

    def left_s(self) -> float:
        return self._end_s - time.monotonic()

    async def find_dialect(self, api: Api | None, model: str, *, is_llama: bool) -> tuple[Dialect, list[str], Exchange]:
        """The fullest request that the server takes, and the fields that it refuses."""
        full = Dialect(api=api or Api.COMPLETIONS, model=model, usage_per_chunk=True, cache_prompt_field=is_llama)
        answer = await self._when_loaded(full)
        if api is None and answer.outcome is Outcome.HTTP_4XX and _is_missing(answer):
            full = replace(full, api=Api.CHAT)
            answer = await self._when_loaded(full)
        if answer.outcome is not Outcome.HTTP_4XX:
            return full, [], self._require(answer)
        plain = full
        for switch in _OPTIONAL_FIELDS.values():
            plain = switch(plain, False)
        answer = await self._send(plain, "hello", 1)
        if answer.outcome is Outcome.HTTP_4XX and "max_completion_tokens" in (answer.error or ""):
            plain = replace(plain, limit_field="max_completion_tokens")
            answer = await self._send(plain, "hello", 1)
        self._require(answer)
        refused = []
        for name, switch in _OPTIONAL_FIELDS.items():
            richer = switch(plain, True)
            if name == "cache_prompt" and not is_llama:
                continue
            tried = await self._send(richer, "hello", 1)
            if tried.outcome in (Outcome.OK, Outcome.NO_TOKENS):
                plain, answer = richer, tried
            else:
                refused.append(name)
        return plain, refused, answer

    async def _when_loaded(self, dialect: Dialect) -> Exchange:
        """The first answer; a server that says 503 is loading its model and is asked again."""
        give_up_s = time.monotonic() + _FIRST_ANSWER_S
        while True:
            answer = await self._send(dialect, "hello", 1)
            is_loading = answer.outcome is Outcome.HTTP_5XX and "HTTP 503" in (answer.error or "")
            if not is_loading or time.monotonic() > give_up_s:
                return answer
            await asyncio.sleep(_LOADING_POLL_S)

    def _require(self, answer: Exchange) -> Exchange:
        if answer.outcome not in (Outcome.OK, Outcome.NO_TOKENS):
            raise EngineError(
                f"{self._endpoint.url} did not answer a one-token request ({answer.outcome}): {answer.error}"
            )
        return answer

    async def read_stream(self, dialect: Dialect, found: _Found) -> Dialect:
        """One answer of some length: usage, tokens per chunk, reasoning."""
        for _ in range(_REPEATS):  # a model may have nothing to say to one prompt
            answer = await self._send(dialect, random_words(self._rng, 12), _TOKENS)
            if chunks := len(answer.content_ns):
                break
        found.values["streams_usage"] = answer.output_tokens is not None
        found.values["usage_per_chunk"] = len(answer.content_tokens) == chunks > 1
        found.values["reasoning_field"] = answer.reasoning_field
        if chunks and answer.output_tokens is not None:
            found.values["tokens_per_chunk"] = answer.output_tokens / chunks
        if answer.content_tokens:
            found.values["first_chunk_tokens"] = answer.content_tokens[0]
        if answer.outcome not in (Outcome.OK, Outcome.NO_TOKENS):
            found.notes.append(f"an answer of {_TOKENS} tokens failed ({answer.outcome}): {answer.error}")
        if chunks == 1 and (answer.output_tokens or 0) > 1:
            found.notes.append("the whole answer came in one chunk: TTFT is the time of the whole request here")
        return dialect if found.values["usage_per_chunk"] else replace(dialect, usage_per_chunk=False)

    async def find_length_field(self, dialect: Dialect, found: _Found) -> Dialect:
        """Whether a model that wants to stop early can be made to go on, and by which field."""
        free = replace(dialect, ignore_eos=False)
        alone = await self._send(free, _SHORT_ANSWER, _TOKENS)
        found.values["stops_by_itself"] = alone.finish_reason == "stop"
        if alone.finish_reason != "stop":
            if not dialect.ignore_eos:
                found.notes.append("the server refuses ignore_eos: lengths are what the model produces")
            return dialect
        ways = {"ignore_eos": replace(free, ignore_eos=True), "min_tokens": replace(free, min_tokens=True)}
        for name, forced in ways.items():
            if name == "ignore_eos" and not dialect.ignore_eos:
                continue
            answer = await self._send(forced, _SHORT_ANSWER, _TOKENS)
            if answer.outcome is Outcome.OK and answer.finish_reason == "length":
                found.values["length_field"] = name
                return forced
        found.notes.append(
            "the server honours neither ignore_eos nor min_tokens: lengths are what the model produces, not those asked"
        )
        return free

    async def send_at_once(self, dialect: Dialect, found: _Found) -> Dialect:
        """How many of a few requests stream at the same time; a server that queues them shows one after the other."""
        texts = [random_words(self._rng, 12) for _ in range(_AT_ONCE)]
        answers = await asyncio.gather(*(self._send(dialect, text, _TOKENS) for text in texts))
        good = [a for a in answers if a.outcome is Outcome.OK and len(a.content_ns) > 2]
        found.values["parallel_tried"] = _AT_ONCE
        if len(good) < _AT_ONCE:
            found.notes.append(_not_at_once(answers, good))
            return dialect
        last_sent = max(a.written_ns or 0 for a in good)
        if last_sent > min(a.content_ns[0] for a in good):
            found.notes.append(f"{_AT_ONCE} requests could not be sent before the first was answered: slots not seen")
            return dialect
        found.values["parallel_sequences"] = _most_at_once([(a.content_ns[0], a.content_ns[-1]) for a in good])
        if found.values["parallel_sequences"] == 1:
            found.notes.append("the server answers one request at a time: more concurrency only waits in its queue")
        return dialect

    async def repeat_a_prompt(self, dialect: Dialect, found: _Found) -> Dialect:
        """Whether a repeated prompt is answered from a cache; measured with the cache left on."""
        dialect_with_cache = replace(dialect, cache_prompt_field=False)
        fresh, repeated, cached = [], [], 0
        for _ in range(_REPEATS):
            text = random_words(self._rng, _REPEATED_WORDS)
            template = build_template(self._endpoint, dialect_with_cache, text, 2)
            payload = template.payload(next(self._nonces))
            if (first := await self._ttft_s(payload)) is None or (again := await self._ttft_s(payload)) is None:
                break
            fresh.append(first[0])
            repeated.append(again[0])
            cached = max(cached, again[1])
        if not fresh:
            found.notes.append(f"a prompt of {_REPEATED_WORDS} words was not answered in time")
            return dialect
        ratio = statistics.median(repeated) / statistics.median(fresh)
        is_telling = statistics.median(fresh) > _MIN_PREFILL_S
        found.values |= {"repeat_ttft_ratio": ratio, "cached_tokens": cached}
        found.values["prefix_cache"] = True if cached else (ratio < _CACHED_RATIO if is_telling else None)
        return dialect

    async def _ttft_s(self, payload: bytes) -> tuple[float, int] | None:
        answer = await self._send_payload(payload, 2)
        if not answer.content_ns or answer.written_ns is None:
            return None
        return (answer.content_ns[0] - answer.written_ns) / 1e9, answer.cached_tokens or 0

    async def _send(self, dialect: Dialect, text: str, output_tokens: int) -> Exchange:
        template = build_template(self._endpoint, dialect, text, output_tokens)
        return await self._send_payload(template.payload(next(self._nonces)), output_tokens)

    async def _send_payload(self, payload: bytes, output_tokens: int) -> Exchange:
        limit_s = min(self.left_s(), _FIRST_ANSWER_S)
        return await send_one(
            self._client, payload, output_tokens=output_tokens, level="probe", limit_s=max(0.0, limit_s)
        )


def _is_missing(answer: Exchange) -> bool:
    return any(f"HTTP {status}" in (answer.error or "") for status in (404, 405, 501))


def _not_at_once(answers: list[Exchange], good: list[Exchange]) -> str:
    failed = [a for a in answers if a.outcome is not Outcome.OK]
    if any(a.outcome in (Outcome.TRUNCATED, Outcome.NO_TOKENS) for a in failed):
        return (
            f"the server broke off {len(failed)} of {len(answers)} answers when other requests came in: only one at a "
            "time can be measured (llama_cpp.server queues them instead with --interrupt_requests False)"
        )
    why = f"{failed[0].outcome}: {failed[0].error}" if failed else "too few chunks"
    return f"{len(answers) - len(good)} of {len(answers)} requests sent at once did not stream ({why})"


def _most_at_once(spans: list[tuple[int, int]]) -> int:
    """The largest number of spans that cover one moment: 2 for (0, 10), (5, 20) and (12, 30)."""
    edges = sorted([(a, 1) for a, _ in spans] + [(b, -1) for _, b in spans])
    level = most = 0
    for _, step in edges:
        level += step
        most = max(most, level)
    return most
