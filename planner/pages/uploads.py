"""Files that a person gives to one session: bounded, checked by what is in them, kept in memory.

Readers that need a path get one for as long as they read: in a private directory that is gone when they return.
"""

import hashlib
import re
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from planner.errors import InputError
from planner.profile import Profile, load_profile
from planner.scenario.load import UPLOAD, ReadLog
from planner.traces.request_log import read_log_with_all_bad_rows

MAX_LOG_MB = 200
MAX_PROFILE_MB = 20
MAX_RUN_MB = 200
MAX_BILL_MB = 64
MAX_UNPACKED_MB = 2000
MAX_RUN_FILES = 1000

_BYTES_PER_MB = 1_000_000
_PLAIN = re.compile(r"[^A-Za-z0-9._ -]+")
_LONGEST_NAME = 80
_SIGNATURES = {".gz": b"\x1f\x8b", ".zst": b"\x28\xb5\x2f\xfd", ".parquet": b"PAR1"}


def upload_name(name: str, content: bytes) -> str:
    """How a scenario names an uploaded file: by the hash of its content, and its own name without anything odd in it.

    >>> upload_name("../my <log>.csv", b"")
    'upload:e3b0c44298fc:my log.csv'
    """
    plain = _PLAIN.sub("", Path(name.replace("\\", "/")).name)[-_LONGEST_NAME:].strip() or "file"
    return f"{UPLOAD}{hashlib.sha256(content).hexdigest()[:12]}:{plain}"


def read_uploaded_log(name: str, content: bytes) -> tuple[str, ReadLog]:
    """The scenario's name for an uploaded request log, and what it holds. Raises `InputError`."""
    check_size(name, content, MAX_LOG_MB)
    called = upload_name(name, content)
    suffixes = [s for s in Path(shown(called).lower()).suffixes[-2:] if s in _LOG_SUFFIXES]
    last = suffixes[-1] if suffixes else ""
    if last in _SIGNATURES and not content.startswith(_SIGNATURES[last]):
        raise InputError(f"{shown(called)} is called {last} but holds something else; upload the log as it is")
    if last not in _SIGNATURES and b"\0" in content[:4096]:
        raise InputError(f"{shown(called)} is not text; upload a CSV, JSONL or Parquet file with one request a row")
    with _as_file(content, f"log{''.join(suffixes) or '.csv'}") as path:
        try:
            workload, report = read_log_with_all_bad_rows(path)
        except InputError as error:
            raise InputError(str(error).replace(str(path), shown(called))) from None
    return called, ReadLog(workload=workload, report=report, sha256=hashlib.sha256(content).hexdigest())


_LOG_SUFFIXES = (".csv", ".jsonl", ".json", ".parquet", ".gz", ".zst", ".txt", ".tsv")


def read_uploaded_profile(name: str, content: bytes) -> tuple[str, Profile]:
    """The scenario's name for an uploaded profile.json, and the profile. Raises `InputError`."""
    check_size(name, content, MAX_PROFILE_MB)
    called = upload_name(name, content)
    with _as_file(content, "profile.json") as path:
        try:
            return called, load_profile(path)
        except InputError as error:
            raise InputError(str(error).replace(str(path), shown(called))) from None


def check_size(name: str, content: bytes, max_mb: int) -> None:
    """Raise `InputError` for an empty file or one above `max_mb` [MB]."""
    if not content:
        raise InputError(f"{shown(upload_name(name, content))} is empty; choose another file")
    if len(content) > max_mb * _BYTES_PER_MB:
        size = len(content) / _BYTES_PER_MB
        raise InputError(
            f"{shown(upload_name(name, content))} has {size:,.0f} MB and {max_mb} MB are allowed here; "
            "use the command line for larger files"
        )


def check_archive(name: str, content: bytes) -> None:
    """Raise `InputError` unless the bytes are a gzipped tar of plain files in one folder and of bounded size."""
    check_size(name, content, MAX_RUN_MB)
    called = shown(upload_name(name, content))
    total, files = 0, 0
    try:
        with tarfile.open(fileobj=BytesIO(content), mode="r:gz") as archive:
            for member in archive:
                total, files = total + member.size, files + 1
                parts = Path(member.name).parts
                if not (member.isfile() or member.isdir()) or ".." in parts or member.name.startswith("/"):
                    raise InputError(f"{called} holds {member.name[:80]!r}, which no packed run does; pack it again")
                if total > MAX_UNPACKED_MB * _BYTES_PER_MB or files > MAX_RUN_FILES:
                    raise InputError(
                        f"{called} is larger than a packed run can be; use `breakeven profile` on its host"
                    )
    except (tarfile.TarError, EOFError, OSError) as error:
        raise InputError(
            f"{called} is no packed run ({type(error).__name__}); make one with `breakeven measure --pack`"
        ) from None


def shown(name: str) -> str:
    """The name of an uploaded file for reading.

    >>> shown("upload:e3b0c44298fc:my log.csv"), shown("log.csv")
    ('my log.csv', 'log.csv')
    """
    return name.split(":", 2)[2] if name.startswith(UPLOAD) else name


@contextmanager
def _as_file(content: bytes, name: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="breakeven-") as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        yield path
