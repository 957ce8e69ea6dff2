"""What the record path costs: bytes per request on disk, and the client's memory over one long level.

    python benchmarks/client/capacity.py [--seconds 60]

256 streams on `mock_server.c` (TTFT 20 ms, a token every 20 ms, 50 tokens), written as `breakeven measure` writes them.
"""

import argparse
import asyncio
import tempfile
from pathlib import Path

import psutil
import uvloop
from bench import LOOPBACK, Case, mock_server

from measure.client import LoadClient, quiet_collector
from measure.endpoint import Api, Dialect, Endpoint
from measure.load import LevelHooks, LevelRun
from measure.prompts import NonceSource, build_prompts
from measure.records import LevelSpec, PromptFit
from measure.rundir import REQUESTS_FILE, LineWriter

CASE = Case(streams=256, ttft_us=20_000, itl_us=20_000, tokens=50)
REQUEST_S = 1.0
SAMPLES = 6


async def measure(port: int, seconds: float, folder: Path) -> None:
    endpoint = Endpoint(host=LOOPBACK, port=port, is_tls=False, base_path="/v1")
    dialect = Dialect(api=Api.COMPLETIONS, model="mock")
    fit = PromptFit(offset_tokens=0.0, tokens_per_word=1.0)
    prompts = build_prompts(endpoint, dialect, fit, input_tokens=64, output_tokens=CASE.tokens, seed=1)
    spec = LevelSpec(
        level="capacity",
        shape="capacity",
        mode="closed",
        target=CASE.streams,
        input_tokens=64,
        output_tokens=CASE.tokens,
        max_s=seconds,
    )
    me = psutil.Process()
    file = folder / REQUESTS_FILE
    with LineWriter(file) as writer:

        async def flush_and_look() -> None:
            for tick in range(int(seconds * 4)):
                await asyncio.sleep(0.25)
                writer.flush()
                if tick % int(seconds * 4 / SAMPLES) == 0:
                    rss_mib, size = me.memory_info().rss / 2**20, file.stat().st_size
                    print(f"{tick / 4:5.0f} s   {size / 1e6:7.1f} MB on disk   client {rss_mib:6.1f} MiB", flush=True)

        client = LoadClient(endpoint, timeout_s=60)
        flusher = asyncio.get_running_loop().create_task(flush_and_look())
        run = LevelRun(
            spec,
            session=1,
            client=client,
            payloads=prompts.payloads(NonceSource(1)),
            expected_request_s=REQUEST_S,
            hooks=LevelHooks(record=writer.append, progress=lambda _: None, obituary=lambda: None),
        )
        with quiet_collector():
            await run.run()
        flusher.cancel()
        await client.aclose()
    with file.open("rb") as lines:
        count = sum(1 for _ in lines)
    print(f"{count} requests of {CASE.tokens} tokens: {file.stat().st_size / count:.0f} bytes each on disk")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    with (
        mock_server(CASE) as port,
        tempfile.TemporaryDirectory() as folder,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(measure(port, options.seconds, Path(folder)))


if __name__ == "__main__":
    main()
