"""Logs of texts: tokens against published counts, every reply a request, everything unusable by its line."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from planner.commands.workload import register
from planner.errors import InputError
from planner.traces.request_log import LogReport, read_log
from planner.traces.text_logs import read_text_log
from planner.traces.token_count import count_tokens
from planner.workload import Workload


def _read(path: Path, **changed: object) -> tuple[Workload, LogReport]:
    settings = {"encoding": "cl100k_base", "columns": {}, "time_zone": None, "requests_per_s": None, "seed": 1}
    found = read_text_log(path, **(settings | changed))  # type: ignore[arg-type]
    assert found is not None
    return found


def _file(folder: Path, text: str, name: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_counts_are_those_that_openai_publishes(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the tiktoken cookbook: "tiktoken is great!" has 6 tokens; so has "antidisestablishmentarianism" (o200k)."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # nothing may be fetched
    assert count_tokens("tiktoken is great!", "cl100k_base") == 6
    assert count_tokens("antidisestablishmentarianism", "o200k_base") == 6
    assert count_tokens("hello world", "o200k_base") == 2
    assert count_tokens("<|endoftext|>", "o200k_base") > 1  # text, not a special token
    with pytest.raises(InputError, match="there are cl100k_base, o200k_base"):
        count_tokens("x", "p50k")


SHAREGPT = [
    {
        "id": "a",
        "conversations": [
            {"from": "human", "value": "hello world"},
            {"from": "gpt", "value": "tiktoken is great!"},
            {"from": "human", "value": "hello world"},
            {"from": "gpt", "value": "hello world"},
        ],
    },
    {"id": "b", "conversations": [{"from": "human", "value": "hello"}]},
    {"id": "c", "conversations": [{"from": "system", "value": "hello world"}, {"from": "gpt", "value": "hello"}]},
]


@pytest.mark.parametrize("as_lines", [True, False])
def test_every_reply_of_a_conversation_is_a_request(tmp_path: Path, as_lines: bool) -> None:
    """2 -> 6, 2 + 6 + 2 = 10 -> 2, 2 -> 1; the second conversation has no reply."""
    text = "\n".join(map(json.dumps, SHAREGPT)) if as_lines else json.dumps(SHAREGPT)
    workload, report = _read(_file(tmp_path, text, "chat.json"), requests_per_s=2.0)
    pairs = sorted(zip(workload.input_tokens.tolist(), workload.output_tokens.tolist(), strict=True))
    assert pairs == [(2, 1), (2, 6), (10, 2)]
    assert [(row.line, row.reason) for row in report.bad_rows] == [(2, "no turn answers another one")]
    assert "random order" in report.notes[1]
    again, _ = _read(tmp_path / "chat.json", requests_per_s=2.0)
    assert again.arrival_s.tolist() == workload.arrival_s.tolist()
    with pytest.raises(InputError, match="has no times: say how many requests come per second with --rate"):
        _read(tmp_path / "chat.json")


def test_messages_with_times_and_parts(tmp_path: Path) -> None:
    rows = [
        {"created": 1_700_000_000 + 60 * k, "messages": [
            {"role": "user", "content": [{"type": "text", "text": "hello world"}, {"type": "image_url"}]},
            {"role": "assistant", "content": "hello"},
        ]}
        for k in range(3)
    ]  # fmt: skip
    workload, _ = _read(_file(tmp_path, "\n".join(map(json.dumps, rows)), "chat.jsonl"))
    assert workload.arrival_s.tolist() == [0.0, 60.0, 120.0]
    assert workload.starts_at == "2023-11-14T22:13:20+00:00"
    assert (workload.input_tokens[0], workload.output_tokens[0]) == (2, 1)


def test_prompts_and_completions_in_columns(tmp_path: Path) -> None:
    text = (
        "ts,question,answer\n2026-11-20T10:00:00,hello world,tiktoken is great!\n"
        '2026-11-20T10:00:30,"hello\nworld",hello\n2026-11-20T10:01:00,,x\n2026-11-20T10:02:00,one cell too few\n'
    )
    path = _file(tmp_path, text, "log.csv")
    workload, report = _read(path, columns={"arrival": "ts"}, time_zone="Europe/Berlin")
    assert workload.arrival_s.tolist() == [0.0, 30.0]
    assert workload.starts_at == "2026-11-20T10:00:00+01:00"
    assert workload.output_tokens.tolist() == [6, 1]
    assert [(row.line, row.reason) for row in report.bad_rows] == [
        (5, "the prompt is empty"),
        (6, "2 cells where the header has 3"),
    ]
    with pytest.raises(InputError, match="cannot be read"):
        _read(_file(tmp_path, "ts,prompt,completion\nsoon,a,b\nlater,a,b\n", "x.csv"), columns={"arrival": "ts"})


def test_a_log_of_counts_is_no_log_of_texts(tmp_path: Path, azure_log: Path) -> None:
    counts = _file(tmp_path, "timestamp,input,output\n1,10,5\n2,10,5\n", "counts.csv")
    for path in (azure_log, counts):
        assert (
            read_text_log(path, encoding="cl100k_base", columns={}, time_zone=None, requests_per_s=None, seed=1) is None
        )


def test_the_command_counts_writes_and_a_plan_reads(tmp_path: Path) -> None:
    app = typer.Typer()
    register(app)
    chat = _file(tmp_path, json.dumps(SHAREGPT), "chat.json")
    written = tmp_path / "log.csv"
    arguments = [str(chat), "--rate", "2", "--out", str(written), "--allow-bad-rows", "1", "--json"]
    value = json.loads(CliRunner().invoke(app, arguments).stdout)
    assert (value["format"], value["requests"]) == ("conversations", 3)
    assert sorted(read_log(written)[0].input_tokens.tolist()) == [2, 2, 10]
    listed = json.loads(CliRunner().invoke(app, ["--list", "--json"]).stdout)
    assert {"interactive-chat", "reasoning"} <= {preset["name"] for preset in listed["presets"]}
    assert "preset:interactive-chat" in CliRunner().invoke(app, ["--list"]).stdout
    for wrong in ([str(chat), "--column", "prompt"], [str(chat), "--rate", "0"]):
        assert isinstance(CliRunner().invoke(app, wrong).exception, InputError)
