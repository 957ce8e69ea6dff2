"""A run that holds too little for a profile says why, and what would help."""

from dataclasses import replace

import pytest

from measure.profile import build_profile
from measure.records import LevelRecord, RequestRecord
from measure.run_info import RunInfo
from measure.sweep import quick_plan
from planner.errors import InputError
from tests.measure.build import level, request
from tests.measure.test_judge import CONTENDED, INFO, SENSORS


def run(*targets: int, requests_end_ms: float) -> tuple[list[LevelRecord], list[RequestRecord]]:
    """Levels of one second, each with as many requests in flight as it wants."""
    levels, requests = [], []
    for number, target in enumerate(targets):
        name, start = f"level-{number}", 10_000 * number
        levels.append(level(start_ms=start, end_ms=start + 1000, level=name, target=target))
        content = [start + 40, start + requests_end_ms]
        requests += [request(start_ms=start, content_ms=content, level=name)] * target
    return levels, requests


def refusal(info: RunInfo, *targets: int, requests_end_ms: float) -> str:
    levels, requests = run(*targets, requests_end_ms=requests_end_ms)
    with pytest.raises(InputError) as caught:
        build_profile(info, levels=levels, requests=requests, telemetry=[SENSORS, *CONTENDED])
    return str(caught.value)


def test_contention_is_named_and_the_advice_is_an_idle_machine() -> None:
    said = refusal(INFO, 1, 2, requests_end_ms=1500)
    assert said.startswith("0 of the run's 2 levels can be used")
    assert said.count("no request ended within the steady window") == 1
    assert "other processes used 0.6 cores" in said
    assert said.endswith(
        "; run again on an idle machine, or count the disturbed levels with --resume RUN_DIR --busy-ok"
    )


def test_levels_that_were_too_short_ask_for_a_longer_duration() -> None:
    levels, requests = run(1, 2, requests_end_ms=1500)
    with pytest.raises(InputError, match=r"no request ended within the steady window.; run again with a longer"):
        build_profile(INFO, levels=levels, requests=requests, telemetry=())


def test_one_concurrency_asks_for_more_of_them() -> None:
    quick = replace(INFO, plan=quick_plan(budget_s=60, longest_input_tokens=None))
    said = refusal(quick, 1, requests_end_ms=990)
    assert said.endswith("; measure at more with --concurrency 1,2,4, or continue the run with --resume")


def test_outputs_that_came_in_one_read_have_no_tpot_to_fit() -> None:
    levels, requests = run(1, 2, requests_end_ms=990)
    at_once = level(start_ms=50_000, end_ms=51_000, level="at-once")
    whole = request(start_ms=50_000, content_ms=[50_970, 50_970], level="at-once")
    profile = build_profile(INFO, levels=[*levels, at_once], requests=[*requests, whole], telemetry=())
    assert profile.levels[-1].tpot_s is not None
    assert profile.levels[-1].tpot_s.mean == 0
    assert profile.fit.points == 3
