"""Commands about demand: what a request log holds."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from planner import model_commands
from planner.console import emit_json, log, out
from planner.distribution import Distribution
from planner.errors import InputError
from planner.prefix import read_prefix_share
from planner.presets import PREFIX, preset_workload, write_log
from planner.traces import LogReport, check_bad_rows, read_log_with_all_bad_rows
from planner.workload import WorkloadSummary, summarise_workload

SHOWN_BAD_ROWS = 20
"""Bad rows listed at the terminal; `--json` lists all."""


def register(app: typer.Typer) -> None:
    """Add this room's commands."""
    app.command(name="workload")(workload)
    model_commands.register(app)


def workload(
    file: Annotated[
        Path,
        typer.Argument(help="Request log: CSV, JSONL or Parquet, plain, gz or zst. Or preset:NAME, with --out."),
    ],
    json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
    allow_bad_rows: Annotated[int, typer.Option(min=0, help="Rows that may be left out.")] = 0,
    written: Annotated[Path | None, typer.Option("--out", help="Where a preset's requests are written as CSV.")] = None,
    rate: Annotated[float, typer.Option(help="A preset's mean requests per second.")] = 1.0,
    requests_wanted: Annotated[int, typer.Option("--requests", help="How many requests a preset has.")] = 10_000,
    seed: Annotated[int, typer.Option(help="A preset's seed.")] = 1,
) -> None:
    """Read a request log: counts, token percentiles, burstiness, and every row that cannot be used.

    Without a log, `preset:interactive-chat` and its like draw one from a published catalogue.

    Example: breakeven workload examples/azure_code_2023.csv --json
    """
    name = str(file)
    if name.startswith(PREFIX):
        drawn = preset_workload(name.removeprefix(PREFIX), requests=requests_wanted, requests_per_s=rate, seed=seed)
        if written is None:
            raise InputError(f"{name} needs a place for its requests: add --out FILE.csv")
        write_log(written, drawn)
        file = written
    requests, report = read_log_with_all_bad_rows(file)
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
