"""Hold one load level: start the streams, wait until the rate has settled, keep the steady window, stop."""

import asyncio
import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from measure.client import LoadClient
from measure.exchange import Exchange
from measure.progress import LevelProgress
from measure.records import LevelRecord, LevelSpec, Outcome, Recount, RequestRecord, WarmUp
from measure.tokens import TokenCounter
from planner.errors import EngineError

_TICK_S = 0.1
_PROGRESS_S = 0.5
_SETTLED_VARIATION_FRAC = 0.10
_SLICES = 3
_MIN_SLICE_S = 0.3
_MAX_WARM_UP_FRAC = 0.4
_BREAKER_FAILURES = 5
_BACK_OFF_S = 0.2
_MAX_STOPPED_FRAC = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelHooks:
    """What a level reports to: every ended request, its progress, and who knows whether the server still lives.

    `counter` counts the tokens after the level where the server reports no usage; `None` where it does.
    """

    record: Callable[[RequestRecord], None]
    progress: Callable[[LevelProgress], None]
    obituary: Callable[[], str | None]
    counter: TokenCounter | None = None


class LevelBroken(EngineError):
    """So many requests of a level failed in a row that it was given up; the server may live."""


class LevelRun:
    """One level on one client.

    Closed loop: `spec.target` requests in flight at all times, the end of one starts the next; the first ones are
    staggered over `expected_request_s`. Open loop: requests go out at `schedule_s` [s after the start], whatever
    became of the earlier ones, on as many connections as that takes.

    The warm-up ends when every stream (open loop: any request) has completed and the output rates of the three thirds
    of the time since then differ by at most 10 % (standard deviation over mean), at the latest after 40 % of `max_s`;
    it hands over without draining. At the end, requests in flight are cut.
    """

    def __init__(
        self,
        spec: LevelSpec,
        *,
        session: int,
        client: LoadClient,
        payloads: Iterator[tuple[bytes, int]],
        expected_request_s: float,
        hooks: LevelHooks,
        schedule_s: NDArray[np.float64] | None = None,
    ) -> None:
        self._spec = spec
        self._session = session
        self._client = client
        self._payloads = payloads
        self._expected_request_s = expected_request_s
        self._hooks = hooks
        self._schedule_s = schedule_s
        self._streams = round(spec.target) if schedule_s is None else 1
        self._running: set[Exchange] = set()
        self._sent = 0
        self._completed = 0
        self._failed = 0
        self._failures_in_a_row = 0
        self._last_failure: Exchange | None = None
        self._last_ttft_s: float | None = None
        self._chunks_done = 0
        self._in_window = 0
        self._window_start_ns: int | None = None
        self._over = asyncio.Event()
        self._stop_reason = ""
        self._started_ns = 0
        self._texts: dict[int, str] = {}
        self._ended_by_themselves = 0

    async def run(self) -> LevelRecord:
        """Run the level to its end. Raises `LevelBroken` after as many failures in a row as there are
        streams, at least five, and `EngineError` when the server died; what was recorded stays."""
        spec = self._spec
        loop = asyncio.get_running_loop()
        await self._connect_streams()
        started = self._started_ns = time.monotonic_ns()
        end_ns = started + int(spec.max_s * 1e9)
        ramp_s = min(self._expected_request_s, _MAX_WARM_UP_FRAC * spec.max_s / 2)
        if self._schedule_s is not None:
            self._send_due()
        else:
            for stream in range(self._streams):
                loop.call_later(ramp_s * stream / self._streams, self._send_now)
        warm_up = await self._warm_up(started, ramp_s)
        cpu_before_s = time.process_time()
        # a level without warm-up starts its window with its first request
        window_start = time.monotonic_ns() if spec.warm_up else started
        self._window_start_ns = window_start
        await self._wait(lambda: self._has_enough() or time.monotonic_ns() >= end_ns, "window")
        window_end = time.monotonic_ns()
        cpu_s = time.process_time() - cpu_before_s
        self._stop("requests" if self._has_enough() else "time")
        self._client.cut_all()
        ended = time.monotonic_ns()
        recount = await self._recount()
        return LevelRecord(
            spec=spec,
            session=self._session,
            started_ns=started,
            window_start_ns=window_start,
            window_end_ns=window_end,
            ended_ns=ended,
            stop_reason=self._stop_reason,
            warm_up=warm_up,
            client_cpu_s=cpu_s,
            notes=self._notes(),
            recount=recount,
        )

    async def _recount(self) -> Recount | None:
        """Count the kept texts, now that no clock runs."""
        counter = self._hooks.counter
        if counter is None or not self._texts:
            return None
        indices = sorted(self._texts)
        counts = await asyncio.to_thread(counter.count, [self._texts[index] for index in indices])
        by_index = dict(zip(indices, counts, strict=True))
        return Recount(
            source=counter.source,
            tokenizer=counter.name,
            input_tokens=self._spec.input_tokens,
            output_tokens=tuple(by_index.get(index) for index in range(self._sent)),
        )

    def _notes(self) -> tuple[str, ...]:
        ended = self._ended_by_themselves
        if ended <= _MAX_STOPPED_FRAC * self._completed:
            return ()
        return (f"{ended} of {self._completed} answers ended by themselves before the length that was asked for",)

    async def _connect_streams(self) -> None:
        try:
            await self._client.open_connections(self._streams)
        except (OSError, TimeoutError) as error:
            raise EngineError(f"level {self._spec.level}: {self._hooks.obituary() or error}") from None

    async def _warm_up(self, started: int, ramp_s: float) -> WarmUp:
        spec = self._spec
        if not spec.warm_up:
            return WarmUp(seconds=0.0, slice_s=0.0, output_tokens_per_s=(), variation_frac=None, is_stable=True)
        limit_ns = started + int(_MAX_WARM_UP_FRAC * spec.max_s * 1e9)
        history: list[tuple[float, int]] = []
        settled: list[float] = []

        def is_settled() -> bool:
            now = time.monotonic_ns()
            if self._completed >= self._streams and now - started > ramp_s * 1e9:
                history.append((now / 1e9, self._chunks()))
                settled[:] = _thirds(history)
            return now >= limit_ns or (len(settled) == _SLICES and _variation(settled) <= _SETTLED_VARIATION_FRAC)

        await self._wait(is_settled, "warm-up")
        variation = _variation(settled) if settled else None
        return WarmUp(
            seconds=(time.monotonic_ns() - started) / 1e9,
            slice_s=(history[-1][0] - history[0][0]) / _SLICES if history else 0.0,
            output_tokens_per_s=tuple(settled),
            variation_frac=variation,
            is_stable=variation is not None and variation <= _SETTLED_VARIATION_FRAC,
        )

    async def _wait(self, is_reached: Callable[[], bool], phase: str) -> None:
        """Until `is_reached` or the level is over; meanwhile watch the server and report progress."""
        shown_s, shown_chunks = time.monotonic(), self._chunks()
        while not is_reached() and not self._over.is_set():
            try:
                async with asyncio.timeout(_TICK_S):
                    await self._over.wait()
            except TimeoutError:
                pass
            self._check_server()
            now_s = time.monotonic()
            if now_s - shown_s >= _PROGRESS_S:
                chunks = self._chunks()
                self._report(phase, (chunks - shown_chunks) / (now_s - shown_s))
                shown_s, shown_chunks = now_s, chunks

    def _check_server(self) -> None:
        obituary = self._hooks.obituary()
        if obituary is None and self._failures_in_a_row >= max(_BREAKER_FAILURES, self._streams):
            last = self._last_failure
            broken = f"{self._failures_in_a_row} requests in a row failed, the last with {last and last.error}"
            self._stop("failures")
            self._client.cut_all()
            raise LevelBroken(f"level {self._spec.level}: {broken}")
        if obituary is not None:
            self._stop("server died")
            self._client.cut_all()
            raise EngineError(f"level {self._spec.level}: {obituary}")

    def _chunks(self) -> int:
        return self._chunks_done + sum(len(exchange.content_ns) for exchange in self._running)

    def _report(self, phase: str, chunks_per_s: float) -> None:
        progress = LevelProgress(
            level=self._spec.level,
            phase=phase,
            elapsed_s=(time.monotonic_ns() - self._started_ns) / 1e9,
            max_s=self._spec.max_s,
            completed=self._completed,
            failed=self._failed,
            output_tokens_per_s=chunks_per_s,
            last_ttft_s=self._last_ttft_s,
        )
        self._hooks.progress(progress)

    def _stop(self, reason: str) -> None:
        if not self._over.is_set():
            self._stop_reason = reason
            self._over.set()

    def _send_now(self) -> None:
        if not self._over.is_set():
            self._send(time.monotonic_ns())

    def _send_due(self) -> None:
        """Send every request whose time has come, never one before it, and wake up for the next."""
        schedule = self._schedule_s
        assert schedule is not None
        while not self._over.is_set() and self._sent < schedule.size:
            intended = self._started_ns + int(schedule[self._sent] * 1e9)
            early_ns = intended - time.monotonic_ns()
            if early_ns > 0:
                asyncio.get_running_loop().call_later(early_ns / 1e9, self._send_due)
                return
            self._send(intended)

    def _send(self, intended_ns: int) -> None:
        payload, output_tokens = next(self._payloads)
        exchange = Exchange(
            level=self._spec.level,
            session=self._session,
            index=self._sent,
            payload=payload,
            requested_output_tokens=output_tokens,
            intended_ns=intended_ns,
            on_done=self._done,
            keeps_text=self._hooks.counter is not None,
        )
        self._sent += 1
        self._running.add(exchange)
        self._client.submit(exchange)

    def _done(self, exchange: Exchange) -> None:
        self._running.discard(exchange)
        self._chunks_done += len(exchange.content_ns)
        outcome = exchange.outcome
        if exchange.pieces:
            self._texts[exchange.index] = exchange.text
        if outcome is Outcome.OK:
            self._ended_by_themselves += exchange.finish_reason == "stop"
            self._completed += 1
            self._failures_in_a_row = 0
            if exchange.written_ns is not None:
                self._last_ttft_s = (exchange.content_ns[0] - exchange.written_ns) / 1e9
            if self._window_start_ns is not None or not self._spec.warm_up:
                self._in_window += 1
                if self._has_enough():
                    self._stop("requests")
            if self._schedule_s is None:
                self._send_now()
        elif outcome is not Outcome.CUT:
            self._failed += 1
            self._failures_in_a_row += 1
            self._last_failure = exchange
            if self._schedule_s is None:
                asyncio.get_running_loop().call_later(_BACK_OFF_S, self._send_now)
        self._hooks.record(exchange.record())

    def _has_enough(self) -> bool:
        wanted, start = self._spec.wanted_requests, self._window_start_ns
        if wanted is None or start is None or self._in_window < wanted:
            return False
        return time.monotonic_ns() - start >= self._spec.min_window_s * 1e9


def _thirds(history: list[tuple[float, int]]) -> list[float]:
    """Rates in three equal slices of the history of (time [s], count); empty while a slice is too short to tell."""
    (start_s, _), (end_s, _) = history[0], history[-1]
    slice_s = (end_s - start_s) / _SLICES
    if slice_s < _MIN_SLICE_S:
        return []
    marks = [min(history, key=lambda entry: abs(entry[0] - start_s - k * slice_s)) for k in range(_SLICES + 1)]
    return [(b[1] - a[1]) / (b[0] - a[0]) for a, b in itertools.pairwise(marks)]


def _variation(rates: list[float]) -> float:
    """Standard deviation over mean; infinite for rates of zero."""
    mean = statistics.fmean(rates)
    return statistics.pstdev(rates) / mean if mean > 0 else float("inf")
