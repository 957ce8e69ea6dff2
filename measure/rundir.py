"""The run directory: everything that was measured, appended as it happens.

`run.json` is replaced as a whole; `requests.jsonl`, `levels.jsonl` and `telemetry.jsonl` only ever grow. A process that
is killed loses at most the last quarter of a second, and the line that it was just writing.
"""

import os
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import orjson
from pydantic import TypeAdapter, ValidationError

from measure.records import LevelRecord, RequestRecord
from measure.run_info import SCHEMA_VERSION, RunInfo, Session
from measure.samples import Sensors, TelemetrySample
from planner.errors import InputError

RUN_FILE = "run.json"
REQUESTS_FILE = "requests.jsonl"
LEVELS_FILE = "levels.jsonl"
TELEMETRY_FILE = "telemetry.jsonl"
PROFILE_FILE = "profile.json"

_RUN: TypeAdapter[RunInfo] = TypeAdapter(RunInfo)
_REQUEST: TypeAdapter[RequestRecord] = TypeAdapter(RequestRecord)
_LEVEL: TypeAdapter[LevelRecord] = TypeAdapter(LevelRecord)
_TELEMETRY: TypeAdapter[Sensors | TelemetrySample] = TypeAdapter(Sensors | TelemetrySample)

_TAIL_BYTES = 16384

T = TypeVar("T")


class RunDirectory:
    """Reads and writes the files of one run. `dropped` names half-written last lines that reading left out."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.dropped: list[str] = []

    @property
    def telemetry_file(self) -> Path:
        return self.path / TELEMETRY_FILE

    @property
    def profile_file(self) -> Path:
        return self.path / PROFILE_FILE

    def exists(self) -> bool:
        return (self.path / RUN_FILE).is_file()

    def create(self) -> None:
        """Make the directory where there is none. Raises `InputError` where nothing can be written."""
        if self.path.is_file():
            raise InputError(f"{self.path} is a file; a run needs a directory of its own, given with --out")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.path).close()
        except OSError as error:
            raise InputError(
                f"the run directory {self.path} cannot be written ({error.strerror}); "
                "give a directory that you may write to with --out"
            ) from None

    def write_info(self, info: RunInfo) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        partial = self.path / (RUN_FILE + ".partial")
        partial.write_bytes(orjson.dumps(info, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        os.replace(partial, self.path / RUN_FILE)

    def read_info(self) -> RunInfo:
        """Raises `InputError` when this is no run directory or one of another version."""
        path = self.path / RUN_FILE
        try:
            info = _RUN.validate_json(path.read_bytes())
        except OSError:
            if not self.path.exists():
                raise InputError(f"there is no {self.path}; check the path") from None
            raise InputError(
                f"{self.path} is no run directory (no {RUN_FILE}); `breakeven measure` writes one"
            ) from None
        except ValidationError as error:
            raise InputError(f"{path} cannot be used: {_first_error(error)}; measure again") from None
        if info.schema_version != SCHEMA_VERSION:
            raise InputError(
                f"{path} has schema version {info.schema_version}, this program reads {SCHEMA_VERSION}; "
                f"measure again, or use breakeven {info.tool_version}, which wrote it"
            )
        return info

    def update_session(self, session: Session) -> RunInfo:
        """Replace the record of that session, or add it."""
        info = self.read_info()
        others = tuple(s for s in info.sessions if s.session != session.session)
        info = replace(info, sessions=(*others, session))
        self.write_info(info)
        return info

    def append_level(self, level: LevelRecord) -> None:
        """Write a finished level and have it on disk before returning."""
        with LineWriter(self.path / LEVELS_FILE) as writer:
            writer.append(level)
            writer.flush(sync=True)

    def request_writer(self) -> "LineWriter":
        return LineWriter(self.path / REQUESTS_FILE)

    def read_levels(self) -> list[LevelRecord]:
        return list(self._read(LEVELS_FILE, _LEVEL))

    def read_requests(self, start: int = 0) -> Iterator[RequestRecord]:
        """All requests, or those after the first `start` bytes of the file."""
        return self._read(REQUESTS_FILE, _REQUEST, start)

    def read_telemetry(self) -> list[Sensors | TelemetrySample]:
        return list(self._read(TELEMETRY_FILE, _TELEMETRY))

    def newest_gpu_power_w(self) -> float | None:
        """Power of all GPUs by the last whole line of telemetry; cheap enough to ask while a level runs."""
        try:
            with self.telemetry_file.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
                lines = file.read().split(b"\n")
            gpus = orjson.loads(lines[-2]).get("gpus", [])
        except (OSError, IndexError, orjson.JSONDecodeError):
            return None
        watts = [gpu["power_w"] for gpu in gpus if gpu.get("power_w") is not None]
        return float(sum(watts)) if watts else None

    def _read(self, name: str, adapter: TypeAdapter[T], start: int = 0) -> Iterator[T]:
        path = self.path / name
        if not path.exists():
            return
        with path.open("rb") as file:
            file.seek(start)
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    self.dropped.append(f"{name} line {number} was cut short when the program was stopped; left out")
                    return
                try:
                    yield adapter.validate_json(line)
                except ValidationError as error:
                    raise InputError(
                        f"{path}, line {number}: {_first_error(error)}; remove the line or measure again"
                    ) from None


def _first_error(error: ValidationError) -> str:
    """The field and what is wrong with it; what is no JSON at all has no field."""
    first = error.errors()[0]
    return ": ".join(part for part in (".".join(map(str, first["loc"])), first["msg"]) if part)


def pack_run(directory: Path) -> Path:
    """One compressed archive of a run beside its directory, to carry to another machine: `DIRECTORY.tar.gz`.

    Prompts and outputs are not in it, because a run does not store them.
    """
    run = RunDirectory(directory)
    run.read_info()
    archive = directory.with_name(directory.name + ".tar.gz")
    partial = archive.with_name(archive.name + ".partial")
    with tarfile.open(partial, "w:gz") as tar:
        for file in sorted(directory.iterdir()):
            if file.is_file() and not file.name.endswith(".partial"):
                tar.add(file, arcname=f"{directory.name}/{file.name}")
    os.replace(partial, archive)
    return archive


class LineWriter:
    """Appends JSON lines. Lines wait in memory until `flush`, so that writing costs the load client little.

    A last line without its end, left by a killed process, is cut off when the file is opened.
    """

    def __init__(self, path: Path) -> None:
        cut_half_line(path)
        self._file = path.open("ab", buffering=0)
        self._pending: list[bytes] = []

    def append(self, record: Any) -> None:
        self._pending.append(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))

    def flush(self, *, sync: bool = False) -> None:
        if self._pending:
            self._file.write(b"".join(self._pending))
            self._pending.clear()
        if sync:
            os.fsync(self._file.fileno())

    def position(self) -> int:
        """Bytes in the file once everything that waits is written."""
        self.flush()
        return os.fstat(self._file.fileno()).st_size

    def close(self) -> None:
        self.flush()
        self._file.close()

    def __enter__(self) -> "LineWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def cut_half_line(path: Path) -> None:
    """Shorten the file to the end of its last whole line."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        at = size
        while at > 0:
            start = max(0, at - 65536)
            file.seek(start)
            newline = file.read(at - start).rfind(b"\n")
            if newline >= 0:
                at = start + newline + 1
                break
            at = start
        if at < size:
            file.truncate(at)
