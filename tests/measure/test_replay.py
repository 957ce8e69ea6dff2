"""Replay of a request log: what is cut out of it, the bytes of its requests, and a real engine that serves them."""

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest

from measure.architectures import find_architecture
from measure.endpoint import Api, Dialect, Endpoint
from measure.prompts import NonceSource
from measure.quant import Quant
from measure.records import Outcome, PromptFit
from measure.replay import cut_replay, read_replay, replay_notes, replay_payloads, replay_spec
from measure.run_info import PlannedRate, PlannedReplay, Shape
from measure.rundir import RunDirectory
from measure.session import run_measurement
from measure.summary import summarise_level
from measure.synthetic import write_synthetic_gguf
from planner.errors import InputError
from planner.workload import Workload
from tests.measure.test_session import PLAN, Watcher, target

PLANNED = PlannedReplay(log="log.csv", speed_up=10.0, duration_s=3.0)


def log(arrival_s: list[float], tokens: list[tuple[int, int]]) -> Workload:
    return Workload(
        name="log",
        arrival_s=np.array(arrival_s),
        input_tokens=np.array([prompt for prompt, _ in tokens]),
        output_tokens=np.array([output for _, output in tokens]),
        span_s=arrival_s[-1],
        starts_at=None,
        source="log",
    )


def test_the_stretch_is_cut_and_compressed() -> None:
    # 3 s at ten times the speed are the first 30 s of the log, its end not included
    replay = cut_replay(log([0, 10, 29.9, 30, 40], [(5, 6)] * 5), PLANNED, context_tokens=None)
    assert replay.arrival_s.tolist() == pytest.approx([0, 1, 2.99])
    assert (replay.requests, replay.clipped) == (3, 0)
    spec = replay_spec(PLANNED, replay)
    assert (spec.mode, spec.shape, spec.level, spec.target) == ("open", "replay", "replay-10x", 1.0)
    assert (spec.wanted_requests, spec.max_s, spec.warm_up) == (3, 63.0, False)


def test_lengths_are_cut_to_the_context_and_counted() -> None:
    # context 1,000: outputs at most 500; a prompt of 2,000 beside 100 tokens loses all but 1,000 - 100 - (16 + 30)
    tokens = [(100, 50), (2000, 100), (100, 900), (800, 170), (10, 0)]
    replay = cut_replay(log([0, 1, 2, 3, 4], tokens), PLANNED, context_tokens=1000)
    lengths = list(zip(replay.input_tokens.tolist(), replay.output_tokens.tolist(), strict=True))
    assert lengths == [(100, 50), (854, 100), (100, 500), (790, 170), (10, 1)]
    assert replay.clipped == 3
    assert replay_notes(PLANNED, replay) == (
        "5 requests, the first 30 s of log.csv, 10 times as fast",
        "3 requests (60.0%) were shortened to the server's context",
    )


def test_too_short_a_stretch_says_what_would_help() -> None:
    with pytest.raises(InputError, match=r"first 30 s of the log hold 1 request.*--duration or a higher --speed-up"):
        cut_replay(log([0, 50], [(5, 5)] * 2), PLANNED, context_tokens=None)


@pytest.mark.parametrize("speed_up", [0.0, -1.0, float("nan"), float("inf")])
def test_a_speed_that_is_none_is_refused(speed_up: float) -> None:
    with pytest.raises(InputError, match="times as fast; give a number above 0"):
        cut_replay(log([0, 1], [(5, 5)] * 2), replace(PLANNED, speed_up=speed_up), context_tokens=None)


@pytest.mark.parametrize("min_tokens", [False, True])
@pytest.mark.parametrize("api", Api)
def test_requests_are_what_the_server_would_read(api: Api, *, min_tokens: bool) -> None:
    replay = cut_replay(log([0, 1, 2], [(40, 7), (300, 123), (41, 1)]), PLANNED, context_tokens=None)
    endpoint = Endpoint(host="127.0.0.1", port=8000, is_tls=False, base_path="/v1", api_key="secret")
    dialect = Dialect(api=api, model="m", min_tokens=min_tokens)
    fit = PromptFit(offset_tokens=10.0, tokens_per_word=1.0)
    payloads = list(replay_payloads(replay, endpoint, dialect, fit, NonceSource(1), seed=5))
    assert [tokens for _, tokens in payloads] == [7, 123, 1]
    prompts = []
    for (payload, tokens), words in zip(payloads, (30, 290, 31), strict=True):
        head, body = payload.split(b"\r\n\r\n", 1)
        fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
        assert int(fields[b"Content-Length"]) == len(body)
        assert fields[b"Authorization"] == b"Bearer secret"
        asked = orjson.loads(body)
        assert asked["max_tokens"] == tokens
        assert asked.get("min_tokens") == (tokens if min_tokens else None)
        prompt = asked["prompt"] if api is Api.COMPLETIONS else asked["messages"][0]["content"]
        assert len(prompt.split()) == words + 1  # and its number
        prompts.append(prompt)
    assert len({prompt.split()[0] for prompt in prompts}) == 3
    again = list(replay_payloads(replay, endpoint, dialect, fit, NonceSource(1), seed=5))
    assert again == payloads


@pytest.mark.engine
def test_a_real_engine_is_sent_a_log_and_prompts_that_share_a_prefix(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    arrival_s = np.sort(rng.uniform(0, 20, 40))
    arrival_s[0] = 0.0
    prompts, outputs = rng.integers(20, 400, 40), rng.integers(1, 40, 40)
    prompts[5], outputs[5] = 5000, 30
    rows = zip(arrival_s.tolist(), prompts.tolist(), outputs.tolist(), strict=True)
    lines = [json.dumps({"arrival_s": t, "input_tokens": p, "output_tokens": o}) for t, p, o in rows]
    (tmp_path / "log.jsonl").write_text("\n".join(lines) + "\n")
    model = tmp_path / "tiny.gguf"
    write_synthetic_gguf(model, find_architecture("Tiny-1M"), Quant.Q8_0, seed=0)
    planned = PlannedReplay(log=str(tmp_path / "log.jsonl"), speed_up=10.0, duration_s=1.9)
    shape = Shape(name="given", input_tokens=400, output_tokens=4)
    rates = (PlannedRate(shape=shape, rate_per_s=25.0, prefix_share=0.5),)
    plan = replace(PLAN, levels=PLAN.levels[::2], longest_input_tokens=None, rates=rates, replay=planned)
    with suppress(InputError):  # on a busy machine too few levels count for a profile; the records are the same
        run_measurement(target(model), plan, tmp_path / "run", seed=1, progress=Watcher())
    run = RunDirectory(tmp_path / "run")
    requests = list(run.read_requests())
    levels = {level.spec.shape: level for level in run.read_levels()}
    summaries = {
        shape: summarise_level(level, [r for r in requests if r.level == level.spec.level])
        for shape, level in levels.items()
    }
    expected = read_replay(planned, context_tokens=1024)
    assert summaries["given"].cached_input_frac == pytest.approx(0.5, abs=0.05)  # as the engine itself reports it
    replayed = summaries["replay"]
    assert (replayed.mode, replayed.target, replayed.cached_input_frac) == ("open", expected.requests / 1.9, 0)
    assert replayed.client_lag_s is not None
    assert any(note.startswith("1 requests") and "shortened" in note for note in levels["replay"].notes)
    sent = [r for r in requests if r.level == "replay-10x"]
    sent.sort(key=lambda r: r.index)
    assert len(sent) == expected.requests < 40
    assert {r.outcome for r in sent} == {Outcome.OK}
    intended = np.array([r.intended_ns for r in sent]) / 1e9
    assert intended - intended[0] == pytest.approx(expected.arrival_s, abs=1e-6)
    assert [r.output_tokens for r in sent] == expected.output_tokens.tolist()
    asked = np.array([r.input_tokens for r in sent])
    assert asked == pytest.approx(expected.input_tokens, rel=0.15, abs=15)  # this small vocabulary splits words
    assert (asked + expected.output_tokens).max() <= 1024


def test_the_log_is_named_when_it_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.csv"):
        read_replay(replace(PLANNED, log=str(tmp_path / "nothing.csv")), context_tokens=None)
