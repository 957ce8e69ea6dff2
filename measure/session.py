"""One measurement from the first to the last step: the server, the telemetry, the levels, the profile."""

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from measure.host import host_facts
from measure.memory_probe import probe_session
from measure.profile import build_profile
from measure.progress import Progress
from measure.run_info import SCHEMA_VERSION, Plan, RunInfo, Session, TargetInfo
from measure.rundir import RunDirectory
from measure.runner import run_sweep
from measure.server import running_server
from measure.telemetry import telemetry
from planner.errors import EngineError, InputError
from planner.profile import Profile, dump_profile
from planner.version import VERSION


def run_measurement(target: TargetInfo, plan: Plan, directory: Path, *, seed: int, progress: Progress) -> Profile:
    """Measure `target` as planned into a new run directory, and compute its profile.

    Raises `InputError` when the directory already holds a run, `EngineError` when the server cannot be started or dies.
    """
    run = RunDirectory(directory)
    if run.exists():
        raise InputError(
            f"{directory} already holds a run; continue it with --resume {directory}, or give another --out"
        )
    info = RunInfo(
        schema_version=SCHEMA_VERSION, tool_version=VERSION, seed=seed, plan=plan, target=target, sessions=()
    )
    return _measure(run, info, progress)


def resume_measurement(directory: Path, *, progress: Progress, keeps_contended: bool = False) -> Profile:
    """Continue a run; finished levels are not repeated. `keeps_contended` counts levels that others disturbed."""
    run = RunDirectory(directory)
    info = run.read_info()
    plan = replace(info.plan, keeps_contended=info.plan.keeps_contended or keeps_contended)
    return _measure(run, replace(info, plan=plan), progress)


def write_profile(directory: Path) -> tuple[Profile, list[str]]:
    """Compute the profile from a run directory's records, write it there, and say what was left out of the records."""
    run = RunDirectory(directory)
    profile = build_profile(
        run.read_info(), levels=run.read_levels(), requests=run.read_requests(), telemetry=run.read_telemetry()
    )
    try:
        run.profile_file.write_bytes(dump_profile(profile))
    except OSError as error:
        raise InputError(
            f"the profile cannot be written to {run.profile_file} ({error.strerror}); copy the run directory to where "
            "you may write and compute it there"
        ) from None
    return profile, run.dropped


def _measure(run: RunDirectory, info: RunInfo, progress: Progress) -> Profile:
    """One session. The directory becomes a run only when the server answers."""
    started_s = time.monotonic()
    run.create()
    number = 1 + max((session.session for session in info.sessions), default=0)
    try:
        with running_server(info.target, run.path, progress, seed=info.seed) as server:
            session = Session(
                session=number,
                started_at=datetime.now(UTC).isoformat(timespec="seconds"),
                started_ns=time.monotonic_ns(),
                engine=server.facts,
                host=host_facts(),
                memory_readings=server.memory_readings,
                memory_reason="the run ended before the engine was loaded at other context sizes",
            )
            run.write_info(info)
            run.update_session(session)
            with (
                telemetry(run.telemetry_file, session=number, server_pid=server.facts.pid),
                run.request_writer() as writer,
                asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
            ):
                runner.run(run_sweep(run, session, server, writer, progress, started_s))
        if info.target.kind == "gguf":
            probe_session(run, progress)
    except EngineError as error:
        if not run.read_levels():
            raise
        raise EngineError(
            f"{error}; what was measured is kept, continue with: breakeven measure --resume {run.path}"
        ) from None
    except KeyboardInterrupt:
        if run.exists():
            progress.note(f"kept in {run.path}; continue with: breakeven measure --resume {run.path}")
        raise
    profile, dropped = write_profile(run.path)
    for line in dropped:
        progress.note(line)
    return profile
