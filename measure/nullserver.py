"""A server that does nothing but keep a schedule: what the load client measures on it is the client's own error.

Started as `python -m measure.nullserver OPTIONS_JSON`; prints its port, ends with its standard input. It accounts for
its own lateness, which `GET /stats` tells, so that the error of the client can be told from it.
"""

import asyncio
import json
import os
import sys

import uvloop

from measure.embedded import end_with_parent

_EVENT = b'data: {"choices":[{"index":0,"text":" word","finish_reason":null}]}\n\n'
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class NullServer(asyncio.Protocol):
    """One connection; every POST gets the same stream."""

    late_sum_s = 0.0
    first_events = 0

    def __init__(self, *, ttft_s: float, itl_s: float, tokens: int) -> None:
        self._ttft_s, self._itl_s, self._tokens = ttft_s, itl_s, tokens
        usage = {"prompt_tokens": 1, "completion_tokens": tokens}
        last = f"data: {json.dumps({'choices': [], 'usage': usage})}\n\ndata: [DONE]\n\n".encode()
        self._chunk = b"%x\r\n%b\r\n" % (len(_EVENT), _EVENT)
        self._last = b"%x\r\n%b\r\n0\r\n\r\n" % (len(last), last)
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._missing = 0
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        if self._missing <= 0:
            self._head += data
            head, separator, body = self._head.partition(b"\r\n\r\n")
            if not separator:
                return
            self._head = b""
            if head.startswith(b"GET"):
                self._tell()
                return
            lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            self._missing = int(lengths[0].partition(b":")[2]) - len(body)
        else:
            self._missing -= len(data)
        if self._missing <= 0:
            due_s = self._loop.time() + self._ttft_s
            self._timer = self._loop.call_at(due_s, self._send, due_s, 0)

    def _send(self, due_s: float, sent: int) -> None:
        if sent == 0:
            NullServer.late_sum_s += self._loop.time() - due_s
            NullServer.first_events += 1
        data = (_HEAD if sent == 0 else b"") + self._chunk
        if sent + 1 == self._tokens:
            self._transport.write(data + self._last)
            return
        self._transport.write(data)
        due_s += self._itl_s
        self._timer = self._loop.call_at(due_s, self._send, due_s, sent + 1)

    def _tell(self) -> None:
        body = json.dumps({"late_sum_s": NullServer.late_sum_s, "first_events": NullServer.first_events}).encode()
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


async def serve(options: dict[str, float]) -> None:
    loop = asyncio.get_running_loop()
    ttft_s, itl_s, tokens = options["ttft_s"], options["itl_s"], int(options["tokens"])
    server = await loop.create_server(
        lambda: NullServer(ttft_s=ttft_s, itl_s=itl_s, tokens=tokens), "127.0.0.1", 0, backlog=4096
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, os.read, 0, 1)
    os._exit(0)


if __name__ == "__main__":
    end_with_parent()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(json.loads(sys.argv[1])))
