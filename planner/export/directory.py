"""The plan directory: the same plan gives the same bytes, whoever runs it and when."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, astuple, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson

from planner.analysis.breakeven import BreakEven
from planner.cells import EXCEL, EXCEL_SEMICOLON, MACHINE, Flavour, csv_bytes
from planner.decision.audit import Audit, audit
from planner.decision.frontier import points_of
from planner.decision.plan import FleetSize, FrontierPoint, HybridSize, OptionResult, Plan
from planner.errors import InputError
from planner.export.focus import COLUMNS as FOCUS_COLUMNS
from planner.export.focus import focus_rows
from planner.export.report import render_report
from planner.export.report_pdf import PDF_FILE
from planner.scenario.toml_file import dump_scenario
from planner.version import VERSION
from planner.workbook import WORKBOOK_FILE, workbook_xlsx
from pricing.lockfile import lock_text

SCHEMA_VERSION = 1
VERDICT_FILE, REPORT_FILE, MANIFEST_FILE = "verdict.json", "report.html", "manifest.json"
PRICE_LOCK_FILE = "prices.lock.json"

_COST_COLUMNS = (
    *("option", "option_kind", "month", "period_start", "category", "item", "quantity", "unit"),
    *("unit_price_usd", "cash_usd", "pnl_usd", "currency", "basis"),
)
_HOUR_COLUMNS = (
    *("option", "hour_of_week", "requests_per_s", "arriving_per_s", "needed_replicas", "paid_replicas"),
    *("utilisation_frac", "attained_frac", "overflow_frac", "missed_frac", "no_shares"),
)
_LATENCIES = ("ttft", "tpot", "e2e")
_SHARES = ("p50", "p95", "p99")
_LATENCY_COLUMNS = (
    *("option", "option_kind", "slo_factor", "ttft_limit_s", "tpot_limit_s", "e2e_limit_s", "machines"),
    *("usd_per_month", *(f"{name}_{share}_s" for name in _LATENCIES for share in _SHARES)),
    *("unserved_frac", "on_ttft_frontier", "on_tpot_frontier", "basis", "missing"),
)
_ASSUMPTION_COLUMNS = ("name", "low", "mid", "high", "unit", "source", "as_of", "placeholder", "note")


def plan_files(plan: Plan, report_to_pdf: Callable[[bytes], bytes | None] | None = None) -> dict[str, bytes]:
    """Every file of the plan directory by name; `manifest.json` holds the hashes of the inputs and of the others.

    `report_to_pdf` prints the report, where it can; see `planner.export.report_pdf`. A browser of its own does that
    while the other files are made.
    """
    report = render_report(plan).encode()
    with ThreadPoolExecutor(max_workers=1) as aside:
        printing = None if report_to_pdf is None else aside.submit(report_to_pdf, report)
        files = _made_here(plan, report)
        printed = None if printing is None else printing.result()
    if printed is not None:
        files[PDF_FILE] = printed
    if plan.price_lock is not None:
        files[PRICE_LOCK_FILE] = lock_text(plan.price_lock).encode()
    return {**files, MANIFEST_FILE: _json(_manifest(plan, files))}


def _made_here(plan: Plan, report: bytes) -> dict[str, bytes]:
    return {
        VERDICT_FILE: _json(verdict_document(plan)),
        "costs.csv": costs_csv(plan),
        "costs_excel.csv": costs_csv(plan, EXCEL),
        "costs_excel_semicolon.csv": costs_csv(plan, EXCEL_SEMICOLON),
        "assumptions.csv": assumptions_csv(plan),
        "hourly.csv": hourly_csv(plan),
        "latency.csv": latency_csv(plan),
        "focus.csv": focus_csv(plan),
        WORKBOOK_FILE: workbook_xlsx(plan),
        REPORT_FILE: report,
    }


def write_plan(
    plan: Plan, directory: Path, report_to_pdf: Callable[[bytes], bytes | None] | None = None
) -> tuple[Path, ...]:
    """Write the plan directory; a PDF of an earlier report does not stay. Raises `InputError` where it cannot."""
    paths = []
    files = plan_files(plan, report_to_pdf)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if PDF_FILE not in files:
            (directory / PDF_FILE).unlink(missing_ok=True)
        for name, content in files.items():
            paths.append(directory / name)
            paths[-1].write_bytes(content)
    except OSError as error:
        raise InputError(f"cannot write the plan to {directory}: {error.strerror}; choose another --out") from None
    return tuple(paths)


def verdict_document(plan: Plan) -> dict[str, Any]:
    """The content of `verdict.json`: all headline numbers, unrounded, and the words made from them."""
    scenario = plan.scenario
    return {
        "schema_version": SCHEMA_VERSION,
        "tool_version": VERSION,
        "scenario": scenario.name,
        "currency": scenario.currency,
        "start_month": scenario.start_month,
        "horizon_months": scenario.horizon_months,
        "headline": plan.verdict.headline,
        "verdict": plan.verdict.paragraph,
        "points": [{"about": point.about, "says": point.says} for point in plan.verdict.points],
        "cautions": plan.verdict.cautions,
        "requests_per_day": plan.requests_per_day,
        "workload": {**asdict(plan.workload), "source": plan.workload_source, "bad_rows": plan.bad_rows},
        "week_shape": {"name": plan.week_name, "source": plan.week_source},
        "slo": asdict(scenario.slo),
        "options": [_option(option) for option in plan.options],
        "excluded": [asdict(excluded) for excluded in plan.excluded],
        "questions": plan.questions,
        "break_even": plan.break_even and _break_even(plan.break_even),
        "break_even_views": plan.break_even_views and asdict(plan.break_even_views),
        "matrix": [asdict(row) for row in plan.matrix],
        "frontier": plan.frontier and asdict(plan.frontier),
        "sensitivity": [{**asdict(bar), "swing_usd_per_month": bar.swing_usd_per_month} for bar in plan.sensitivity],
        "risk": asdict(plan.risk),
        "audit": [asdict(_named(audit(plan, option))) for option in plan.options],
        "assumptions": [asdict(assumption) for assumption in plan.assumptions],
        "prices": [asdict(price) for price in plan.prices],
    }


def costs_csv(plan: Plan, flavour: Flavour = MACHINE) -> bytes:
    """One row per line of the schedule: UTF-8, LF, decimal point, ISO dates, units in the column names."""
    return csv_bytes(
        _COST_COLUMNS,
        (
            (
                *(line.option, str(option.kind), line.month, line.period_start, line.category, line.item),
                *(line.quantity, line.unit, line.unit_price_usd, line.cash_usd, line.pnl_usd),
                *(plan.scenario.currency, line.basis),
            )
            for option in plan.options
            for line in option.lines
        ),
        flavour,
    )


def assumptions_csv(plan: Plan) -> bytes:
    """One row per assumption with its range, source and date; `placeholder` is true or false."""
    return csv_bytes(
        _ASSUMPTION_COLUMNS,
        (
            (
                *(a.name, a.value.low, a.value.mid, a.value.high, a.unit, a.source, a.as_of),
                *(a.is_placeholder, a.note),
            )
            for a in plan.assumptions
        ),
    )


def hourly_csv(plan: Plan) -> bytes:
    """The week of every option with machines of its own in the first month; hour 0 is Monday 00:00.

    The three shares of the requests are empty where `no_shares` says why.
    """
    return csv_bytes(
        _HOUR_COLUMNS,
        (
            (
                *(option.id, hour.hour_of_week, hour.requests_per_s, hour.arriving_per_s),
                *(hour.needed_replicas, hour.paid_replicas, hour.utilisation_frac),
                *(astuple(hour.shares) if hour.shares else (None, None, None)),
                hour.no_shares,
            )
            for option in plan.options
            if option.week is not None
            for hour in option.week.hours
        ),
    )


def latency_csv(plan: Plan) -> bytes:
    """What the requests of every option take, and what they would under tighter and looser limits."""
    return csv_bytes(_LATENCY_COLUMNS, map(_latency_row, points_of(plan)))


def _latency_row(point: FrontierPoint) -> tuple[object, ...]:
    slo, took = point.slo, point.latency
    limits = (slo.ttft_s, slo.tpot_s, slo.e2e_s) if slo else (None, None, None)
    times = (took.ttft_s, took.tpot_s, took.e2e_s)
    return (
        *(point.option, str(point.kind), point.slo_factor, *limits, point.machines, point.usd_per_month),
        *(None if time is None else getattr(time, share) for time in times for share in _SHARES),
        *(took.unserved_frac, point.on_ttft_frontier, point.on_tpot_frontier, took.basis, took.missing),
    )


def focus_csv(plan: Plan) -> bytes:
    """The schedule in the shape of FOCUS 1.2: see `planner.export.focus`."""
    return csv_bytes(FOCUS_COLUMNS, focus_rows(plan))


def _named(unfolded: Audit) -> Audit:
    """The assumptions stand once for the whole plan, under "assumptions"; the lines name them."""
    return replace(unfolded, assumptions=())


def _option(option: OptionResult) -> dict[str, Any]:
    return {
        "id": option.id,
        "kind": option.kind,
        "levelised_usd_per_month": option.levelised_usd_per_month,
        "first_month_usd": option.first_month_usd,
        "npv_usd": option.npv_usd,
        "cash_total_usd": option.cash_total_usd,
        "pnl_total_usd": option.pnl_total_usd,
        "usd_per_mtok": option.usd_per_mtok,
        "usd_per_mtok_input": option.usd_per_mtok_input,
        "usd_per_mtok_output": option.usd_per_mtok_output,
        "cash_by_month_usd": option.cash_by_month_usd,
        "pnl_by_month_usd": option.pnl_by_month_usd,
        "fleet": option.fleet and _fleet(option.fleet),
        "investment": option.investment and asdict(option.investment),
        "hybrid": option.hybrid and _hybrid(option.hybrid),
        "staged": option.staged and asdict(option.staged),
        "mix": [asdict(pool) for pool in option.mix],
        "latency": asdict(option.latency),
    }


def _fleet(fleet: FleetSize) -> dict[str, Any]:
    return {
        "profile": fleet.profile,
        "replicas_per_machine": fleet.replicas_per_machine,
        "peak_machines": fleet.peak_machines,
        "peak_replicas": fleet.week.peak_replicas,
        "replica_hours_per_week": fleet.week.replica_hours_per_week,
        "utilisation_frac": fleet.week.utilisation_frac,
        "requests_outside_hull_frac": fleet.curve.requests_outside_hull_frac,
        "simulated_replicas": fleet.curve.replicas,
        "simulated_max_requests_per_s": fleet.curve.max_requests_per_s,
        "beyond_simulated": fleet.beyond_simulated,
        "shares": fleet.week.shares and asdict(fleet.week.shares),
    }


def _hybrid(hybrid: HybridSize) -> dict[str, Any]:
    return {
        "host": hybrid.host,
        "api": hybrid.api,
        "machines": hybrid.machines,
        "overflow_frac": hybrid.overflow_frac,
        "shares": hybrid.week.shares and asdict(hybrid.week.shares),
    }


def _break_even(found: BreakEven) -> dict[str, Any]:
    return {
        "crossings": [asdict(crossing) for crossing in found.crossings],
        "always_cheaper": found.always_cheaper,
        "low_requests_per_day": found.low,
        "high_requests_per_day": found.high,
        "searched_from_requests_per_day": found.searched_from,
        "searched_to_requests_per_day": found.searched_to,
        "closest": found.closest and asdict(found.closest),
        "cases": found.worlds,
        "cases_without_break_even": found.worlds_without,
    }


def _manifest(plan: Plan, files: dict[str, bytes]) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "versions": {name: version(name) for name in ("breakeven", "genai-prices", "numpy", "plotly", "xlsxwriter")},
        "scenario_sha256": _sha256(dump_scenario(plan.scenario).encode()),
        "price_lock": plan.price_lock
        and {
            "file": PRICE_LOCK_FILE,
            "created_on": plan.price_lock.created_on,
            "sha256": _sha256(files[PRICE_LOCK_FILE]),
        },
        "inputs": [asdict(file) for file in plan.files],
        "outputs": {name: _sha256(content) for name, content in files.items()},
    }


def _json(document: dict[str, Any]) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
