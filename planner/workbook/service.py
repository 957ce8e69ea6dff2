"""What a service of one's own costs beside its machines, and what every option bears, as rows of the schedule."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from planner.cost.schedule import Entry, pnl_usd
from planner.units import MONTHS_PER_YEAR, TOKENS_PER_MTOK
from planner.workbook.cells import Look
from planner.workbook.rows import Array, Formula
from planner.workbook.shared import Context

TAKE_DOWN = "taking the service down"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRows:
    """Rows of amounts: `fixed` whatever the traffic, `egress` in proportion to it."""

    fixed: tuple[int, ...]
    egress: int


def service(
    ctx: Context, option_id: str, entries: Sequence[Entry], serving: int | None, requests: Formula
) -> ServiceRows:
    """Staff, storage, fine-tuning, egress of so many requests a month, setting up and taking down.

    Everything stands here, what is nothing now as well, so that its input may be changed.
    """
    inputs, last = ctx.inputs, ctx.rows.horizon
    per_fte_month = f"{inputs['staff_usd_per_fte_year']}/{MONTHS_PER_YEAR}"

    def line(category: str, item: str, basis: str, formula: Formula, from_month: int = 1) -> int:
        values = _cash(entries, category, item)
        said = f"{category}: {item}"
        return ctx.rows.money(option_id, said, "cash and P&L", basis, formula, values, from_month=from_month)

    def monthly(category: str, item: str, basis: str, amount: str) -> int:
        return line(category, item, basis, lambda m: f"{amount}{ctx.only_if(serving, m)}")

    def begins(m: int) -> str:
        effort = f"{inputs['migration_fte_months']}*{per_fte_month}"
        if serving is None:
            return effort if m == 0 else "0"
        before = "0" if m == 0 else ctx.cell(serving, m)
        return "0" if m == last else f"({ctx.cell(serving, m + 1)}-{before})*{effort}"

    def ends(m: int) -> str:
        return f"{inputs['exit_fte_months']}*{per_fte_month}{ctx.only_if(serving, m)}" if m == last else "0"

    tuning = f"{inputs['fine_tuning_usd_per_year']}/{MONTHS_PER_YEAR}"
    per_request = f"{ctx.workload.output_tokens}/{TOKENS_PER_MTOK}*{inputs['egress_usd_per_mtok']}"
    staff = f"{inputs['staff_fte']}*{per_fte_month}"
    return ServiceRows(
        fixed=(
            monthly("staff", "operating the service", "staff_fte, staff_usd_per_fte_year", staff),
            monthly("storage", "weights and logs", "storage_usd_per_month", inputs["storage_usd_per_month"]),
            monthly("fine-tuning", "runs and data", "fine_tuning_usd_per_year", tuning),
            line("migration", "setting up the service", "migration_fte_months, staff_usd_per_fte_year", begins, 0),
            line("exit", TAKE_DOWN, "exit_fte_months, staff_usd_per_fte_year", ends),
        ),
        egress=line("egress", "generated tokens", "egress_usd_per_mtok", lambda m: f"{requests(m)}*{per_request}"),
    )


def common(ctx: Context, option_id: str, entries: Sequence[Entry]) -> tuple[int, ...]:
    """What every option bears whatever the traffic: testing the model in use and changing to a newer one."""
    inputs, factor = ctx.inputs, ctx.shared.newer_model
    yearly = "evaluation_usd_per_year"
    effort = f"{inputs['newer_model_fte_months']}*{inputs['staff_usd_per_fte_year']}/{MONTHS_PER_YEAR}"
    testing = ctx.rows.money(
        *(option_id, "evaluation: testing the model in use", "cash and P&L", yearly),
        lambda m: f"{inputs[yearly]}/{MONTHS_PER_YEAR}",
        _cash(entries, "evaluation", "testing the model in use"),
    )
    change = ctx.rows.money(
        *(option_id, "migration: to a newer model", "cash and P&L", "newer_model_every_months, newer_model_fte_months"),
        lambda m: "0" if m == 1 else f"({ctx.cell(factor, m)}<>{ctx.cell(factor, m - 1)})*{effort}",
        _cash(entries, "migration", "to a newer model"),
    )
    return testing, change


def taxes(ctx: Context, option_id: str, entries: Sequence[Entry]) -> None:
    """What the costs of the option save in taxes: the last of its rows, on all others."""
    borne = list(ctx.rows.pnl)
    before = ctx.rows.line(
        *(option_id, "cost borne before tax", "quantity", "USD", "the P&L rows above"),
        lambda m: "+".join(ctx.cell(row, m) for row in borne),
        pnl_usd([entry for entry in entries if entry.category != "tax"])[0],
        Look.USD,
        from_month=0,
    )
    ctx.rows.money(
        *(option_id, "tax: saved on costs", "cash and P&L", "tax_frac"),
        lambda m: f"-{ctx.inputs['tax_frac']}*{ctx.cell(before, m)}",
        _cash(entries, "tax", "saved on costs"),
        from_month=0,
    )


def _cash(entries: Sequence[Entry], category: str, item: str) -> Array:
    """The amounts of an entry; nothing where the option has no such entry."""
    nothing = np.zeros_like(entries[0].cash_usd[0])
    return next((e.cash_usd[0] for e in entries if e.category == category and e.item == item), nothing)
