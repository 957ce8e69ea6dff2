"""Reading result files from disk: the only IO of the imports."""

from pathlib import Path

from planner.errors import InputError
from planner.imports import engine_log, level_table
from planner.imports.document import MAX_BYTES, read_document
from planner.imports.points import by_shape, fitted_points, snapped
from planner.imports.record import Subject, ToolResult
from planner.imports.registry import reader_of
from planner.steptime.measurements import Deployment, LevelTable


def read_content(path: Path) -> bytes:
    """The bytes of a file; of a too large one just enough to see that it is. Raises `InputError` where it cannot."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; give a run directory or a result file") from None


def read_foreign_levels(path: Path) -> LevelTable | None:
    """The deployments that a load generator's result file measured; `None` for a file of no such tool.

    A table or log in the columns of `planner.steptime.measurements` is none of a tool either.
    """
    try:
        document = read_document(str(path), read_content(path))
    except InputError:
        return None
    reader = reader_of(document)
    if reader is None or reader.detects in (level_table.detects, engine_log.detects):
        return None
    by_subject: dict[tuple[str, Subject], list[ToolResult]] = {}
    for result in reader.merged(reader.read(document)):
        by_subject.setdefault((result.tool, result.subject), []).append(result)
    deployments = []
    for (tool, subject), results in by_subject.items():
        points, _ = fitted_points(by_shape([level for result in results for level in result.levels]))
        dates = [result.measured_at for result in results if result.measured_at]
        deployments.append(
            Deployment(
                key=(tool, subject.name),
                points=tuple(snapped([point for point in points if point.tpot_s is not None])),
                last_measured=max(dates, default=None),
            )
        )
    return LevelTable(deployments=tuple(deployments), rows=len(document.rows), left_out=())
