"""The schedule of the workbook: every cost line of every option as a formula over the months.

The formulas are those of `planner.cost` and `planner.schedule` in a spreadsheet's words; the value that each cell
carries is the engine's. Where an option holds a commitment, those lines are values and say so.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xlsxwriter.utility import xl_col_to_name

from planner.cost import base_and_overflow, ledger
from planner.draws import Draws
from planner.options import (
    ApiOption,
    HybridOption,
    Option,
    OwnOption,
    RentOption,
    StagedOption,
    rules_for,
)
from planner.paths import newer_model_factor, requests_per_s, throughput_ratio
from planner.plan import Plan
from planner.schedule import Entry, cash_usd, period_start, pnl_usd
from planner.units import (
    DAYS_PER_MONTH,
    HOURS_PER_MONTH,
    HOURS_PER_WEEK,
    MONTHS_PER_YEAR,
    SECONDS_PER_DAY,
    TOKENS_PER_MTOK,
    WATTS_PER_KILOWATT,
)
from planner.workbook.cells import Book, Look, Sheet
from planner.workbook.inputs import Inputs, RateCells, Staircase, WeekCells
from pricing.types import Term

Array = NDArray[np.floating[Any]]
Formula = Callable[[int], str]

_FIRST_MONTH_COLUMN = 6
_HEAD_ROW = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """Rows that all options read, by their place on the sheet (counted from 0)."""

    months: int
    rate: int
    requests: int
    api_drift: int
    rent_drift: int
    discount: int
    load: int
    load_per_rate: int
    peak_load_per_rate: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Where an option's totals stand, and the rows behind the break-even sheet (None where the option has no such)."""

    option: Option
    cash: int
    pnl: int
    rent_price: int | None = None
    staff_cost: int | None = None
    life: str | None = None


_SET_UP, _TAKE_DOWN = "setting up the service", "taking the service down"
_VALUES_ONLY = ("storage", "egress", "fine-tuning", "evaluation", "migration", "tax")
_SPOT = "replaced while taken away"


class ScheduleSheet:
    """Writes the sheet option by option. `blocks` says where what stands, in the order of the plan's options; `values`
    holds the numbers of each row, months 0 to the last."""

    def __init__(
        self,
        book: Book,
        plan: Plan,
        mid: Draws,
        inputs: Inputs,
        week: WeekCells,
        stairs: Mapping[str, Staircase],
        rates: RateCells,
    ) -> None:
        self.plan, self.mid, self.inputs, self.week, self.stairs, self.rates = plan, mid, inputs, week, stairs, rates
        self.horizon = plan.frame.horizon_months
        self.sheet: Sheet = book.sheet("Schedule", (30, 34, 15, 15, 30, 15, 13))
        self.sheet.worksheet.set_column(_FIRST_MONTH_COLUMN, _FIRST_MONTH_COLUMN + self.horizon, 13)
        self._row = 0
        self._cash: list[int] = []
        self._pnl: list[int] = []
        self.values: dict[int, Array] = {}
        self.shared = self._head()
        by_id = {option.id: option for option in plan.modelled}
        self.blocks = [self._block(by_id[result.id]) for result in plan.options]

    def cell(self, row: int, month: int) -> str:
        """A cell of this sheet, as this sheet writes it."""
        return f"{xl_col_to_name(_FIRST_MONTH_COLUMN + month)}{row + 1}"

    def months(self, row: int, first: int, last: int) -> str:
        """Absolute reference to months `first` to `last` of a row, from any sheet."""
        return self.sheet.span(row, _FIRST_MONTH_COLUMN + first, row, _FIRST_MONTH_COLUMN + last)

    def _head(self) -> Shared:
        sheet, inputs = self.sheet, self.inputs
        sheet.text(0, 0, "Schedule", Look.TITLE)
        note = "Month 0 is paid before the first month, everything else at the end of its month. A month has 730 hours."
        sheet.text(1, 0, note, Look.NOTE)
        sheet.row(_HEAD_ROW, 0, ("option", "item", "row", "unit", "rests on", "total"), Look.HEAD)
        self._row = _HEAD_ROW + 1
        for month in range(self.horizon + 1):
            first_day = period_start(self.plan.scenario.start_month, month)
            sheet.month(_HEAD_ROW, _FIRST_MONTH_COLUMN + month, first_day)
        sheet.worksheet.freeze_panes(_HEAD_ROW + 2, 2)
        sheet.worksheet.repeat_rows(_HEAD_ROW, _HEAD_ROW + 1)
        count = np.arange(self.horizon + 1.0)
        growth = 1.0 + float(self.mid.values["growth_frac_per_month"][0])
        years = (count - 1) / MONTHS_PER_YEAR

        def drifted(name: str) -> Array:
            return np.asarray((1.0 + float(self.mid.values[name][0])) ** years)

        def drift(name: str) -> Formula:
            return lambda m: f"(1+{inputs[name]})^(({self.cell(months, m)}-1)/{MONTHS_PER_YEAR})"

        months = self._line("shared", "month", "", "", "", None, count, Look.COUNT)
        index = self._line(
            *("shared", "traffic over the first month's", "", "1", "growth_frac_per_month"),
            lambda m: f"(1+{inputs['growth_frac_per_month']})^({self.cell(months, m)}-1)",
            self._from_month_1(growth ** (count[1:] - 1)),
        )
        mean = requests_per_s(self.mid, self.plan.frame)[0]
        rate = self._line(
            *("shared", "mean request rate", "", "1/s", "requests_per_day"),
            lambda m: f"{inputs['requests_per_day']}/{SECONDS_PER_DAY:.0f}*{self.cell(index, m)}",
            self._from_month_1(mean),
        )
        requests = self._line(
            *("shared", "requests", "", "1/month", "requests_per_day"),
            lambda m: f"{self.cell(rate, m)}*{SECONDS_PER_DAY:.0f}*{HOURS_PER_MONTH:.0f}/24",
            self._from_month_1(mean * SECONDS_PER_DAY * DAYS_PER_MONTH),
        )
        gain, every = "newer_model_gain_frac_per_year", "newer_model_every_months"
        newer = newer_model_factor(self.mid, self.plan.frame)[0]

        def switched(m: int) -> str:
            step = f"MAX(ROUND({inputs[every]},0),1)"
            return f"(1-{inputs[gain]})^(INT(({self.cell(months, m)}-1)/{step})*{step}/{MONTHS_PER_YEAR})"

        factor = self._line(
            *("shared", "cost of the same work with newer models", "", "1", f"{gain}, {every}"),
            switched,
            self._from_month_1(newer),
        )
        over = f"/{inputs['throughput_ratio']}" if "throughput_ratio" in inputs.values else ""
        ratio = float(self.mid.values["throughput_ratio"][0]) if over else 1.0
        per_rate = growth ** (count[1:] - 1) * newer / ratio
        load_per_rate = self._line(
            *("shared", "load of one's own machines per request/s of the first month", "", "1", "throughput_ratio"),
            lambda m: f"{self.cell(index, m)}*{self.cell(factor, m)}{over}",
            self._from_month_1(per_rate),
        )
        peak = self._line(
            *("shared", "highest so far", "", "1", "machines owned or reserved stay"),
            lambda m: (
                self.cell(load_per_rate, m)
                if m == 1
                else f"MAX({self.cell(self._row, m - 1)},{self.cell(load_per_rate, m)})"
            ),
            self._from_month_1(np.maximum.accumulate(per_rate)),
        )
        load = self._line(
            *("shared", "load of one's own machines", "", "1/s", "requests_per_day, throughput_ratio"),
            lambda m: f"{self.cell(rate, m)}*{self.cell(factor, m)}{over}",
            self._from_month_1(mean * newer / ratio),
        )
        api_name, rent_name = "api_price_drift_frac_per_year", "rental_price_drift_frac_per_year"
        api = self._line(
            *("shared", "API prices over announced ones", "", "1", api_name),
            lambda m: f"{drift(api_name)(m)}*{self.cell(factor, m)}",
            self._from_month_1(drifted(api_name)[1:] * newer),
        )
        rent = self._line(
            *("shared", "rental prices over today's", "", "1", rent_name),
            drift(rent_name),
            self._from_month_1(drifted(rent_name)[1:]),
        )
        yearly = "discount_rate_frac_per_year"
        discount = self._line(
            *("shared", "present value of 1", "", "1", yearly),
            lambda m: f"(1+{inputs[yearly]})^(-{self.cell(months, m)}/{MONTHS_PER_YEAR})",
            (1.0 + float(self.mid.values[yearly][0])) ** (-count / MONTHS_PER_YEAR),
            from_month=0,
        )
        return Shared(
            months=months,
            rate=rate,
            requests=requests,
            api_drift=api,
            rent_drift=rent,
            discount=discount,
            load=load,
            load_per_rate=load_per_rate,
            peak_load_per_rate=peak,
        )

    def _block(self, option: Option) -> Block:
        self._row += 1
        self.sheet.text(self._row, 0, f"{option.kind}: {option.id}", Look.SECTION)
        for column in range(1, _FIRST_MONTH_COLUMN + self.horizon + 1):
            self.sheet.text(self._row, column, "", Look.SECTION)
        self._row += 1
        self._cash, self._pnl = [], []
        entries = ledger(option, self.plan.frame, self.mid)
        extra: dict[str, Any] = {}
        match option:
            case ApiOption():
                self._api(option.id, option, entries, self.cell, self.shared.requests)
            case RentOption():
                extra = self._rent(option.id, option, entries, None)
            case OwnOption():
                extra = self._own(option.id, option, entries, None, None)
            case HybridOption():
                self._hybrid(option, entries)
            case StagedOption():
                self._staged(option, entries)
        known = () if self._cash else entries
        self._as_values(option.id, known or [entry for entry in entries if has_no_formula(entry)])
        cash = self._total(option.id, "cash", self._cash, cash_usd(entries)[0])
        pnl = self._total(option.id, "P&L", self._pnl, pnl_usd(entries)[0])
        return Block(option=option, cash=cash, pnl=pnl, **extra)

    # --- options -----------------------------------------------------------------------------------------------------

    def _api(
        self, option_id: str, api: ApiOption, entries: Sequence[Entry], cell: Callable[[int, int], str], requests: int
    ) -> None:
        """`requests` is the row with the requests that go to the API."""
        mine = [entry for entry in entries if entry.category == "API"]
        for kind, entry in zip(api.kinds, mine, strict=True):

            def tokens(m: int, kind: str = kind) -> str:
                per_request = self.rates.tokens_per_request[api.id, kind, m]
                return f"{cell(requests, m)}*{per_request}/{TOKENS_PER_MTOK}"

            def usd(m: int, kind: str = kind) -> str:
                per_request = self.rates.usd_per_request[api.id, kind, m]
                return f"{cell(requests, m)}*{per_request}*{cell(self.shared.api_drift, m)}"

            self._line(option_id, entry.item, "quantity", entry.unit, entry.basis, tokens, entry.quantity[0])
            self._money(option_id, entry.item, "cash and P&L", entry.basis, usd, entry.cash_usd[0])
        self._as_values(option_id, [entry for entry in entries if entry.category == "commitment"])

    def _as_values(self, option_id: str, entries: Sequence[Entry]) -> None:
        """Entries that follow rules which the workbook does not know."""
        for entry in entries:
            said = f"value, not recomputed: {entry.basis}"
            self._money(option_id, entry.item, "cash", said, None, entry.cash_usd[0], pnl=False)
            self._money(option_id, entry.item, "P&L", said, None, entry.pnl_usd[0], cash=False)

    def _rent(
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
                return f"{self.cell(machines, m)}*{HOURS_PER_MONTH:.0f}"
            factor = f"*{self.cell(serving, m)}" if serving is not None else ""
            if by_hour:
                need = stairs.machines_for(f"({self.cell(shared.load, m)}*{stairs.week.weights})")
                return f"SUMPRODUCT({stairs.week.hours}*{need})*{HOURS_PER_MONTH:.0f}/{HOURS_PER_WEEK:.0f}{factor}"
            at = f"{self.cell(shared.load, m)}*{self.week.peak}"
            need = f"{stairs.machines_for(f'({at})')}*{HOURS_PER_MONTH:.0f}{factor}"
            if offer.term is Term.RESERVED and m > 1:
                return f"MAX({self.cell(self._row, m - 1)},{need})"
            return need

        reserved = offer.term is Term.RESERVED
        quantity = self._line(option_id, rent.item, "quantity", rent.unit, rent.basis, hours, rent.quantity[0])
        name = f"{host.id}/usd_per_h"
        price = self._line(
            *(option_id, rent.item, "unit price", "USD/h", rent.basis),
            lambda m: inputs[name] if reserved else f"{inputs[name]}*{self.cell(shared.rent_drift, m)}",
            self._from_month_1(rent.unit_price_usd[0, 1:]),
            Look.USD_FINE,
        )
        self._money(
            *(option_id, rent.item, "cash and P&L", rent.basis),
            lambda m: f"{self.cell(quantity, m)}*{self.cell(price, m)}",
            rent.cash_usd[0],
        )
        if term := offer.min_term_months:
            owed = next((e for e in entries if e.category == "exit" and e.item != _TAKE_DOWN), None)
            last, span = self.horizon, self.months(quantity, 1, self.horizon)
            self._money(
                *(option_id, f"rest of the term of {term} months", "cash and P&L", rent.basis),
                lambda m: (
                    f'MAX({term}-COUNTIF({span},">0"),0)*{self.cell(quantity, m)}*{self.cell(price, m)}'
                    if m == last
                    else "0"
                ),
                owed.cash_usd[0] if owed is not None else np.zeros(self.horizon + 1),
            )
        return {"rent_price": price, "staff_cost": self._staff(option_id, entries, serving)}

    def _staff(self, option_id: str, entries: Sequence[Entry], serving: int | None) -> int:
        staff, inputs = _entry(entries, "staff"), self.inputs

        def usd(m: int) -> str:
            on = f"*{self.cell(serving, m)}" if serving is not None else ""
            return f"{inputs['staff_fte']}*{inputs['staff_usd_per_fte_year']}/{MONTHS_PER_YEAR}{on}"

        row = self._money(option_id, "staff", "cash and P&L", staff.basis, usd, staff.cash_usd[0])
        per_month = f"{inputs['staff_usd_per_fte_year']}/{MONTHS_PER_YEAR}"
        nothing = np.zeros(self.horizon + 1)
        begin = next((e for e in entries if e.item == _SET_UP), None)
        end = next((e for e in entries if e.item == _TAKE_DOWN), None)

        def begins(m: int) -> str:
            effort = f"{inputs['migration_fte_months']}*{per_month}"
            if serving is None:
                return effort if m == 0 else "0"
            before = "0" if m == 0 else self.cell(serving, m)
            return "0" if m == self.horizon else f"({self.cell(serving, m + 1)}-{before})*{effort}"

        self._money(
            *(option_id, _SET_UP, "cash and P&L", "migration_fte_months"),
            begins,
            begin.cash_usd[0] if begin else nothing,
            from_month=0,
        )
        self._money(
            *(option_id, _TAKE_DOWN, "cash and P&L", "exit_fte_months"),
            lambda m: f"{inputs['exit_fte_months']}*{per_month}" if m == self.horizon else "0",
            end.cash_usd[0] if end else nothing,
        )
        return row

    def _own(
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
        horizon, mid = self.horizon, self.mid
        name = {field: inputs[f"{host.id}/{field}"] for field in ("price_usd", "residual_frac", "idle_w", "loaded_w")}
        if machines is None:
            support = _entry(entries, "support")

            def needed(m: int) -> str:
                on = f"*{self.cell(serving, m)}" if serving is not None else ""
                need = f"{stairs.machines_for(f'({self.cell(shared.load, m)}*{self.week.peak})')}{on}"
                return need if m == 1 else f"MAX({self.cell(self._row, m - 1)},{need})"

            machines = self._line(
                option_id, "machines in service", "quantity", "machines", "", needed, support.quantity[0]
            )
        served = shared.load if load is None else load
        life_name = f"{host.id}/life_years"
        months = max(round(float(mid.values[life_name][0]) * MONTHS_PER_YEAR), 1)
        self.sheet.row(self._row, 0, (option_id, "life of a machine", "quantity", "months", life_name))
        life_formula = f"MAX(ROUND({inputs[life_name]}*{MONTHS_PER_YEAR},0),1)"
        life = self.sheet.formula(self._row, _FIRST_MONTH_COLUMN - 1, life_formula, months, Look.COUNT)
        self._row += 1
        joining = self._line(
            *(option_id, "machines that join", "quantity", "machines", ""),
            lambda m: (
                "0" if m == horizon else self.cell(machines, 1) if m == 0 else _minus(self.cell, machines, m + 1, m)
            ),
            np.append(np.diff(_entry(entries, "support").quantity[0]), 0.0),
            from_month=0,
        )
        bought = self._line(
            *(option_id, "machines bought", "quantity", "machines", life_name),
            lambda m: (
                "0"
                if m == horizon
                else f"SUMPRODUCT({self.months(joining, 0, m)}*(MOD({self.cell(shared.months, m)}-"
                f"{self.months(shared.months, 0, m)},{life})=0))"
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
            return f"*{self.cell(serving, m)}" if serving is not None else ""

        kwh = self._line(
            *(option_id, power.item, "quantity", power.unit, power.basis),
            lambda m: (
                f"({self.cell(machines, m)}*{idle}+MIN({self.cell(served, m)}{on(m)}*{stairs.busy_s_per_request}/"
                f"INT({stairs.per_machine}),{self.cell(machines, m)})*({loaded}-{idle}))/{WATTS_PER_KILOWATT:.0f}*"
                f"{HOURS_PER_MONTH:.0f}*{inputs['pue_ratio']}"
            ),
            power.quantity[0],
        )
        for entry, usd in (
            (power, lambda m: f"{self.cell(kwh, m)}*{inputs['electricity_usd_per_kwh']}"),
            (
                space,
                lambda m: f"{self.cell(machines, m)}*{loaded}/{WATTS_PER_KILOWATT:.0f}*{colocation}",
            ),
            (
                support,
                lambda m: (
                    f"{self.cell(machines, m)}*{name['price_usd']}*{inputs['support_frac_per_year']}/{MONTHS_PER_YEAR}"
                ),
            ),
        ):
            item = f"{entry.category}: {entry.item}"
            self._money(option_id, item, "cash and P&L", entry.basis, usd, entry.cash_usd[0])
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
        horizon, all_months = self.horizon, self.shared.months
        purchase, worn, sold = (
            next(e for e in entries if e.category == category and e.item == asset.name)
            for category in ("purchase", "depreciation", "resale")
        )
        monthly = f"({asset.price}*(1-{asset.residual})/{life})"
        age = f"({horizon}-{self.months(all_months, 0, horizon)})"
        book = f"({asset.price}-{monthly}*{age})"
        in_cohorts = self.months(bought, 0, horizon)
        self._money(
            *(option_id, f"purchase: {asset.name}", "cash", purchase.basis),
            lambda m: f"{self.cell(bought, m)}*{asset.price}",
            purchase.cash_usd[0],
            pnl=False,
            from_month=0,
        )
        self._money(
            *(option_id, f"depreciation: {asset.name}", "P&L", worn.basis),
            lambda m: f"{self.cell(machines, m)}*{monthly}",
            worn.pnl_usd[0],
            cash=False,
        )
        self._money(
            *(option_id, f"sale: {asset.name}", "cash", sold.basis),
            lambda m: (
                f"-({self.cell(bought, m)}-{self.cell(joining, m)})*{asset.residual}*{asset.price}"
                if m < horizon
                else f"-SUMPRODUCT({in_cohorts}*(({age}={life})*{asset.residual}*{asset.price}+"
                f"({age}<{life})*{asset.resale}*{book}))"
            ),
            sold.cash_usd[0],
            pnl=False,
        )
        self._money(
            *(option_id, f"loss or gain at the sale: {asset.name}", "P&L", sold.basis),
            lambda m: "0" if m < horizon else f"SUMPRODUCT({in_cohorts}*({age}<{life})*(1-{asset.resale})*{book})",
            sold.pnl_usd[0],
            cash=False,
        )

    def _hybrid(self, option: HybridOption, entries: Sequence[Entry]) -> None:
        host, stairs, shared = option.host, self.stairs[option.host.id], self.shared
        frame = self.plan.frame
        count = self._parameter(option.id, "machines of the base", "machines", option.machines)
        machines = self._line(
            *(option.id, "machines in service", "quantity", "machines", "the cheapest number at the mid of all inputs"),
            lambda m: count,
            self._from_month_1(np.full(self.horizon, float(option.machines))),
        )
        replicas = f"({count}*INT({stairs.per_machine}))"
        share = base_and_overflow(option, frame, self.mid)[0]

        def above(m: int) -> str:
            load = self.cell(shared.load, m)
            spill = f"({load}*{self.week.weights}-{stairs.held_by(replicas)})"
            return f"SUMPRODUCT(({spill}>0)*{spill}*{self.week.hours})/{HOURS_PER_WEEK:.0f}/{load}"

        simulated = bool(host.curve.spill)
        overflow = self._line(
            *(option.id, "share of the requests that goes to the API", "quantity", "1"),
            "simulated, not recomputed: change it by hand" if simulated else "what exceeds the machines in each hour",
            None if simulated else above,
            self._from_month_1(share),
            Look.INPUT if simulated else Look.NUMBER,
        )
        rate = requests_per_s(self.mid, frame)[0]
        requests = self._line(
            *(option.id, "requests that go to the API", "quantity", "1/month", ""),
            lambda m: f"{self.cell(shared.requests, m)}*{self.cell(overflow, m)}",
            self._from_month_1(rate * share * SECONDS_PER_DAY * DAYS_PER_MONTH),
        )
        if isinstance(host, RentOption):
            self._rent(option.id, host, entries, None, machines)
        else:
            ratio = throughput_ratio(self.mid, frame)[0]
            load = self._line(
                *(option.id, "load of the machines", "quantity", "1/s", "throughput_ratio"),
                lambda m: f"{self.cell(shared.load, m)}*(1-{self.cell(overflow, m)})",
                self._from_month_1(rate * (1.0 - share) / ratio),
            )
            self._own(option.id, host, entries, None, machines, load)
        self._api(option.id, option.api, entries, self.cell, requests)

    def _staged(self, option: StagedOption, entries: Sequence[Entry]) -> None:
        months = self._parameter(option.id, "months with tokens before the machines", "months", option.api_months)
        count = np.arange(1, self.horizon + 1)
        serving = self._line(
            *(option.id, "machines serve", "quantity", "1 or 0", "the cheapest month at the mid of all inputs"),
            lambda m: f"IF({self.cell(self.shared.months, m)}>{months},1,0)",
            self._from_month_1((count > option.api_months) * 1.0),
        )
        rate = requests_per_s(self.mid, self.plan.frame)[0]
        requests = self._line(
            *(option.id, "requests that go to the API", "quantity", "1/month", ""),
            lambda m: f"{self.cell(self.shared.requests, m)}*(1-{self.cell(serving, m)})",
            self._from_month_1(rate * (count <= option.api_months) * SECONDS_PER_DAY * DAYS_PER_MONTH),
        )
        if isinstance(option.host, RentOption):
            self._rent(option.id, option.host, entries, serving)
        else:
            self._own(option.id, option.host, entries, serving, None)
        self._api(option.id, option.api, entries, self.cell, requests)

    # --- rows --------------------------------------------------------------------------------------------------------

    def _parameter(self, option_id: str, item: str, unit: str, value: float) -> str:
        self.sheet.row(self._row, 0, (option_id, item, "input", unit))
        cell = self.sheet.number(self._row, _FIRST_MONTH_COLUMN - 1, value, Look.INPUT)
        self._row += 1
        return cell

    def _line(
        self,
        option_id: str,
        item: str,
        what: str,
        unit: str,
        basis: str,
        formula: Formula | None,
        values: Array,
        look: Look = Look.NUMBER,
        from_month: int = 1,
    ) -> int:
        """One row over the months; `values` has one number per month 0..horizon. Returns its place."""
        row = self._row
        self.values[row] = np.array(values)
        self.sheet.row(row, 0, (option_id, item, what, unit, basis))
        for month in range(from_month if formula else 0, self.horizon + 1):
            column, value = _FIRST_MONTH_COLUMN + month, float(values[month])
            if formula is None:
                self.sheet.number(row, column, value, look)
            else:
                self.sheet.formula(row, column, formula(month), value, look)
        self._row += 1
        return row

    def _money(
        self,
        option_id: str,
        item: str,
        what: str,
        basis: str,
        formula: Formula | None,
        values: Array,
        *,
        cash: bool = True,
        pnl: bool = True,
        from_month: int = 1,
    ) -> int:
        """A row of amounts that counts as cash, as P&L or as both, with its total over the life."""
        row = self._line(option_id, item, what, "USD", basis, formula, values, Look.USD, from_month)
        self._sum(row, float(values.sum()), Look.USD)
        self._cash += [row] if cash else []
        self._pnl += [row] if pnl else []
        return row

    def _total(self, option_id: str, what: str, rows: Sequence[int], values: Array) -> int:
        row = self._line(
            *(option_id, f"total {what}", what, "USD", ""),
            lambda m: "+".join(self.cell(row, m) for row in rows),
            values,
            Look.USD_TOTAL,
            0,
        )
        self._sum(row, float(values.sum()), Look.USD_TOTAL)
        return row

    def _sum(self, row: int, value: float, look: Look) -> None:
        first, last = self.cell(row, 0), self.cell(row, self.horizon)
        self.sheet.formula(row, _FIRST_MONTH_COLUMN - 1, f"SUM({first}:{last})", value, look)

    def _from_month_1(self, values: Array) -> Array:
        return np.concatenate([[0.0], values])


@dataclass(frozen=True, slots=True)
class _Asset:
    """Formulas for the price of a part of a machine, what is left of it at the end of its life, what a sale brings."""

    name: str
    price: str
    residual: str
    resale: str


def has_no_formula(entry: Entry) -> bool:
    """Lines that most scenarios do not have, or that are paid once: written as values beside those with formulas."""
    listed = entry.category in _VALUES_ONLY and entry.item != _SET_UP
    return listed or entry.item.endswith(_SPOT)


def _entry(entries: Sequence[Entry], category: str) -> Entry:
    return next(entry for entry in entries if entry.category == category)


def _minus(cell: Callable[[int, int], str], row: int, month: int, other: int) -> str:
    return f"{cell(row, month)}-{cell(row, other)}"
