"""The load client: HTTP/1.1 over raw sockets, one time stamp per read, no work that the measurement does not need.

One event loop, one thread. The socket write is timed just after the kernel took the bytes, so that requests which queue
up inside the client do not pass for a slow server. Connections are kept alive and reused, latest first.
"""

import asyncio
import gc
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import httptools

from measure.endpoint import Endpoint
from measure.exchange import Exchange
from measure.records import Outcome

_SWEEP_S = 0.25
_ERROR_BODY_BYTES = 600


class LoadClient:
    """Sends requests and calls `exchange.on_done` at the end of each, whatever that end is.

    Use inside a running event loop; `aclose` when done. `in_flight` counts requests handed over and not yet ended.
    """

    def __init__(self, endpoint: Endpoint, *, timeout_s: float, connect_timeout_s: float = 10.0) -> None:
        self._endpoint = endpoint
        self._timeout_ns = int(timeout_s * 1e9)
        self._connect_timeout_s = connect_timeout_s
        self._loop = asyncio.get_running_loop()
        self._tls = ssl.create_default_context() if endpoint.is_tls else None
        self._idle: list[_Connection] = []
        self._busy: dict[Exchange, _Connection | None] = {}
        self._opening: set[asyncio.Task[None]] = set()
        self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep)
        self._is_closed = False

    @property
    def in_flight(self) -> int:
        return len(self._busy)

    def submit(self, exchange: Exchange, *, limit_s: float | None = None) -> None:
        """Send now: on an idle connection, else on a new one. Never blocks."""
        now = time.monotonic_ns()
        exchange.dispatched_ns = now
        exchange.deadline_ns = now + (self._timeout_ns if limit_s is None else int(limit_s * 1e9))
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                self._busy[exchange] = connection
                connection.send(exchange)
                return
        self._send_on_new_connection(exchange)

    def cut_all(self) -> None:
        """Break off every request in flight; each ends with outcome `cut`."""
        for exchange, connection in list(self._busy.items()):
            self._end_early(exchange, connection, Outcome.CUT, None)

    async def open_connections(self, count: int) -> None:
        """Have that many idle connections ready, so that no handshake falls into a measurement."""
        connections = await asyncio.gather(*(self._connect() for _ in range(count - len(self._idle))))
        for connection in connections:
            connection.may_be_stale = True
        self._idle.extend(connections)

    async def aclose(self) -> None:
        self._is_closed = True
        self._sweeper.cancel()
        self.cut_all()
        for task in list(self._opening):
            task.cancel()
        for connection in self._idle:
            connection.abort()
        self._idle.clear()
        await asyncio.sleep(0)

    def release(self, connection: "_Connection", exchange: Exchange) -> None:
        """Called by a connection whose response is complete."""
        if connection.is_open and not self._is_closed:
            connection.may_be_stale = True
            self._idle.append(connection)
        self._end(exchange)

    def lost(self, exchange: Exchange, *, may_retry: bool, error: str) -> None:
        """Called by a connection that broke under a request. A stale kept-alive connection is worth one retry."""
        if may_retry and exchange.reconnects == 0:
            exchange.restart_clock()
            self._send_on_new_connection(exchange)
            return
        exchange.fail(Outcome.RESET, error)
        exchange.close(time.monotonic_ns())
        self._end(exchange)

    def _end(self, exchange: Exchange) -> None:
        """Tell the owner. What the server said in an error may repeat the API key; that stays here."""
        del self._busy[exchange]
        key = self._endpoint.api_key
        if exchange.error is not None and key:
            exchange.error = exchange.error.replace(key, "[API key]")
        exchange.on_done(exchange)

    async def _connect(self) -> "_Connection":
        endpoint = self._endpoint
        async with asyncio.timeout(self._connect_timeout_s):
            if self._tls is not None:
                _, secured = await self._loop.create_connection(
                    lambda: _Connection(self, None), endpoint.host, endpoint.port, ssl=self._tls
                )
                return secured
            plain = await _open_socket(self._loop, endpoint)
            _, connection = await self._loop.create_connection(lambda: _Connection(self, plain), sock=plain)
            return connection

    def _send_on_new_connection(self, exchange: Exchange) -> None:
        self._busy[exchange] = None
        task = self._loop.create_task(self._connect_and_send(exchange))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _connect_and_send(self, exchange: Exchange) -> None:
        try:
            connection = await self._connect()
        except (OSError, TimeoutError) as error:
            if exchange in self._busy:
                exchange.fail(Outcome.CONNECT, _connect_error(self._endpoint, error))
                exchange.close(time.monotonic_ns())
                self._end(exchange)
            return
        if exchange not in self._busy:
            connection.abort()
            return
        self._busy[exchange] = connection
        connection.send(exchange)

    def _end_early(
        self, exchange: Exchange, connection: "_Connection | None", outcome: Outcome, error: str | None
    ) -> None:
        if connection is not None:
            connection.abort()
        exchange.fail(outcome, error or "")
        exchange.error = exchange.error or None
        exchange.close(time.monotonic_ns())
        self._end(exchange)

    def _sweep(self) -> None:
        now = time.monotonic_ns()
        for exchange, connection in list(self._busy.items()):
            if now > exchange.deadline_ns:
                limit_s = (exchange.deadline_ns - exchange.dispatched_ns) / 1e9
                self._end_early(exchange, connection, Outcome.TIMEOUT, f"not complete after {limit_s:g} s")
        self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep)


class _Connection(asyncio.Protocol):
    """One connection with at most one request on it. httptools calls the `on_*` methods."""

    def __init__(self, client: LoadClient, plain_socket: socket.socket | None) -> None:
        self._client = client
        self._socket = plain_socket
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._now_ns = 0
        self._line = b""
        self._error_body = b""
        self._has_answered = False
        self._redirect: str | None = None
        self._encoding: str | None = None
        self.may_be_stale = False
        self.is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.is_open = True

    def send(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._has_answered = False
        self._redirect = self._encoding = None
        self._line = self._error_body = b""
        payload = exchange.payload
        assert self._transport is not None
        if self._socket is None:
            self._transport.write(payload)
        else:
            try:
                sent = self._socket.send(payload)
            except BlockingIOError:
                sent = 0
            except OSError:  # a stale connection: the transport is about to say so itself
                sent = len(payload)
            if sent < len(payload):
                self._transport.write(payload[sent:])
        exchange.written_ns = time.monotonic_ns()

    def abort(self) -> None:
        self._exchange = None
        self.is_open = False
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._now_ns = time.monotonic_ns()
        if self._exchange is None:
            return
        self._has_answered = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            if self._exchange is not None:
                self._exchange.fail(Outcome.GARBAGE, f"response is not HTTP ({error}): {data[:80]!r}")
                self._finish(keep=False)

    def on_header(self, name: bytes, value: bytes) -> None:
        lower = name.lower()
        if lower == b"location":
            self._redirect = value.decode(errors="replace")
        elif lower == b"content-encoding" and value.lower() != b"identity":
            self._encoding = value.decode(errors="replace")

    def on_body(self, body: bytes) -> None:
        exchange = self._exchange
        if exchange is None or self._encoding is not None:
            return
        if self._parser.get_status_code() != 200:
            if len(self._error_body) < _ERROR_BODY_BYTES:
                self._error_body += body
            return
        lines = body.split(b"\n")
        if self._line:
            lines[0] = self._line + lines[0]
        self._line = lines.pop()
        for line in lines:
            if line.startswith(b"data:"):
                exchange.take_event(line[5:].strip(), self._now_ns)

    def on_message_complete(self) -> None:
        exchange = self._exchange
        if exchange is None:
            return
        if self._line.startswith(b"data:"):
            exchange.take_event(self._line[5:].strip(), self._now_ns)
        status = self._parser.get_status_code()
        if status != 200:
            kind = Outcome.HTTP_5XX if status >= 500 else Outcome.HTTP_4XX
            exchange.fail(kind, self._refusal(status))
        elif self._encoding is not None:
            exchange.fail(
                Outcome.GARBAGE,
                f"the response is compressed ({self._encoding}) though that was not accepted; "
                "switch compression off in the server or the proxy before it",
            )
        self._finish(keep=self._parser.should_keep_alive())

    def _refusal(self, status: int) -> str:
        if 300 <= status < 400 and self._redirect is not None:
            return f"HTTP {status} redirects to {self._redirect}; give that server's address itself"
        return f"HTTP {status}: {self._error_body.decode(errors='replace').strip()}"

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        exchange = self._exchange
        if exchange is None:
            return
        ended = exchange.is_done or exchange.finish_reason is not None
        if exc is None and ended:  # a body that only the end of the connection ends, as in HTTP/1.0
            self._now_ns = time.monotonic_ns()
            self._finish(keep=False)
        else:
            self._exchange = None
            may_retry = self.may_be_stale and not self._has_answered
            how = "was reset" if exc is not None else "was closed by the server"
            when = "within the response" if self._has_answered else "before any response byte"
            self._client.lost(exchange, may_retry=may_retry, error=f"the connection {how} {when}")

    def _finish(self, *, keep: bool) -> None:
        exchange, self._exchange = self._exchange, None
        assert exchange is not None
        if not keep:
            self.abort()
        exchange.close(self._now_ns)
        self._client.release(self, exchange)


async def _open_socket(loop: asyncio.AbstractEventLoop, endpoint: Endpoint) -> socket.socket:
    """A connected non-blocking socket without Nagle's delay."""
    infos = await loop.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    failure: OSError | None = None
    for family, kind, protocol, _, address in infos:
        connection = socket.socket(family, kind, protocol)
        try:
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(connection, address)
        except OSError as error:
            connection.close()
            failure = error
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise failure or OSError(f"no address for {endpoint.host}")


def _connect_error(endpoint: Endpoint, error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the certificate of {endpoint.host_header} is not trusted ({error.verify_message}); "
            "name its authority's file in the environment variable SSL_CERT_FILE"
        )
    if isinstance(error, ssl.SSLError):
        return f"no TLS connection to {endpoint.host_header} ({error.reason}); does it speak plain http?"
    reason = "no answer in time" if isinstance(error, TimeoutError) else (error.__class__.__name__)
    return f"no connection to {endpoint.host_header}: {reason}"


@contextmanager
def quiet_collector() -> Iterator[None]:
    """No garbage collection pauses within; the client makes no reference cycles worth collecting."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
