"""Logs of single requests with an engine's own times, as `breakeven validate` reads them: one request a line."""

from planner.imports.document import Document, Row, has, positive
from planner.imports.record import Subject, ToolRequest, ToolResult
from planner.imports.window import level_of_requests
from planner.steptime.measurements import REQUEST_FIELDS

NAME = "engine request log"

ENGINE_TIMES = "times are the engine's own: HTTP and the client are not in them"
FIT = "its lengths vary from request to request: `breakeven validate` fits the requests one by one"


def detects(document: Document) -> bool:
    return has(document.first, *REQUEST_FIELDS)


def read(document: Document) -> list[ToolResult]:
    requests = [r for row in document.rows if (r := _request(row)) is not None]
    span_s = max((r.start_s for r in requests), default=0.0) - min((r.start_s for r in requests), default=0.0)
    rate = (len(requests) - 1) / span_s if span_s > 0 else None
    level = level_of_requests(requests, mode="open" if rate else "closed", target=rate, is_poisson=True)
    return [
        ToolResult(
            tool=NAME,
            tool_version=None,
            file=document.name,
            sha256=document.sha256,
            measured_at=None,
            subject=Subject(),
            levels=(level,) if level is not None else (),
            biases=(ENGINE_TIMES,),
            notes=(FIT,),
        )
    ]


def _request(row: Row) -> ToolRequest | None:
    queued, first, last = (positive(row, name) for name in ("queued_ts", "first_token_ts", "last_token_ts"))
    if queued is None or first is None or last is None or not queued <= first <= last:
        return None
    return ToolRequest(
        start_s=queued,
        ended_s=last,
        outcome="ok",
        first_s=first,
        last_s=last,
        input_tokens=positive(row, "input_toks"),
        output_tokens=positive(row, "output_toks"),
    )
