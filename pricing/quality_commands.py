"""`breakeven prices quality`: what your own evaluation says of a model, with its uncertainty."""

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE
from rich.table import Table

from planner.console import emit_json, out
from planner.errors import InputError
from planner.ranges import Range
from pricing.quality import QualityResult, pass_rate, suitability, usd_per_passed_task
from pricing.quality_files import read_aider, read_lm_eval, read_promptfoo, read_results_csv


class Format(StrEnum):
    """The kinds of file that can be read."""

    AUTO = "auto"
    PROMPTFOO = "promptfoo"
    LM_EVAL = "lm-eval"
    AIDER = "aider"
    CSV = "csv"


def register(prices: typer.Typer) -> None:
    """Add `quality` to the `prices` commands."""
    prices.command("quality")(show_quality)


def show_quality(
    path: Annotated[Path, typer.Argument(help="Results of an evaluation.")],
    source: Annotated[Format, typer.Option("--from", help="What kind of file; auto goes by its ending.")] = Format.AUTO,
    suite: Annotated[str, typer.Option(help="Name of the tasks, where the file has none; default its name.")] = "",
    metric: Annotated[str, typer.Option(help="lm-eval only: the metric, such as exact_match,strict-match.")] = "",
    variant: Annotated[str, typer.Option(help="lm-eval only: the quantisation that was tested.")] = "",
    minimum: Annotated[
        float | None, typer.Option(min=0, max=1, help="Hold each pass rate against this one, 0 to 1.")
    ] = None,
    usd_per_task: Annotated[
        float | None, typer.Option(min=0, help="What one task costs; gives USD per passed.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Read evaluation results: pass rates with their 95 % interval, held against a minimum, cost of a passed task.

    Reads promptfoo and lm-evaluation-harness JSON, Aider leaderboards and a CSV with model, suite, passed, total.

    Example: breakeven prices quality results.csv --minimum 0.8 --usd-per-task 0.02
    """
    results = _read(path, source, suite or path.stem, metric, variant)
    if as_json:
        emit_json({"results": [_told(result, minimum, usd_per_task) for result in results]})
        return
    table = Table("model", "variant", "suite", "passed", "95 % interval", "minimum", "USD per passed", box=SIMPLE)
    for result in results:
        rate, cost = pass_rate(result), None if usd_per_task is None else usd_per_passed_task(usd_per_task, result)
        table.add_row(
            *(result.model, result.variant, result.suite, f"{result.passed} of {result.total} = {rate.mid:.1%}"),
            f"{rate.low:.1%} to {rate.high:.1%}",
            "" if minimum is None else suitability(result, minimum),
            "" if cost is None else f"{cost.low:.4g} / {cost.mid:.4g} / {cost.high:.4g}",
        )
    out.print(table)


def _read(path: Path, source: Format, suite: str, metric: str, variant: str) -> list[QualityResult]:
    match _format(path) if source is Format.AUTO else source:
        case Format.PROMPTFOO:
            return read_promptfoo(path, suite)
        case Format.LM_EVAL:
            return read_lm_eval(path, metric=metric or None, variant=variant)
        case Format.AIDER:
            return read_aider(path, suite=suite)
        case _:
            return read_results_csv(path)


def _format(path: Path) -> Format:
    """By the ending; JSON may be of two kinds and is refused."""
    match path.suffix.lower():
        case ".csv":
            return Format.CSV
        case ".yml" | ".yaml":
            return Format.AIDER
        case ".json":
            raise InputError(f"{path} is JSON of two possible kinds: say --from promptfoo or --from lm-eval")
        case ending:
            raise InputError(f'{path}: cannot tell the format from "{ending}"; say which with --from')


def _told(result: QualityResult, minimum: float | None, usd_per_task: float | None) -> dict[str, object]:
    return {
        **asdict(result),
        "pass_rate_frac": asdict(pass_rate(result)),
        "suitability": None if minimum is None else suitability(result, minimum),
        "usd_per_passed_task": None if usd_per_task is None else _range(usd_per_passed_task(usd_per_task, result)),
    }


def _range(value: Range | None) -> dict[str, float] | None:
    return None if value is None else asdict(value)
