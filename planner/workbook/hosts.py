"""What machines cost, as rows of the schedule: rent, or machines bought, worn off and sold, and their power."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from planner.cost.options import OwnOption, RentOption, rules_for
from planner.cost.schedule import Entry
from planner.units import HOURS_PER_MONTH, HOURS_PER_WEEK, MONTHS_PER_YEAR, WATTS_PER_KILOWATT
from planner.workbook.capacity import Host
from planner.workbook.cells import Look
from planner.workbook.rows import FIRST_MONTH_COLUMN, Formula
from planner.workbook.service import TAKE_DOWN
from planner.workbook.shared import Context
from pricing.types import Term

_SPOT = "replaced while taken away"


def entries_of(hosts: Sequence[Host], entries: Sequence[Entry]) -> Iterator[tuple[Host, Sequence[Entry]]]:
    """The entries of each host, which stand first and in the order of the hosts."""
    begin = 0
    for host in hosts:
        end = begin + 1
        if isinstance(host, OwnOption):
            while entries[end - 1].category != "support":
                end += 1
        else:
            while entries[end].item.endswith(_SPOT) or (
                entries[end].category == "exit" and entries[end].item != TAKE_DOWN
            ):
                end += 1
        yield host, entries[begin:end]
        begin = end


def hours_of_fleet(ctx: Context, host: RentOption, serving: int | None) -> Formula:
    """Machine-hours of a fleet that follows the load: by the hour, or the peak's all month."""
    stairs, shared = ctx.capacity.stairs[host.id], ctx.shared
    by_hour = rules_for(host, ctx.plan.frame.rules).scale_by_hour

    def hours(m: int) -> str:
        factor = ctx.only_if(serving, m)
        if by_hour:
            need = stairs.machines_for(f"({ctx.cell(shared.load, m)}*{stairs.week.weights})")
            return f"SUMPRODUCT({stairs.week.hours}*{need})*{HOURS_PER_MONTH:.0f}/{HOURS_PER_WEEK:.0f}{factor}"
        at = f"({ctx.cell(shared.load, m)}*{ctx.workload.week.peak})"
        need = f"{stairs.machines_for(at)}*{HOURS_PER_MONTH:.0f}{factor}"
        if host.offer.term is Term.RESERVED and m > 1:
            return f"MAX({ctx.cell(ctx.rows.next_row, m - 1)},{need})"
        return need

    return hours


def rented(ctx: Context, option_id: str, host: RentOption, entries: Sequence[Entry], hours: Formula) -> int:
    """Rent of so many machine-hours; returns the row with the price of an hour."""
    rows, inputs, offer = ctx.rows, ctx.inputs, host.offer
    rent = entry_of(entries, "rent")
    reserved, name = offer.term is Term.RESERVED, f"{host.id}/usd_per_h"
    quantity = rows.line(option_id, rent.item, "quantity", rent.unit, rent.basis, hours, rent.quantity[0])
    price = rows.line(
        *(option_id, rent.item, "unit price", "USD/h", rent.basis),
        lambda m: inputs[name] if reserved else f"{inputs[name]}*{ctx.cell(ctx.shared.rent_drift, m)}",
        rows.from_month_1(rent.unit_price_usd[0, 1:]),
        Look.USD_FINE,
    )
    rows.money(
        *(option_id, rent.item, "cash and P&L", rent.basis),
        lambda m: f"{ctx.cell(quantity, m)}*{ctx.cell(price, m)}",
        rent.cash_usd[0],
    )
    if offer.term is Term.SPOT:
        stand_in = next(entry for entry in entries if entry.item.endswith(_SPOT))
        dearer = f"{inputs['spot_interrupted_frac']}*({inputs['spot_fallback_price_ratio']}-1)"
        rows.money(
            *(option_id, stand_in.item, "cash and P&L", stand_in.basis),
            lambda m: f"{ctx.cell(quantity, m)}*{ctx.cell(price, m)}*{dearer}",
            stand_in.cash_usd[0],
        )
    elif term := offer.min_term_months:
        owed = next((e for e in entries if e.category == "exit" and e.item != TAKE_DOWN), None)
        last, span = rows.horizon, rows.months(quantity, 1, rows.horizon)
        rows.money(
            *(option_id, f"rest of the term of {term} months: {offer.name}", "cash and P&L", rent.basis),
            lambda m: (
                f'MAX({term}-COUNTIF({span},">0"),0)*{ctx.cell(quantity, m)}*{ctx.cell(price, m)}' if m == last else "0"
            ),
            owed.cash_usd[0] if owed is not None else np.zeros(rows.horizon + 1),
        )
    return price


def machines_of_fleet(
    ctx: Context, option_id: str, host: OwnOption, entries: Sequence[Entry], serving: int | None
) -> int:
    """The row with the machines that the peak has needed so far."""
    stairs, load = ctx.capacity.stairs[host.id], ctx.shared.load

    def needed(m: int) -> str:
        at = f"({ctx.cell(load, m)}*{ctx.workload.week.peak})"
        need = f"{stairs.machines_for(at)}{ctx.only_if(serving, m)}"
        return need if m == 1 else f"MAX({ctx.cell(ctx.rows.next_row, m - 1)},{need})"

    quantity = entry_of(entries, "support").quantity[0]
    return ctx.rows.line(option_id, "machines in service", "quantity", "machines", "", needed, quantity)


def owned(
    ctx: Context, option_id: str, host: OwnOption, entries: Sequence[Entry], machines: int, served: Formula
) -> str:
    """Everything owned for a row of machines that serve a rate [1/s]; returns the cell with the life of a machine."""
    rows, shared, inputs = ctx.rows, ctx.shared, ctx.inputs
    stairs, horizon = ctx.capacity.stairs[host.id], rows.horizon
    name = {field: inputs[f"{host.id}/{field}"] for field in ("price_usd", "residual_frac", "idle_w", "loaded_w")}
    life_name = f"{host.id}/life_years"
    months = max(round(float(ctx.mid.values[life_name][0]) * MONTHS_PER_YEAR), 1)
    rows.sheet.row(rows.next_row, 0, (option_id, "life of a machine", "quantity", "months", life_name))
    life_formula = f"MAX(ROUND({inputs[life_name]}*{MONTHS_PER_YEAR},0),1)"
    life = rows.sheet.formula(rows.next_row, FIRST_MONTH_COLUMN - 1, life_formula, months, Look.COUNT)
    rows.next_row += 1
    power, space, support = (entry_of(entries, category) for category in ("power", "colocation", "support"))

    def joins(m: int) -> str:
        if m == horizon:
            return "0"
        return ctx.cell(machines, 1) if m == 0 else f"{ctx.cell(machines, m + 1)}-{ctx.cell(machines, m)}"

    joining = rows.line(
        *(option_id, "machines that join", "quantity", "machines", "", joins),
        np.append(np.diff(support.quantity[0]), 0.0),
        from_month=0,
    )
    bought = rows.line(
        *(option_id, "machines bought", "quantity", "machines", life_name),
        lambda m: (
            "0"
            if m == horizon
            else f"SUMPRODUCT({rows.months(joining, 0, m)}*(MOD({ctx.cell(shared.months, m)}-"
            f"{rows.months(shared.months, 0, m)},{life})=0))"
        ),
        entry_of(entries, "purchase").quantity[0],
        from_month=0,
    )
    asset = _Asset(host.offer.name, name["price_usd"], name["residual_frac"], inputs["resale_frac_of_book_value"])
    _asset(ctx, option_id, asset, entries, (machines, joining, bought), life)
    for what, share in (("network for", "network_frac_of_hardware"), ("installation of", INSTALLATION)):
        asset = _Asset(f"{what} {host.offer.name}", f"({name['price_usd']}*{inputs[share]})", "0", "0")
        _asset(ctx, option_id, asset, entries, (machines, joining, bought), life)
    idle, loaded = name["idle_w"], name["loaded_w"]
    kwh = rows.line(
        *(option_id, power.item, "quantity", power.unit, power.basis),
        lambda m: (
            f"({ctx.cell(machines, m)}*{idle}+MIN({served(m)}*"
            f"{stairs.busy_s_per_request}/INT({stairs.per_machine}),{ctx.cell(machines, m)})*"
            f"({loaded}-{idle}))/{WATTS_PER_KILOWATT:.0f}*{HOURS_PER_MONTH:.0f}*{inputs['pue_ratio']}"
        ),
        power.quantity[0],
    )
    per_kw = f"{loaded}/{WATTS_PER_KILOWATT:.0f}*{inputs['colocation_usd_per_kw_month']}"
    per_machine = f"{name['price_usd']}*{inputs['support_frac_per_year']}/{MONTHS_PER_YEAR}"
    for entry, quantity, price in (
        (power, kwh, inputs["electricity_usd_per_kwh"]),
        (space, machines, per_kw),
        (support, machines, per_machine),
    ):
        rows.money(
            *(option_id, f"{entry.category}: {entry.item}", "cash and P&L", entry.basis),
            lambda m, quantity=quantity, price=price: f"{ctx.cell(quantity, m)}*{price}",  # type: ignore[misc]
            entry.cash_usd[0],
        )
    return life


INSTALLATION = "installation_frac_of_hardware"


@dataclass(frozen=True, slots=True)
class _Asset:
    """Formulas for the price of a part of a machine, what is left of it at the end of its life, what a sale brings."""

    name: str
    price: str
    residual: str
    resale: str


def _asset(
    ctx: Context, option_id: str, asset: _Asset, entries: Sequence[Entry], machine_rows: tuple[int, int, int], life: str
) -> None:
    """Purchase and sale in cash, depreciation and the gain or loss at the sale in P&L."""
    rows, (machines, joining, bought) = ctx.rows, machine_rows
    horizon, all_months = rows.horizon, ctx.shared.months
    nothing = np.zeros(horizon + 1)
    found = {entry.category: entry for entry in entries if entry.item == asset.name}
    basis = found["purchase"].basis if found else INSTALLATION
    monthly = f"({asset.price}*(1-{asset.residual})/{life})"
    age = f"({horizon}-{rows.months(all_months, 0, horizon)})"
    book = f"({asset.price}-{monthly}*{age})"
    in_cohorts = rows.months(bought, 0, horizon)
    rows.money(
        *(option_id, f"purchase: {asset.name}", "cash", basis),
        lambda m: f"{ctx.cell(bought, m)}*{asset.price}",
        found["purchase"].cash_usd[0] if found else nothing,
        pnl=False,
        from_month=0,
    )
    rows.money(
        *(option_id, f"depreciation: {asset.name}", "P&L", basis),
        lambda m: f"{ctx.cell(machines, m)}*{monthly}",
        found["depreciation"].pnl_usd[0] if found else nothing,
        cash=False,
    )
    rows.money(
        *(option_id, f"sale: {asset.name}", "cash", basis),
        lambda m: (
            f"-({ctx.cell(bought, m)}-{ctx.cell(joining, m)})*{asset.residual}*{asset.price}"
            if m < horizon
            else f"-SUMPRODUCT({in_cohorts}*(({age}={life})*{asset.residual}*{asset.price}+"
            f"({age}<{life})*{asset.resale}*{book}))"
        ),
        found["resale"].cash_usd[0] if found else nothing,
        pnl=False,
    )
    rows.money(
        *(option_id, f"loss or gain at the sale: {asset.name}", "P&L", basis),
        lambda m: "0" if m < horizon else f"SUMPRODUCT({in_cohorts}*({age}<{life})*(1-{asset.resale})*{book})",
        found["resale"].pnl_usd[0] if found else nothing,
        cash=False,
    )


def entry_of(entries: Sequence[Entry], category: str) -> Entry:
    """The first entry of a category."""
    return next(entry for entry in entries if entry.category == category)
