"""The load client measures itself on the null server before it measures anything else."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from measure.client import LoadClient, quiet_collector
from measure.endpoint import Api, Dialect, Endpoint
from measure.load import LevelHooks, LevelRun
from measure.prompts import NonceSource, build_prompts
from measure.records import LevelSpec, PromptFit, RequestRecord
from measure.run_info import ClientBias
from measure.summary import summarise_level
from measure.web import ask

TTFT_S = 0.020
ITL_S = 0.020
TOKENS = 20


async def measure_client_bias(streams: int, *, seconds: float, seed: int) -> ClientBias:
    """Hold `streams` on a null server for `seconds` and compare with its schedule.

    TTFT bias = our mean TTFT - 20 ms - the server's own mean lateness; ITL error = our mean ITL / 20 ms - 1.
    """
    spec = LevelSpec(
        level=f"null-{streams}",
        shape="null",
        mode="closed",
        target=streams,
        input_tokens=16,
        output_tokens=TOKENS,
        max_s=seconds,
    )
    records: list[RequestRecord] = []
    with _null_server() as endpoint:
        client = LoadClient(endpoint, timeout_s=30.0)
        dialect = Dialect(api=Api.COMPLETIONS, model="null")
        fit = PromptFit(offset_tokens=0.0, tokens_per_word=1.0)
        prompts = build_prompts(endpoint, dialect, fit, input_tokens=16, output_tokens=TOKENS, seed=seed)
        run = LevelRun(
            spec,
            session=0,
            client=client,
            payloads=prompts.payloads(NonceSource(seed)),
            expected_request_s=TTFT_S + (TOKENS - 1) * ITL_S,
            hooks=LevelHooks(record=records.append, progress=lambda _: None, obituary=lambda: None),
        )
        with quiet_collector():
            level = await run.run()
        stats = (await asyncio.to_thread(ask, endpoint, "/stats")).json
        await client.aclose()
    summary = summarise_level(level, records)
    lateness_s = stats["late_sum_s"] / max(1, stats["first_events"])
    return ClientBias(
        streams=streams,
        ttft_bias_s=summary.ttft_s.mean - TTFT_S - lateness_s if summary.ttft_s else None,
        itl_error_frac=summary.itl_s.mean / ITL_S - 1 if summary.itl_s else None,
        achieved_concurrency=summary.achieved_concurrency,
        client_cpu_frac=summary.client_cpu_frac or 0.0,
    )


@contextmanager
def _null_server() -> Iterator[Endpoint]:
    options = {"ttft_s": TTFT_S, "itl_s": ITL_S, "tokens": TOKENS}
    process = subprocess.Popen(
        [sys.executable, "-m", "measure.nullserver", json.dumps(options)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        port = int(process.stdout.readline())
        yield Endpoint(host="127.0.0.1", port=port, is_tls=False, base_path="/v1")
    finally:
        process.stdin.close()
        process.stdout.close()
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
