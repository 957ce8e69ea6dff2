"""One level at a time on a running server: run or fetched, recorded, summarised and judged."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from measure.client import LoadClient, quiet_collector
from measure.judge import judge_level, measures_this_machine
from measure.load import LevelBroken, LevelHooks, LevelRun
from measure.progress import LevelProgress, Progress
from measure.prompts import NonceSource, build_prompts
from measure.records import LevelRecord, LevelSpec, PromptFit, RequestRecord, SkippedLevel
from measure.run_info import Plan
from measure.rundir import LineWriter, RunDirectory
from measure.samples import Sensors, TelemetrySample
from measure.server import RunningServer
from measure.summary import summarise_level
from measure.sweep import FinishedLevel
from planner.errors import EngineError
from planner.profile import LevelSummary

_UNKNOWN_REQUEST_S = 1.0
_MAX_BROKEN_LEVELS = 2
_MAX_SILENT_LEVELS = 3


class LevelHolder:
    """Holds the levels of one session. `finished` are those that the run directory has, earlier sessions included.

    `fit` turns a prompt's length into words; it is set once the server has been asked. `deadline_s` is on the monotonic
    clock, `None` without a budget.
    """

    def __init__(
        self,
        *,
        run: RunDirectory,
        plan: Plan,
        session: int,
        seed: int,
        server: RunningServer,
        client: LoadClient,
        writer: LineWriter,
        progress: Progress,
    ) -> None:
        self._run = run
        self._plan = plan
        self._session = session
        self._seed = seed
        self._server = server
        self._client = client
        self._writer = writer
        self._progress = progress
        self._broken_in_a_row = 0
        self._silent_levels = 0
        self._silent_s = 0.0
        self.nonces = NonceSource(seed)
        self.finished = _finished_levels(run)
        self.skipped: list[SkippedLevel] = []
        self.fit = PromptFit(offset_tokens=0.0, tokens_per_word=1.0)
        self.deadline_s: float | None = None

    def left_s(self) -> float | None:
        return None if self.deadline_s is None else self.deadline_s - time.monotonic()

    async def hold(
        self,
        spec: LevelSpec,
        expected_s: float = _UNKNOWN_REQUEST_S,
        schedule_s: NDArray[np.float64] | None = None,
        payloads: Iterator[tuple[bytes, int]] | None = None,
        notes: tuple[str, ...] = (),
    ) -> LevelSummary | None:
        """Run the level, or fetch it if it is finished already; `None` if its requests failed one after the other."""
        done = self.finished.get(spec.level)
        if done is not None:
            return done.summary
        prompts = build_prompts(
            self._server.endpoint,
            self._server.dialect,
            self.fit,
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
            session=self._session,
            client=self._client,
            payloads=payloads or prompts.payloads(self.nonces),
            expected_request_s=expected_s,
            hooks=hooks,
            schedule_s=schedule_s,
        )
        try:
            with quiet_collector():
                record = await loop.run()
        except LevelBroken as error:
            self._leave_out(spec.level, error)
            return None
        self._broken_in_a_row = 0
        record = replace(record, notes=(*record.notes, *notes))
        self._writer.flush(sync=True)
        self._run.append_level(record)
        requests = list(self._run.read_requests(start=before))
        summary = self._judged(record, summarise_level(record, requests))
        self.finished[spec.level] = FinishedLevel(spec=spec, summary=summary)
        self._progress.finished(spec.level, summary)
        self._check_for_silence(spec, requests)
        return summary

    def _leave_out(self, level: str, error: LevelBroken) -> None:
        """Leave the level out; end the run where the one before went the same way."""
        self._writer.flush(sync=True)
        self._broken_in_a_row += 1
        if self._broken_in_a_row >= _MAX_BROKEN_LEVELS:
            raise EngineError(f"{error}; {_MAX_BROKEN_LEVELS} levels in a row ended like this, so the run ends here")
        self.skip(level, f"given up: {error}")

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
        left_s = self.left_s()
        if left_s is None:
            names = [x.level for x in self._plan.levels] + [x.level for x in self._plan.rates]
            waiting = [name for name in names if name not in self.finished]
            left_s = max(len(waiting) * self._plan.level_s - progress.elapsed_s, 0.0) if waiting else None
        self._progress.level(replace(progress, run_left_s=left_s, power_w=self._run.newest_gpu_power_w()))

    def skip(self, level: str, reason: str) -> None:
        self.skipped.append(SkippedLevel(level=level, reason=reason))
        self._progress.note(f"{level}: {reason}")


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
