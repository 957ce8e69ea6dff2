"""Prompts of a wanted length, unique, and encoded before the load starts.

Every prompt begins with its own number, so that no prefix cache can answer a part of it. The rest is drawn from common
words, about one token each in every tokenizer; how many tokens a word makes on this server is measured, not assumed.
"""

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from measure.client import LoadClient
from measure.endpoint import NONCE_DIGITS, Dialect, Endpoint, RequestTemplate, build_template
from measure.exchange import Exchange
from measure.records import Outcome, PromptFit
from planner.errors import EngineError

_WORDS = (
    *("time", "people", "way", "water", "first", "house", "number", "work", "part", "place", "system", "world"),
    *("small", "large", "great", "life", "hand", "high", "year", "day", "point", "city", "school", "state", "family"),
    *("group", "country", "problem", "fact", "week", "company", "case", "question", "right", "night", "book", "eye"),
    *("job", "word", "business", "issue", "side", "kind", "head", "home", "service", "friend", "father", "power"),
    *("hour", "game", "line", "end", "member", "law", "car", "name", "team", "minute", "idea", "body", "back"),
    *("parent", "face", "others", "level", "office", "door", "health", "person", "art", "war", "history", "party"),
)
_TEMPLATES_PER_SET = 32
_OUTPUT_JITTER_FRAC = 0.1
_PROBE_WORDS = (16, 144)
_NONCE_STRIDE = 611953
"""Prime and no factor of 10^9: successive nonces run through all 10^9 values before one repeats."""


class NonceSource:
    """Numbers that start prompts; none repeats within a run."""

    def __init__(self, seed: int) -> None:
        self._limit: int = 10**NONCE_DIGITS
        self._next: int = seed * 7919 % self._limit

    def __next__(self) -> int:
        self._next = (self._next + _NONCE_STRIDE) % self._limit
        return self._next


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptSet:
    """Requests of one shape; `payloads` yields as many as wanted, each with its number of output tokens."""

    templates: tuple[RequestTemplate, ...]

    def payloads(self, nonces: NonceSource) -> Iterator[tuple[bytes, int]]:
        for template in itertools.cycle(self.templates):
            yield template.payload(next(nonces)), template.output_tokens


def build_prompts(
    endpoint: Endpoint, dialect: Dialect, fit: PromptFit, *, input_tokens: int, output_tokens: int, seed: int
) -> PromptSet:
    """Prompts of about `input_tokens` on the server. Output lengths vary by 10 % around `output_tokens`, with that
    very mean, so that streams of one level do not fall into step."""
    rng = np.random.default_rng((seed, input_tokens, output_tokens))
    words = max(1, round((input_tokens - fit.offset_tokens) / fit.tokens_per_word))
    spread = int(output_tokens * _OUTPUT_JITTER_FRAC)
    steps = np.rint(np.linspace(-spread, spread, _TEMPLATES_PER_SET)).astype(int)
    lengths = output_tokens + rng.permutation(steps)
    texts = (" ".join(rng.choice(_WORDS, words)) for _ in lengths)
    templates = (
        build_template(endpoint, dialect, text, int(length)) for text, length in zip(texts, lengths, strict=True)
    )
    return PromptSet(templates=tuple(templates))


async def calibrate(
    client: LoadClient, endpoint: Endpoint, dialect: Dialect, nonces: NonceSource, seed: int
) -> PromptFit:
    """Ask the server how many tokens two prompts are, and draw a line through them.

    Raises `EngineError` when the server fails or reports no usage.
    """
    rng = np.random.default_rng((seed, 0))
    counts = []
    for words in _PROBE_WORDS:
        template = build_template(endpoint, dialect, " ".join(rng.choice(_WORDS, words)), 1)
        probe = await send_one(client, template.payload(next(nonces)), output_tokens=1, level="probe")
        if probe.outcome not in (Outcome.OK, Outcome.NO_TOKENS):
            raise EngineError(f"{endpoint.url} did not answer a one-token probe ({probe.outcome}): {probe.error}")
        if probe.input_tokens is None:
            raise EngineError(
                f"{endpoint.url} reports no token usage in its stream, so prompts cannot be measured out; "
                "switch usage on in the server (stream_options.include_usage)"
            )
        counts.append(probe.input_tokens)
    slope = (counts[1] - counts[0]) / (_PROBE_WORDS[1] - _PROBE_WORDS[0])
    if slope <= 0:
        raise EngineError(
            f"{endpoint.url} reports {counts[0]} and {counts[1]} prompt tokens for a short and a long prompt"
        )
    return PromptFit(offset_tokens=counts[0] - slope * _PROBE_WORDS[0], tokens_per_word=slope)


async def send_one(client: LoadClient, payload: bytes, *, output_tokens: int, level: str) -> Exchange:
    """Send one request and wait for its end."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Exchange] = loop.create_future()
    exchange = Exchange(
        level=level,
        session=0,
        index=0,
        payload=payload,
        requested_output_tokens=output_tokens,
        intended_ns=0,
        on_done=done.set_result,
    )
    client.submit(exchange)
    return await done
