"""How much the load client costs and how wrong it is, against a server that keeps its own account.

    python benchmarks/client/bench.py [--seconds 8] [--open-seconds 60] [--only closed|open] [--json FILE]

Builds `mock_server.c` with the system's C compiler, gives client and server a core each where there are two, and keeps
full records on disk as a measurement does.
"""

import argparse
import asyncio
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import uvloop
from floor import bare_us_per_chunk

from measure.arrivals import Arrivals, arrival_times_s, dispersion_index
from measure.client import LoadClient, quiet_collector
from measure.endpoint import Api, Dialect, Endpoint
from measure.load import LevelHooks, LevelRun
from measure.prompts import NonceSource, build_prompts
from measure.records import LevelSpec, PromptFit, RequestRecord
from measure.rundir import LineWriter
from measure.summary import summarise_level
from measure.web import ask

HERE = Path(__file__).parent
LOOPBACK = "127.0.0.1"
BARE_SECONDS = 4.0
BIN_NS = 20_000_000  # a minute holds 3,000 bins, which gives the dispersion index a sampling error of 0.026


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A closed loop of `streams`, or an open loop at `rate_per_s`, against a server with that schedule."""

    streams: int = 0
    rate_per_s: float | None = None
    ttft_us: int
    itl_us: int
    tokens: int


CASES = (
    Case(streams=64, ttft_us=0, itl_us=0, tokens=1),
    Case(streams=16, ttft_us=20_000, itl_us=20_000, tokens=200),
    Case(streams=64, ttft_us=20_000, itl_us=20_000, tokens=200),
    Case(streams=256, ttft_us=20_000, itl_us=20_000, tokens=200),
    Case(streams=512, ttft_us=20_000, itl_us=20_000, tokens=200),
    Case(rate_per_s=200, ttft_us=50_000, itl_us=5_000, tokens=16),
    Case(rate_per_s=1000, ttft_us=50_000, itl_us=5_000, tokens=16),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the scoreboard; `true_` figures are the server's, over the client's window on the same clock.

    `dispersion_error` is the standard error of a dispersion index of that many bins under a true Poisson process.
    """

    load: str
    tokens: int
    in_flight: float
    requests_per_s: float
    true_requests_per_s: float
    client_cpu_frac: float
    requests_per_s_per_core: float
    cpu_us_per_request: float
    cpu_us_per_chunk: float
    bare_us_per_chunk: float | None
    send_lag_p99_ms: float
    ttft_bias_ms: float
    ttft_p99_ms: float
    itl_mean_ms: float
    itl_p99_ms: float
    dispersion: float | None
    wanted_dispersion: float | None
    dispersion_error: float | None
    server_late_mean_ms: float
    server_late_max_ms: float
    server_cpu_frac: float


@contextmanager
def mock_server(case: Case) -> Iterator[int]:
    """Build and run the server; yields its port."""
    with tempfile.TemporaryDirectory() as folder:
        binary = Path(folder) / "mock_server"
        subprocess.run(["cc", "-O2", "-o", binary, HERE / "mock_server.c"], check=True)
        command = [str(binary), "0", str(case.ttft_us), str(case.itl_us), str(case.tokens)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            cores = sorted(os.sched_getaffinity(0))
            os.sched_setaffinity(process.pid, {cores[-1]})
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


async def measure(case: Case, port: int, seconds: float, folder: Path) -> Row:
    endpoint = Endpoint(host=LOOPBACK, port=port, is_tls=False, base_path="/v1")
    dialect = Dialect(api=Api.COMPLETIONS, model="mock")
    fit = PromptFit(offset_tokens=0.0, tokens_per_word=1.0)
    prompts = build_prompts(endpoint, dialect, fit, input_tokens=64, output_tokens=case.tokens, seed=1)
    request_s = (case.ttft_us + case.itl_us * (case.tokens - 1)) / 1e6
    spec = LevelSpec(
        level="bench",
        shape="bench",
        mode="closed" if case.rate_per_s is None else "open",
        target=case.rate_per_s or case.streams,
        input_tokens=64,
        output_tokens=case.tokens,
        max_s=(seconds + request_s) / 0.6,
        min_window_s=seconds,
        wanted_requests=1,
    )
    schedule_s = None
    if case.rate_per_s is not None:
        schedule_s = arrival_times_s(Arrivals.POISSON, rate_per_s=case.rate_per_s, duration_s=spec.max_s, seed=1)
    records: list[RequestRecord] = []
    with LineWriter(folder / "requests.jsonl") as writer:

        def keep(record: RequestRecord) -> None:
            records.append(record)
            writer.append(record)

        async def flush() -> None:
            while True:
                await asyncio.sleep(0.25)
                writer.flush()

        client = LoadClient(endpoint, timeout_s=60)
        flusher = asyncio.get_running_loop().create_task(flush())
        loop = LevelRun(
            spec,
            session=1,
            client=client,
            payloads=prompts.payloads(NonceSource(1)),
            expected_request_s=request_s,
            hooks=LevelHooks(record=keep, progress=lambda _: None, obituary=lambda: None),
            schedule_s=schedule_s,
        )
        before = (await asyncio.to_thread(ask, endpoint, "/stats")).json
        with quiet_collector():
            level = await loop.run()
        stats = (await asyncio.to_thread(ask, endpoint, "/stats")).json
        query = f"/window?{level.window_start_ns}-{level.window_end_ns}-{BIN_NS}"
        window = (await asyncio.to_thread(ask, endpoint, query)).json
        flusher.cancel()
        await client.aclose()
    bare_us = None
    if case.rate_per_s is None:
        payload, _ = next(prompts.payloads(NonceSource(2)))
        bare_us = await bare_us_per_chunk(
            endpoint, payload, streams=case.streams, ramp_s=request_s, seconds=BARE_SECONDS
        )
    summary = summarise_level(level, records)
    start, end = level.window_start_ns, level.window_end_ns
    chunks = summary.output_tokens_per_s * summary.window_s
    requests = sum(1 for r in records if start <= r.ended_ns <= end)
    assert summary.ttft_s is not None
    assert summary.client_cpu_frac is not None
    late_ms = window["late_first_mean_s"] * 1e3
    true_rate = window["events"] / case.tokens / summary.window_s
    wanted_dispersion = None
    if schedule_s is not None:
        wanted_dispersion = dispersion_index(
            schedule_s,
            start_s=(start - level.started_ns) / 1e9,
            end_s=(end - level.started_ns) / 1e9,
            bins=window["bins"],
        )
    return Row(
        load=f"{case.streams} streams" if schedule_s is None else f"{case.rate_per_s:g} req/s Poisson",
        tokens=case.tokens,
        in_flight=summary.achieved_concurrency,
        requests_per_s=summary.requests_per_s,
        true_requests_per_s=true_rate,
        client_cpu_frac=summary.client_cpu_frac,
        requests_per_s_per_core=summary.requests_per_s / summary.client_cpu_frac,
        cpu_us_per_request=level.client_cpu_s / requests * 1e6,
        cpu_us_per_chunk=level.client_cpu_s / chunks * 1e6,
        bare_us_per_chunk=bare_us,
        send_lag_p99_ms=summary.client_lag_s.p99 * 1e3 if summary.client_lag_s else 0.0,
        ttft_bias_ms=summary.ttft_s.mean * 1e3 - case.ttft_us / 1e3 - late_ms,
        ttft_p99_ms=summary.ttft_s.p99 * 1e3,
        itl_mean_ms=summary.itl_s.mean * 1e3 if summary.itl_s else 0.0,
        itl_p99_ms=summary.itl_s.p99 * 1e3 if summary.itl_s else 0.0,
        dispersion=None if schedule_s is None else window["dispersion"],
        wanted_dispersion=wanted_dispersion,
        dispersion_error=None if schedule_s is None else math.sqrt(2 / (window["bins"] - 1)),
        server_late_mean_ms=late_ms,
        server_late_max_ms=stats["late_max_s"] * 1e3,
        server_cpu_frac=(stats["cpu_s"] - before["cpu_s"]) / ((level.ended_ns - level.started_ns) / 1e9),
    )


def show(value: str | float | None) -> str:
    if value is None or isinstance(value, str):
        return value or "-"
    return f"{value:.0f}" if value == int(value) or value > 1000 else f"{value:.3f}"


def print_table(rows: list[Row]) -> None:
    columns = {
        "load": "load",
        "tokens": "tokens",
        "in_flight": "in flight",
        "requests_per_s": "req/s",
        "true_requests_per_s": "true",
        "requests_per_s_per_core": "req/s/core",
        "cpu_us_per_request": "us/req",
        "cpu_us_per_chunk": "us/chunk",
        "bare_us_per_chunk": "bare reader",
        "send_lag_p99_ms": "send lag p99 ms",
        "ttft_bias_ms": "TTFT bias ms",
        "ttft_p99_ms": "p99",
        "itl_mean_ms": "ITL ms",
        "itl_p99_ms": "p99",
        "dispersion": "dispersion",
        "wanted_dispersion": "schedule's",
        "dispersion_error": "sampling error",
        "server_late_mean_ms": "server late ms",
    }
    print("| " + " | ".join(columns.values()) + " |")
    print("|" + "---:|" * len(columns))
    for row in rows:
        print("| " + " | ".join(show(getattr(row, name)) for name in columns) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8.0, help="steady window per case")
    parser.add_argument("--open-seconds", type=float, default=60.0, help="steady window of the open-loop cases")
    parser.add_argument("--only", choices=("closed", "open"), help="run only these cases")
    parser.add_argument("--json", type=Path, help="also write the rows there")
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    print(f"{platform.platform()}, {len(cores)} cores, load {os.getloadavg()[0]:.2f}")
    os.sched_setaffinity(0, {cores[0]})
    rows = []
    for case in CASES:
        is_open = case.rate_per_s is not None
        if options.only is not None and is_open != (options.only == "open"):
            continue
        seconds = options.open_seconds if is_open else options.seconds
        with (
            mock_server(case) as port,
            tempfile.TemporaryDirectory() as folder,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            rows.append(runner.run(measure(case, port, seconds, Path(folder))))
        print(f"{rows[-1].load} done", file=sys.stderr)
    print_table(rows)
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")


if __name__ == "__main__":
    main()
