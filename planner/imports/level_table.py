"""Tables of level means by deployment, in the columns that `breakeven validate` reads."""

from planner.imports.document import Document, has
from planner.imports.record import Subject, ToolLevel, ToolResult
from planner.profile import Statistics
from planner.steptime.fit import LoadPoint
from planner.steptime.measurements import DEPLOYMENT_COLUMNS, LEVEL_COLUMNS, Deployment, level_table

NAME = "level means"


def detects(document: Document) -> bool:
    return has(document.first, *LEVEL_COLUMNS)


def read(document: Document) -> list[ToolResult]:
    table = level_table(document.rows)
    left_out = tuple(f"{document.name}:{row.line} left out: {row.reason}" for row in table.left_out)
    return [_result(document, deployment, left_out) for deployment in table.deployments]


def _result(document: Document, deployment: Deployment, notes: tuple[str, ...]) -> ToolResult:
    columns = dict(zip(DEPLOYMENT_COLUMNS, (part or None for part in deployment.key), strict=True))
    sizes = (f"{name.removesuffix('_size')}{columns[name]}" for name in DEPLOYMENT_COLUMNS if name.endswith("_size"))
    return ToolResult(
        tool=NAME,
        tool_version=None,
        file=document.name,
        sha256=document.sha256,
        measured_at=deployment.last_measured,
        subject=Subject(
            model=columns["model_path"],
            engine=columns["backend"],
            engine_version=columns["backend_version"],
            precision=columns["precision"] or columns["gemm_quant_mode"],
            hardware=columns["system"],
            parallelism=" ".join(size for size in sizes if not size.endswith("None")) or None,
        ),
        levels=tuple(_level(point) for point in deployment.points),
        notes=notes,
    )


def _level(point: LoadPoint) -> ToolLevel:
    return ToolLevel(
        mode="closed",
        target=point.concurrency,
        concurrency=point.concurrency,
        input_tokens=Statistics(mean=point.input_tokens),
        output_tokens=Statistics(mean=point.output_tokens),
        ttft_s=Statistics(mean=point.ttft_s),
        tpot_s=None if point.tpot_s is None else Statistics(mean=point.tpot_s),
    )
