"""Closed-loop levels against a mock server: concurrency, warm-up, windows, and servers that die."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import replace

import numpy as np
import pytest
import uvloop
from numpy.typing import NDArray

from measure.arrivals import Arrivals, arrival_times_s
from measure.client import LoadClient
from measure.endpoint import Api, Dialect, Endpoint, build_template
from measure.load import LevelHooks, LevelRun
from measure.records import LevelRecord, LevelSpec, Outcome, RequestRecord
from measure.summary import summarise_level
from planner.errors import EngineError
from tests.measure.build import spec
from tests.measure.mock_server import MockServer, Reply

TOKENS = 4
GAP_S = 0.01


async def steady(reply: Reply) -> None:
    await reply.start()
    for _ in range(TOKENS):
        await asyncio.sleep(GAP_S)
        await reply.text("x")
    await reply.usage(10, TOKENS)
    await reply.end()


def hold(
    level: LevelSpec,
    handler: Callable[[Reply], Awaitable[None]] = steady,
    obituary: Callable[[], str | None] = lambda: None,
    records: list[RequestRecord] | None = None,
    schedule_s: NDArray[np.float64] | None = None,
) -> tuple[LevelRecord, list[RequestRecord]]:
    kept: list[RequestRecord] = [] if records is None else records

    async def run() -> LevelRecord:
        async with MockServer(handler) as server:
            endpoint = Endpoint(host="127.0.0.1", port=server.port, is_tls=False, base_path="/v1")
            client = LoadClient(endpoint, timeout_s=5)
            template = build_template(endpoint, Dialect(api=Api.COMPLETIONS, model="m"), "x", TOKENS)
            loop = LevelRun(
                level,
                session=1,
                client=client,
                payloads=((template.payload(i), TOKENS) for i in itertools.count()),
                expected_request_s=0.05,
                hooks=LevelHooks(record=kept.append, progress=lambda _: None, obituary=obituary),
                schedule_s=schedule_s,
            )
            try:
                return await loop.run()
            finally:
                await client.aclose()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run()), kept


def test_as_many_requests_are_in_flight_as_wanted_and_no_more() -> None:
    level, records = hold(spec(target=3, max_s=2.5))
    events = sorted([(r.dispatched_ns, 1) for r in records] + [(r.ended_ns, -1) for r in records])
    in_flight = list(itertools.accumulate(step for _, step in events))
    assert max(in_flight) == 3
    summary = summarise_level(level, records)
    assert summary.achieved_concurrency == pytest.approx(3, rel=0.05)
    assert level.stop_reason == "time"
    assert {r.outcome for r in records} == {Outcome.OK, Outcome.CUT}


def test_little_s_law_holds_for_the_summary() -> None:
    level, records = hold(spec(target=4, max_s=2.5))
    summary = summarise_level(level, records)
    assert summary.e2e_s is not None
    # concurrency = rate x time in the system, which includes the stream's end after the last content
    assert summary.requests_per_s * summary.e2e_s.mean == pytest.approx(4, rel=0.1)
    assert summary.output_tokens_per_s == pytest.approx(TOKENS * summary.requests_per_s, rel=0.02)


def test_the_warm_up_comes_first_and_hands_over_without_draining() -> None:
    level, records = hold(spec(target=2, max_s=3.0))
    assert level.started_ns < level.window_start_ns < level.window_end_ns
    assert level.warm_up.seconds > 0
    assert any(r.dispatched_ns < level.window_start_ns < r.ended_ns for r in records)


def test_a_counted_level_ends_with_its_last_request_and_cuts_nothing() -> None:
    level, records = hold(spec(warm_up=False, wanted_requests=3, min_window_s=0.0))
    assert [r.outcome for r in records] == [Outcome.OK] * 3
    assert level.stop_reason == "requests"
    summary = summarise_level(level, records)
    assert summary.ttft_s is not None
    assert summary.ttft_s.count == 3
    assert summary.valid


def test_failing_requests_trip_the_breaker_and_stay_on_record() -> None:
    async def dying(reply: Reply) -> None:
        if reply.number < 6:
            await steady(reply)
        else:
            await reply.json("503 Service Unavailable", {"error": "draining"})

    records: list[RequestRecord] = []
    with pytest.raises(
        EngineError, match=r"level level: .* requests in a row failed, the last with HTTP 503.*draining"
    ):
        hold(spec(target=2, max_s=30.0), handler=dying, records=records)
    assert sum(r.outcome is Outcome.OK for r in records) == 6
    assert sum(r.outcome is Outcome.HTTP_5XX for r in records) >= 5


def test_a_few_failures_do_not_stop_a_level() -> None:
    async def flaky(reply: Reply) -> None:
        if reply.number % 10 == 5:
            await reply.json("500 Internal Server Error", {"error": "hiccup"})
        else:
            await steady(reply)

    level, records = hold(spec(target=2, max_s=2.5), handler=flaky)
    summary = summarise_level(level, records)
    assert summary.failures["http_5xx"] >= 1
    assert summary.ttft_s is not None


def test_the_engines_obituary_ends_the_level_at_once() -> None:
    with pytest.raises(EngineError, match="level level: it was killed"):
        hold(spec(target=2, max_s=30.0), obituary=lambda: "it was killed")


def test_a_server_that_refuses_connections_is_named() -> None:
    async def run() -> None:
        endpoint = Endpoint(host="127.0.0.1", port=9, is_tls=False, base_path="/v1")
        client = LoadClient(endpoint, timeout_s=5)
        hooks = LevelHooks(record=lambda _: None, progress=lambda _: None, obituary=lambda: None)
        loop = LevelRun(spec(), session=1, client=client, payloads=iter(()), expected_request_s=1.0, hooks=hooks)
        try:
            await loop.run()
        finally:
            await client.aclose()

    with pytest.raises(EngineError, match="level level"), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


def test_an_open_loop_sends_on_schedule_whatever_the_server_does() -> None:
    async def slow(reply: Reply) -> None:
        await reply.start()
        await asyncio.sleep(0.5)
        await reply.text("x")
        await reply.usage(10, 1)
        await reply.end()

    schedule = arrival_times_s(Arrivals.POISSON, rate_per_s=40, duration_s=3.0, seed=1)
    level, records = hold(spec(mode="open", target=40, max_s=3.0), handler=slow, schedule_s=schedule)
    offsets = np.array(sorted(r.intended_ns for r in records)) - level.started_ns
    assert offsets / 1e9 == pytest.approx(schedule[: offsets.size], abs=1e-6)
    assert offsets.size >= schedule.size - 1
    assert all(r.dispatched_ns >= r.intended_ns for r in records)
    summary = summarise_level(level, records)
    assert summary.achieved_concurrency > 10  # 40 per second x 0.5 s, Little
    assert summary.mode == "open"


def test_a_schedule_that_was_not_kept_invalidates_the_level() -> None:
    level, records = hold(
        spec(mode="open", target=20, max_s=2.0),
        schedule_s=arrival_times_s(Arrivals.CONSTANT, rate_per_s=20, duration_s=2.0, seed=1),
    )
    late = [replace(r, written_ns=level.window_end_ns + 1) for r in records]
    assert any("scheduled requests were sent" in reason for reason in summarise_level(level, late).invalid_reasons)
