"""Records for tests, with every field that a test does not care about filled in."""

from typing import Any

from measure.records import LevelRecord, LevelSpec, Outcome, RequestRecord, TokenSource, WarmUp

MS = 1_000_000  # nanoseconds


def request(*, start_ms: float, content_ms: list[float], end_ms: float | None = None, **fields: Any) -> RequestRecord:
    """A request written at `start_ms` whose content arrived at `content_ms`, all on one clock."""
    start = round(start_ms * MS)
    times = [round(t * MS) for t in content_ms]
    values: dict[str, Any] = {
        "level": "level",
        "session": 1,
        "index": 0,
        "outcome": Outcome.OK,
        "requested_output_tokens": len(times),
        "intended_ns": start,
        "dispatched_ns": start,
        "written_ns": start,
        "first_chunk_ns": times[0] if times else None,
        "first_content_ns": times[0] if times else None,
        "first_answer_ns": times[0] if times else None,
        "last_content_ns": times[-1] if times else None,
        "ended_ns": round(end_ms * MS) if end_ms is not None else (times[-1] if times else start),
        "input_tokens": 10,
        "cached_tokens": 0,
        "output_tokens": len(times),
        "token_source": TokenSource.USAGE,
        "finish_reason": "length",
        "content_offsets_us": tuple((t - start) // 1000 for t in times),
        "content_tokens": (),
        "server_prefill_s": None,
        "server_decode_s": None,
        "reconnects": 0,
        "error": None,
    }
    return RequestRecord(**(values | fields))


def spec(**fields: Any) -> LevelSpec:
    values: dict[str, Any] = {
        "level": "level",
        "shape": "balanced",
        "mode": "closed",
        "target": 1,
        "input_tokens": 10,
        "output_tokens": 4,
        "max_s": 10.0,
    }
    return LevelSpec(**(values | fields))


def level(*, start_ms: float, end_ms: float, client_cpu_s: float = 0.0, **fields: Any) -> LevelRecord:
    """A finished level with that steady window."""
    return LevelRecord(
        spec=spec(**fields),
        session=1,
        started_ns=0,
        window_start_ns=round(start_ms * MS),
        window_end_ns=round(end_ms * MS),
        ended_ns=round(end_ms * MS),
        stop_reason="time",
        warm_up=WarmUp(seconds=0.0, slice_s=0.0, output_tokens_per_s=(), variation_frac=None, is_stable=True),
        client_cpu_s=client_cpu_s,
    )
