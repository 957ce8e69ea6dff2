"""What the machine itself charges for a stream: a protocol on the same event loop that reads, counts and keeps nothing.

The load client's CPU time per chunk is this, the system's share, and what its records cost on top.
"""

import asyncio
import time

from measure.endpoint import Endpoint

_WARM_UP_S = 1.0


class BareReader(asyncio.Protocol):
    chunks = 0

    def __init__(self, payload: bytes) -> None:
        self._payload = payload

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]

    def start(self) -> None:
        self._transport.write(self._payload)

    def data_received(self, data: bytes) -> None:
        BareReader.chunks += data.count(b"data: {")
        if b"[DONE]" in data:
            self._transport.write(self._payload)


async def bare_us_per_chunk(
    endpoint: Endpoint, payload: bytes, *, streams: int, ramp_s: float, seconds: float
) -> float:
    """CPU time of this process per event [us], `streams` at once, their starts spread over `ramp_s`."""
    loop = asyncio.get_running_loop()
    readers = []
    for stream in range(streams):
        _, reader = await loop.create_connection(lambda: BareReader(payload), endpoint.host, endpoint.port)
        loop.call_later(ramp_s * stream / streams, reader.start)
        readers.append(reader)
    await asyncio.sleep(ramp_s + _WARM_UP_S)
    chunks, cpu_s = BareReader.chunks, time.process_time()
    await asyncio.sleep(seconds)
    cpu_s, chunks = time.process_time() - cpu_s, BareReader.chunks - chunks
    for reader in readers:
        reader._transport.abort()
    return cpu_s / chunks * 1e6
