"""What hosting costs, as rows of the schedule: rent, or machines bought, worn off and sold, their power, and staff."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from planner.cost.draws import Draws
from planner.cost.options import OwnOption, RentOption, rules_for
from planner.cost.schedule import Entry
from planner.decision.plan import Plan
from planner.units import HOURS_PER_MONTH, HOURS_PER_WEEK, MONTHS_PER_YEAR, WATTS_PER_KILOWATT
from planner.workbook.cells import Look
from planner.workbook.inputs import Inputs, Staircase, WeekCells
from planner.workbook.rows import FIRST_MONTH_COLUMN, Rows
from planner.workbook.shared import Shared
from pricing.types import Term

SET_UP = "setting up the service"
_TAKE_DOWN = "taking the service down"


class HostRows:
    """Writes the rows of a machine that is rented or owned."""

    def __init__(
        self,
        rows: Rows,
        shared: Shared,
        plan: Plan,
        mid: Draws,
        inputs: Inputs,
        week: WeekCells,
        stairs: Mapping[str, Staircase],
    ) -> None:
        self.rows, self.shared, self.plan, self.mid = rows, shared, plan, mid
        self.inputs, self.week, self.stairs = inputs, week, stairs

    def rent(
        self,
        option_id: str,
        host: RentOption,
        entries: Sequence[Entry],
        serving: int | None,
        machines: int | None = None,
    ) -> dict[str, Any]:
        """Rent and staff; with `machines` so many run all the time, else the fleet follows the load."""
        shared, inputs, stairs = self.shared, self.inputs, self.stairs[host.id]
        offer, rules = host.offer, rules_for(host, self.plan.frame.rules)
        rent = _entry(entries, "rent")
        by_hour = machines is None and rules.scale_by_hour

        def hours(m: int) -> str:
            if machines is not None:
                return f"{self.rows.cell(machines, m)}*{HOURS_PER_MONTH:.0f}"
            factor = f"*{self.rows.cell(serving, m)}" if serving is not None else ""
            if by_hour:
                need = stairs.machines_for(f"({self.rows.cell(shared.load, m)}*{stairs.week.weights})")
                return f"SUMPRODUCT({stairs.week.hours}*{need})*{HOURS_PER_MONTH:.0f}/{HOURS_PER_WEEK:.0f}{factor}"
            at = f"{self.rows.cell(shared.load, m)}*{self.week.peak}"
            need = f"{stairs.machines_for(f'({at})')}*{HOURS_PER_MONTH:.0f}{factor}"
            if offer.term is Term.RESERVED and m > 1:
                return f"MAX({self.rows.cell(self.rows.next_row, m - 1)},{need})"
            return need

        reserved = offer.term is Term.RESERVED
        quantity = self.rows.line(option_id, rent.item, "quantity", rent.unit, rent.basis, hours, rent.quantity[0])
        name = f"{host.id}/usd_per_h"
        price = self.rows.line(
            *(option_id, rent.item, "unit price", "USD/h", rent.basis),
            lambda m: inputs[name] if reserved else f"{inputs[name]}*{self.rows.cell(shared.rent_drift, m)}",
            self.rows.from_month_1(rent.unit_price_usd[0, 1:]),
            Look.USD_FINE,
        )
        self.rows.money(
            *(option_id, rent.item, "cash and P&L", rent.basis),
            lambda m: f"{self.rows.cell(quantity, m)}*{self.rows.cell(price, m)}",
            rent.cash_usd[0],
        )
        if term := offer.min_term_months:
            owed = next((e for e in entries if e.category == "exit" and e.item != _TAKE_DOWN), None)
            last, span = self.rows.horizon, self.rows.months(quantity, 1, self.rows.horizon)
            self.rows.money(
                *(option_id, f"rest of the term of {term} months", "cash and P&L", rent.basis),
                lambda m: (
                    f'MAX({term}-COUNTIF({span},">0"),0)*{self.rows.cell(quantity, m)}*{self.rows.cell(price, m)}'
                    if m == last
                    else "0"
                ),
                owed.cash_usd[0] if owed is not None else np.zeros(self.rows.horizon + 1),
            )
        return {"rent_price": price, "staff_cost": self._staff(option_id, entries, serving)}

    def _staff(self, option_id: str, entries: Sequence[Entry], serving: int | None) -> int:
        staff, inputs = _entry(entries, "staff"), self.inputs

        def usd(m: int) -> str:
            on = f"*{self.rows.cell(serving, m)}" if serving is not None else ""
            return f"{inputs['staff_fte']}*{inputs['staff_usd_per_fte_year']}/{MONTHS_PER_YEAR}{on}"

        row = self.rows.money(option_id, "staff", "cash and P&L", staff.basis, usd, staff.cash_usd[0])
        per_month = f"{inputs['staff_usd_per_fte_year']}/{MONTHS_PER_YEAR}"
        nothing = np.zeros(self.rows.horizon + 1)
        begin = next((e for e in entries if e.item == SET_UP), None)
        end = next((e for e in entries if e.item == _TAKE_DOWN), None)

        def begins(m: int) -> str:
            effort = f"{inputs['migration_fte_months']}*{per_month}"
            if serving is None:
                return effort if m == 0 else "0"
            before = "0" if m == 0 else self.rows.cell(serving, m)
            return "0" if m == self.rows.horizon else f"({self.rows.cell(serving, m + 1)}-{before})*{effort}"

        self.rows.money(
            *(option_id, SET_UP, "cash and P&L", "migration_fte_months"),
            begins,
            begin.cash_usd[0] if begin else nothing,
            from_month=0,
        )
        self.rows.money(
            *(option_id, _TAKE_DOWN, "cash and P&L", "exit_fte_months"),
            lambda m: f"{inputs['exit_fte_months']}*{per_month}" if m == self.rows.horizon else "0",
            end.cash_usd[0] if end else nothing,
        )
        return row

    def own(
        self,
        option_id: str,
        host: OwnOption,
        entries: Sequence[Entry],
        serving: int | None,
        machines: int | None,
        load: int | None = None,
    ) -> dict[str, Any]:
        """Everything owned. Without `machines` the fleet is what the peak has needed; `load` is the rate it serves."""
        shared, inputs, stairs = self.shared, self.inputs, self.stairs[host.id]
        horizon, mid = self.rows.horizon, self.mid
        name = {field: inputs[f"{host.id}/{field}"] for field in ("price_usd", "residual_frac", "idle_w", "loaded_w")}
        if machines is None:
            support = _entry(entries, "support")

            def needed(m: int) -> str:
                on = f"*{self.rows.cell(serving, m)}" if serving is not None else ""
                need = f"{stairs.machines_for(f'({self.rows.cell(shared.load, m)}*{self.week.peak})')}{on}"
                return need if m == 1 else f"MAX({self.rows.cell(self.rows.next_row, m - 1)},{need})"

            machines = self.rows.line(
                option_id, "machines in service", "quantity", "machines", "", needed, support.quantity[0]
            )
        served = shared.load if load is None else load
        life_name = f"{host.id}/life_years"
        months = max(round(float(mid.values[life_name][0]) * MONTHS_PER_YEAR), 1)
        self.rows.sheet.row(self.rows.next_row, 0, (option_id, "life of a machine", "quantity", "months", life_name))
        life_formula = f"MAX(ROUND({inputs[life_name]}*{MONTHS_PER_YEAR},0),1)"
        life = self.rows.sheet.formula(self.rows.next_row, FIRST_MONTH_COLUMN - 1, life_formula, months, Look.COUNT)
        self.rows.next_row += 1
        joining = self.rows.line(
            *(option_id, "machines that join", "quantity", "machines", ""),
            lambda m: (
                "0"
                if m == horizon
                else self.rows.cell(machines, 1)
                if m == 0
                else _minus(self.rows.cell, machines, m + 1, m)
            ),
            np.append(np.diff(_entry(entries, "support").quantity[0]), 0.0),
            from_month=0,
        )
        bought = self.rows.line(
            *(option_id, "machines bought", "quantity", "machines", life_name),
            lambda m: (
                "0"
                if m == horizon
                else f"SUMPRODUCT({self.rows.months(joining, 0, m)}*(MOD({self.rows.cell(shared.months, m)}-"
                f"{self.rows.months(shared.months, 0, m)},{life})=0))"
            ),
            _entry(entries, "purchase").quantity[0],
            from_month=0,
        )
        hardware = _Asset(
            host.offer.name, name["price_usd"], name["residual_frac"], inputs["resale_frac_of_book_value"]
        )
        share = inputs["network_frac_of_hardware"]
        network = _Asset(f"network for {host.offer.name}", f"({name['price_usd']}*{share})", "0", "0")
        share = inputs["installation_frac_of_hardware"]
        installed = _Asset(f"installation of {host.offer.name}", f"({name['price_usd']}*{share})", "0", "0")
        is_installed = any(entry.item == installed.name for entry in entries)
        for asset in (hardware, network, *((installed,) if is_installed else ())):
            self._asset(option_id, asset, entries, machines, joining, bought, life)
        power, space, support = (_entry(entries, category) for category in ("power", "colocation", "support"))
        idle, loaded, colocation = name["idle_w"], name["loaded_w"], inputs["colocation_usd_per_kw_month"]

        def on(m: int) -> str:
            return f"*{self.rows.cell(serving, m)}" if serving is not None else ""

        kwh = self.rows.line(
            *(option_id, power.item, "quantity", power.unit, power.basis),
            lambda m: (
                f"({self.rows.cell(machines, m)}*{idle}+MIN({self.rows.cell(served, m)}{on(m)}*"
                f"{stairs.busy_s_per_request}/INT({stairs.per_machine}),{self.rows.cell(machines, m)})*"
                f"({loaded}-{idle}))/{WATTS_PER_KILOWATT:.0f}*"
                f"{HOURS_PER_MONTH:.0f}*{inputs['pue_ratio']}"
            ),
            power.quantity[0],
        )
        for entry, usd in (
            (power, lambda m: f"{self.rows.cell(kwh, m)}*{inputs['electricity_usd_per_kwh']}"),
            (
                space,
                lambda m: f"{self.rows.cell(machines, m)}*{loaded}/{WATTS_PER_KILOWATT:.0f}*{colocation}",
            ),
            (
                support,
                lambda m: (
                    f"{self.rows.cell(machines, m)}*{name['price_usd']}*"
                    f"{inputs['support_frac_per_year']}/{MONTHS_PER_YEAR}"
                ),
            ),
        ):
            item = f"{entry.category}: {entry.item}"
            self.rows.money(option_id, item, "cash and P&L", entry.basis, usd, entry.cash_usd[0])
        return {"staff_cost": self._staff(option_id, entries, serving), "life": life}

    def _asset(
        self,
        option_id: str,
        asset: "_Asset",
        entries: Sequence[Entry],
        machines: int,
        joining: int,
        bought: int,
        life: str,
    ) -> None:
        """Purchase and sale in cash, depreciation and the gain or loss at the sale in P&L."""
        horizon, all_months = self.rows.horizon, self.shared.months
        purchase, worn, sold = (
            next(e for e in entries if e.category == category and e.item == asset.name)
            for category in ("purchase", "depreciation", "resale")
        )
        monthly = f"({asset.price}*(1-{asset.residual})/{life})"
        age = f"({horizon}-{self.rows.months(all_months, 0, horizon)})"
        book = f"({asset.price}-{monthly}*{age})"
        in_cohorts = self.rows.months(bought, 0, horizon)
        self.rows.money(
            *(option_id, f"purchase: {asset.name}", "cash", purchase.basis),
            lambda m: f"{self.rows.cell(bought, m)}*{asset.price}",
            purchase.cash_usd[0],
            pnl=False,
            from_month=0,
        )
        self.rows.money(
            *(option_id, f"depreciation: {asset.name}", "P&L", worn.basis),
            lambda m: f"{self.rows.cell(machines, m)}*{monthly}",
            worn.pnl_usd[0],
            cash=False,
        )
        self.rows.money(
            *(option_id, f"sale: {asset.name}", "cash", sold.basis),
            lambda m: (
                f"-({self.rows.cell(bought, m)}-{self.rows.cell(joining, m)})*{asset.residual}*{asset.price}"
                if m < horizon
                else f"-SUMPRODUCT({in_cohorts}*(({age}={life})*{asset.residual}*{asset.price}+"
                f"({age}<{life})*{asset.resale}*{book}))"
            ),
            sold.cash_usd[0],
            pnl=False,
        )
        self.rows.money(
            *(option_id, f"loss or gain at the sale: {asset.name}", "P&L", sold.basis),
            lambda m: "0" if m < horizon else f"SUMPRODUCT({in_cohorts}*({age}<{life})*(1-{asset.resale})*{book})",
            sold.pnl_usd[0],
            cash=False,
        )


@dataclass(frozen=True, slots=True)
class _Asset:
    """Formulas for the price of a part of a machine, what is left of it at the end of its life, what a sale brings."""

    name: str
    price: str
    residual: str
    resale: str


def _entry(entries: Sequence[Entry], category: str) -> Entry:
    return next(entry for entry in entries if entry.category == category)


def _minus(cell: Callable[[int, int], str], row: int, month: int, other: int) -> str:
    return f"{cell(row, month)}-{cell(row, other)}"
