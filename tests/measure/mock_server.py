"""A server in Python with the quirks of real ones. It keeps its own account of every write."""

import asyncio
import json
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

Handler = Callable[["Reply"], Awaitable[None]]


@dataclass
class Reply:
    """One response being written; `writes` are (monotonic nanoseconds, what)."""

    writer: asyncio.StreamWriter
    body: dict[str, Any]
    number: int
    path: str = ""
    head: str = ""
    writes: list[tuple[int, str]] = field(default_factory=list)
    is_closed: bool = False

    async def start(self, status: str = "200 OK", kind: str = "text/event-stream") -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
        self.writer.write(head.encode())
        await self.writer.drain()

    async def raw(self, data: bytes, what: str = "raw") -> None:
        self.writes.append((time.monotonic_ns(), what))
        self.writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        await self.writer.drain()

    async def event(self, payload: dict[str, Any], what: str = "event") -> None:
        await self.raw(b"data: " + json.dumps(payload).encode() + b"\n\n", what)

    async def text(self, text: str, **extra: Any) -> None:
        await self.event({"choices": [{"index": 0, "text": text}], **extra}, "content")

    async def delta(self, what: str = "content", **fields: Any) -> None:
        await self.event({"choices": [{"index": 0, "delta": fields}]}, what)

    async def finish(self, reason: str = "length") -> None:
        await self.event({"choices": [{"index": 0, "text": "", "finish_reason": reason}]}, "finish")

    async def usage(self, prompt: int, completion: int) -> None:
        await self.event({"choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": completion}}, "usage")

    async def end(self, *, done: bool = True) -> None:
        if done:
            await self.raw(b"data: [DONE]\n\n", "done")
        self.writer.write(b"0\r\n\r\n")
        await self.writer.drain()

    async def json(self, status: str, payload: dict[str, Any]) -> None:
        body = json.dumps(payload).encode()
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.writer.write(head.encode() + body)
        await self.writer.drain()

    def hang_up(self) -> None:
        self.is_closed = True
        self.writer.transport.abort()


class MockServer:
    """Serves `handler` on a free loopback port; one reply at a time per connection."""

    def __init__(self, handler: Handler, tls: ssl.SSLContext | None = None) -> None:
        self._handler = handler
        self._tls = tls
        self.replies: list[Reply] = []
        self.connections = 0
        self.port = 0

    async def __aenter__(self) -> "MockServer":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self._server.close_clients() if hasattr(self._server, "close_clients") else None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                length = int(lengths[0].split(b":")[1]) if lengths else 0
                body = json.loads(await reader.readexactly(length)) if length else {}
                reply = Reply(writer, body, len(self.replies), head.split()[1].decode(), head.decode())
                self.replies.append(reply)
                await self._handler(reply)
                if reply.is_closed:
                    return
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
