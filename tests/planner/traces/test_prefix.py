"""The share of prompts that a prefix cache can save, by hand and through the command."""

import gzip
import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from planner.commands.workload import register
from planner.errors import InputError
from planner.traces.prefix import prefix_share
from planner.traces.prefix_log import read_prefix_share


def test_shared_blocks_by_hand() -> None:
    share = prefix_share([(1100, [1, 2, 3]), (1100, [1, 2, 4]), (600, [9, 2])])
    # the second shares blocks 1 and 2; the third has block 2, but not after the same beginning
    assert (share.prompt_tokens, share.cached_tokens) == (2800, 1024)
    assert share.cached_frac == pytest.approx(1024 / 2800)


def test_a_prompt_shorter_than_its_blocks_counts_its_own_tokens() -> None:
    assert prefix_share([(300, [1]), (300, [1])]).cached_tokens == 300


def test_no_request_no_share() -> None:
    assert prefix_share([]).cached_frac == 0.0


def _mooncake(folder: Path) -> Path:
    path = folder / "trace.jsonl.gz"
    rows = [
        {"timestamp": 0, "input_length": 1100, "output_length": 6, "hash_ids": [1, 2, 3]},
        {"timestamp": 1000, "input_length": 1100, "output_length": 4, "hash_ids": [1, 2, 4]},
    ]
    path.write_bytes(gzip.compress("\n".join(json.dumps(row) for row in rows).encode()))
    return path


def test_the_command_says_the_share(tmp_path: Path) -> None:
    app = typer.Typer()
    register(app)
    value = json.loads(CliRunner().invoke(app, [str(_mooncake(tmp_path)), "--json"]).stdout)
    assert value["prefix_cached_frac"] == pytest.approx(1024 / 2200)
    assert "46.5%" in CliRunner().invoke(app, [str(_mooncake(tmp_path))]).stdout


def test_logs_without_hashes_have_no_share(azure_log: Path, tmp_path: Path) -> None:
    assert read_prefix_share(azure_log) is None
    plain = tmp_path / "plain.jsonl"
    plain.write_text('{"timestamp": 0, "input_length": 5, "output_length": 2}\n')
    assert read_prefix_share(plain) is None
    plain.write_text('{"timestamp": 0, "input_length": 5, "hash_ids": "x"}\n')
    with pytest.raises(InputError, match=r"plain\.jsonl:1: the prefix hashes"):
        read_prefix_share(plain)
