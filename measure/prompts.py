"""Prompts of a wanted length, unique, and encoded before the load starts.

Every prompt begins with its own number, so that no prefix cache can answer a part of it. The rest is drawn from common
words, about one token each in every tokenizer; how many tokens a word makes on this server is measured, not assumed.
"""

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from measure.client import LoadClient
from measure.endpoint import NONCE_DIGITS, Dialect, Endpoint, RequestTemplate, build_template
from measure.exchange import Exchange
from measure.records import Outcome, PromptFit
from measure.tokens import TokenCounter
from measure.web import try_asking
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
    endpoint: Endpoint,
    dialect: Dialect,
    fit: PromptFit,
    *,
    input_tokens: int,
    output_tokens: int,
    seed: int,
    prefix_share: float = 0.0,
) -> PromptSet:
    """Prompts of about `input_tokens` on the server. Output lengths vary by 10 % around `output_tokens`, with that
    very mean, so that streams of one level do not fall into step.

    All prompts begin with the same `prefix_share` of their tokens, and only then with their own number: 0.5 of 256
    tokens are 128 words that are one token each. The server may then answer them from its prompt cache.
    """
    rng = np.random.default_rng((seed, input_tokens, output_tokens))
    words = max(1, round((input_tokens - fit.offset_tokens) / fit.tokens_per_word))
    spread = int(output_tokens * _OUTPUT_JITTER_FRAC)
    steps = np.rint(np.linspace(-spread, spread, _TEMPLATES_PER_SET)).astype(int)
    lengths = output_tokens + rng.permutation(steps)
    shared = min(round(prefix_share * input_tokens / fit.tokens_per_word), words - 1)
    prefix = random_words(rng, shared) if shared else ""
    dialect = replace(dialect, uses_prompt_cache=bool(shared))
    texts = (random_words(rng, words - shared) for _ in lengths)
    templates = (
        build_template(endpoint, dialect, text, int(length), prefix=prefix)
        for text, length in zip(texts, lengths, strict=True)
    )
    return PromptSet(templates=tuple(templates))


def random_words(rng: np.random.Generator, count: int) -> str:
    return " ".join(rng.choice(_WORDS, count))


async def calibrate(
    client: LoadClient,
    endpoint: Endpoint,
    dialect: Dialect,
    nonces: NonceSource,
    seed: int,
    counter: TokenCounter | None = None,
) -> PromptFit:
    """Find out how many tokens two prompts are, and draw a line through them.

    The server's own count is taken from its stream, else from an answer that is not streamed; a server without usage
    has its prompts counted by `counter`, which does not see what the server puts around them. Raises `EngineError`
    when the server fails, or when its counts make no sense.
    """
    rng = np.random.default_rng((seed, 0))
    texts = [random_words(rng, words) for words in _PROBE_WORDS]
    counts = [await _streamed_count(client, endpoint, dialect, nonces, text) for text in texts]
    if None in counts:
        counts = [await asyncio.to_thread(_unstreamed_count, endpoint, dialect, next(nonces), text) for text in texts]
    if None in counts and counter is not None:
        prompts = [f"{next(nonces):0{NONCE_DIGITS}d} {text}" for text in texts]
        counts = list(await asyncio.to_thread(counter.count, prompts))
    short, long = counts
    if short is None or long is None:
        raise EngineError(
            f"{endpoint.url} tells nobody how many tokens a prompt has, so prompts cannot be measured out; "
            "switch usage on in the server (stream_options.include_usage)"
        )
    slope = (long - short) / (_PROBE_WORDS[1] - _PROBE_WORDS[0])
    if slope <= 0:
        raise EngineError(f"{endpoint.url} reports {short} and {long} prompt tokens for a short and a long prompt")
    return PromptFit(offset_tokens=short - slope * _PROBE_WORDS[0], tokens_per_word=slope)


async def _streamed_count(
    client: LoadClient, endpoint: Endpoint, dialect: Dialect, nonces: NonceSource, text: str
) -> int | None:
    template = build_template(endpoint, dialect, text, 1)
    probe = await send_one(client, template.payload(next(nonces)), output_tokens=1, level="probe")
    if probe.outcome not in (Outcome.OK, Outcome.NO_TOKENS):
        raise EngineError(f"{endpoint.url} did not answer a one-token probe ({probe.outcome}): {probe.error}")
    return probe.input_tokens


def _unstreamed_count(endpoint: Endpoint, dialect: Dialect, nonce: int, text: str) -> int | None:
    body = dialect.body(f"{nonce:0{NONCE_DIGITS}d} {text}", 1) | {"stream": False}
    body.pop("stream_options", None)
    usage = try_asking(endpoint, f"{endpoint.base_path}{dialect.api.path}", body).fields.get("usage")
    count = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    return count if isinstance(count, int) else None


async def send_one(
    client: LoadClient, payload: bytes, *, output_tokens: int, level: str, limit_s: float | None = None
) -> Exchange:
    """Send one request and wait for its end, at most `limit_s` or as long as the client waits for any."""
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
    client.submit(exchange, limit_s=limit_s)
    return await done
