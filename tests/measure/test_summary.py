"""Level summaries worked out by hand."""

import pytest

from measure.records import Outcome, TokenSource
from measure.summary import e2e_s, first_chunk_tokens, summarise_level, token_gaps_s, tpot_s, ttft_s
from planner.distribution import Distribution
from tests.measure.build import level, request


def mean(distribution: Distribution | None) -> float:
    assert distribution is not None
    return distribution.mean


def test_times_of_one_request() -> None:
    # written at 100 ms, content at 150, 160, 170, 190: TTFT 50 ms, TPOT 40 / 3 ms, E2E 90 ms
    one = request(start_ms=100, content_ms=[150, 160, 170, 190])
    assert ttft_s(one) == pytest.approx(0.050)
    assert tpot_s(one) == pytest.approx(0.040 / 3)
    assert e2e_s(one) == pytest.approx(0.090)
    assert token_gaps_s(one) == pytest.approx([0.010, 0.010, 0.020])


def test_one_token_has_no_tpot() -> None:
    one = request(start_ms=0, content_ms=[50])
    assert tpot_s(one) is None
    assert token_gaps_s(one).size == 0


def test_bundled_tokens_with_the_servers_running_count() -> None:
    # 2 tokens at 100 ms, 6 by 160 ms: the gap of 60 ms held 4 tokens
    one = request(start_ms=0, content_ms=[100, 160], output_tokens=6, content_tokens=(2, 6))
    assert first_chunk_tokens(one) == 2
    assert tpot_s(one) == pytest.approx(0.015)
    assert token_gaps_s(one) == pytest.approx([0.015] * 4)


def test_a_few_silent_tokens_do_not_count_as_bundling() -> None:
    # 12 tokens in 10 chunks: some tokens are half a character; the first chunk still is one token
    one = request(start_ms=0, content_ms=[10.0 * k for k in range(1, 11)], output_tokens=12)
    assert first_chunk_tokens(one) == 1
    assert tpot_s(one) == pytest.approx(0.090 / 11)


def test_rates_count_what_arrived_within_the_window() -> None:
    # window 1000 .. 2000 ms. The first request has 2 of its 4 tokens in it, the second all 4, the cut one 1 of 4.
    requests = [
        request(start_ms=600, content_ms=[800, 900, 1000, 1100]),
        request(start_ms=1100, content_ms=[1300, 1400, 1500, 1600]),
        request(start_ms=1600, content_ms=[1900], outcome=Outcome.CUT, end_ms=2000, requested_output_tokens=4),
    ]
    summary = summarise_level(level(start_ms=1000, end_ms=2000), requests)
    assert summary.output_tokens_per_s == pytest.approx(7.0)
    assert summary.requests_per_s == pytest.approx(0.5 + 1.0 + 0.25)
    assert summary.input_tokens_per_s == pytest.approx(17.5)
    assert summary.achieved_concurrency == pytest.approx(1.0)
    assert summary.ttft_s is not None
    assert summary.ttft_s.count == 2  # the cut request has no say in latencies
    assert mean(summary.ttft_s) == pytest.approx(0.2)
    assert summary.valid


def test_failures_are_counted_and_never_enter_a_percentile() -> None:
    failed = request(start_ms=1000, content_ms=[], end_ms=1500, outcome=Outcome.HTTP_5XX, written_ns=1_000_000_000)
    good = request(start_ms=1500, content_ms=[1600, 1700])
    summary = summarise_level(level(start_ms=1000, end_ms=2000, target=0.5), [failed, good])
    assert summary.failures == {"http_5xx": 1}
    assert summary.ttft_s is not None
    assert summary.ttft_s.count == 1
    assert not summary.valid
    assert summary.invalid_reasons == ("1 of 2 requests failed",)


def test_a_level_without_a_result_is_none_and_invalid_not_zero() -> None:
    summary = summarise_level(level(start_ms=0, end_ms=1000), [])
    assert summary.ttft_s is None
    assert summary.tpot_s is None
    assert not summary.valid
    assert "no request ended" in summary.invalid_reasons[0]


def test_missing_concurrency_a_busy_client_and_guessed_tokens_invalidate() -> None:
    half = request(start_ms=0, content_ms=[100, 500], token_source=TokenSource.CHUNKS)
    summary = summarise_level(level(start_ms=0, end_ms=1000, client_cpu_s=0.9), [half])
    words = " ".join(summary.invalid_reasons)
    assert "0.50 of 1 requests were in flight" in words
    assert "90% of a core" in words
    assert "chunks are not tokens" in words


def test_lag_runs_from_intended_start_to_socket_write() -> None:
    late = request(start_ms=30, content_ms=[100, 200], intended_ns=10_000_000)
    summary = summarise_level(level(start_ms=0, end_ms=1000), [late])
    assert mean(summary.client_lag_s) == pytest.approx(0.020)
    assert mean(summary.ttft_s) == pytest.approx(0.070)


def test_an_even_stream_has_no_interval_and_a_bursty_one_has_the_worked_one() -> None:
    # ten slices of one second: ten chunks each, or 9 and 11 in turn
    even = request(start_ms=0, content_ms=[100.0 * k + 50 for k in range(100)])
    counts = [9, 11] * 5
    uneven = [1000.0 * s + 1000.0 * (k + 0.5) / n for s, n in enumerate(counts) for k in range(n)]
    one = level(start_ms=0, end_ms=10_000)
    short = request(start_ms=0, content_ms=[5, 10], end_ms=10)  # makes the mean request short: ten slices
    assert summarise_level(one, [even]).output_tokens_per_s_ci_frac == pytest.approx(0.0)
    figure = summarise_level(one, [request(start_ms=0, content_ms=uneven), *[short] * 20])
    assert figure.output_tokens_per_s_ci_frac is not None
    assert figure.output_tokens_per_s_ci_frac > 0.075  # the short ones add a burst to the first slice


def test_percentiles_from_few_samples_are_marked() -> None:
    one = level(start_ms=0, end_ms=1000)
    few = [request(start_ms=0, content_ms=[40, 960])]
    assert summarise_level(one, few).indicative_p99 == ("ttft_s", "tpot_s", "itl_s", "e2e_s")
    many = few * 662
    assert summarise_level(one, many).indicative_p99 == ()
    assert summarise_level(one, many[:661]).indicative_p99 == ("ttft_s", "tpot_s", "itl_s", "e2e_s")
