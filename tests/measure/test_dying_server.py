"""A server that goes wrong in the middle of a run: counted by class, given up, a clear end, everything kept."""

import asyncio
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from measure.progress import LevelProgress
from measure.records import Outcome, RequestRecord
from measure.run_info import Plan, PlannedLevel, Shape, TargetInfo
from measure.rundir import RunDirectory
from measure.session import run_measurement
from planner.errors import EngineError
from planner.profile import LevelSummary
from tests.measure.mock_server import MockServer, Reply

SHAPE = Shape(name="balanced", input_tokens=8, output_tokens=8)
PLAN = Plan(
    name="grid",
    budget_s=None,
    level_s=1.4,
    idle_s=0.0,
    ladder_input_tokens=(8, 16),
    longest_input_tokens=16,
    ladder_output_tokens=4,
    levels=tuple(PlannedLevel(shape=SHAPE, concurrency=n) for n in (1, 2, 3, 4, 5)),
    keeps_contended=True,
)
TURN = "closed-balanced-2"
Misbehaviour = Callable[[Reply], "asyncio.Future[None]"]


class Machine:
    """A mock server in a thread of its own that goes wrong when told to; it is the progress view that tells it."""

    def __init__(self, misbehave: Callable[[Reply], object], *, dies: bool = False) -> None:
        self._misbehave = misbehave
        self._dies = dies
        self._is_wrong = False
        self.notes: list[str] = []
        self.finished_levels: list[str] = []
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve()), daemon=True)

    async def _serve(self) -> None:
        async with MockServer(self._handle) as server:
            self.port = server.port
            self._ready.set()
            await self._over.wait()
            for reply in server.replies:
                reply.hang_up()
        connections = asyncio.all_tasks() - {asyncio.current_task()}
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        await asyncio.sleep(0.1)  # sockets close in the loop's next rounds

    async def _handle(self, reply: Reply) -> None:
        path = reply.body.get("path")
        if path is not None:
            models = {"object": "list", "data": [{"id": "m", "owned_by": "mock"}]}
            await reply.json("200 OK" if path.endswith("/models") else "404 Not Found", models)
        elif self._is_wrong:
            await self._misbehave(reply)  # type: ignore[misc]
        else:
            await answer(reply)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def level(self, progress: LevelProgress) -> None:
        if progress.level == TURN:
            self._is_wrong = True
            if self._dies:
                self._loop.call_soon_threadsafe(self._over.set)

    def finished(self, level: str, summary: LevelSummary) -> None:
        self.finished_levels.append(level)


@contextmanager
def running(machine: Machine) -> Iterator[Machine]:
    machine._thread.start()
    assert machine._ready.wait(10)
    try:
        yield machine
    finally:
        machine._loop.call_soon_threadsafe(machine._over.set)
        machine._thread.join(10)
        machine._loop.close()


async def answer(reply: Reply) -> None:
    words = int(reply.body.get("max_tokens") or 8)
    await reply.start()
    for i in range(words):
        await asyncio.sleep(0.004)
        await reply.text(f" w{i}")
    await reply.usage(len(str(reply.body.get("prompt", "")).split()), words)
    await reply.end()


async def too_many(reply: Reply) -> None:
    await reply.json("429 Too Many Requests", {"error": "slow down"})


async def broken(reply: Reply) -> None:
    await reply.json("500 Internal Server Error", {"error": "out of memory"})


async def breaks_off(reply: Reply) -> None:
    await reply.start()
    await reply.text(" one")
    reply.hang_up()


async def garbage(reply: Reply) -> None:
    await reply.start()
    await reply.raw(b"data: {not json\n\n")
    await reply.end()


async def silence(reply: Reply) -> None:
    await asyncio.sleep(60)


def measured(machine: Machine, run: Path) -> tuple[str, list[RequestRecord]]:
    """The error that the run ends with, and what is on record then."""
    target = TargetInfo(kind="endpoint", location=f"http://127.0.0.1:{machine.port}", model="m", api="completions")
    with pytest.raises(EngineError) as caught:
        run_measurement(target, PLAN, run, seed=1, progress=machine)
    assert caught.value.exit_code == 3
    assert f"--resume {run}" in str(caught.value)
    return str(caught.value), list(RunDirectory(run).read_requests())


@pytest.mark.parametrize(
    ("misbehave", "outcome", "sample"),
    [
        (too_many, Outcome.HTTP_4XX, "HTTP 429"),
        (broken, Outcome.HTTP_5XX, "out of memory"),
        (breaks_off, Outcome.RESET, "within the response"),
        (garbage, Outcome.GARBAGE, "not json"),
    ],
)
def test_failures_end_the_level_then_the_run(
    misbehave: Callable[[Reply], object], outcome: Outcome, sample: str, tmp_path: Path
) -> None:
    with running(Machine(misbehave)) as machine:
        words, requests = measured(machine, tmp_path / "run")
    failed = [r for r in requests if r.outcome.is_failure]
    assert Counter(r.outcome for r in failed) == {outcome: len(failed)}
    assert len(failed) >= 10  # five in a row for each of two levels
    assert sample in words
    assert all(sample in (r.error or "") for r in failed)
    assert re.search(r"\d requests in a row failed", words)
    assert any(note.startswith(f"{TURN}: given up") for note in machine.notes)
    assert "closed-balanced-1" in machine.finished_levels
    assert TURN not in machine.finished_levels
    assert any(r.outcome is Outcome.OK and r.level == TURN for r in requests)


def test_a_server_that_dies_ends_the_run(tmp_path: Path) -> None:
    with running(Machine(silence, dies=True)) as machine:
        words, requests = measured(machine, tmp_path / "run")
    assert "closed-balanced" in words
    assert any(r.outcome is Outcome.OK for r in requests)
    assert {r.outcome for r in requests if r.outcome.is_failure} <= {Outcome.CONNECT, Outcome.RESET}


def test_a_server_that_hangs_ends_the_run(tmp_path: Path) -> None:
    with running(Machine(silence)) as machine:
        words, requests = measured(machine, tmp_path / "run")
    assert "sent nothing back" in words
    assert machine.finished_levels[-1] == "closed-balanced-5"
    assert any(r.outcome is Outcome.OK for r in requests)
