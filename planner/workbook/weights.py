"""What one machine and one daily request weigh in present value, so that one formula prices a host at any volume."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xlsxwriter.utility import xl_rowcol_to_cell

from planner.analysis.breakeven import VOLUME
from planner.cost.options import OwnOption, RentOption, rules_for
from planner.units import HOURS_PER_MONTH, HOURS_PER_WEEK, MONTHS_PER_YEAR, SECONDS_PER_DAY, WATTS_PER_KILOWATT
from planner.workbook.capacity import Staircase
from planner.workbook.cells import Book, Look, Sheet
from planner.workbook.schedule import Block, HostRows
from planner.workbook.shared import Context
from pricing.types import Term

Array = NDArray[np.floating[Any]]


class Weights:
    """The sheet of weights: rows over the months, and sums of their present values, all after tax."""

    def __init__(self, book: Book, ctx: Context) -> None:
        self.ctx, self.horizon = ctx, ctx.rows.horizon
        self.sheet: Sheet = book.sheet("Weights", (64, 16), pages_wide=0)
        self.sheet.worksheet.set_column(1, self.horizon + 1, 16)
        self.sheet.text(0, 0, "Present value of what the break-even sheet counts, after tax", Look.TITLE)
        self.sheet.text(1, 0, "month", Look.HEAD)
        for month in range(self.horizon + 1):
            self.sheet.number(1, 1 + month, month, Look.HEAD)
        self.sheet.worksheet.freeze_panes(2, 1)
        self._next_row = 2
        self._tax = float(ctx.mid.values["tax_frac"][0])
        self.kept = f"(1-{ctx.inputs['tax_frac']})"
        self.discount_usd = ctx.rows.values[ctx.shared.discount]
        span = ctx.rows.months(ctx.shared.discount, 1, self.horizon)
        self.annuity = self._sum("levelised: divided by", f"SUM({span})", float(self.discount_usd[1:].sum()))

    def fixed(self, block: Block, rows: Sequence[int]) -> str:
        """Rows of amounts that hold whatever the volume, those that every option bears with them."""
        formula, value = self._present_value((*rows, *block.common))
        return self._sum(f"whatever the volume: {block.option.id}", formula, value)

    def per_request(self, block: Block, rows: Sequence[int], more: str = "", more_usd: float = 0.0) -> str:
        """Rows of amounts that follow the volume, for one request a day in the first month."""
        formula, value = self._present_value(rows)
        volume = float(self.ctx.mid.values[VOLUME][0])
        name = f"one request a day: {block.option.id}"
        return self._sum(name, f"({formula})/{self.ctx.inputs[VOLUME]}{more}", value / volume + more_usd)

    def host(self, block: Block) -> Callable[[str], str]:
        """A function from the cell of a volume to the formula of the host's levelised cost there."""
        ctx, host, rows = self.ctx, block.option, block.alone
        assert isinstance(host, RentOption | OwnOption)
        assert isinstance(rows, HostRows)
        stairs, rules = ctx.capacity.stairs[host.id], rules_for(host, ctx.plan.frame.rules)
        power, power_usd = "", 0.0
        if isinstance(host, RentOption):
            assert rows.rent_price is not None
            price = self._rented(host, rows.rent_price)
        else:
            assert rows.life is not None
            price = self._owned(host, rows.life)
            power, power_usd = self._busy_power(host, stairs)
        fixed = self.fixed(block, rows.service.fixed)
        each = self.per_request(block, (rows.service.egress,), power, power_usd)
        stays = isinstance(host, OwnOption) or host.offer.term is Term.RESERVED
        shared = ctx.shared
        growth = ctx.rows.months(shared.peak_load_per_rate if stays else shared.load_per_rate, 1, self.horizon)
        by_hour = isinstance(host, RentOption) and rules.scale_by_hour

        def cost(volume: str) -> str:
            rate = f"({volume}/{SECONDS_PER_DAY:.0f}*{growth}*"
            if by_hour:
                need = stairs.machines_for(f"{rate}{stairs.week.weights})")
                paid = f"SUMPRODUCT({price}*{stairs.week.hours}*{need})/{HOURS_PER_WEEK:.0f}"
            else:
                paid = f"SUMPRODUCT({price}*{stairs.machines_for(f'{rate}{ctx.workload.week.peak})')})"
            return f"({paid}+{fixed}+{each}*{volume})/{self.annuity}"

        return cost

    def _rented(self, host: RentOption, price_row: int) -> str:
        """A rented machine by month, the stand-in of a spot machine and the rest of a term included."""
        ctx, horizon = self.ctx, self.horizon
        rest = max(host.offer.min_term_months - horizon, 0) if host.offer.term is not Term.SPOT else 0
        dearer, dearer_usd = "", 1.0
        if host.offer.term is Term.SPOT:
            frac, ratio = "spot_interrupted_frac", "spot_fallback_price_ratio"
            dearer = f"*(1+{ctx.inputs[frac]}*({ctx.inputs[ratio]}-1))"
            dearer_usd = 1.0 + float(ctx.mid.values[frac][0] * (ctx.mid.values[ratio][0] - 1.0))
        values = self.discount_usd * ctx.rows.values[price_row] * HOURS_PER_MONTH * dearer_usd * (1 - self._tax)
        values[horizon] *= 1 + rest

        def formula(m: int) -> str:
            owed = f"*{1 + rest}" if m == horizon and rest else ""
            price = f"{self._at(ctx.shared.discount, m)}*{self._at(price_row, m)}"
            return f"{price}*{HOURS_PER_MONTH:.0f}{owed}{dearer}*{self.kept}"

        return self._row(f"a machine rented all month: {host.id}", formula, values)

    def _owned(self, host: OwnOption, life: str) -> str:
        """A machine in service by month: bought, renewed, sold, and what it costs idle; less the tax that it saves."""
        ctx, horizon, inputs = self.ctx, self.horizon, self.ctx.inputs
        price, residual, idle, loaded = (
            inputs[f"{host.id}/{field}"] for field in ("price_usd", "residual_frac", "idle_w", "loaded_w")
        )
        months, discount = (ctx.rows.months(row, 0, horizon) for row in (ctx.shared.months, ctx.shared.discount))
        resale = inputs["resale_frac_of_book_value"]
        around = f"({inputs['network_frac_of_hardware']}+{inputs['installation_frac_of_hardware']})"

        def bought(b: int) -> str:
            if b == horizon:
                return "0"
            since, age = f"({months}-{b})", f"MOD({horizon - b},{life})"
            book = f"({price}-{price}*(1-{residual})/{life}*{age})"
            return (
                f"SUMPRODUCT({discount}*(MOD({since},{life})=0)*(({since}>=0)*({months}<{horizon})*{price}*(1+{around})"
                f"-({since}>0)*{residual}*{price}))-{self._at(ctx.shared.discount, horizon)}*({age}>0)*{resale}*{book}"
            )

        def worn(b: int) -> str:
            if b == horizon:
                return "0"
            age = f"MOD({horizon - b},{life})"
            monthly = f"{price}*(1-{residual}+{around})/{life}"
            loss = f"(1-{resale})*({price}-{price}*(1-{residual})/{life}*{age})+{price}*{around}*(1-{age}/{life})"
            after = ctx.rows.months(ctx.shared.discount, b + 1, horizon)
            return f"SUM({after})*{monthly}+{self._at(ctx.shared.discount, horizon)}*({age}>0)*({loss})"

        cash_usd, pnl_usd = self._cohorts(host)
        cash_row = self._next_row
        self._row(f"cash of one bought in this month, to the end: {host.id}", bought, cash_usd, from_month=0)
        pnl_row = self._next_row
        self._row(f"P&L of one bought in this month, to the end: {host.id}", worn, pnl_usd, from_month=0)
        space = f"{loaded}/{WATTS_PER_KILOWATT:.0f}*{inputs['colocation_usd_per_kw_month']}"
        support = f"{price}*{inputs['support_frac_per_year']}/{MONTHS_PER_YEAR}"
        there = f"({idle}*{self._usd_per_w()[0]}+{space}+{support})"
        mid = {name: float(column[0]) for name, column in ctx.mid.values.items()}
        there_usd = (
            mid[f"{host.id}/idle_w"] * self._usd_per_w()[1]
            + mid[f"{host.id}/loaded_w"] / WATTS_PER_KILOWATT * mid["colocation_usd_per_kw_month"]
            + mid[f"{host.id}/price_usd"] * mid["support_frac_per_year"] / MONTHS_PER_YEAR
        )

        def in_service(m: int) -> str:
            cash, pnl = (f"({_local(row, m - 1)}-{_local(row, m)})" for row in (cash_row, pnl_row))
            return f"{cash}-{inputs['tax_frac']}*{pnl}+{self._at(ctx.shared.discount, m)}*{there}*{self.kept}"

        net = cash_usd - self._tax * pnl_usd
        values = np.append(0.0, net[:-1] - net[1:]) + self.discount_usd * there_usd * (1 - self._tax)
        return self._row(f"a machine in service: {host.id}", in_service, values)

    def _cohorts(self, host: OwnOption) -> tuple[Array, Array]:
        """Present value of a machine bought at the end of each month, renewed to the end, then sold: cash, P&L."""
        mid, horizon = {name: float(column[0]) for name, column in self.ctx.mid.values.items()}, self.horizon
        price, residual = mid[f"{host.id}/price_usd"], mid[f"{host.id}/residual_frac"]
        around = mid["network_frac_of_hardware"] + mid["installation_frac_of_hardware"]
        life = max(round(mid[f"{host.id}/life_years"] * MONTHS_PER_YEAR), 1)
        resale, discount = mid["resale_frac_of_book_value"], self.discount_usd
        cash, pnl = np.zeros((2, horizon + 1))
        for begin in range(horizon):
            ends = np.arange(begin, horizon + 1, life)
            cash[begin] = price * (1 + around) * discount[ends[ends < horizon]].sum()
            cash[begin] -= residual * price * discount[ends[ends > begin]].sum()
            pnl[begin] = discount[begin + 1 :].sum() * price * (1 - residual + around) / life
            if age := (horizon - begin) % life:
                book = price - price * (1 - residual) / life * age
                cash[begin] -= discount[horizon] * resale * book
                pnl[begin] += discount[horizon] * ((1 - resale) * book + price * around * (1 - age / life))
        return cash, pnl

    def _usd_per_w(self) -> tuple[str, float]:
        """A watt for a month."""
        names = ("pue_ratio", "electricity_usd_per_kwh")
        pue, price = (self.ctx.inputs[name] for name in names)
        value = np.prod([self.ctx.mid.values[name][0] for name in names]) * HOURS_PER_MONTH / WATTS_PER_KILOWATT
        return f"{HOURS_PER_MONTH:.0f}/{WATTS_PER_KILOWATT:.0f}*{pue}*{price}", float(value)

    def _busy_power(self, host: OwnOption, stairs: Staircase) -> tuple[str, float]:
        """What being busy adds to the power of one request a day, as a term of a sum."""
        inputs, rows, shared = self.ctx.inputs, self.ctx.rows, self.ctx.shared
        loads = f"SUMPRODUCT({rows.months(shared.discount, 1, self.horizon)}*"
        loads += f"{rows.months(shared.load_per_rate, 1, self.horizon)})"
        per_request = f"{stairs.busy_s_per_request}/INT({stairs.per_machine})/{SECONDS_PER_DAY:.0f}"
        watts = f"({inputs[f'{host.id}/loaded_w']}-{inputs[f'{host.id}/idle_w']})"
        mid = {name: float(column[0]) for name, column in self.ctx.mid.values.items()}
        machines = host.curve.busy_s_per_request / int(mid[f"{host.id}/replicas_per_machine"]) / SECONDS_PER_DAY
        busy_w = machines * (mid[f"{host.id}/loaded_w"] - mid[f"{host.id}/idle_w"])
        value = float(self.discount_usd[1:] @ rows.values[shared.load_per_rate][1:]) * busy_w * (1 - self._tax)
        text, usd_per_w = self._usd_per_w()
        return f"+{loads}*{per_request}*{watts}*{text}*{self.kept}", value * usd_per_w

    def _present_value(self, rows: Sequence[int]) -> tuple[str, float]:
        """Formula and value of rows of the schedule, after tax."""
        months = [self.ctx.rows.months(row, 0, self.horizon) for row in (self.ctx.shared.discount, *rows)]
        amounts = np.asarray(sum(self.ctx.rows.values[row] for row in rows))
        value = float(self.discount_usd @ amounts) * (1 - self._tax)
        return f"SUMPRODUCT({months[0]}*({'+'.join(months[1:])}))*{self.kept}", value

    def _at(self, row: int, month: int) -> str:
        return f"Schedule!{self.ctx.cell(row, month)}"

    def _sum(self, name: str, formula: str, value: float) -> str:
        self.sheet.text(self._next_row, 0, name)
        self._next_row += 1
        return self.sheet.formula(self._next_row - 1, 1, formula, value, Look.NUMBER)

    def _row(self, name: str, formula: Callable[[int], str], values: Array, from_month: int = 1) -> str:
        """One row of weights; returns the reference to months 1 to the last."""
        row = self._next_row
        self._next_row += 1
        self.sheet.text(row, 0, name)
        for month in range(from_month, self.horizon + 1):
            self.sheet.formula(row, 1 + month, formula(month), float(values[month]), Look.USD_FINE)
        return self.sheet.span(row, 2, row, 1 + self.horizon)


def _local(row: int, month: int) -> str:
    return str(xl_rowcol_to_cell(row, 1 + month))
