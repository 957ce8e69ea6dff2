"""One request in flight: its clock readings, and what the server's event stream says."""

from collections.abc import Callable
from typing import Any

import orjson

from measure.records import Outcome, RequestRecord, TokenSource

_SAMPLE_CHARACTERS = 300
_REASONING_FIELDS = ("reasoning_content", "reasoning")


class Exchange:
    """Filled in by the client while the request runs; `record` freezes it.

    Events are read as they arrive, but nothing is tokenised; text is kept only where `keeps_text` says that it has to
    be counted later.
    """

    __slots__ = (
        "cached_tokens",
        "content_ns",
        "content_tokens",
        "deadline_ns",
        "dispatched_ns",
        "ended_ns",
        "error",
        "finish_reason",
        "first_answer_ns",
        "first_chunk_ns",
        "index",
        "input_tokens",
        "intended_ns",
        "is_done",
        "level",
        "on_done",
        "outcome",
        "output_tokens",
        "payload",
        "pieces",
        "reasoning_field",
        "reconnects",
        "requested_output_tokens",
        "server_timings",
        "session",
        "written_ns",
    )

    def __init__(
        self,
        *,
        level: str,
        session: int,
        index: int,
        payload: bytes,
        requested_output_tokens: int,
        intended_ns: int,
        on_done: Callable[["Exchange"], None],
        keeps_text: bool = False,
    ) -> None:
        self.level = level
        self.session = session
        self.index = index
        self.payload = payload
        self.requested_output_tokens = requested_output_tokens
        self.intended_ns = intended_ns
        self.on_done = on_done
        self.dispatched_ns = intended_ns
        self.deadline_ns = 0
        self.written_ns: int | None = None
        self.first_chunk_ns: int | None = None
        self.first_answer_ns: int | None = None
        self.content_ns: list[int] = []
        self.content_tokens: list[int] = []
        self.ended_ns: int | None = None
        self.input_tokens: int | None = None
        self.cached_tokens: int | None = None
        self.output_tokens: int | None = None
        self.finish_reason: str | None = None
        self.server_timings: dict[str, Any] | None = None
        self.outcome: Outcome | None = None
        self.error: str | None = None
        self.reconnects = 0
        self.reasoning_field: str | None = None
        self.is_done = False
        self.pieces: list[str] | None = [] if keeps_text else None

    def fail(self, outcome: Outcome, error: str) -> None:
        """Note the first thing that went wrong; later ones are consequences."""
        if self.outcome is None:
            self.outcome = outcome
            self.error = error[:_SAMPLE_CHARACTERS]

    def take_event(self, payload: bytes, now_ns: int) -> None:
        """Interpret the data of one server-sent event that arrived at `now_ns`."""
        if payload == b"[DONE]":
            self.is_done = True
            return
        try:
            event = orjson.loads(payload)
            choices = event.get("choices")
        except (ValueError, AttributeError):
            self.fail(Outcome.GARBAGE, f"event is no JSON object: {payload[:_SAMPLE_CHARACTERS]!r}")
            return
        if self.first_chunk_ns is None:
            self.first_chunk_ns = now_ns
        usage = event.get("usage")
        if usage:
            self._take_usage(usage)
        if choices:
            choice = choices[0]
            text = choice.get("text")
            has_content = bool(text)
            if text is None:
                delta = choice.get("delta")
                if delta:
                    text = delta.get("content")
                    has_content = bool(text) or self._has_other_content(delta)
            if has_content:
                self.content_ns.append(now_ns)
                if self.pieces is not None and text:
                    self.pieces.append(text)
                if usage:
                    self.content_tokens.append(self.output_tokens or 0)
                if text and self.first_answer_ns is None:
                    self.first_answer_ns = now_ns
            reason = choice.get("finish_reason")
            if reason:
                self.finish_reason = reason
        elif "error" in event:
            self.fail(Outcome.ERROR_EVENT, str(event["error"]))
        timings = event.get("timings")
        if timings:
            self.server_timings = timings

    def _has_other_content(self, delta: dict[str, Any]) -> bool:
        """Reasoning and tool arguments are tokens, though no answer."""
        for name in _REASONING_FIELDS:
            thought = delta.get(name)
            if thought:
                self.reasoning_field = name
                if self.pieces is not None:
                    self.pieces.append(thought)
                return True
        calls = delta.get("tool_calls")
        if calls and self.pieces is not None:
            functions = (call.get("function") or {} for call in calls)
            self.pieces += [f.get("name") or f.get("arguments") or "" for f in functions]
        return bool(calls)

    @property
    def text(self) -> str:
        """What was kept of the output, joined."""
        return "".join(self.pieces or ())

    def _take_usage(self, usage: dict[str, Any]) -> None:
        """Usage is cumulative: the last value wins, it is never summed."""
        self.output_tokens = usage.get("completion_tokens", self.output_tokens)
        self.input_tokens = usage.get("prompt_tokens", self.input_tokens)
        details = usage.get("prompt_tokens_details")
        if details:
            self.cached_tokens = details.get("cached_tokens", self.cached_tokens)

    def restart_clock(self) -> None:
        """Forget the attempt on a connection that the server had already closed."""
        self.written_ns = None
        self.reconnects += 1

    def close(self, now_ns: int) -> None:
        """The response is complete, or will never be. Decide the outcome."""
        self.ended_ns = now_ns
        if self.outcome is None:
            if self.content_ns and (self.finish_reason is not None or self.output_tokens is not None):
                self.outcome = Outcome.OK
            elif self.content_ns:
                self.fail(Outcome.TRUNCATED, "the stream ended without finish_reason and usage: it was broken off")
            elif self.first_chunk_ns is None:
                self.fail(Outcome.GARBAGE, "the response holds no server-sent event: does this server stream?")
            else:
                self.fail(Outcome.NO_TOKENS, f"the stream ended without content, finish_reason={self.finish_reason}")

    def record(self) -> RequestRecord:
        written = self.written_ns
        timings = self.server_timings or {}
        prefill_ms, decode_ms = timings.get("prompt_ms"), timings.get("predicted_ms")
        has_usage = self.output_tokens is not None
        count = self.output_tokens if has_usage else (len(self.content_ns) or None)
        source = TokenSource.USAGE if has_usage else TokenSource.CHUNKS
        return RequestRecord(
            level=self.level,
            session=self.session,
            index=self.index,
            outcome=self.outcome or Outcome.CUT,
            requested_output_tokens=self.requested_output_tokens,
            intended_ns=self.intended_ns,
            dispatched_ns=self.dispatched_ns,
            written_ns=written,
            first_chunk_ns=self.first_chunk_ns,
            first_content_ns=self.content_ns[0] if self.content_ns else None,
            first_answer_ns=self.first_answer_ns,
            last_content_ns=self.content_ns[-1] if self.content_ns else None,
            ended_ns=self.ended_ns or self.dispatched_ns,
            input_tokens=self.input_tokens,
            cached_tokens=self.cached_tokens,
            output_tokens=count,
            token_source=source if count is not None else None,
            finish_reason=self.finish_reason,
            content_offsets_us=tuple((t - written) // 1000 for t in self.content_ns) if written else (),
            content_tokens=tuple(self.content_tokens),
            server_prefill_s=prefill_ms / 1e3 if prefill_ms is not None else None,
            server_decode_s=decode_ms / 1e3 if decode_ms is not None else None,
            reconnects=self.reconnects,
            error=self.error,
        )
