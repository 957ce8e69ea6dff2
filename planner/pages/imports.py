"""Packed runs and other tools' results into a profile.

The planner knows nothing of how things are measured: of a packed run a page shows what the command line makes of it, in
a process of its own. Other tools' results it reads itself.
"""

import json
import os
import subprocess
import sys
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path

from planner.errors import InputError
from planner.imports.build import import_result
from planner.pages.uploads import MAX_RUN_MB, check_archive, check_size, read_uploaded_profile, shown, upload_name
from planner.profile import SCHEMA_VERSION, Profile, dump_profile

COMMAND = (sys.executable, "-m", "measure.cli")
_LONGEST_S = 120
_GZIP = b"\x1f\x8b"


def read_uploaded_measurement(name: str, content: bytes) -> tuple[str, Profile, bytes]:
    """A profile.json, a packed run or another tool's result: the scenario's name for it, the profile and its file.

    Raises `InputError` with one sentence for whatever it is instead.
    """
    called = upload_name(name, content)
    check_size(name, content, MAX_RUN_MB)
    if _is_profile(content):
        return *read_uploaded_profile(name, content), content
    if not (content.startswith(_GZIP) and name.endswith((".tar.gz", ".tgz"))):
        return _named(called, dump_profile(_imported(shown(called), content)))
    with tempfile.TemporaryDirectory(prefix="breakeven-") as folder:
        place = Path(folder)
        check_archive(name, content)
        with tarfile.open(fileobj=BytesIO(content), mode="r:gz") as archive:
            _unpack(archive, place)
        runs = [file.parent for file in place.rglob("run.json")]
        if len(runs) != 1:
            raise InputError(f"{shown(called)} holds {len(runs)} runs; pack one with `breakeven measure --pack`")
        return _named(called, _computed(runs[0], place, shown(called)).read_bytes())


def _unpack(archive: tarfile.TarFile, place: Path) -> None:
    """Write the plain files of a checked archive below `place`, with no rights or owners of their own."""
    for member in archive:
        content = archive.extractfile(member) if member.isfile() else None
        if content is not None:
            target = place / member.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.read())


def _named(called: str, content: bytes) -> tuple[str, Profile, bytes]:
    """A profile that was made of an upload: named by its own hash, so that its file can stand beside a scenario."""
    return *read_uploaded_profile(f"{shown(called).partition('.')[0]}.json", content), content


def _is_profile(content: bytes) -> bool:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("schema_version") == SCHEMA_VERSION and "fit" in found


def _imported(called: str, content: bytes) -> Profile:
    """Another tool's result; one that can only be shown is refused with its reason."""
    imported = import_result(called, content)
    if imported.profile is None:
        raise InputError(f"{called}: {imported.not_plannable}")
    return imported.profile


def _computed(target: Path, place: Path, called: str) -> Path:
    environment = {key: value for key, value in os.environ.items() if not key.endswith("_API_KEY")}
    try:
        done = subprocess.run(
            [*COMMAND, "profile", str(target), "--json"],
            capture_output=True, text=True, timeout=_LONGEST_S, cwd=place, env=environment,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise InputError(f"{called} was not read within {_LONGEST_S} s; use `breakeven profile` on its host") from None
    if done.returncode != 0:
        said = done.stderr.rpartition("breakeven: ")[2].strip() if "breakeven: " in done.stderr else ""
        reason = " ".join(said.replace(str(target), called).replace(f"{place}/", "").split())
        raise InputError(
            f"{called} is no measurement that can be read: {reason or 'the file is none of the known kinds'}"
        )
    return place / str(json.loads(done.stdout)["profile"])
