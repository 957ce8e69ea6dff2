"""What the probe finds out about servers of different make, and how the dialect follows it."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
import uvloop

from measure.capabilities import probe_capabilities
from measure.endpoint import Api, Dialect, Endpoint
from measure.records import TokenSource
from measure.run_info import Capabilities
from measure.tokens import TokenCounter, find_tokenize_path
from planner.errors import EngineError
from tests.measure.mock_server import MockServer, Reply

GAP_S = 0.002
OWN_LENGTH = 3


@dataclass
class Make:
    """A server with the habits of one make; as it stands, one that does everything."""

    fields: frozenset[str] | None = None  # what it takes; None: anything, unknown fields are ignored
    honours: frozenset[str] = frozenset({"ignore_eos"})
    has_completions: bool = True
    usage: str = "per chunk"  # or "last" or "none"
    per_chunk: int = 1
    is_serial: bool = False
    loading: int = 0
    tokenizes: bool = False
    seen: set[str] = field(default_factory=set)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def __call__(self, reply: Reply) -> None:
        if reply.path == "/tokenize" and self.tokenizes:
            await reply.json("200 OK", {"tokens": reply.body["content"].split()})
        elif not reply.path.endswith("completions") or (not self.has_completions and "chat" not in reply.path):
            await reply.json("404 Not Found", {})
        elif self.loading > 0:
            self.loading -= 1
            await reply.json("503 Service Unavailable", {"error": "Loading model"})
        elif unknown := set(reply.body) - (self.fields or frozenset(reply.body)):
            await reply.json("422 Unprocessable Entity", {"detail": f"unexpected {unknown}"})
        elif self.is_serial:
            async with self.lock:
                await self.stream(reply)
        else:
            await self.stream(reply)

    async def stream(self, reply: Reply) -> None:
        body = reply.body
        wanted = body["max_tokens"]
        forced = any(body.get(name) for name in self.honours)
        produced = wanted if forced or self.honours == {"nothing needed"} else min(wanted, OWN_LENGTH)
        prompt = body.get("prompt") or body["messages"][0]["content"]
        cached = 7 if prompt in self.seen else 0
        self.seen.add(prompt)
        options = body.get("stream_options", {})
        await reply.start()
        for done in range(0, produced, self.per_chunk):
            await asyncio.sleep(GAP_S)
            now = min(done + self.per_chunk, produced)
            usage = {"prompt_tokens": 5, "completion_tokens": now}
            per_chunk = self.usage == "per chunk" and options.get("continuous_usage_stats")
            extra = {"usage": usage} if per_chunk else {}
            words = " ".join("word" for _ in range(now - done)) + " "
            await reply.event({"choices": [{"delta": {"content": words}, "text": words}], **extra})
        await reply.finish("length" if produced == wanted else "stop")
        if self.usage != "none" and options.get("include_usage"):
            details = {"cached_tokens": cached}
            counts = {"prompt_tokens": 5, "completion_tokens": produced, "prompt_tokens_details": details}
            await reply.event({"choices": [], "usage": counts})
        await reply.end()


def probe(make: Make, api: Api | None = None) -> tuple[Dialect, Capabilities]:
    async def run() -> tuple[Dialect, Capabilities]:
        async with MockServer(make) as server:
            endpoint = Endpoint(host="127.0.0.1", port=server.port, is_tls=False, base_path="/v1")
            return await probe_capabilities(endpoint, api=api, model="m", is_llama=False, seed=1)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run())


def test_a_server_that_does_everything() -> None:
    dialect, found = probe(Make(per_chunk=2))
    assert (dialect.api, dialect.ignore_eos, dialect.usage_per_chunk) == (Api.COMPLETIONS, True, True)
    assert (found.streams_usage, found.usage_per_chunk, found.input_tokens_known) == (True, True, True)
    assert (found.length_field, found.stops_by_itself) == ("ignore_eos", True)
    assert (found.tokens_per_chunk, found.first_chunk_tokens) == (2.0, 2)
    assert (found.parallel_sequences, found.parallel_tried) == (4, 4)
    assert (found.prefix_cache, found.cached_tokens) == (True, 7)
    assert found.refused_fields == found.notes == ()


def test_a_server_that_refuses_what_it_does_not_know_gets_only_what_it_takes() -> None:
    known = frozenset({"model", "prompt", "max_tokens", "temperature", "stream", "stream_options"})
    dialect, found = probe(Make(fields=known, usage="last", honours=frozenset({"nothing needed"})))
    assert (dialect.ignore_eos, dialect.stream_usage, dialect.usage_per_chunk) == (False, True, False)
    assert found.refused_fields == ("ignore_eos",)
    assert found.length_field is None
    assert any("refuses ignore_eos" in note for note in found.notes)


def test_chat_where_there_are_no_text_completions_and_no_other_way_round() -> None:
    dialect, found = probe(Make(has_completions=False))
    assert (dialect.api, found.api) == (Api.CHAT, "chat")
    with pytest.raises(EngineError, match=r"did not answer a one-token request .*404"):
        probe(Make(has_completions=False), Api.COMPLETIONS)


def test_min_tokens_stands_in_for_ignore_eos_and_neither_is_said() -> None:
    dialect, found = probe(Make(honours=frozenset({"min_tokens"})))
    assert (dialect.ignore_eos, dialect.min_tokens, found.length_field) == (False, True, "min_tokens")
    dialect, found = probe(Make(honours=frozenset()))
    assert (dialect.ignore_eos, dialect.min_tokens, found.length_field) == (False, False, None)
    assert any("lengths are what the model produces" in note for note in found.notes)


def test_a_server_that_queues_shows_one_sequence() -> None:
    _, found = probe(Make(is_serial=True))
    assert found.parallel_sequences == 1
    assert any("one request at a time" in note for note in found.notes)


def test_a_loading_server_is_waited_for() -> None:
    _, found = probe(Make(loading=2))
    assert found.first_answer_s > 0.9  # two answers of 503, half a second between them
    assert found.streams_usage


def test_usage_that_is_never_sent() -> None:
    _, found = probe(Make(usage="none", tokenizes=True))
    assert (found.streams_usage, found.input_tokens_known, found.tokens_per_chunk) == (False, False, None)
    assert found.tokenize_path == "/tokenize"


@contextmanager
def served(make: Make) -> Iterator[Endpoint]:
    """The server on a thread of its own, for blocking questions."""
    ready, over = threading.Event(), threading.Event()
    port = 0

    async def run() -> None:
        nonlocal port
        async with MockServer(make) as server:
            port = server.port
            ready.set()
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    ready.wait()
    try:
        yield Endpoint(host="127.0.0.1", port=port, is_tls=False, base_path="/v1")
    finally:
        over.set()
        thread.join()


def test_tokens_are_counted_by_the_server_and_else_by_shipped_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with served(Make(tokenizes=True)) as endpoint:
        path = find_tokenize_path(endpoint, "m")
        counter = TokenCounter(endpoint, model="m", path=path)
        assert counter.source is TokenSource.TOKENIZER
        assert counter.count(["one two three", ""]) == [3, 0]
    with served(Make()) as endpoint:
        assert find_tokenize_path(endpoint, "m") is None
        counter = TokenCounter(endpoint, model="m", path=None)
        assert counter.source is TokenSource.APPROXIMATE
        # published example of cl100k_base: "tiktoken is great!" is 83, 1609, 5963, 374, 2294, 0
        assert counter.count(["tiktoken is great!", ""]) == [6, 0]
