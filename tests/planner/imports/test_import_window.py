"""From single requests to the figures of a level: against schedules worked by hand."""

import pytest

from planner.imports.record import ToolRequest
from planner.imports.window import ALL_AT_ONCE, TOO_SHORT, level_of_requests


def lockstep(streams: int, *, waves: int, life_s: float, cut_s: float) -> list[ToolRequest]:
    """`streams` places, each taken again the moment it falls free; the tool stops at `cut_s`. TTFT 1 s, 4 tokens."""
    requests = []
    for wave in range(waves):
        start = wave * life_s
        is_cut = start + life_s > cut_s
        for _ in range(streams):
            requests.append(
                ToolRequest(
                    start_s=start,
                    ended_s=min(start + life_s, cut_s),
                    outcome="cut" if is_cut else "ok",
                    first_s=start + 1.0,
                    last_s=None if is_cut else start + life_s,
                    input_tokens=10.0,
                    output_tokens=None if is_cut else 4.0,
                )
            )
    return requests


def test_sixteen_streams_of_four_seconds_cut_after_fifteen_make_four_requests_a_second() -> None:
    level = level_of_requests(lockstep(16, waves=4, life_s=4.0, cut_s=15.0), mode="closed", target=16.0)
    assert level is not None
    assert level.invalid_reasons == ()
    assert level.window_s == 8.0  # from the first completion at 4 s to the last start at 12 s
    assert level.concurrency == pytest.approx(16.0)
    assert level.requests_per_s == pytest.approx(4.0)
    assert level.output_tokens_per_s == pytest.approx(16.0)
    assert level.input_tokens_per_s == pytest.approx(40.0)
    assert level.ttft_s is not None
    assert (level.ttft_s.count, level.ttft_s.mean) == (64 - 16, 1.0)  # all but the first wave, cut ones included
    assert level.tpot_s is not None
    assert (level.tpot_s.count, level.tpot_s.mean) == (32, 1.0)  # (4 - 1) s / (4 - 1) tokens
    assert level.e2e_s is not None
    assert level.e2e_s.mean == 4.0


def test_a_burst_is_no_level() -> None:
    level = level_of_requests(lockstep(8, waves=1, life_s=4.0, cut_s=15.0), mode="closed", target=None)
    assert level is not None
    assert level.target == 8.0
    assert level.invalid_reasons == (ALL_AT_ONCE,)


def test_a_closed_loop_that_did_not_hold_its_streams_says_so() -> None:
    requests = lockstep(4, waves=5, life_s=1.0, cut_s=5.0)
    level = level_of_requests(requests, mode="closed", target=8.0)
    assert level is not None
    assert level.invalid_reasons == ("only 4.00 of 8 requests were in flight on average",)


def test_failures_are_counted_and_never_enter_a_latency() -> None:
    failed = [ToolRequest(start_s=k, ended_s=k + 0.5, outcome="http_500") for k in (1.0, 2.0, 3.0)]
    level = level_of_requests([*lockstep(1, waves=6, life_s=1.0, cut_s=6.0), *failed], mode="closed", target=1.0)
    assert level is not None
    assert level.failures == (("http_500", 3),)
    assert level.invalid_reasons == ("3 of 9 requests failed",)
    assert level.ttft_s is not None
    assert level.ttft_s.max == 1.0


def test_no_request_is_no_level() -> None:
    assert level_of_requests([], mode="closed", target=4.0) is None


def test_a_run_of_little_more_than_one_request_held_no_load() -> None:
    requests = lockstep(4, waves=2, life_s=4.0, cut_s=9.0)
    late = [ToolRequest(start_s=4.5, ended_s=8.5, outcome="ok", first_s=5.5, last_s=8.5, output_tokens=4.0)]
    level = level_of_requests([*requests, *late], mode="closed", target=4.0)
    assert level is not None
    assert level.window_s == 0.5
    assert level.invalid_reasons == (TOO_SHORT,)
