"""`breakeven profile`: a run of our own computed again, or another tool's result made into a profile."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from measure.report import print_import, print_profile
from measure.rundir import PROFILE_FILE, RUN_FILE
from measure.session import write_profile
from planner.console import emit_json, log, out
from planner.errors import InputError
from planner.imports.build import Imported, import_results
from planner.imports.document import read_document
from planner.imports.load import read_content
from planner.imports.registry import reader_of
from planner.profile import Profile, dump_profile
from planner.steptime.reference import list_references

MAX_FILES = 2000
_SUFFIXES = (".json", ".jsonl", ".csv", ".gz")


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(profile)


def profile(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="RUN_DIR|FILE...",
            help="A directory that `breakeven measure` wrote; or results of another tool, as files or their directory.",
        ),
    ] = None,
    directory: Annotated[
        Path | None, typer.Option("--out", help="Directory for an imported profile; runs/<time> if not given.")
    ] = None,
    only: Annotated[
        str | None, typer.Option(metavar="WORDS", help="Of several deployments in the files, the one so named.")
    ] = None,
    slots: Annotated[
        int | None, typer.Option(min=1, help="The imported engine has so many slots (llama.cpp, Ollama).")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the levels as one JSON object.")] = False,
    listed: Annotated[
        bool, typer.Option("--list", help="List the profiles of other people's measurements that are shipped.")
    ] = False,
) -> None:
    """Compute the profile of a run again, or import guidellm, aiperf, vLLM, SGLang, llama-bench ... results.

    A plan takes what --list names as `profile = "reference:NAME"`.

    Example: breakeven profile guidellm-8to1.json guidellm-1to1.json guidellm-1to8.json --out runs/imported
    """
    if listed:
        _show_references(as_json=json)
        return
    if not paths:
        raise InputError("give a run directory or result files; --list names the profiles that are shipped")
    if len(paths) == 1 and _is_own_run(paths[0]):
        if directory or only or slots:
            raise InputError(f"{paths[0]} is a run of our own; --out, --only and --slots are for imported files")
        result, dropped = write_profile(paths[0])
        for line in dropped:
            log.print(f"  {line}", style="yellow", markup=False)
        show_profile(result, paths[0], as_json=json)
        return
    files, is_search = _files(paths)
    imported = import_results(
        {str(path): read_content(path) for path in files}, only=only, slots=slots, skip_foreign=is_search
    )
    _show_import(imported, directory, as_json=json)


def show_profile(result: Profile, directory: Path, *, as_json: bool, already_said: Collection[str] = ()) -> None:
    """Tables to standard error, the place of the profile (or its levels as JSON) to standard output."""
    profile_file = directory / PROFILE_FILE
    print_profile(result, already_said=already_said)
    if as_json:
        emit_json(
            {
                "run_dir": str(directory),
                "profile": str(profile_file),
                "levels": result.levels,
                "held_back": result.held_back,
            }
        )
    else:
        out.print(f"profile: {profile_file}", markup=False)


def _show_references(*, as_json: bool) -> None:
    references = list_references()
    if as_json:
        emit_json({"references": references})
        return
    for r in references:
        of = f"{r.accelerators} x {r.system}, {r.last_measured or 'no date'}, {r.points} points of {r.shapes} shapes"
        errors = (("TPOT", r.held_out_tpot_error_frac), ("TTFT", r.held_out_ttft_error_frac))
        said = ", ".join(f"{name} +-{error:.0%}" for name, error in errors if error is not None)
        state = f"not for plans: {r.not_plannable}" if r.not_plannable else f"left-out points: {said}"
        out.print(f"{r.name}: {of}; {state}", soft_wrap=True, markup=False, highlight=False)
    out.print(f"{len(references)} deployments; source: {references[0].source}", markup=False)


def _show_import(imported: Imported, directory: Path | None, *, as_json: bool) -> None:
    print_import(imported)
    written = None
    if imported.profile is not None:
        directory = directory or Path("runs") / datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        written = directory / PROFILE_FILE
        try:
            directory.mkdir(parents=True, exist_ok=True)
            written.write_bytes(dump_profile(imported.profile))
        except OSError as error:
            raise InputError(f"cannot write {written}: {error.strerror}; choose another place with --out") from None
    if as_json:
        emit_json(
            {
                "tool": imported.tool,
                "subject": imported.subject,
                "profile": None if written is None else str(written),
                "not_plannable": imported.not_plannable,
                "levels": imported.levels,
                "files": imported.files,
                "notes": imported.notes,
            }
        )
    elif written is not None:
        out.print(f"profile: {written}", markup=False)
    else:
        out.print(f"no profile: {imported.not_plannable}", markup=False)


def _is_own_run(path: Path) -> bool:
    """A directory whose `run.json` is ours; servebench names its file so too. What is missing is said by the reader."""
    run_file = path / RUN_FILE
    if not path.is_dir():
        return not path.exists()
    if not run_file.is_file():
        return not any(path.iterdir())
    try:
        return reader_of(read_document(str(run_file), read_content(run_file))) is None
    except InputError:
        return True


def _files(paths: Sequence[Path]) -> tuple[list[Path], bool]:
    """The files to read, and whether some were found in a directory, where foreign files may lie beside."""
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += sorted(p for p in path.rglob("*") if p.is_file() and p.suffix in _SUFFIXES)
        else:
            files.append(path)
    if not files:
        raise InputError(
            f"{paths[0]} holds no {', '.join(_SUFFIXES)} file; give the results that a load generator wrote"
        )
    if len(files) > MAX_FILES:
        raise InputError(f"these are {len(files)} files and {MAX_FILES} can be read; give those of one sweep")
    return files, any(path.is_dir() for path in paths)
