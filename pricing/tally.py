"""Request shapes summed once, so that every month and model can be priced without walking through them again."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import index

from planner.errors import InputError
from pricing.types import RequestShape, ShapeCount, TokenKind


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeTally:
    """Requests ordered by prompt length, with running totals of every billed kind [tokens; requests for REQUEST].

    `totals[kind][i]` is the sum over the i shortest prompts, so the sum over any context tier is one subtraction.
    """

    input_tokens: tuple[int, ...]
    totals: Mapping[TokenKind, tuple[int, ...]]

    @property
    def requests(self) -> int:
        return self.totals[TokenKind.REQUEST][-1]

    @property
    def longest_input_tokens(self) -> int:
        return self.input_tokens[-1] if self.input_tokens else 0

    def sum(self, kind: TokenKind, *, above: int, up_to: int | None) -> int:
        """Sum of `kind` over requests with above < input_tokens <= up_to (None: no upper end)."""
        running = self.totals[kind]
        end = len(self.input_tokens) if up_to is None else bisect_right(self.input_tokens, up_to)
        start = 0 if above <= 0 else bisect_right(self.input_tokens, above)
        return running[end] - running[start]


def tally_shapes(shapes: Sequence[ShapeCount]) -> ShapeTally:
    """Order and sum `shapes`. Raises `InputError` for a shape that no request can have; counts of zero are dropped."""
    return _tally(sorted((_billed(entry) for entry in shapes if entry.count), key=lambda row: row[0]))


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptTotal:
    """Every request with one prompt length: how many there are and what they generated together [tokens]."""

    input_tokens: int
    requests: int
    output_tokens: int


def tally_prompts(prompts: Sequence[PromptTotal], cached_frac: float) -> ShapeTally:
    """The tally of a whole log by distinct prompt length, `cached_frac` of each prompt read from the cache, rounded.

    What a request generates does not decide its context tier, so outputs may be summed before: ten million requests
    have millions of pairs of lengths, but only thousands of prompt lengths. Worked: 3 prompts of 10 tokens at 0.25:
    round(2.5) = 2 cached each, 6 in all, 24 plain.
    """
    rows = []
    for prompt in sorted(prompts, key=lambda prompt: prompt.input_tokens):
        cached = prompt.requests * min(round(prompt.input_tokens * cached_frac), prompt.input_tokens)
        plain = prompt.requests * prompt.input_tokens - cached
        rows.append((prompt.input_tokens, plain, cached, 0, 0, prompt.output_tokens, 0, prompt.requests))
    return _tally(rows)


def _tally(rows: Sequence[tuple[int, ...]]) -> ShapeTally:
    """The running totals of rows ordered by prompt length: that length, then one total for each `TokenKind`."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * (1 + len(TokenKind))
    running = (tuple(accumulate(column, initial=0)) for column in columns[1:])
    return ShapeTally(input_tokens=tuple(columns[0]), totals=dict(zip(TokenKind, running, strict=True)))


def _billed(entry: ShapeCount) -> tuple[int, ...]:
    shape = entry.shape
    try:
        n = index(entry.count)
    except TypeError:
        raise InputError(f"a number of requests must be whole, got {entry.count!r} of {_said(shape)}") from None
    plain_input = shape.input_tokens - shape.cached_input_tokens - shape.cache_write_tokens
    plain_write = shape.cache_write_tokens - shape.cache_write_1h_tokens
    plain_output = shape.output_tokens - shape.reasoning_tokens
    parts = (shape.cached_input_tokens, shape.cache_write_1h_tokens, shape.reasoning_tokens)
    if min(n, plain_input, plain_write, plain_output, *parts) < 0:
        raise InputError(
            f"impossible request shape ({_said(shape)}, count {n}): no number may be negative and the cached, "
            "cache-written and reasoning tokens are parts of the input and output tokens"
        )
    return (
        shape.input_tokens,
        n * plain_input,
        n * shape.cached_input_tokens,
        n * plain_write,
        n * shape.cache_write_1h_tokens,
        n * plain_output,
        n * shape.reasoning_tokens,
        n,
    )


def _said(shape: RequestShape) -> str:
    return (
        f"input {shape.input_tokens}, cached {shape.cached_input_tokens}, cache write {shape.cache_write_tokens} "
        f"of which 1h {shape.cache_write_1h_tokens}, output {shape.output_tokens}, reasoning {shape.reasoning_tokens}"
    )
