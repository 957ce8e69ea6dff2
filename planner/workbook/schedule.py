"""The schedule of the workbook: every cost line of every option as a formula over the months.

The formulas are those of `planner.cost.ledger` and `planner.cost.schedule` in a spreadsheet's words; the value that
each cell carries is the engine's. Where an option holds a commitment, those lines are values and say so.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from planner.cost.draws import Draws
from planner.cost.ledger import base_and_overflow, ledger
from planner.cost.options import ApiOption, HybridOption, Option, OwnOption, RentOption, StagedOption
from planner.cost.paths import requests_per_s, throughput_ratio
from planner.cost.schedule import Entry, cash_usd, pnl_usd
from planner.decision.plan import Plan
from planner.units import DAYS_PER_MONTH, HOURS_PER_WEEK, SECONDS_PER_DAY, TOKENS_PER_MTOK
from planner.workbook.cells import Book, Look
from planner.workbook.hosts import SET_UP, HostRows
from planner.workbook.inputs import Inputs, RateCells, Staircase, WeekCells
from planner.workbook.rows import FIRST_MONTH_COLUMN, Rows
from planner.workbook.shared import write_shared

_VALUES_ONLY = ("storage", "egress", "fine-tuning", "evaluation", "migration", "tax")
_SPOT = "replaced while taken away"


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Where an option's totals stand, and the rows behind the break-even sheet (None where the option has no such)."""

    option: Option
    cash: int
    pnl: int
    rent_price: int | None = None
    staff_cost: int | None = None
    life: str | None = None


class ScheduleSheet:
    """Writes the sheet option by option. `blocks` says where what stands, in the order of the plan's options."""

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
        self.plan, self.mid, self.week, self.stairs, self.rates = plan, mid, week, stairs, rates
        horizon = plan.frame.horizon_months
        sheet = book.sheet("Schedule", (30, 34, 15, 15, 30, 15, 13))
        sheet.worksheet.set_column(FIRST_MONTH_COLUMN, FIRST_MONTH_COLUMN + horizon, 13)
        self.rows = Rows(sheet, horizon)
        self.shared = write_shared(self.rows, plan, mid, inputs)
        self.hosts = HostRows(self.rows, self.shared, plan, mid, inputs, week, stairs)
        by_id = {option.id: option for option in plan.modelled}
        self.blocks = [self._block(by_id[result.id]) for result in plan.options]

    def _block(self, option: Option) -> Block:
        self.rows.next_row += 1
        self.rows.sheet.text(self.rows.next_row, 0, f"{option.kind}: {option.id}", Look.SECTION)
        for column in range(1, FIRST_MONTH_COLUMN + self.rows.horizon + 1):
            self.rows.sheet.text(self.rows.next_row, column, "", Look.SECTION)
        self.rows.next_row += 1
        self.rows.cash, self.rows.pnl = [], []
        entries = ledger(option, self.plan.frame, self.mid)
        extra: dict[str, Any] = {}
        match option:
            case ApiOption():
                self._api(option.id, option, entries, self.rows.cell, self.shared.requests)
            case RentOption():
                extra = self.hosts.rent(option.id, option, entries, None)
            case OwnOption():
                extra = self.hosts.own(option.id, option, entries, None, None)
            case HybridOption():
                self._hybrid(option, entries)
            case StagedOption():
                self._staged(option, entries)
        known = () if self.rows.cash else entries
        self.rows.as_values(option.id, known or [entry for entry in entries if has_no_formula(entry)])
        cash = self.rows.total(option.id, "cash", self.rows.cash, cash_usd(entries)[0])
        pnl = self.rows.total(option.id, "P&L", self.rows.pnl, pnl_usd(entries)[0])
        return Block(option=option, cash=cash, pnl=pnl, **extra)

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

            self.rows.line(option_id, entry.item, "quantity", entry.unit, entry.basis, tokens, entry.quantity[0])
            self.rows.money(option_id, entry.item, "cash and P&L", entry.basis, usd, entry.cash_usd[0])
        self.rows.as_values(option_id, [entry for entry in entries if entry.category == "commitment"])

    def _hybrid(self, option: HybridOption, entries: Sequence[Entry]) -> None:
        host, stairs, shared = option.host, self.stairs[option.host.id], self.shared
        frame = self.plan.frame
        count = self.rows.parameter(option.id, "machines of the base", "machines", option.machines)
        machines = self.rows.line(
            *(option.id, "machines in service", "quantity", "machines", "the cheapest number at the mid of all inputs"),
            lambda m: count,
            self.rows.from_month_1(np.full(self.rows.horizon, float(option.machines))),
        )
        replicas = f"({count}*INT({stairs.per_machine}))"
        share = base_and_overflow(option, frame, self.mid)[0]

        def above(m: int) -> str:
            load = self.rows.cell(shared.load, m)
            spill = f"({load}*{self.week.weights}-{stairs.held_by(replicas)})"
            return f"SUMPRODUCT(({spill}>0)*{spill}*{self.week.hours})/{HOURS_PER_WEEK:.0f}/{load}"

        simulated = bool(host.curve.spill)
        overflow = self.rows.line(
            *(option.id, "share of the requests that goes to the API", "quantity", "1"),
            "simulated, not recomputed: change it by hand" if simulated else "what exceeds the machines in each hour",
            None if simulated else above,
            self.rows.from_month_1(share),
            Look.INPUT if simulated else Look.NUMBER,
        )
        rate = requests_per_s(self.mid, frame)[0]
        requests = self.rows.line(
            *(option.id, "requests that go to the API", "quantity", "1/month", ""),
            lambda m: f"{self.rows.cell(shared.requests, m)}*{self.rows.cell(overflow, m)}",
            self.rows.from_month_1(rate * share * SECONDS_PER_DAY * DAYS_PER_MONTH),
        )
        if isinstance(host, RentOption):
            self.hosts.rent(option.id, host, entries, None, machines)
        else:
            ratio = throughput_ratio(self.mid, frame)[0]
            load = self.rows.line(
                *(option.id, "load of the machines", "quantity", "1/s", "throughput_ratio"),
                lambda m: f"{self.rows.cell(shared.load, m)}*(1-{self.rows.cell(overflow, m)})",
                self.rows.from_month_1(rate * (1.0 - share) / ratio),
            )
            self.hosts.own(option.id, host, entries, None, machines, load)
        self._api(option.id, option.api, entries, self.rows.cell, requests)

    def _staged(self, option: StagedOption, entries: Sequence[Entry]) -> None:
        months = self.rows.parameter(option.id, "months with tokens before the machines", "months", option.api_months)
        count = np.arange(1, self.rows.horizon + 1)
        serving = self.rows.line(
            *(option.id, "machines serve", "quantity", "1 or 0", "the cheapest month at the mid of all inputs"),
            lambda m: f"IF({self.rows.cell(self.shared.months, m)}>{months},1,0)",
            self.rows.from_month_1((count > option.api_months) * 1.0),
        )
        rate = requests_per_s(self.mid, self.plan.frame)[0]
        requests = self.rows.line(
            *(option.id, "requests that go to the API", "quantity", "1/month", ""),
            lambda m: f"{self.rows.cell(self.shared.requests, m)}*(1-{self.rows.cell(serving, m)})",
            self.rows.from_month_1(rate * (count <= option.api_months) * SECONDS_PER_DAY * DAYS_PER_MONTH),
        )
        if isinstance(option.host, RentOption):
            self.hosts.rent(option.id, option.host, entries, serving)
        else:
            self.hosts.own(option.id, option.host, entries, serving, None)
        self._api(option.id, option.api, entries, self.rows.cell, requests)


def has_no_formula(entry: Entry) -> bool:
    """Lines that most scenarios do not have, or that are paid once: written as values beside those with formulas."""
    listed = entry.category in _VALUES_ONLY and entry.item != SET_UP
    return listed or entry.item.endswith(_SPOT)
