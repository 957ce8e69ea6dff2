"""What a person sees of levels that do not count."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from measure.progress import LevelProgress
from measure.report import ConsoleProgress, levels_table, print_profile, progress_line
from measure.summary import summarise_level
from planner.profile import LevelSummary, load_profile
from tests.measure.build import level, request

PROFILE = load_profile(Path(__file__).parents[2] / "examples" / "profile.json")
GOOD = summarise_level(level(start_ms=0, end_ms=1000), [request(start_ms=0, content_ms=[40, 990])])
UNENDED = summarise_level(level(start_ms=0, end_ms=1000), [request(start_ms=0, content_ms=[40, 1990])])


def printed(width: int, *levels: LevelSummary) -> list[str]:
    console = Console(width=width, file=io.StringIO())
    console.print(levels_table(levels))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_a_level_in_which_no_request_ended_has_dashes_and_a_mark() -> None:
    assert UNENDED.output_tokens_per_s > 0
    lines = printed(80, GOOD, UNENDED)
    good, unended, mark = (line.split() for line in lines[4:7])
    assert good == ["balanced", "0.99", "10:2", "1", "2.0", "1.00", "40.0/40.0", "950/950"]
    assert unended == ["balanced", "1", "-", "0", "-", "-", "-", "-"]
    assert mark == ["invalid"]


def test_an_invalid_level_with_requests_keeps_its_figures_under_the_mark() -> None:
    lines = printed(80, replace(GOOD, valid=False, invalid_reasons=("other processes used 0.8 cores",)))
    assert [line.split() for line in lines[4:6]] == [
        ["balanced", "0.99", "10:2", "1", "2.0", "1.00", "40.0/40.0", "950/950"],
        ["invalid"],
    ]


def test_progress_has_no_figures_where_no_request_ended(capsys: pytest.CaptureFixture[str]) -> None:
    ConsoleProgress().finished("closed-balanced-1", UNENDED)
    said = " ".join(capsys.readouterr().err.split())
    assert said == "closed-balanced-1: - INVALID: no request ended within the steady window"


def test_a_note_that_was_said_is_not_repeated_below_the_tables(capsys: pytest.CaptureFixture[str]) -> None:
    progress = ConsoleProgress()
    progress.note("said early")
    noted = replace(PROFILE, provenance=replace(PROFILE.provenance, notes=("said early", "said late")))
    print_profile(noted, already_said=progress.said)
    said = capsys.readouterr().err
    assert (said.count("said early"), said.count("said late")) == (1, 1)


def test_the_live_lines_hold_level_rates_power_and_time_left_within_80_columns() -> None:
    shown = LevelProgress(
        level="closed-output-heavy-8",
        phase="warm-up",
        elapsed_s=4.0,
        max_s=10.0,
        completed=10,
        failed=2,
        output_tokens_per_s=151.4,
        last_ttft_s=0.1234,
        run_left_s=130.4,
        power_w=None,
    )
    first, second = progress_line(shown).plain.splitlines()
    assert first == "  closed-output-heavy-8  warm-up, 4 of at most 10 s; 2:10 of the run left"
    assert second == "    2.50 requests/s | TTFT 123 ms | 151 tokens/s | 2 failed | no power sensor"
    assert max(len(first), len(second)) <= 80
    assert "412 W" in progress_line(replace(shown, power_w=412.3)).plain
