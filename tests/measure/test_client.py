"""The load client against a server with the quirks of real ones: what is a token, what is an error, what is retried."""

import asyncio
import gzip
import shutil
import socket
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop

from measure.client import LoadClient
from measure.endpoint import Api, Dialect, Endpoint, build_template, parse_endpoint
from measure.prompts import send_one
from measure.records import Outcome, RequestRecord, TokenSource
from measure.summary import first_chunk_tokens, tpot_s
from tests.measure.mock_server import MockServer, Reply

GAP_S = 0.004
Handler = Callable[[Reply], Awaitable[None]]


def exchange_with(
    handler: Handler, *, count: int = 1, timeout_s: float = 5.0, api: Api = Api.COMPLETIONS, pause_s: float = 0.0
) -> tuple[list[RequestRecord], MockServer]:
    """Send requests one after the other on one client and return what it recorded and what the server did."""

    async def run() -> tuple[list[RequestRecord], MockServer]:
        async with MockServer(handler) as server:
            endpoint = Endpoint(host="127.0.0.1", port=server.port, is_tls=False, base_path="/v1")
            client = LoadClient(endpoint, timeout_s=timeout_s)
            template = build_template(endpoint, Dialect(api=api, model="m"), "some words", 8)
            records = []
            for i in range(count):
                exchange = await send_one(client, template.payload(i), output_tokens=8, level="test")
                records.append(exchange.record())
                await asyncio.sleep(pause_s)
            await client.aclose()
            return records, server

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run())


def writes_of(server: MockServer, what: str) -> list[int]:
    return [t for t, kind in server.replies[0].writes if kind == what]


async def plain(reply: Reply) -> None:
    await reply.start()
    for i in range(8):
        await asyncio.sleep(GAP_S)
        await reply.text(f" w{i}")
    await reply.usage(5, 8)
    await reply.end()


def test_plain_stream_has_the_servers_times_and_counts() -> None:
    (record,), server = exchange_with(plain)
    assert record.outcome is Outcome.OK
    assert (record.input_tokens, record.output_tokens, record.token_source) == (5, 8, TokenSource.USAGE)
    assert len(record.content_offsets_us) == 8
    written = writes_of(server, "content")
    assert record.written_ns is not None
    assert record.first_content_ns is not None
    assert record.last_content_ns is not None
    assert record.written_ns < written[0] <= record.first_content_ns
    assert written[-1] <= record.last_content_ns <= record.ended_ns
    assert record.intended_ns <= record.dispatched_ns <= record.written_ns


def test_prompt_starts_with_its_nonce_and_asks_for_usage() -> None:
    _, server = exchange_with(plain, count=2)
    first, second = (reply.body for reply in server.replies)
    assert first["prompt"] == "000000000 some words"
    assert second["prompt"] == "000000001 some words"
    assert first["stream_options"] == {"include_usage": True}
    assert first["ignore_eos"] is True
    assert server.connections == 1


def test_role_chunk_and_empty_chunks_are_no_tokens() -> None:
    async def handler(reply: Reply) -> None:
        await reply.start()
        await reply.delta("role", role="assistant", content="")
        await asyncio.sleep(GAP_S)
        await reply.delta("empty", content="")
        await asyncio.sleep(GAP_S)
        for word in ("a", "b", "c"):
            await reply.delta(content=word)
            await asyncio.sleep(GAP_S)
        await reply.usage(3, 3)
        await reply.end()

    (record,), server = exchange_with(handler, api=Api.CHAT)
    assert server.replies[0].body["messages"][0]["role"] == "user"
    assert len(record.content_offsets_us) == 3
    assert record.first_chunk_ns is not None
    assert record.first_content_ns is not None
    assert record.first_chunk_ns < writes_of(server, "content")[0] <= record.first_content_ns


def test_comments_and_split_events_do_not_disturb() -> None:
    async def handler(reply: Reply) -> None:
        await reply.start()
        await reply.raw(b": ping\n\n")
        await reply.raw(b'data: {"choices":[{"te')
        await asyncio.sleep(GAP_S)
        await reply.raw(b'xt":"a"}]}\r\n\r\ndata: {"choices":[{"text":"b"}]}\n')
        await reply.raw(b"\n: ping\n\nevent: message\n")
        await reply.usage(3, 2)
        await reply.end()

    (record,), _ = exchange_with(handler)
    assert record.outcome is Outcome.OK
    assert len(record.content_offsets_us) == 2


def test_reasoning_is_a_token_but_no_answer() -> None:
    async def handler(reply: Reply) -> None:
        await reply.start()
        for name in ("reasoning_content", "reasoning"):
            await reply.delta(**{name: "hm"})
            await asyncio.sleep(GAP_S)
        await reply.delta("answer", content="so")
        await reply.usage(3, 3)
        await reply.end()

    (record,), server = exchange_with(handler, api=Api.CHAT)
    assert len(record.content_offsets_us) == 3
    assert record.first_content_ns is not None
    assert record.first_answer_ns is not None
    assert record.first_content_ns < writes_of(server, "answer")[0] <= record.first_answer_ns


def test_four_tokens_per_chunk_divide_by_the_tokens_after_the_first_chunk() -> None:
    async def handler(reply: Reply) -> None:
        await reply.start()
        for i in range(10):
            await reply.text(f"four words come now {i}")
            await asyncio.sleep(GAP_S)
        await reply.usage(3, 40)
        await reply.end()

    (record,), _ = exchange_with(handler)
    assert first_chunk_tokens(record) == 4.0
    assert record.first_content_ns is not None
    assert record.last_content_ns is not None
    assert tpot_s(record) == pytest.approx((record.last_content_ns - record.first_content_ns) / 1e9 / 36)


def test_cumulative_usage_is_never_summed() -> None:
    async def handler(reply: Reply) -> None:
        await reply.start()
        for count in (3, 4, 6):
            await reply.text("x", usage={"prompt_tokens": 7, "completion_tokens": count})
            await asyncio.sleep(GAP_S)
        await reply.end()

    (record,), _ = exchange_with(handler)
    assert (record.input_tokens, record.output_tokens) == (7, 6)
    assert record.content_tokens == (3, 4, 6)
    assert first_chunk_tokens(record) == 3.0


def test_without_usage_chunks_are_counted_and_named_as_the_source() -> None:
    async def handler(reply: Reply) -> None:
        await reply.start()
        for _ in range(3):
            await reply.text("x")
            await asyncio.sleep(GAP_S)
        await reply.finish()
        await reply.end()

    (record,), _ = exchange_with(handler)
    assert (record.output_tokens, record.token_source) == (3, TokenSource.CHUNKS)


async def fail_500(reply: Reply) -> None:
    await reply.json("500 Internal Server Error", {"error": "the GPU is on fire"})


async def fail_429(reply: Reply) -> None:
    await reply.json("429 Too Many Requests", {"error": "slow down"})


async def fail_in_stream(reply: Reply) -> None:
    await reply.start()
    await reply.text("x")
    await reply.event({"error": {"message": "out of blocks"}})
    await reply.end()


async def no_tokens(reply: Reply) -> None:
    await reply.start()
    await reply.event({"choices": [{"text": "", "finish_reason": "stop"}]})
    await reply.usage(3, 0)
    await reply.end()


async def no_json(reply: Reply) -> None:
    await reply.start()
    await reply.raw(b"data: <html>\n\n")
    await reply.end()


async def no_http(reply: Reply) -> None:
    reply.writer.write(b"* OK IMAP4 ready\r\n")
    await reply.writer.drain()


async def no_stream(reply: Reply) -> None:
    await reply.json("200 OK", {"choices": [{"text": "all at once"}]})


async def broken(reply: Reply) -> None:
    await reply.start()
    await reply.text("x")
    await asyncio.sleep(GAP_S)
    reply.hang_up()


async def silent(reply: Reply) -> None:
    await asyncio.sleep(5)


@pytest.mark.parametrize(
    ("handler", "outcome", "words"),
    [
        (fail_500, Outcome.HTTP_5XX, "the GPU is on fire"),
        (fail_429, Outcome.HTTP_4XX, "HTTP 429"),
        (fail_in_stream, Outcome.ERROR_EVENT, "out of blocks"),
        (no_tokens, Outcome.NO_TOKENS, "without content"),
        (no_json, Outcome.GARBAGE, "<html>"),
        (no_http, Outcome.GARBAGE, "not HTTP"),
        (no_stream, Outcome.GARBAGE, "does this server stream"),
        (broken, Outcome.RESET, "within the response"),
        (silent, Outcome.TIMEOUT, "not complete after 0.5 s"),
    ],
)
def test_failures_have_a_class_and_a_sample(handler: Handler, outcome: Outcome, words: str) -> None:
    (record,), _ = exchange_with(handler, timeout_s=0.5)
    assert record.outcome is outcome
    assert record.error is not None
    assert words in record.error


def test_a_failed_request_leaves_the_connection_usable_where_http_allows() -> None:
    records, server = exchange_with(fail_500, count=3)
    assert [record.outcome for record in records] == [Outcome.HTTP_5XX] * 3
    assert server.connections == 1


def test_a_closed_kept_alive_connection_is_retried_once_and_restarts_the_clock() -> None:
    async def handler(reply: Reply) -> None:
        if reply.number == 1:
            reply.hang_up()  # the second request finds its connection closed, before any response byte
        else:
            await plain(reply)

    records, server = exchange_with(handler, count=2)
    assert [record.outcome for record in records] == [Outcome.OK, Outcome.OK]
    assert [record.reconnects for record in records] == [0, 1]
    assert server.connections == 2
    assert records[1].written_ns is not None
    assert records[1].written_ns > records[1].dispatched_ns
    assert server.replies[2].body == server.replies[1].body


def test_a_server_that_hangs_up_on_fresh_connections_is_a_failure() -> None:
    async def handler(reply: Reply) -> None:
        reply.hang_up()

    (record,), _ = exchange_with(handler)
    assert record.outcome is Outcome.RESET
    assert record.reconnects == 0


def test_nobody_listening_is_a_connect_failure() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    async def run() -> RequestRecord:
        endpoint = Endpoint(host="127.0.0.1", port=port, is_tls=False, base_path="/v1")
        client = LoadClient(endpoint, timeout_s=5)
        template = build_template(endpoint, Dialect(api=Api.COMPLETIONS, model="m"), "x", 1)
        exchange = await send_one(client, template.payload(1), output_tokens=1, level="test")
        await client.aclose()
        return exchange.record()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        record = runner.run(run())
    assert record.outcome is Outcome.CONNECT
    assert record.written_ns is None


async def redirected(reply: Reply) -> None:
    reply.writer.write(b"HTTP/1.1 308 Permanent Redirect\r\nLocation: https://other/v1\r\nContent-Length: 0\r\n\r\n")
    await reply.writer.drain()


async def compressed(reply: Reply) -> None:
    body = gzip.compress(b'data: {"choices":[{"text":"x","finish_reason":"stop"}]}\n\n')
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
    reply.writer.write(head.encode() + body)
    await reply.writer.drain()


@pytest.mark.parametrize(
    ("handler", "outcome", "words"),
    [
        (redirected, Outcome.HTTP_4XX, "HTTP 308 redirects to https://other/v1; give that server's address itself"),
        (compressed, Outcome.GARBAGE, r"compressed (gzip) though that was not accepted; switch compression off"),
    ],
)
def test_redirects_and_compression_are_one_sentence(handler: Handler, outcome: Outcome, words: str) -> None:
    (record,), server = exchange_with(handler)
    assert record.outcome is outcome
    assert words in (record.error or "")
    assert "Accept-Encoding: identity" in server.replies[0].head


def test_http_1_0_without_a_length_ends_with_its_connection() -> None:
    async def handler(reply: Reply) -> None:
        reply.writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        for word in (b"a", b"b"):
            reply.writer.write(b'data: {"choices":[{"text":"%b"}]}\n\n' % word)
            await reply.writer.drain()
            await asyncio.sleep(GAP_S)
        reply.writer.write(b'data: {"choices":[{"text":"","finish_reason":"length"}]}\n\ndata: [DONE]\n\n')
        await reply.writer.drain()
        reply.is_closed = True

    records, server = exchange_with(handler, count=2)
    assert [record.outcome for record in records] == [Outcome.OK, Outcome.OK]
    assert [len(record.content_offsets_us) for record in records] == [2, 2]
    assert server.connections == 2


def test_a_stream_without_its_end_is_a_failure_not_a_short_answer() -> None:
    async def handler(reply: Reply) -> None:
        await reply.start()
        await reply.text("x")
        await reply.end()

    (record,), _ = exchange_with(handler)
    assert record.outcome is Outcome.TRUNCATED
    assert "broken off" in (record.error or "")


def test_a_connection_opened_in_advance_that_the_server_closed_is_retried() -> None:
    async def handler(reply: Reply) -> None:
        if reply.number == 0:
            reply.hang_up()
        else:
            await plain(reply)

    async def run() -> RequestRecord:
        async with MockServer(handler) as server:
            endpoint = Endpoint(host="127.0.0.1", port=server.port, is_tls=False, base_path="/v1")
            client = LoadClient(endpoint, timeout_s=5)
            await client.open_connections(1)
            template = build_template(endpoint, Dialect(api=Api.COMPLETIONS, model="m"), "x", 8)
            exchange = await send_one(client, template.payload(1), output_tokens=8, level="test")
            await client.aclose()
            return exchange.record()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        record = runner.run(run())
    assert (record.outcome, record.reconnects) == (Outcome.OK, 1)


SECRET = "sk-very-secret"


async def tells_the_key(reply: Reply) -> None:
    await reply.json("401 Unauthorized", {"error": f"Incorrect API key provided: {SECRET}"})


async def tells_the_key_in_the_stream(reply: Reply) -> None:
    await reply.start()
    await reply.event({"error": {"message": f"{SECRET} has no credit"}})
    await reply.end()


@pytest.mark.parametrize("handler", [tells_the_key, tells_the_key_in_the_stream])
def test_the_api_key_is_sent_and_never_recorded(handler: Handler) -> None:
    async def run() -> tuple[RequestRecord, str]:
        async with MockServer(handler) as server:
            endpoint = parse_endpoint(f"http://127.0.0.1:{server.port}", SECRET)
            client = LoadClient(endpoint, timeout_s=5)
            template = build_template(endpoint, Dialect(api=Api.COMPLETIONS, model="m"), "x", 8)
            exchange = await send_one(client, template.payload(1), output_tokens=8, level="test")
            await client.aclose()
            return exchange.record(), server.replies[0].head

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        record, head = runner.run(run())
    assert f"Authorization: Bearer {SECRET}" in head
    assert "[API key]" in (record.error or "")
    assert SECRET not in repr(record)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate for the loopback address, with its key, in one file."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make a certificate with")
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(key), "-out", str(cert), "-days", "2", "-subj", "/CN=127.0.0.1"]
    subprocess.run([*command, "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    cert.write_text(cert.read_text() + key.read_text())
    return cert


@pytest.mark.parametrize("is_trusted", [True, False])
def test_tls_with_a_certificate_that_is_trusted_and_one_that_is_not(
    certificate: Path, is_trusted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    async def run() -> RequestRecord:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        async with MockServer(plain, tls=context) as server:
            endpoint = parse_endpoint(f"https://127.0.0.1:{server.port}")
            client = LoadClient(endpoint, timeout_s=5)
            template = build_template(endpoint, Dialect(api=Api.COMPLETIONS, model="m"), "x", 8)
            exchange = await send_one(client, template.payload(1), output_tokens=8, level="test")
            await client.aclose()
            return exchange.record()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        record = runner.run(run())
    if is_trusted:
        assert (record.outcome, record.output_tokens) == (Outcome.OK, 8)
        assert record.written_ns is not None
        assert record.first_content_ns is not None
        assert record.dispatched_ns < record.written_ns < record.first_content_ns
    else:
        assert record.outcome is Outcome.CONNECT
        assert "is not trusted" in (record.error or "")
        assert "SSL_CERT_FILE" in (record.error or "")
