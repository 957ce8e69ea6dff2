"""Eight habits of streaming servers that load generators get wrong. The truth is the server's own account."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from measure.client import LoadClient
from measure.endpoint import Api, Dialect, Endpoint, build_template
from measure.load import LevelHooks, LevelRun
from measure.records import RequestRecord, TokenSource
from measure.summary import recounted, summarise_level, tpot_s, ttft_s
from measure.tokens import TokenCounter
from planner.profile import LevelSummary
from tests.measure.build import spec
from tests.measure.mock_server import MockServer, Reply

TOKENS, TTFT_S, ITL_S = 40, 0.05, 0.005
WORDS = [" time", " people", " way", " water", " first"]  # a token each in the shipped ranks


async def stream(
    reply: Reply,
    *,
    per_chunk: int = 1,
    produced: int = TOKENS,
    has_usage: bool = True,
    reasoning: int = 0,
    role_first: bool = False,
    pings: bool = False,
) -> None:
    await reply.start()
    if role_first:
        await reply.delta("role", role="assistant", content="")
    await asyncio.sleep(TTFT_S)
    for done in range(0, produced, per_chunk):
        if done:
            await asyncio.sleep(ITL_S * per_chunk)
        if pings:
            await reply.raw(b": ping\n\n")
        text = "".join(WORDS[k % len(WORDS)] for k in range(done, done + per_chunk))
        is_thought = done < reasoning
        kind = "thought" if is_thought else "answer"
        await reply.delta(kind, **{"reasoning_content" if is_thought else "content": text})
    await reply.event({"choices": [{"delta": {}, "finish_reason": "length" if produced == TOKENS else "stop"}]})
    if has_usage:
        await reply.usage(10, produced)
    await reply.end()


def hold(handler: Callable[[Reply], Awaitable[None]], *, counts: bool) -> tuple[RequestRecord, LevelSummary, list[int]]:
    """One request of a level; returns its record with its final count, the summary, and when content was written."""
    records: list[RequestRecord] = []

    async def run() -> tuple[RequestRecord, LevelSummary, list[int]]:
        async with MockServer(handler) as server:
            endpoint = Endpoint(host="127.0.0.1", port=server.port, is_tls=False, base_path="/v1")
            client = LoadClient(endpoint, timeout_s=10)
            template = build_template(endpoint, Dialect(api=Api.CHAT, model="m"), "x", TOKENS)
            counter = TokenCounter(endpoint, model="m", path=None) if counts else None
            level = await LevelRun(
                spec(warm_up=False, wanted_requests=1, min_window_s=0.0, output_tokens=TOKENS),
                session=1,
                client=client,
                payloads=iter([(template.payload(i), TOKENS) for i in range(3)]),
                expected_request_s=0.3,
                hooks=LevelHooks(
                    record=records.append, progress=lambda _: None, obituary=lambda: None, counter=counter
                ),
            ).run()
            await client.aclose()
            written = [t for t, what in server.replies[0].writes if what in ("thought", "answer")]
            return recounted(level, records[:1])[0], summarise_level(level, records), written

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run())


@pytest.mark.parametrize(
    ("quirk", "produced", "source"),
    [
        ({}, TOKENS, TokenSource.USAGE),
        ({"role_first": True}, TOKENS, TokenSource.USAGE),
        ({"pings": True}, TOKENS, TokenSource.USAGE),
        ({"per_chunk": 4}, TOKENS, TokenSource.USAGE),
        ({"reasoning": 20}, TOKENS, TokenSource.USAGE),
        ({"has_usage": False}, TOKENS, TokenSource.APPROXIMATE),
        ({"has_usage": False, "per_chunk": 4}, TOKENS, TokenSource.APPROXIMATE),
        ({"has_usage": False, "produced": 10}, 10, TokenSource.APPROXIMATE),
    ],
    ids=["plain", "role", "ping", "bundled", "reasoning", "no-usage", "no-usage-bundled", "no-usage-stops-early"],
)
def test_time_per_token_and_length_are_the_server_s(
    quirk: dict[str, int | bool], produced: int, source: TokenSource
) -> None:
    record, summary, written = hold(lambda reply: stream(reply, **quirk), counts=not quirk.get("has_usage", True))  # type: ignore[arg-type]
    assert (record.output_tokens, record.token_source) == (produced, source)
    per_chunk = int(quirk.get("per_chunk", 1))
    assert len(record.content_offsets_us) == len(written) == produced // per_chunk
    truth_s = (written[-1] - written[0]) / 1e9 / (produced - per_chunk)
    assert tpot_s(record) == pytest.approx(truth_s, rel=0.1)
    assert summary.itl_s is not None
    assert summary.itl_s.mean == pytest.approx(truth_s, rel=0.1)
    assert record.written_ns is not None
    assert ttft_s(record) == pytest.approx((written[0] - record.written_ns) / 1e9, rel=0.1)
    assert record.first_answer_ns is not None
    first_answer = written[int(quirk.get("reasoning", 0))]
    assert record.first_answer_ns - first_answer == pytest.approx(0, abs=10e6)
    assert not summary.failures
