"""Walk through a plan on a running server, level by level, within its budget."""

import asyncio
import time
from dataclasses import replace

from measure.arrivals import Arrivals, arrival_times_s
from measure.auto import AUTO_PLAN, ladder_rungs, next_level
from measure.client import LoadClient
from measure.level_holder import LevelHolder
from measure.progress import Progress
from measure.prompts import calibrate
from measure.records import SkippedLevel
from measure.replay import read_replay, replay_notes, replay_payloads, replay_spec
from measure.run_info import EngineFacts, PlannedLevel, PlannedRate, PlannedReplay, Session
from measure.rundir import LineWriter, RunDirectory
from measure.selftest import measure_client_bias
from measure.server import RunningServer
from measure.sweep import (
    MIN_LADDER_TOKENS,
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

_REQUEST_TIMEOUT_S = 600.0
_FLUSH_S = 0.25
_WARM_UP_S = 6.0
_SELF_TEST_S = 2.5
_SHORT_SELF_TEST_S = 1.2
_FEW_STREAMS = 8
_UNKNOWN_RUNG_S = 20.0
_OVERRUN = 2.5
_WORTHWHILE_STEP = 1.25
_UNKNOWN_STREAMS = 64


async def run_sweep(
    run: RunDirectory,
    session: Session,
    server: RunningServer,
    writer: LineWriter,
    progress: Progress,
    started_s: float,
) -> None:
    """Walk through the plan of the run; its budget counts from `started_s` of the monotonic clock."""
    await _Walk(run=run, session=session, server=server, writer=writer, progress=progress).run(started_s)


class _Walk:
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
        self._client = LoadClient(server.endpoint, timeout_s=_REQUEST_TIMEOUT_S)
        self._levels = LevelHolder(
            run=run,
            plan=self._plan,
            session=session.session,
            seed=self._seed,
            server=server,
            client=self._client,
            writer=writer,
            progress=progress,
        )

    async def run(self, started_s: float) -> None:
        plan = self._plan
        if plan.budget_s is not None:
            spent_s = sum(x.summary.window_s or 0.0 for x in self._levels.finished.values())
            if plan.name == AUTO_PLAN:
                started_s = time.monotonic()
            self._levels.deadline_s = started_s + max(plan.budget_s - spent_s, plan.budget_s / 10)
        flusher = asyncio.get_running_loop().create_task(self._flush_forever())
        surprises = _surface_surprises()
        try:
            await self._prepare()
            await self._climb_ladder()
            if plan.name == AUTO_PLAN:
                await self._follow_auto()
            await self._run_grid()
            for rate in self._plan.rates:
                await self._hold_rate(rate)
            if self._plan.replay is not None:
                await self._replay(self._plan.replay)
        except asyncio.CancelledError:
            if surprises:
                raise surprises[0] from None
            raise
        finally:
            flusher.cancel()
            await self._client.aclose()
            info = self._run.read_info()
            self._run.write_info(replace(info, skipped=tuple(self._levels.skipped)))

    async def _flush_forever(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_S)
            self._writer.flush()

    async def _prepare(self) -> None:
        streams = max((level.concurrency for level in self._plan.levels), default=_most_streams(self._server.facts))
        few = sorted({1, min(_FEW_STREAMS, streams)} - {streams})
        biases = [await measure_client_bias(n, seconds=_SHORT_SELF_TEST_S, seed=self._seed) for n in few]
        bias = await measure_client_bias(streams, seconds=_SELF_TEST_S, seed=self._seed)
        idle_start = time.monotonic_ns()
        await asyncio.sleep(self._plan.idle_s)
        idle_end = time.monotonic_ns()
        server = self._server
        self._levels.fit = await calibrate(
            self._client, server.endpoint, server.dialect, self._levels.nonces, self._seed, server.counter
        )
        self._session = replace(
            self._session,
            prompt_fit=self._levels.fit,
            idle_start_ns=idle_start,
            idle_end_ns=idle_end,
            client_bias=bias,
            fewer_streams_biases=tuple(biases),
        )
        self._run.update_session(self._session)
        left_s = self._levels.left_s()
        await self._levels.hold(
            warm_up_spec(self._session.session, _WARM_UP_S if left_s is None else min(_WARM_UP_S, left_s / 15))
        )

    async def _climb_ladder(self) -> None:
        plan = self._plan
        left_s = self._levels.left_s()
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
            left_s = self._levels.left_s()
            max_s = limit_s if left_s is None else min(limit_s, 0.6 * left_s)
            summary = await self._levels.hold(ladder_spec(tokens, plan, predicted_s=predicted_s, max_s=max_s))
            if summary is None:
                return
            if summary.input_tokens is None or summary.e2e_s is None:
                self._levels.skip(
                    f"ladder above {tokens} tokens", f"a prompt of {tokens} tokens did not end in {max_s:.0f} s"
                )
                return
            last = tokens
            climbed.append(LadderPoint(input_tokens=summary.input_tokens.mean, request_s=summary.e2e_s.mean))
            if tokens < rung:
                return

    def _climbed_before(self, last: int, rung: int) -> int | None:
        """The prompt above `last` that an earlier session ran for this rung, shortened perhaps."""
        done = (int(name.removeprefix("ladder-")) for name in self._levels.finished if name.startswith("ladder-"))
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
            self._levels.skip(f"ladder-{rung}", reason)
            return None
        self._levels.skip(f"ladder-{rung}", f"shortened to {tokens} tokens: {reason}")
        return tokens

    async def _follow_auto(self) -> None:
        facts, skipped = self._server.facts, set[str]()
        while True:
            left_s = self._levels.left_s()
            assert left_s is not None
            choice = next_level(
                self._plan,
                self._levels.finished,
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
                self._levels.skip(choice.level, choice.reason)
                continue
            spec, schedule_s = choice.spec, None
            if spec.mode == "open":
                schedule_s = arrival_times_s(
                    Arrivals.POISSON,
                    rate_per_s=spec.target,
                    duration_s=spec.max_s,
                    seed=self._seed + len(self._levels.finished),
                )
            if await self._levels.hold(spec, choice.expected_s, schedule_s) is None:
                skipped.add(spec.level)

    async def _run_grid(self) -> None:
        points = [point for point in self._plan.levels if self._fits_context(point)]
        for number, point in enumerate(points):
            if point.level in self._levels.finished:
                continue
            left_s = self._levels.left_s()
            expected_s = expected_request_s(point, self._levels.finished, self._plan.ladder_output_tokens)
            share_s = None if left_s is None else share_of_time_s(points[number:], left_s, expected_s)
            spec = grid_spec(point, self._plan, expected_request_s=expected_s, share_s=share_s)
            if spec is None:
                room = (
                    f"the {self._plan.level_s:g} s of a level"
                    if share_s is None
                    else f"the {share_s:.1f} s left for it"
                )
                self._levels.skip(point.level, f"two requests of about {expected_s:.1f} s each do not fit into {room}")
                continue
            await self._levels.hold(spec, expected_s)

    def _fits_context(self, point: PlannedLevel) -> bool:
        context, shape = self._server.facts.context_tokens, point.shape
        fits = context is None or shape.input_tokens + 1.1 * shape.output_tokens <= context
        if not fits:
            self._levels.skip(
                point.level, f"{shape.input_tokens} + {shape.output_tokens} tokens exceed the context of {context}"
            )
        return fits

    async def _hold_rate(self, planned: PlannedRate) -> None:
        schedule_s = arrival_times_s(
            planned.arrivals,
            rate_per_s=planned.rate_per_s,
            duration_s=self._plan.level_s,
            seed=self._seed,
            burstiness=planned.burstiness,
        )
        await self._levels.hold(rate_spec(planned, self._plan), schedule_s=schedule_s)

    async def _replay(self, planned: PlannedReplay) -> None:
        replay = read_replay(planned, context_tokens=self._server.facts.context_tokens)
        notes = replay_notes(planned, replay)
        for note in notes:
            self._progress.note(note)
        payloads = replay_payloads(
            replay, self._server.endpoint, self._server.dialect, self._levels.fit, self._levels.nonces, self._seed
        )
        spec = replay_spec(planned, replay)
        await self._levels.hold(spec, schedule_s=replay.arrival_s, payloads=payloads, notes=notes)


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
