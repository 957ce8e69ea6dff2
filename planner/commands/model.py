"""Commands about the model of an engine: how wrong it is, and what it says of a load."""

import csv
import math
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.table import Table

from planner.capacity.overflow import patience_s
from planner.capacity.slo import Slo, attainment_frac
from planner.console import emit_json, log, out
from planner.distribution import Distribution, summarise
from planner.errors import InputError
from planner.imports.load import read_foreign_levels
from planner.profile import load_profile
from planner.simulator.simulate import Routing, SimResult, simulate
from planner.steptime.measurements import is_request_log, read_level_table, read_request_log
from planner.steptime.validate import ErrorSummary, Scoreboard, validate_levels, validate_requests
from planner.traces.prefix_log import read_prefix_blocks
from planner.traces.request_log import read_log
from planner.workload import Workload, at_rate

SHOWN_NOTES = 12


def _above_zero(value: float | None) -> float | None:
    if value is not None and not (math.isfinite(value) and value > 0):
        raise typer.BadParameter(f"must be a finite number above 0, got {value}; leave it out for none")
    return value


def register(app: typer.Typer) -> None:
    """Add this room's commands."""
    app.command(name="validate")(validate)
    app.command(name="simulate")(simulate_load)


def validate(
    file: Annotated[
        Path,
        typer.Argument(
            help="CSV of level means by deployment, JSONL of single requests with engine times, or a load generator's."
        ),
    ],
    json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """How wrong is the model on these measurements: fit on part, score on the rest.

    Level means need isl, osl, silicon_ttft_ms, silicon_tpot_ms and a concurrency; single requests need input_toks,
    output_toks, queued_ts, first_token_ts, last_token_ts. Results that `breakeven profile` imports are read as well.

    Example: breakeven validate measurements.csv --json
    """
    foreign = read_foreign_levels(file)
    if foreign is not None:
        board = validate_levels(foreign)
    elif is_request_log(file):
        board = validate_requests(read_request_log(file))
    else:
        board = validate_levels(read_level_table(file))
    if json:
        emit_json(asdict(board))
    else:
        _show_board(board)


def _show_board(board: Scoreboard) -> None:
    out.print(f"{board.points:,} points scored that were not fitted, {board.deployments} deployments")
    table = Table("error", "median", "mean", "p90", "in 90 % interval")
    for name, summary, covered in (
        ("TPOT", board.tpot, board.tpot_coverage_frac),
        ("E2E", board.e2e, board.e2e_coverage_frac),
        ("TTFT", board.ttft, board.ttft_coverage_frac),
    ):
        table.add_row(name, *_percents(summary), f"{covered:.1%}")
    for found, how in ((board.simulated, "simulated run"), (board.step_time_alone, "steady state alone")):
        for key, name in (("tpot", "TPOT"), ("e2e", "E2E"), ("ttft", "TTFT")):
            if found is not None:
                table.add_row(f"{name}, {how}", *_percents(found[key]), "")
    out.print(table)
    out.print(f"{board.coverage_frac:.1%} of all values lie in their 90 % interval")
    for note in board.notes[:SHOWN_NOTES]:
        log.print(f"note: {note}", markup=False)
    if len(board.notes) > SHOWN_NOTES:
        log.print(f"and {len(board.notes) - SHOWN_NOTES} more notes; `--json` lists all")


def _percents(summary: ErrorSummary) -> list[str]:
    return [f"{value:.1%}" for value in (summary.median_frac, summary.mean_frac, summary.p90_frac)]


def simulate_load(
    profile: Annotated[Path, typer.Argument(help="profile.json, or a run directory that holds one.")],
    workload: Annotated[Path, typer.Argument(help="Request log: CSV or JSONL, plain or gz.")],
    replicas: Annotated[int, typer.Option(min=1, help="Engines behind one router.")] = 1,
    routing: Annotated[Routing, typer.Option(help="Which engine a request goes to.")] = Routing.ROUND_ROBIN,
    cached: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of every prompt in the prefix cache.")] = 0.0,
    rate: Annotated[
        float | None, typer.Option(callback=_above_zero, help="Mean requests/s; the log's burst pattern is kept.")
    ] = None,
    ttft_s: Annotated[
        float | None, typer.Option("--ttft", callback=_above_zero, help="SLO: seconds to the first token.")
    ] = None,
    tpot_s: Annotated[
        float | None, typer.Option("--tpot", callback=_above_zero, help="SLO: seconds a token after the first.")
    ] = None,
    e2e_s: Annotated[float | None, typer.Option("--e2e", callback=_above_zero, help="SLO: seconds in all.")] = None,
    overflow: Annotated[
        bool, typer.Option("--overflow", help="Requests that cannot be served within the SLO go to an API, one by one.")
    ] = False,
    api_ttft: Annotated[
        float, typer.Option(min=0.0, help="With --overflow: the API's seconds to its first token.")
    ] = 1.0,
    requests: Annotated[Path | None, typer.Option(help="Write every request's latencies to this CSV.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """What a log would see on a number of replicas: latency percentiles, utilisation, every request.

    A log with prefix hashes (Mooncake) gives every replica a prefix cache of its own, unless --cached is given;
    --routing prefix-aware sends a prompt to the replica that has seen its beginning.

    Example: breakeven simulate runs/demo examples/azure_code_2023.csv --replicas 40 --rate 2.5 --ttft 10
    """
    measured = load_profile(profile / "profile.json" if profile.is_dir() else profile)
    load, _ = read_log(workload)
    if rate is not None:
        load = at_rate(load, rate)
    slo = Slo(attainment_frac=1.0, ttft_s=ttft_s, tpot_s=tpot_s, e2e_s=e2e_s)
    wants_slo = any(limit is not None for limit in (ttft_s, tpot_s, e2e_s))
    if overflow and ttft_s is None and e2e_s is None:
        raise InputError("--overflow needs to know by when a request must be served: add --ttft or --e2e")
    prefixes = read_prefix_blocks(workload) if cached == 0 else None
    if routing is Routing.PREFIX_AWARE and prefixes is None:
        raise InputError(
            f"prefix-aware routing needs a log whose prompts carry prefix hashes (hash_ids, as Mooncake's) and no "
            f"--cached; {workload} gives none: take another --routing"
        )
    result = simulate(
        measured.fit.step_time,
        measured.limits,
        load,
        replicas=replicas,
        routing=routing,
        cached_frac=cached,
        prefixes=prefixes,
        patience_s=patience_s(measured, load, slo, api_ttft_s=api_ttft) if overflow else None,
    )
    if requests is not None:
        _write_requests(requests, load, result)
    away = float(np.isnan(result.e2e_s).mean()) if overflow else 0.0
    summary: dict[str, object] = {
        "replicas": replicas,
        "routing": routing,
        "cached_input_frac": float(result.cached_tokens.sum() / load.input_tokens.sum()),
        "requests": load.requests,
        "requests_per_s": load.requests_per_s,
        "ttft_s": _summary(result.ttft_s),
        "tpot_s": _summary(result.tpot_s),
        "e2e_s": _summary(result.e2e_s),
        "queue_s": _summary(result.queue_s),
        "utilisation_frac": float(result.busy_s.sum()) / (max(result.end_s, load.span_s) * replicas),
        "attainment_frac": attainment_frac(result, slo) + away if wants_slo else None,
        "overflow_frac": away if overflow else None,
        "preemptions": result.preemptions,
        "too_long": result.too_long,
        "engine_steps": result.steps,
    }
    if json:
        emit_json(summary)
    else:
        _show_simulation(summary)


def _summary(values: NDArray[np.float64]) -> Distribution | None:
    return summarise(values[~np.isnan(values)])


def _show_simulation(summary: dict[str, object]) -> None:
    out.print(
        f"{summary['requests']:,} requests at {summary['requests_per_s']:.3g}/s on {summary['replicas']} replicas, "
        f"{summary['utilisation_frac']:.1%} busy"
    )
    table = Table("seconds", "mean", "p50", "p95", "p99", "max")
    for name in ("ttft_s", "tpot_s", "e2e_s", "queue_s"):
        values = summary[name]
        if isinstance(values, Distribution):
            cells = (values.mean, values.p50, values.p95, values.p99, values.max)
            table.add_row(name.removesuffix("_s").upper(), *(f"{value:.3g}" for value in cells))
    out.print(table)
    if summary["overflow_frac"] is not None:
        out.print(f"{summary['overflow_frac']:.2%} of the requests go to the API, where they are taken to be in time")
    if summary["attainment_frac"] is not None:
        out.print(f"{summary['attainment_frac']:.2%} of the requests meet the SLO")
    if summary["too_long"]:
        log.print(f"{summary['too_long']} requests are longer than a replica can hold")


def _write_requests(path: Path, load: Workload, result: SimResult) -> None:
    """One row a request; an empty cell where there is nothing to measure."""
    columns = (result.arrival_s, result.ttft_s, result.tpot_s, result.e2e_s, result.queue_s)
    try:
        with path.open("w", encoding="utf-8", newline="") as text:
            writer = csv.writer(text)
            latencies_s = ("ttft_s", "tpot_s", "e2e_s", "queue_s")
            writer.writerow(("arrival_s", "input_tokens", "cached_tokens", "output_tokens", *latencies_s, "outcome"))
            for k in range(load.requests):
                arrival, *latencies = ("" if np.isnan(column[k]) else float(column[k]) for column in columns)
                served = not np.isnan(result.e2e_s[k])
                outcome = "served" if served else "overflow" if result.left[k] else "too long"
                tokens = (load.input_tokens[k], result.cached_tokens[k] if served else "", load.output_tokens[k])
                writer.writerow((arrival, *tokens, *latencies, outcome))
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; choose another place with --requests") from None
