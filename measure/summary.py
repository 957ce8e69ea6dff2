"""From the requests of a level to its summary: pure functions, re-run whenever a profile is computed."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from measure.arrivals import dispersion_index
from measure.records import LevelRecord, Outcome, RequestRecord, TokenSource
from planner.distribution import P99_MIN_COUNT, Distribution, summarise
from planner.profile import LevelSummary
from planner.units import NANOSECONDS_PER_SECOND

MIN_HELD_FRAC = 0.95
MIN_SENT_FRAC = 0.98
MAX_DISPERSION_ERROR_FRAC = 0.1
MAX_CLIENT_CPU_FRAC = 0.8
MAX_FAILED_FRAC = 0.05
MAX_UNWANTED_HITS_FRAC = 0.02
NO_REQUEST_ENDED = "no request ended within the steady window"
_ARRIVALS_PER_BIN = 5
_EDGE_CROSSINGS = 2.0
"""A few requests that a moment's delay moves into the next bin change the dispersion of few bins by more than 10 %."""
_MAX_SLICES, _MIN_SLICES = 10, 4
_BUNDLED_TOKENS_PER_CHUNK = 1.5
_MICROSECONDS_PER_SECOND = 1e6


def ttft_s(request: RequestRecord) -> float | None:
    """From the socket write to the first content."""
    if request.written_ns is None or request.first_content_ns is None:
        return None
    return (request.first_content_ns - request.written_ns) / NANOSECONDS_PER_SECOND


def e2e_s(request: RequestRecord) -> float | None:
    """From the socket write to the last content."""
    if request.written_ns is None or request.last_content_ns is None:
        return None
    return (request.last_content_ns - request.written_ns) / NANOSECONDS_PER_SECOND


def first_chunk_tokens(request: RequestRecord) -> float:
    """Tokens that came with the first content: the server's own count there, else 1, else, where the server plainly
    sends several tokens per chunk, the mean per chunk. 40 tokens in 10 chunks: 4."""
    if request.content_tokens:
        return float(request.content_tokens[0])
    chunks = len(request.content_offsets_us)
    if not chunks or request.output_tokens is None:
        return 1.0
    per_chunk = request.output_tokens / chunks
    return per_chunk if per_chunk >= _BUNDLED_TOKENS_PER_CHUNK else 1.0


def tpot_s(request: RequestRecord) -> float | None:
    """(last - first content) / (tokens - tokens of the first chunk); `None` for a single token or chunk."""
    if request.first_content_ns is None or request.last_content_ns is None or request.output_tokens is None:
        return None
    tokens = request.output_tokens - first_chunk_tokens(request)
    if tokens <= 0 or len(request.content_offsets_us) < 2:
        return None
    return (request.last_content_ns - request.first_content_ns) / NANOSECONDS_PER_SECOND / tokens


def token_gaps_s(request: RequestRecord) -> NDArray[np.float64]:
    """Gaps between tokens. A gap before a chunk of k tokens counts as k gaps of a k-th each."""
    offsets = np.asarray(request.content_offsets_us, dtype=np.float64) / _MICROSECONDS_PER_SECOND
    gaps = np.diff(offsets)
    if len(request.content_tokens) == offsets.size:
        tokens = np.maximum(np.diff(np.asarray(request.content_tokens)), 1)
        return np.repeat(gaps / tokens, tokens)
    return gaps / first_chunk_tokens(request)


def summarise_level(level: LevelRecord, requests: Sequence[RequestRecord]) -> LevelSummary:
    """The steady window of a level.

    Latency populations: successful requests that ended within the window. Rates count every token that arrived within
    the window, and a request there as the fraction of its tokens that arrived within, so that neither the requests
    under way at the start nor those cut at the end bias them.
    """
    spec = level.spec
    requests = recounted(level, requests)
    start, end = level.window_start_ns, level.window_end_ns
    window_s = (end - start) / NANOSECONDS_PER_SECOND
    done = [r for r in requests if r.outcome is Outcome.OK and start <= r.ended_ns <= end]
    tokens, completions = _produced(requests, start, end)
    failures = Counter(str(r.outcome) for r in requests if r.outcome.is_failure and start <= r.ended_ns <= end)
    concurrency = _concurrency(requests, start, end)
    input_counts = [r.input_tokens for r in done if r.input_tokens is not None]
    requests_per_s = completions / window_s
    cpu_frac = level.client_cpu_s / window_s
    ttfts = summarise([x for r in done if (x := ttft_s(r)) is not None])
    tpots = summarise([x for r in done if (x := tpot_s(r)) is not None])
    itls = summarise(np.concatenate([token_gaps_s(r) for r in done]) if done else [])
    e2es = summarise([x for r in done if (x := e2e_s(r)) is not None])
    return LevelSummary(
        shape=spec.shape,
        mode=spec.mode,
        target=spec.target,
        valid=not (reasons := _invalid_reasons(level, requests, done, failures, concurrency, cpu_frac)),
        invalid_reasons=reasons,
        window_s=window_s,
        achieved_concurrency=concurrency,
        requests_per_s=requests_per_s,
        input_tokens_per_s=requests_per_s * float(np.mean(input_counts)) if input_counts else 0.0,
        output_tokens_per_s=tokens / window_s,
        input_tokens=summarise(input_counts),
        output_tokens=summarise([r.output_tokens for r in done if r.output_tokens is not None]),
        ttft_s=ttfts,
        tpot_s=tpots,
        itl_s=itls,
        e2e_s=e2es,
        failures=dict(failures),
        cached_input_frac=_cached_frac(done),
        client_cpu_frac=cpu_frac,
        client_lag_s=summarise(_lags_s(done)),
        is_validation=spec.is_validation,
        output_tokens_per_s_ci_frac=_throughput_ci_frac(requests, start, end, e2es) if spec.warm_up else None,
        indicative_p99=_indicative(ttft_s=ttfts, tpot_s=tpots, itl_s=itls, e2e_s=e2es),
    )


def recounted(level: LevelRecord, requests: Sequence[RequestRecord]) -> Sequence[RequestRecord]:
    """The requests with the token counts that were made after the level, where its server reports no usage."""
    recount = level.recount
    if recount is None or any(request.token_source is TokenSource.USAGE for request in requests):
        return requests
    return [
        replace(
            request,
            input_tokens=recount.input_tokens,
            output_tokens=recount.output_tokens[request.index],
            token_source=recount.source,
        )
        if request.index < len(recount.output_tokens)
        else request
        for request in requests
    ]


def recount_notes(levels: Sequence[LevelRecord]) -> list[str]:
    """How the tokens of a server without usage were counted, each way once."""
    recounts = {(x.recount.source, x.recount.tokenizer) for x in levels if x.recount is not None}
    words = {
        TokenSource.TOKENIZER: "output tokens were counted by {0} over the joined text of each answer",
        TokenSource.APPROXIMATE: "output tokens are an approximation by {0} over the joined text of each answer, "
        "because the server reports no usage and offers no tokenizer",
    }
    return [words[source].format(name) + "; prompt tokens are those aimed at" for source, name in sorted(recounts)]


def _indicative(**distributions: Distribution | None) -> tuple[str, ...]:
    """Names of the distributions with too few samples for a 99th percentile."""
    return tuple(name for name, x in distributions.items() if x is not None and x.count < P99_MIN_COUNT)


def _throughput_ci_frac(
    requests: Sequence[RequestRecord], start: int, end: int, e2e: Distribution | None
) -> float | None:
    """Half the 95 % interval of the content rate over its mean, from four to ten equal slices of the window.

    A slice is as long as a request where the window allows it, so that prompts and outputs weigh alike in all. Ten
    slices of 9 and 11 chunks in turn: standard deviation 1.054, over sqrt(10), times Student's 2.262, over 10: 0.075.
    `None` without content.
    """
    if e2e is None:
        return None
    slices = max(_MIN_SLICES, min(_MAX_SLICES, int((end - start) / NANOSECONDS_PER_SECOND / e2e.mean)))
    offsets = [
        np.asarray(r.content_offsets_us, dtype=np.float64) * 1e3 + r.written_ns
        for r in requests
        if r.written_ns is not None and r.outcome in (Outcome.OK, Outcome.CUT)
    ]
    if not offsets:
        return None
    counts, _ = np.histogram(np.concatenate(offsets), bins=slices, range=(start, end))
    if not counts.any():
        return None
    return float(stdtrit(slices - 1, 0.975) * counts.std(ddof=1) / np.sqrt(slices) / counts.mean())


def _produced(requests: Sequence[RequestRecord], start: int, end: int) -> tuple[float, float]:
    """Output tokens that arrived within the window, and requests, each as the fraction of its tokens that did."""
    good = [r for r in requests if r.outcome in (Outcome.OK, Outcome.CUT) and r.written_ns is not None]
    complete = [r for r in good if r.outcome is Outcome.OK]
    chunks = sum(len(r.content_offsets_us) for r in complete)
    usual = sum(r.output_tokens or 0 for r in complete) / chunks if chunks else 1.0
    tokens = completions = 0.0
    for request in good:
        offsets = np.asarray(request.content_offsets_us, dtype=np.float64)
        written = request.written_ns or 0
        inside = int(np.count_nonzero((offsets >= (start - written) / 1e3) & (offsets <= (end - written) / 1e3)))
        if request.outcome is Outcome.OK and request.output_tokens is not None:
            tokens += inside / offsets.size * request.output_tokens
            completions += inside / offsets.size
        else:
            tokens += inside * usual
            completions += min(1.0, inside * usual / request.requested_output_tokens)
    return tokens, completions


def cache_notes(levels: Sequence[LevelRecord], summaries: Sequence[LevelSummary]) -> list[str]:
    """The hit rate of every level that shares prompts, and of any other that a cache answered in part."""
    notes = []
    for level, summary in zip(levels, summaries, strict=True):
        share, hit = level.spec.prefix_share, summary.cached_input_frac
        if share:
            says = (
                "does not say how much it cached" if hit is None else f"took {hit:.1%} of their tokens from its cache"
            )
            notes.append(f"{level.spec.level}: prompts share {share:.0%}, the server {says}")
        elif hit is not None and hit > MAX_UNWANTED_HITS_FRAC:
            notes.append(f"{level.spec.level}: the server took {hit:.1%} of the prompt tokens from a cache, unasked")
    return notes


def _cached_frac(done: Sequence[RequestRecord]) -> float | None:
    """Prompt tokens that the server took from its cache, over all of those requests that it reports both for."""
    known = [(r.cached_tokens, r.input_tokens) for r in done if r.cached_tokens is not None and r.input_tokens]
    return sum(cached for cached, _ in known) / sum(total for _, total in known) if known else None


def _concurrency(requests: Sequence[RequestRecord], start: int, end: int) -> float:
    """Mean number of requests in flight, over time."""
    spans = ((max(r.dispatched_ns, start), min(r.ended_ns, end)) for r in requests)
    return sum(max(0, b - a) for a, b in spans) / (end - start)


def _lags_s(requests: Sequence[RequestRecord]) -> list[float]:
    return [(r.written_ns - r.intended_ns) / NANOSECONDS_PER_SECOND for r in requests if r.written_ns is not None]


def _missed_schedule(level: LevelRecord, requests: Sequence[RequestRecord]) -> list[str]:
    """Whether requests were written when the schedule wanted them: as many, and with the same unevenness."""
    start_s, end_s = level.window_start_ns / NANOSECONDS_PER_SECOND, level.window_end_ns / NANOSECONDS_PER_SECOND
    intended = np.array([r.intended_ns for r in requests]) / NANOSECONDS_PER_SECOND
    written = np.array([r.written_ns for r in requests if r.written_ns is not None]) / NANOSECONDS_PER_SECOND
    wanted = int(np.count_nonzero((intended >= start_s) & (intended < end_s)))
    sent = int(np.count_nonzero((written >= start_s) & (written < end_s)))
    if sent < MIN_SENT_FRAC * wanted:
        return [f"only {sent} of {wanted} scheduled requests were sent within the window"]
    bins = max(2, wanted // _ARRIVALS_PER_BIN)
    planned = dispersion_index(intended, start_s=start_s, end_s=end_s, bins=bins)
    actual = dispersion_index(written, start_s=start_s, end_s=end_s, bins=bins)
    if planned and actual and abs(actual / planned - 1) > MAX_DISPERSION_ERROR_FRAC + _EDGE_CROSSINGS / bins:
        return [f"the dispersion of the arrivals was {actual:.2f} where the schedule has {planned:.2f}"]
    return []


def _invalid_reasons(
    level: LevelRecord,
    requests: Sequence[RequestRecord],
    done: Sequence[RequestRecord],
    failures: Counter[str],
    concurrency: float,
    client_cpu_frac: float,
) -> tuple[str, ...]:
    """Why the level must not be fitted; empty when nothing speaks against it."""
    spec = level.spec
    reasons = []
    failed = sum(failures.values())
    if not done:
        reasons.append(NO_REQUEST_ENDED)
    elif failed > MAX_FAILED_FRAC * (failed + len(done)):
        reasons.append(f"{failed} of {failed + len(done)} requests failed")
    if spec.mode == "open":
        reasons += _missed_schedule(level, requests)
    elif concurrency < MIN_HELD_FRAC * spec.target:
        reasons.append(f"only {concurrency:.2f} of {spec.target:g} requests were in flight on average")
    if client_cpu_frac > MAX_CLIENT_CPU_FRAC:
        reasons.append(f"the load client used {client_cpu_frac:.0%} of a core and may have been the bottleneck")
    if len({r.token_source for r in done}) > 1:
        reasons.append("some requests reported token usage and others did not")
    if done and done[0].token_source is TokenSource.CHUNKS:
        reasons.append("the server reports no token usage; chunks are not tokens")
    return tuple(reasons)
