"""Commands about demand: what a request log holds."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from planner.console import emit_json, log, out
from planner.distribution import Distribution
from planner.errors import InputError
from planner.traces.formats import ROLES
from planner.traces.prefix_log import read_prefix_share
from planner.traces.presets import PREFIX, list_presets, preset_workload, write_log
from planner.traces.request_log import LogReport, check_bad_rows, read_log_with_all_bad_rows
from planner.traces.text_logs import read_text_log
from planner.workload import WorkloadSummary, summarise_workload

SHOWN_BAD_ROWS = 20
"""Bad rows listed at the terminal; `--json` lists all."""


def register(app: typer.Typer) -> None:
    """Add this room's command."""
    app.command(name="workload")(workload)


def workload(
    file: Annotated[
        Path | None,
        typer.Argument(help="Request log: CSV, JSONL or Parquet, plain, gz or zst. Or preset:NAME, with --out."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
    allow_bad_rows: Annotated[int, typer.Option(min=0, help="Rows that may be left out.")] = 0,
    column: Annotated[
        list[str] | None,
        typer.Option(
            help="ROLE=NAME; roles: arrival, input, output, or in a log of texts arrival, prompt, completion."
        ),
    ] = None,
    time_zone: Annotated[
        str | None, typer.Option(help="Clock of dates without an offset, such as Europe/Berlin; else UTC.")
    ] = None,
    encoding: Annotated[
        str, typer.Option(help="For a log of texts: cl100k_base or o200k_base; counted without a network.")
    ] = "o200k_base",
    written: Annotated[
        Path | None, typer.Option("--out", help="Write the requests as CSV: what a plan needs of a preset or of texts.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(help="Mean requests/s of a preset (1 if not given), or of texts without times.")
    ] = None,
    requests_wanted: Annotated[int, typer.Option("--requests", help="How many requests a preset has.")] = 10_000,
    seed: Annotated[int, typer.Option(help="Seed of what is drawn.")] = 1,
    listed: Annotated[bool, typer.Option("--list", help="List the presets with their limits.")] = False,
) -> None:
    """Read a request log: counts, token percentiles, burstiness, and every row that cannot be used.

    Conversations (ShareGPT or chat messages) and columns of prompts and completions are counted with tiktoken.
    Without a log, `preset:interactive-chat` and its like draw one from a published catalogue.

    Example: breakeven workload examples/azure_code_2023.csv --json
    """
    if listed:
        _list_presets(as_json=json)
        return
    if file is None:
        raise InputError("give a request log, or preset:NAME; `breakeven workload --list` names the presets")
    if rate is not None and not (math.isfinite(rate) and rate > 0):
        raise InputError(f"a rate above 0 requests/s is needed, got {rate}")
    columns = _mapping(column or [])
    name = str(file)
    if name.startswith(PREFIX):
        preset = name.removeprefix(PREFIX)
        drawn = preset_workload(
            preset, requests=requests_wanted, requests_per_s=1.0 if rate is None else rate, seed=seed
        )
        if written is None:
            raise InputError(f"{name} needs a place for its requests: add --out FILE.csv")
        write_log(written, drawn)
        file = written
    counted = read_text_log(
        file, encoding=encoding, columns=columns, time_zone=time_zone, requests_per_s=rate, seed=seed
    )
    requests, report = counted or read_log_with_all_bad_rows(file, columns=columns, time_zone=time_zone)
    if written is not None and written != file:
        write_log(written, requests)
    summary = summarise_workload(requests)
    prefix = read_prefix_share(file) if report.format == "mooncake" and not report.bad_rows else None
    cached_frac = prefix.cached_frac if prefix else None
    if json:
        head = {"format": report.format, "starts_at": requests.starts_at, "prefix_cached_frac": cached_frac}
        emit_json({**asdict(summary), **head, **_rows(report)})
    else:
        _show(summary, report)
        if cached_frac is not None:
            out.print(f"a prefix cache that never forgets holds {cached_frac:.1%} of the prompt tokens")
    check_bad_rows(file, report, allow_bad_rows)


def _mapping(pairs: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        role, equals, name = pair.partition("=")
        if not equals or not name or role not in (*ROLES, "prompt", "completion"):
            raise InputError(
                f"--column {pair!r} names no column: write ROLE=NAME, a role being one of "
                f"{', '.join((*ROLES, 'prompt', 'completion'))}"
            )
        found[role] = name
    return found


def _list_presets(*, as_json: bool) -> None:
    presets = list_presets()
    if as_json:
        emit_json({"presets": [asdict(preset) for preset in presets]})
        return
    for preset in presets:
        limits = ", ".join(f"{key} {value:g}" for key, value in preset.slos.items() if not isinstance(value, str))
        means = f"{preset.mean_input_tokens:,.0f} tokens in, {preset.mean_output_tokens:,.0f} out on average"
        out.print(f"{PREFIX}{preset.name}: {means}{f'; {limits}' if limits else ''}", soft_wrap=True)


def _rows(report: LogReport) -> dict[str, object]:
    return {"bad_rows": [asdict(row) for row in report.bad_rows], "notes": list(report.notes)}


def _show(summary: WorkloadSummary, report: LogReport) -> None:
    peak = "unknown: shorter than a minute" if summary.peak_to_mean_1min is None else f"{summary.peak_to_mean_1min:.1f}"
    out.print(
        f"{summary.requests:,} requests in {summary.span_s:,.1f} s ({summary.requests_per_s:.3g}/s), {report.format}"
    )
    out.print(f"peak minute over mean minute: {peak}")
    table = Table("tokens", "mean", "p50", "p95", "p99", "max")
    for name, tokens in (("input", summary.input_tokens), ("output", summary.output_tokens)):
        table.add_row(name, *_cells(tokens))
    out.print(table)
    for note in report.notes:
        log.print(f"note: {note}")
    for row in report.bad_rows[:SHOWN_BAD_ROWS]:
        log.print(f"line {row.line}: {row.reason}", markup=False)
    if len(report.bad_rows) > SHOWN_BAD_ROWS:
        log.print(f"and {len(report.bad_rows) - SHOWN_BAD_ROWS} more bad rows; `--json` lists all")


def _cells(tokens: Distribution) -> list[str]:
    return [f"{value:,.0f}" for value in (tokens.mean, tokens.p50, tokens.p95, tokens.p99, tokens.max)]
