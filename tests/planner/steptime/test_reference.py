"""The library of other people's measurements: complete, named, honest about what it cannot carry."""

import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from measure.profile_commands import register
from planner.errors import InputError
from planner.profile import dump_profile
from planner.simulator.simulate import simulate_closed_loop
from planner.steptime.reference import list_references, reference_profile

KNOWN = "llama-3.1-70b/h100_sxm/fp8/vllm/tp4"


def test_the_library_is_complete_and_says_what_it_cannot_carry() -> None:
    references = list_references()
    assert len(references) == 86
    assert len({r.name for r in references}) == 86
    usable = [r for r in references if r.not_plannable is None]
    assert len(usable) > 40
    assert all(r.accelerators <= 8 or not r.system.endswith("_sxm") for r in usable)
    assert any("shape(s)" in (r.not_plannable or "") for r in references)
    errors = sorted(r.held_out_tpot_error_frac for r in references if r.held_out_tpot_error_frac is not None)
    assert errors[len(errors) // 2] < 0.06


def test_a_reference_predicts_its_own_measurements() -> None:
    """Llama-3.1-70B on 4 x H100 with vLLM, 1024 in and out, 64 in flight: the table says 19.5 ms a token."""
    profile = reference_profile(KNOWN)
    rng = np.random.default_rng(1)
    prompt, output = rng.integers(820, 1229, (2, 512))
    result = simulate_closed_loop(profile.fit.step_time, profile.limits, prompt, output, concurrency=64)
    assert np.mean(result.tpot_s) == pytest.approx(0.0195, rel=0.1)
    assert profile.provenance.source == "imported"
    assert "someone else's measurement" in profile.provenance.notes[0]
    assert profile.power is None
    assert "power" in profile.missing
    assert b'"accelerators"' in dump_profile(profile)


def test_names_that_do_not_lead_to_a_plan() -> None:
    with pytest.raises(InputError, match=r"did you mean llama-3\.1-70b"):
        reference_profile("llama-3.1-70b h100")
    with pytest.raises(InputError, match="`breakeven profile --list` names all"):
        reference_profile("gpt-2")
    refused = next(r for r in list_references() if r.not_plannable)
    with pytest.raises(InputError, match="cannot be planned with"):
        reference_profile(refused.name)


def test_eight_devices_written_as_a_product_are_eight() -> None:
    """Rows of one H200 machine named `..._tp8_ep8_...` carry tp_size 64; no `_sxm` machine holds more than 8."""
    by_name = {r.name: r for r in list_references()}
    eight = by_name["deepseek-r1/h200_sxm/fp8/trtllm-1.1.0rc2.post2/tp8/ep8"]
    assert eight.accelerators == 8
    assert by_name["kimi-k2.5/b200_sxm/fp4/vllm-0.17.0/tp1/dp4/ep4"].accelerators == 4
    assert by_name["deepseek-r1/gb200/fp8/sglang/tp72"].accelerators == 72  # a rack, and written as one
    assert all(r.accelerators <= 8 for r in by_name.values() if r.system.endswith("_sxm"))


def test_the_command_lists_them() -> None:
    app = typer.Typer()
    register(app)
    found = json.loads(CliRunner().invoke(app, ["--list", "--json"]).stdout)["references"]
    assert len(found) == len(list_references())
    assert {"name", "source", "last_measured", "engine_version", "not_plannable"} <= set(found[0])
    text = CliRunner().invoke(app, ["--list"]).stdout
    assert f"{KNOWN}: 4 x h100_sxm" in text
    assert "not for plans: measured at" in text
    assert isinstance(CliRunner().invoke(app, []).exception, InputError)


def test_times_measured_with_a_slow_poll_say_so() -> None:
    slow = reference_profile("deepseek-v3/b200_sxm/fp8/sglang-0.5.9/tp8").provenance.notes
    assert any("every 30th step" in note for note in slow)
    for polls_always in ("deepseek-v3/h200_sxm/fp8/sglang-0.5.9/tp8", KNOWN):
        assert not any("step only" in note for note in reference_profile(polls_always).provenance.notes)
