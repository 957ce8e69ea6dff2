"""A controlled share of prompts that a prefix cache can answer, and what the server says it answered."""

from dataclasses import replace

import orjson
import pytest

from measure.endpoint import Api, Dialect, Endpoint
from measure.prompts import NonceSource, build_prompts
from measure.records import PromptFit
from measure.summary import cache_notes, summarise_level
from tests.measure.build import level, request

ENDPOINT = Endpoint(host="127.0.0.1", port=8000, is_tls=False, base_path="/v1")
DIALECT = Dialect(api=Api.COMPLETIONS, model="m", cache_prompt_field=True)
FIT = PromptFit(offset_tokens=4.0, tokens_per_word=1.0)


def prompts(share: float) -> tuple[list[list[str]], set[bool]]:
    made = build_prompts(ENDPOINT, DIALECT, FIT, input_tokens=256, output_tokens=8, seed=1, prefix_share=share)
    nonces, found, cached = NonceSource(1), [], set()
    for template in made.templates:
        head, body = template.payload(next(nonces)).split(b"\r\n\r\n", 1)
        assert f"Content-Length: {len(body)}".encode() in head
        asked = orjson.loads(body)
        found.append(asked["prompt"].split())
        cached.add(asked["cache_prompt"])
    return found, cached


def common_words(texts: list[list[str]]) -> int:
    columns = zip(*texts, strict=True)
    return next((i for i, words in enumerate(columns) if len(set(words)) > 1), len(texts[0]))


@pytest.mark.parametrize(("share", "words"), [(0.0, 0), (0.5, 128), (0.25, 64), (0.9, 230)])
def test_exactly_the_wanted_share_is_common_and_then_comes_the_own_number(share: float, words: int) -> None:
    texts, may_cache = prompts(share)
    assert common_words(texts) == words  # of 256 tokens, 4 of which the server adds
    assert {len(text) for text in texts} == {252 + 1}
    assert all(text[words].isdigit() for text in texts)
    assert may_cache == {share > 0}


def test_a_level_says_its_hit_rate() -> None:
    record = level(start_ms=0, end_ms=1000, level="open-x", mode="open", target=2.0, prefix_share=0.5)
    made = [
        request(start_ms=10, content_ms=[50, 60], input_tokens=100, cached_tokens=0),
        request(start_ms=20, content_ms=[60, 70], input_tokens=300, cached_tokens=200),
        request(start_ms=30, content_ms=[70, 80], input_tokens=100, cached_tokens=None),
    ]
    summary = summarise_level(record, made)
    assert summary.cached_input_frac == pytest.approx(200 / 400)
    assert cache_notes([record], [summary]) == [
        "open-x: prompts share 50%, the server took 50.0% of their tokens from its cache"
    ]
    silent = replace(summary, cached_input_frac=None)
    assert cache_notes([record], [silent])[0].endswith("the server does not say how much it cached")
    unasked = replace(record, spec=replace(record.spec, prefix_share=0.0))
    assert cache_notes([unasked], [summary]) == [
        "open-x: the server took 50.0% of the prompt tokens from a cache, unasked"
    ]
    assert cache_notes([unasked], [replace(summary, cached_input_frac=0.01)]) == []
