"""Walk through a plan on a running server, level by level, within its budget."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from measure.arrivals import Arrivals, arrival_times_s
from measure.auto import AUTO_PLAN, ladder_rungs, next_level
from measure.client import LoadClient, quiet_collector
from measure.judge import judge_level, measures_this_machine
from measure.load import LevelBroken, LevelHooks, LevelRun
from measure.progress import LevelProgress, Progress
from measure.prompts import NonceSource, build_prompts, calibrate
from measure.records import (
    EngineFacts,
    LevelRecord,
    LevelSpec,
    PlannedLevel,
    PlannedRate,
    PlannedReplay,
    PromptFit,
    RequestRecord,
    Sensors,
    Session,
    SkippedLevel,
    TelemetrySample,
)
from measure.replay import read_replay, replay_notes, replay_payloads, replay_spec
from measure.rundir import LineWriter, RunDirectory
from measure.selftest import measure_client_bias
from measure.server import RunningServer
from measure.summary import summarise_level
from measure.sweep import (
    MIN_LADDER_TOKENS,
    FinishedLevel,
    LadderPoint,
    expected_request_s,
    grid_spec,
    ladder_spec,
    longest_that_fits,
    predict_request_s,
    rate_spec,
    share_of_time_s,
    warm_up_spec,
)
from planner.errors import EngineError
from planner.profile import LevelSummary

_REQUEST_TIMEOUT_S = 600.0
_FLUSH_S = 0.25
_WARM_UP_S = 6.0
_SELF_TEST_S = 2.5
_SHORT_SELF_TEST_S = 1.2
_FEW_STREAMS = 8
_UNKNOWN_RUNG_S = 20.0
_OVERRUN = 2.5
_WORTHWHILE_STEP = 1.25
_UNKNOWN_REQUEST_S = 1.0
_UNKNOWN_STREAMS = 64
_MAX_BROKEN_LEVELS = 2
_MAX_SILENT_LEVELS = 3


class SweepRunner:
    """One session's walk through the plan. Levels that the run directory already has are read, not run."""

    def __init__(
        self, *, run: RunDirectory, session: Session, server: RunningServer, writer: LineWriter, progress: Progress
    ) -> None:
        self._run = run
        self._session = session
        self._server = server
        self._writer = writer
        self._progress = progress
        info = run.read_info()
        self._plan = info.plan
        self._seed = info.seed + session.session - 1
        self._nonces = NonceSource(self._seed)
        self._finished = _finished_levels(run)
        self._skipped: list[SkippedLevel] = []
        self._fit = PromptFit(offset_tokens=0.0, tokens_per_word=1.0)
        self._deadline_s: float | None = None
        self._broken_in_a_row = 0
        self._silent_levels = 0
        self._silent_s = 0.0

    async def run(self, started_s: float) -> None:
        plan = self._plan
        if plan.budget_s is not None:
            spent_s = sum(x.summary.window_s or 0.0 for x in self._finished.values())
            if plan.name == AUTO_PLAN:
                started_s = time.monotonic()
            self._deadline_s = started_s + max(plan.budget_s - spent_s, plan.budget_s / 10)
        client = LoadClient(self._server.endpoint, timeout_s=_REQUEST_TIMEOUT_S)
        flusher = asyncio.get_running_loop().create_task(self._flush_forever())
        surprises = _surface_surprises()
        try:
            await self._prepare(client)
            await self._climb_ladder(client)
            if plan.name == AUTO_PLAN:
                await self._follow_auto(client)
            await self._run_grid(client)
            for rate in self._plan.rates:
                await self._hold_rate(client, rate)
            if self._plan.replay is not None:
                await self._replay(client, self._plan.replay)
        except asyncio.CancelledError:
            if surprises:
                raise surprises[0] from None
            raise
        finally:
            flusher.cancel()
            await client.aclose()
            info = self._run.read_info()
            self._run.write_info(replace(info, skipped=tuple(self._skipped)))

    async def _flush_forever(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_S)
            self._writer.flush()

    def _left_s(self) -> float | None:
        return None if self._deadline_s is None else self._deadline_s - time.monotonic()

    async def _prepare(self, client: LoadClient) -> None:
        streams = max((level.concurrency for level in self._plan.levels), default=_most_streams(self._server.facts))
        few = sorted({1, min(_FEW_STREAMS, streams)} - {streams})
        biases = [await measure_client_bias(n, seconds=_SHORT_SELF_TEST_S, seed=self._seed) for n in few]
        bias = await measure_client_bias(streams, seconds=_SELF_TEST_S, seed=self._seed)
        idle_start = time.monotonic_ns()
        await asyncio.sleep(self._plan.idle_s)
        idle_end = time.monotonic_ns()
        server = self._server
        self._fit = await calibrate(client, server.endpoint, server.dialect, self._nonces, self._seed, server.counter)
        self._session = replace(
            self._session,
            prompt_fit=self._fit,
            idle_start_ns=idle_start,
            idle_end_ns=idle_end,
            client_bias=bias,
            fewer_streams_biases=tuple(biases),
        )
        self._run.update_session(self._session)
        left_s = self._left_s()
        await self._hold(
            client, warm_up_spec(self._session.session, _WARM_UP_S if left_s is None else min(_WARM_UP_S, left_s / 15))
        )

    async def _climb_ladder(self, client: LoadClient) -> None:
        plan = self._plan
        left_s = self._left_s()
        end_s = None if left_s is None else time.monotonic() + plan.ladder_frac * left_s
        rungs = [*ladder_rungs(plan, self._server.facts.context_tokens)]
        if plan.longest_input_tokens is not None:
            rungs = [n for n in rungs if n * _WORTHWHILE_STEP < plan.longest_input_tokens]
            rungs.append(plan.longest_input_tokens)
        climbed: list[LadderPoint] = []
        last = 0
        for rung in rungs:
            tokens = self._climbed_before(last, rung) or self._fit_rung(
                rung, climbed, None if end_s is None else end_s - time.monotonic()
            )
            if tokens is None:
                return
            predicted_s = predict_request_s(climbed, tokens)
            limit_s = _UNKNOWN_RUNG_S if predicted_s is None else max(2.0, _OVERRUN * predicted_s)
            left_s = self._left_s()
            max_s = limit_s if left_s is None else min(limit_s, 0.6 * left_s)
            summary = await self._hold(client, ladder_spec(tokens, plan, predicted_s=predicted_s, max_s=max_s))
            if summary is None:
                return
            if summary.input_tokens is None or summary.e2e_s is None:
                self._skip(f"ladder above {tokens} tokens", f"a prompt of {tokens} tokens did not end in {max_s:.0f} s")
                return
            last = tokens
            climbed.append(LadderPoint(input_tokens=summary.input_tokens.mean, request_s=summary.e2e_s.mean))
            if tokens < rung:
                return

    def _climbed_before(self, last: int, rung: int) -> int | None:
        """The prompt above `last` that an earlier session ran for this rung, shortened perhaps."""
        done = (int(name.removeprefix("ladder-")) for name in self._finished if name.startswith("ladder-"))
        return max((tokens for tokens in done if last < tokens <= rung), default=None)

    def _fit_rung(self, rung: int, climbed: list[LadderPoint], left_s: float | None) -> int | None:
        """The rung, or the longest prompt below it that context and time allow; `None` if that is no step up."""
        tokens, reason = rung, ""
        context = self._server.facts.context_tokens
        if context is not None and tokens + 2 * self._plan.ladder_output_tokens > context:
            tokens = context - 2 * self._plan.ladder_output_tokens
            reason = f"the context of {context} tokens ends there"
        predicted_s = predict_request_s(climbed, tokens)
        if left_s is not None and predicted_s is not None and predicted_s > left_s:
            tokens = longest_that_fits(climbed, tokens, 0.9 * left_s)
            reason = f"{rung} tokens would take about {predicted_s:.0f} s, {max(left_s, 0.0):.0f} s are left for it"
        if tokens == rung:
            return rung
        highest = max((point.input_tokens for point in climbed), default=MIN_LADDER_TOKENS / _WORTHWHILE_STEP)
        if tokens < _WORTHWHILE_STEP * highest:
            self._skip(f"ladder-{rung}", reason)
            return None
        self._skip(f"ladder-{rung}", f"shortened to {tokens} tokens: {reason}")
        return tokens

    async def _follow_auto(self, client: LoadClient) -> None:
        facts, skipped = self._server.facts, set[str]()
        while True:
            left_s = self._left_s()
            assert left_s is not None
            choice = next_level(
                self._plan,
                self._finished,
                skipped,
                slots=facts.slots,
                context_tokens=facts.context_tokens,
                kv_capacity_tokens=facts.kv_capacity_tokens,
                left_s=left_s,
            )
            if choice is None:
                return
            if isinstance(choice, SkippedLevel):
                skipped.add(choice.level)
                self._skip(choice.level, choice.reason)
                continue
            spec, schedule_s = choice.spec, None
            if spec.mode == "open":
                schedule_s = arrival_times_s(
                    Arrivals.POISSON,
                    rate_per_s=spec.target,
                    duration_s=spec.max_s,
                    seed=self._seed + len(self._finished),
                )
            if await self._hold(client, spec, choice.expected_s, schedule_s) is None:
                skipped.add(spec.level)

    async def _run_grid(self, client: LoadClient) -> None:
        points = [point for point in self._plan.levels if self._fits_context(point)]
        for number, point in enumerate(points):
            if point.level in self._finished:
                continue
            left_s = self._left_s()
            expected_s = expected_request_s(point, self._finished, self._plan.ladder_output_tokens)
            share_s = None if left_s is None else share_of_time_s(points[number:], left_s, expected_s)
            spec = grid_spec(point, self._plan, expected_request_s=expected_s, share_s=share_s)
            if spec is None:
                room = (
                    f"the {self._plan.level_s:g} s of a level"
                    if share_s is None
                    else f"the {share_s:.1f} s left for it"
                )
                self._skip(point.level, f"two requests of about {expected_s:.1f} s each do not fit into {room}")
                continue
            await self._hold(client, spec, expected_s)

    def _fits_context(self, point: PlannedLevel) -> bool:
        context, shape = self._server.facts.context_tokens, point.shape
        fits = context is None or shape.input_tokens + 1.1 * shape.output_tokens <= context
        if not fits:
            self._skip(
                point.level, f"{shape.input_tokens} + {shape.output_tokens} tokens exceed the context of {context}"
            )
        return fits

    async def _hold_rate(self, client: LoadClient, planned: PlannedRate) -> None:
        schedule_s = arrival_times_s(
            planned.arrivals,
            rate_per_s=planned.rate_per_s,
            duration_s=self._plan.level_s,
            seed=self._seed,
            burstiness=planned.burstiness,
        )
        await self._hold(client, rate_spec(planned, self._plan), schedule_s=schedule_s)

    async def _replay(self, client: LoadClient, planned: PlannedReplay) -> None:
        replay = read_replay(planned, context_tokens=self._server.facts.context_tokens)
        notes = replay_notes(planned, replay)
        for note in notes:
            self._progress.note(note)
        payloads = replay_payloads(
            replay, self._server.endpoint, self._server.dialect, self._fit, self._nonces, self._seed
        )
        spec = replay_spec(planned, replay)
        await self._hold(client, spec, schedule_s=replay.arrival_s, payloads=payloads, notes=notes)

    async def _hold(
        self,
        client: LoadClient,
        spec: LevelSpec,
        expected_s: float = _UNKNOWN_REQUEST_S,
        schedule_s: NDArray[np.float64] | None = None,
        payloads: Iterator[tuple[bytes, int]] | None = None,
        notes: tuple[str, ...] = (),
    ) -> LevelSummary | None:
        """Run the level, or fetch it if it is finished already; `None` if its requests failed one after the other."""
        done = self._finished.get(spec.level)
        if done is not None:
            return done.summary
        prompts = build_prompts(
            self._server.endpoint,
            self._server.dialect,
            self._fit,
            input_tokens=spec.input_tokens,
            output_tokens=spec.output_tokens,
            seed=self._seed,
            prefix_share=spec.prefix_share,
        )
        # read back from the file after the level: records kept in memory would grow with it
        before = self._writer.position()
        hooks = LevelHooks(
            record=self._writer.append,
            progress=self._show,
            obituary=self._server.obituary,
            counter=self._server.counter,
        )
        loop = LevelRun(
            spec,
            session=self._session.session,
            client=client,
            payloads=payloads or prompts.payloads(self._nonces),
            expected_request_s=expected_s,
            hooks=hooks,
            schedule_s=schedule_s,
        )
        try:
            with quiet_collector():
                record = await loop.run()
        except LevelBroken as error:
            self._give_up(spec.level, error)
            return None
        self._broken_in_a_row = 0
        record = replace(record, notes=(*record.notes, *notes))
        self._writer.flush(sync=True)
        self._run.append_level(record)
        requests = list(self._run.read_requests(start=before))
        summary = self._judged(record, summarise_level(record, requests))
        self._finished[spec.level] = FinishedLevel(spec=spec, summary=summary)
        self._progress.finished(spec.level, summary)
        self._check_for_silence(spec, requests)
        return summary

    def _give_up(self, level: str, error: LevelBroken) -> None:
        """Leave the level out; end the run where the one before went the same way."""
        self._writer.flush(sync=True)
        self._broken_in_a_row += 1
        if self._broken_in_a_row >= _MAX_BROKEN_LEVELS:
            raise EngineError(f"{error}; {_MAX_BROKEN_LEVELS} levels in a row ended like this, so the run ends here")
        self._skip(level, f"given up: {error}")

    def _check_for_silence(self, spec: LevelSpec, requests: Sequence[RequestRecord]) -> None:
        """End the run when a server takes requests and says nothing."""
        is_silent = bool(requests) and all(r.first_chunk_ns is None and not r.outcome.is_failure for r in requests)
        self._silent_s = self._silent_s + spec.max_s if is_silent else 0.0
        self._silent_levels = self._silent_levels + 1 if is_silent else 0
        if self._silent_levels >= _MAX_SILENT_LEVELS:
            raise EngineError(
                f"{self._server.endpoint.url} took requests but sent nothing back for {self._silent_s:.0f} s "
                f"({_MAX_SILENT_LEVELS} levels, the last {spec.level}); see the server's log, "
                "or give a longer --duration if it is that slow"
            )

    def _judged(self, record: LevelRecord, summary: LevelSummary) -> LevelSummary:
        """The verdict that the profile will repeat, so that no level is shown as good that is not."""
        info = self._run.read_info()
        if not measures_this_machine(info.target):
            return judge_level(info, record, summary, (), ())[0]
        entries = RunDirectory(self._run.path).read_telemetry()
        samples = [x for x in entries if isinstance(x, TelemetrySample) and x.t_ns >= record.started_ns]
        sensors = [x for x in entries if isinstance(x, Sensors)]
        return judge_level(info, record, summary, samples, sensors)[0]

    def _show(self, progress: LevelProgress) -> None:
        left_s = self._left_s()
        if left_s is None:
            names = [x.level for x in self._plan.levels] + [x.level for x in self._plan.rates]
            waiting = [name for name in names if name not in self._finished]
            left_s = max(len(waiting) * self._plan.level_s - progress.elapsed_s, 0.0) if waiting else None
        self._progress.level(replace(progress, run_left_s=left_s, power_w=self._run.newest_gpu_power_w()))

    def _skip(self, level: str, reason: str) -> None:
        self._skipped.append(SkippedLevel(level=level, reason=reason))
        self._progress.note(f"{level}: {reason}")


def _most_streams(facts: EngineFacts) -> int:
    """Streams that a climb without given levels will probably reach."""
    return _UNKNOWN_STREAMS if facts.slots is None else facts.slots + facts.slots // 2


def _surface_surprises() -> list[BaseException]:
    """Have an exception that nobody awaits cancel the sweep; it would wait for an answer that never comes."""
    task = asyncio.current_task()
    surprises: list[BaseException] = []

    def stop(_: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        error = context.get("exception")
        surprises.append(error if isinstance(error, BaseException) else RuntimeError(str(context.get("message"))))
        if task is not None:
            task.cancel()

    asyncio.get_running_loop().set_exception_handler(stop)
    return surprises


def _finished_levels(run: RunDirectory) -> dict[str, FinishedLevel]:
    levels = run.read_levels()
    if not levels:
        return {}
    requests: dict[tuple[str, int], list[RequestRecord]] = {}
    for request in run.read_requests():
        requests.setdefault((request.level, request.session), []).append(request)
    return {
        level.spec.level: FinishedLevel(
            spec=level.spec, summary=summarise_level(level, requests.get((level.spec.level, level.session), []))
        )
        for level in levels
    }
