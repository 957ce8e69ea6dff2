"""`breakeven prices licence`: may this model be used like that?"""

from dataclasses import asdict
from typing import Annotated

import typer

from planner.console import emit_json, out
from pricing.hardware import find_accelerator
from pricing.licences import Clause, IntendedUse, check_card, check_licence
from pricing.load import load_licences


def register(prices: typer.Typer) -> None:
    """Add `licence` to the `prices` commands."""
    prices.command("licence")(show_licence)


def show_licence(
    model: Annotated[str, typer.Argument(help="Name as on Hugging Face, such as meta-llama/Llama-3.3-70B-Instruct.")],
    commercial: Annotated[bool | None, typer.Option(help="Used in business.")] = None,
    users: Annotated[int | None, typer.Option(min=0, help="Monthly active users of all your products.")] = None,
    revenue: Annotated[int | None, typer.Option(min=0, help="Monthly revenue [USD].")] = None,
    trains: Annotated[bool | None, typer.Option(help="Its output trains other models.")] = None,
    redistributes: Annotated[bool | None, typer.Option(help="The model is passed on to others.")] = None,
    multimodal: Annotated[bool | None, typer.Option(help="It takes more than text.")] = None,
    region: Annotated[str | None, typer.Option(help="Where the company sits, such as EU or US.")] = None,
    keeps_policy: Annotated[bool | None, typer.Option(help="The use policy is kept.")] = None,
    card: Annotated[str | None, typer.Option(help="Accelerator it runs on.")] = None,
    datacenter: Annotated[bool | None, typer.Option(help="The machine stands in a data centre.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Hold an intended use against a model's licence; what you do not state is asked, never passed over.

    Example: breakeven prices licence openai/gpt-oss-20b --commercial --no-redistributes
    """
    use = IntendedUse(
        commercial=commercial,
        monthly_users=users,
        monthly_revenue_usd=revenue,
        trains_other_models=trains,
        redistributes=redistributes,
        multimodal=multimodal,
        region=region,
        keeps_use_policy=keeps_policy,
    )
    result = check_licence(model, use, load_licences())
    hardware = None if card is None else check_card(find_accelerator(card), datacenter)
    if as_json:
        emit_json(asdict(result) | {"card": None if hardware is None else asdict(hardware)})
        return
    name = "unknown licence" if result.licence is None else f"{result.licence.name} {result.licence.version}"
    out.print(f"{model}: {name}: {result.verdict}", markup=False)
    for clause in (*result.clauses, *([hardware] if hardware else [])):
        _print(clause)


def _print(clause: Clause) -> None:
    out.print(f"  {clause.verdict}: {clause.about}: {clause.text}", markup=False)
