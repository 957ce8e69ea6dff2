"""Licences against stated uses, read off the licences' own clauses; what is not stated never passes silently."""

import json

import pytest
import typer
from typer.testing import CliRunner

from pricing.commands import register
from pricing.hardware import find_accelerator
from pricing.licences import IntendedUse, LicenceVerdict, check_card, check_licence
from pricing.load import load_licences

PASS, ASK, CONFLICT = LicenceVerdict.PASS, LicenceVerdict.ASK_COUNSEL, LicenceVerdict.CONFLICT
PRODUCT = IntendedUse(
    commercial=True,
    monthly_users=1_000,
    monthly_revenue_usd=50_000,
    trains_other_models=False,
    redistributes=False,
    multimodal=False,
    region="US",
    keeps_use_policy=True,
)


def use(**changes: object) -> IntendedUse:
    return IntendedUse(**{**{name: getattr(PRODUCT, name) for name in PRODUCT.__slots__}, **changes})


LLAMA = "meta-llama/Llama-3.3-70B-Instruct"


@pytest.mark.parametrize(
    ("model", "intended", "verdict", "about"),
    [
        ("openai/gpt-oss-20b", PRODUCT, PASS, None),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-7B", PRODUCT, PASS, None),
        (LLAMA, PRODUCT, PASS, "attribution"),
        (LLAMA, use(monthly_users=700_000_000), PASS, "monthly users"),
        (LLAMA, use(monthly_users=700_000_001), CONFLICT, "monthly users"),
        (LLAMA, use(monthly_users=None), ASK, "monthly users"),
        (LLAMA, use(keeps_use_policy=None), ASK, "use policy"),
        (LLAMA, use(keeps_use_policy=False), CONFLICT, "use policy"),
        (LLAMA, use(region="EU"), PASS, "region"),
        (LLAMA, use(region="EU", multimodal=None), ASK, "region"),
        ("meta-llama/Llama-3.2-11B-Vision-Instruct", use(region="EU", multimodal=True), CONFLICT, "region"),
        ("meta-llama/Llama-3.2-11B-Vision-Instruct", use(region=None, multimodal=True), ASK, "region"),
        ("meta-llama/Llama-4-Scout-17B-16E-Instruct", use(region="EU"), CONFLICT, "region"),
        (LLAMA, use(trains_other_models=True), PASS, "training other models"),
        (LLAMA, use(trains_other_models=None), ASK, "training other models"),
        ("Qwen/Qwen2.5-72B-Instruct", use(monthly_users=100_000_001), CONFLICT, "monthly users"),
        ("Qwen/Qwen2.5-7B-Instruct", PRODUCT, PASS, None),
        ("Qwen/Qwen2.5-3B-Instruct", PRODUCT, CONFLICT, "commercial use"),
        ("Qwen/Qwen2.5-3B-Instruct", use(commercial=False), PASS, "commercial use"),
        ("Qwen/Qwen2.5-3B-Instruct", use(commercial=None), ASK, "commercial use"),
        ("mistralai/Mistral-Large-Instruct-2411", PRODUCT, CONFLICT, "commercial use"),
        ("CohereLabs/c4ai-command-r-plus", PRODUCT, CONFLICT, "commercial use"),
        ("google/gemma-3-27b-it", use(redistributes=None), ASK, "passing the model on"),
        ("moonshotai/Kimi-K2-Instruct", PRODUCT, PASS, None),
        ("moonshotai/Kimi-K2-Instruct", use(monthly_revenue_usd=20_000_001), PASS, "attribution"),
        ("moonshotai/Kimi-K2-Instruct", use(monthly_revenue_usd=None), ASK, "attribution"),
        ("somebody/unheard-of", PRODUCT, ASK, "licence"),
    ],
)
def test_verdict(model: str, intended: IntendedUse, verdict: LicenceVerdict, about: str | None) -> None:
    result = check_licence(model, intended, load_licences())
    assert result.verdict is verdict, result.clauses
    if about is not None:
        assert verdict in {clause.verdict for clause in result.clauses if clause.about == about}


def test_nothing_stated_never_passes() -> None:
    for licence in load_licences():
        name = licence.models[0].replace("*", "x")
        assert check_licence(name, IntendedUse(), load_licences()).verdict is ASK, name


def test_a_row_from_summaries_says_so() -> None:
    for model, read in (("openai/gpt-oss-20b", True), ("google/gemma-3-27b-it", False)):
        result = check_licence(model, PRODUCT, load_licences())
        assert any("not from the text" in clause.text for clause in result.clauses) is not read


def test_every_pattern_belongs_to_one_licence() -> None:
    licences = load_licences()
    for licence in licences:
        for pattern in licence.models:
            result = check_licence(pattern.replace("*", "x"), PRODUCT, licences)
            assert result.licence is not None, pattern
            assert result.licence.id == licence.id, pattern


def test_consumer_card_in_a_data_centre() -> None:
    geforce, workstation = find_accelerator("NVIDIA GeForce RTX 4090"), find_accelerator("rtx-pro-6000")
    flagged = check_card(geforce, in_datacenter=True)
    assert flagged is not None
    assert flagged.verdict is ASK
    assert "2.1.3" in flagged.text
    assert check_card(geforce, in_datacenter=None) is not None
    assert check_card(geforce, in_datacenter=False) is None
    assert check_card(workstation, in_datacenter=True) is None


def test_command_asks_for_what_is_not_stated() -> None:
    app = typer.Typer()
    register(app)
    bare = CliRunner().invoke(app, ["prices", "licence", LLAMA]).stdout
    assert "Llama 3.3 Community License 2024-12-06: ask counsel" in bare
    assert "monthly users" in bare
    stated = ["--users", "1000", "--no-trains", "--no-redistributes", "--no-multimodal", "--keeps-policy"]
    told = json.loads(CliRunner().invoke(app, ["prices", "licence", LLAMA, *stated, "--json"]).stdout)
    assert (told["verdict"], told["card"]) == ("pass", None)
    flagged = (
        CliRunner().invoke(app, ["prices", "licence", LLAMA, *stated, "--card", "rtx-4090", "--datacenter"]).stdout
    )
    assert "driver licence" in flagged
