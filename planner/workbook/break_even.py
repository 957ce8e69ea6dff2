"""The break-even sheet: what both sides cost over volume, and where the cheaper side changes, recomputed by formulas.

Self-hosting costs so many machines times weights that do not depend on the volume, so one array formula prices a host
at one volume. A grid of volumes shows where the cheaper side changes first and last; halving between two neighbours
finds the place. The planner searches more finely (`planner.analysis.breakeven`); its own crossings stand among the
volumes here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xlsxwriter.utility import xl_rowcol_to_cell

from planner.analysis.breakeven import VOLUME, search_volumes
from planner.analysis.compare import difference_of
from planner.cost.draws import Draws, each_at
from planner.cost.ledger import ledger, levelised_cost_usd_per_month
from planner.cost.options import ApiOption, Option, OwnOption, RentOption, rules_for
from planner.decision.plan import Plan
from planner.units import HOURS_PER_MONTH, HOURS_PER_WEEK, MONTHS_PER_YEAR, SECONDS_PER_DAY, WATTS_PER_KILOWATT
from planner.workbook.cells import Book, Look, Sheet
from planner.workbook.inputs import Inputs, Staircase, WeekCells
from planner.workbook.schedule import Block, ScheduleSheet, has_no_formula
from pricing.types import Term

Array = NDArray[np.floating[Any]]

_GRID_STEPS = 96
_HALVINGS = 34
_BESIDE = 1e-7
_MOST_SEEDS = 20
_FIRST = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakEvenCells:
    """References to the lowest and highest volume at which the cheaper side changes, and to the table for a chart."""

    lowest: str
    highest: str
    changes: str
    volumes: str
    self_hosted: str
    tokens: str


def write_break_even(
    book: Book,
    plan: Plan,
    mid: Draws,
    inputs: Inputs,
    week: WeekCells,
    stairs: dict[str, Staircase],
    schedule: ScheduleSheet,
    levelised: dict[str, str],
) -> BreakEvenCells | None:
    """The sheet, or `None` where one side has no option, or a commitment or value lines stand in the way.

    `levelised` refers to each option's USD per month at the planned volume.
    """
    options = [block.option for block in schedule.blocks]
    apis = [option for option in options if isinstance(option, ApiOption)]
    hosts = [block for block in schedule.blocks if isinstance(block.option, RentOption | OwnOption)]
    if not apis or not hosts or any(api.promises is not None for api in apis):
        return None
    pure: list[Option] = [*apis, *(block.option for block in hosts)]
    if any(has_no_formula(entry) for option in pure for entry in ledger(option, plan.frame, mid)):
        return None
    writer = _Writer(book, plan, mid, inputs, week, stairs, schedule)
    return writer.write(hosts, apis, levelised)


class _Writer:
    def __init__(
        self,
        book: Book,
        plan: Plan,
        mid: Draws,
        inputs: Inputs,
        week: WeekCells,
        stairs: dict[str, Staircase],
        schedule: ScheduleSheet,
    ) -> None:
        self.plan, self.mid, self.inputs, self.week, self.stairs, self.schedule = (
            *(plan, mid, inputs, week, stairs),
            schedule,
        )
        self.horizon = plan.frame.horizon_months
        self.sheet: Sheet = book.sheet("BreakEven", (36, 18))
        self.sheet.worksheet.set_column(1, 12, 18)
        self.weights: Sheet = book.sheet("Weights", (60, 14))
        self.weights.worksheet.set_column(1, self.horizon + 1, 14)
        self.weights.text(0, 0, "Present value in each month of what the break-even sheet counts", Look.TITLE)
        self.weights.text(1, 0, "month", Look.HEAD)
        for month in range(self.horizon + 1):
            self.weights.number(1, 1 + month, month, Look.HEAD)
        self.weights.worksheet.freeze_panes(2, 1)
        self._next_weight = 2

    def write(self, hosts: Sequence[Block], apis: Sequence[ApiOption], levelised: dict[str, str]) -> BreakEvenCells:
        sheet = self.sheet
        sheet.text(0, 0, "Break-even: levelised USD per month over volume", Look.TITLE)
        note = (
            "A difference below zero: self-hosting is cheaper. Windows narrower than two rows of the grid stay unseen."
        )
        sheet.text(1, 0, note, Look.NOTE)
        costs = [self._host(block) for block in hosts]
        per_daily_request = f"MIN({','.join(levelised[api.id] for api in apis)})/{self.inputs[VOLUME]}"
        names = [block.option.id for block in hosts]
        heads = (
            "requests per day (first month)",
            *names,
            "cheapest self-hosted",
            "cheapest API",
            "difference",
            "change",
        )
        sheet.row(_FIRST - 1, 0, heads, Look.HEAD)
        sheet.worksheet.freeze_panes(_FIRST, 1)
        grid = self._grid()
        values = self._values(grid, _hosts(hosts), apis)
        last = _FIRST + len(grid) - 1
        count = len(hosts)
        for row, volume in enumerate(grid.tolist(), start=_FIRST):
            sheet.number(row, 0, volume)
            self._evaluate(row, sheet.at(row, 0), costs, per_daily_request, values[row - _FIRST])
            if row > _FIRST:
                here, before = (f"({_local(r, count + 3)}<=0)" for r in (row, row - 1))
                now = float((values[row - _FIRST][-1] <= 0) != (values[row - _FIRST - 1][-1] <= 0))
                sheet.formula(row, count + 4, f"IF({here}<>{before},1,0)", now, Look.COUNT)
        span = sheet.span(_FIRST + 1, count + 4, last, count + 4)
        differences = np.array([row[-1] for row in values])
        places = np.flatnonzero((differences[1:] <= 0) != (differences[:-1] <= 0))
        changes = sheet.formula(3, 1, f"SUM({span})", float(places.size), Look.COUNT)
        sheet.text(3, 0, "changes of the cheaper side")
        found = []
        for row, (name, place, which) in enumerate(
            (("lowest break-even [requests/day]", 0, "first"), ("highest break-even [requests/day]", -1, "last")),
            start=4,
        ):
            pick = f"MATCH(1,{span},0)" if which == "first" else f"SUMPRODUCT(MAX({span}*(ROW({span})-{_FIRST + 1})))"
            index = int(places[place]) + 1 if places.size else 0
            start = last + 3 + (row - 4) * (_HALVINGS + 4)
            at = self._halve(start, which, pick, index, (changes, grid, costs, per_daily_request), hosts, apis)
            sheet.text(row, 0, name)
            cell, value = at
            formula = f'IF({changes}=0,"none",{cell})'
            found.append(sheet.formula(row, 1, formula, value if places.size else "none"))
        return BreakEvenCells(
            lowest=found[0],
            highest=found[1],
            changes=changes,
            volumes=sheet.span(_FIRST, 0, last, 0),
            self_hosted=sheet.span(_FIRST, count + 1, last, count + 1),
            tokens=sheet.span(_FIRST, count + 2, last, count + 2),
        )

    def _grid(self) -> Array:
        """The range that the planner searched, and both sides of the crossings it found."""
        found = self.plan.break_even
        volumes = search_volumes(self.plan.requests_per_day)
        crossings = [c.requests_per_day for c in found.crossings] if found is not None else []
        seeds = [*crossings[: _MOST_SEEDS // 2], *crossings[-_MOST_SEEDS // 2 :]]
        beside = [volume * (1 + side) for volume in seeds for side in (-_BESIDE, _BESIDE)]
        return np.unique(np.concatenate([np.geomspace(volumes[0], volumes[-1], _GRID_STEPS + 1), beside]))

    def _values(
        self, volumes: Array, hosts: Sequence[RentOption | OwnOption], apis: Sequence[ApiOption]
    ) -> list[list[float]]:
        """Each host, the cheapest host, the cheapest API and the difference at each volume, by the engine."""
        worlds = each_at(self.mid, VOLUME, volumes)
        own = [levelised_cost_usd_per_month(host, self.plan.frame, worlds) for host in hosts]
        tokens = np.min([levelised_cost_usd_per_month(api, self.plan.frame, worlds) for api in apis], axis=0)
        least = np.min(own, axis=0)
        return [list(map(float, row)) for row in zip(*own, least, tokens, least - tokens, strict=True)]

    def _evaluate(
        self, row: int, volume: str, costs: Sequence[Callable[[str], str]], per_daily_request: str, values: list[float]
    ) -> None:
        sheet, count = self.sheet, len(costs)
        local = volume.replace("BreakEven!", "")
        for column, cost in enumerate(costs, start=1):
            sheet.formula(row, column, cost(local), values[column - 1], Look.USD)
        hosts = f"{_local(row, 1)}:{_local(row, count)}"
        sheet.formula(row, count + 1, f"MIN({hosts})", values[count], Look.USD)
        sheet.formula(row, count + 2, f"{per_daily_request}*{local}", values[count + 1], Look.USD)
        minus = f"{_local(row, count + 1)}-{_local(row, count + 2)}"
        sheet.formula(row, count + 3, minus, values[count + 2], Look.USD)

    def _halve(
        self,
        start: int,
        which: str,
        pick: str,
        index: int,
        table: tuple[str, Array, Sequence[Callable[[str], str]], str],
        hosts: Sequence[Block],
        apis: Sequence[ApiOption],
    ) -> tuple[str, float]:
        """Rows that halve the bracket on a logarithmic scale; the last one's upper end is the volume."""
        sheet, count = self.sheet, len(hosts)
        changes, grid, costs, per_daily_request = table
        volumes = sheet.span(_FIRST, 0, _FIRST + len(grid) - 1, 0)
        sheet.text(start, 0, f"Halving around the {which} change", Look.SECTION)
        heads = ("middle", *("" for _ in range(count + 2)), "difference", "", "low", "high", "cheaper below")
        sheet.row(start + 1, 0, heads, Look.HEAD)
        differences = sheet.span(_FIRST, count + 3, _FIRST + len(grid) - 1, count + 3)
        low, high = (float(grid[max(index - 1, 0)]), float(grid[index])) if index else (float(grid[0]), float(grid[1]))
        at = difference_of(_hosts(hosts), apis, self.plan.frame)(self.mid)
        cheaper_below = bool(at(np.array([[low]]))[0, 0] <= 0)
        first = start + 2
        chosen = f"IF({changes}=0,1,{pick})"
        for row in range(first, first + _HALVINGS + 1):
            if row == first:
                sheet.formula(row, count + 5, f"INDEX({volumes},{chosen})", low)
                sheet.formula(row, count + 6, f"INDEX({volumes},{chosen}+1)", high)
                sheet.formula(
                    row, count + 7, f"IF(INDEX({differences},{chosen})<=0,1,0)", float(cheaper_below), Look.COUNT
                )
            else:
                middle = float(np.sqrt(low * high))
                same = bool(at(np.array([[middle]]))[0, 0] <= 0) == cheaper_below
                low, high = (middle, high) if same else (low, middle)
                above = row - 1
                is_same = f"({_local(above, count + 3)}<=0)=({_local(first, count + 7)}=1)"
                mid_cell = _local(above, 0)
                sheet.formula(row, count + 5, f"IF({is_same},{mid_cell},{_local(above, count + 5)})", low)
                sheet.formula(row, count + 6, f"IF({is_same},{_local(above, count + 6)},{mid_cell})", high)
            middle = float(np.sqrt(low * high))
            ends = f"{_local(row, count + 5)}*{_local(row, count + 6)}"
            volume = sheet.formula(row, 0, f"SQRT({ends})", middle)
            values = self._values(np.array([middle]), _hosts(hosts), apis)[0]
            self._evaluate(row, volume, costs, per_daily_request, values)
        return sheet.at(first + _HALVINGS, count + 6), high

    def _host(self, block: Block) -> Callable[[str], str]:
        """A function from the cell of a volume to the formula of the host's levelised cost there."""
        schedule, shared = self.schedule, self.schedule.shared
        discount = schedule.rows.months(shared.discount, 1, self.horizon)
        assert block.staff_cost is not None
        every_month = schedule.rows.months(shared.discount, 0, self.horizon)
        service = (
            schedule.rows.months(block.staff_cost + below, 0, self.horizon) for below in range(3)
        )  # see `HostRows`
        staff = f"SUMPRODUCT({every_month}*({'+'.join(service)}))"
        per_day = f"/{SECONDS_PER_DAY:.0f}"
        host = block.option
        assert isinstance(host, RentOption | OwnOption)
        stairs = self.stairs[host.id]
        rules = rules_for(host, self.plan.frame.rules)
        stays = isinstance(host, OwnOption) or host.offer.term is Term.RESERVED
        growth = schedule.rows.months(shared.peak_load_per_rate if stays else shared.load_per_rate, 1, self.horizon)
        if isinstance(host, RentOption):
            assert block.rent_price is not None
            price, busy = self._rented(host, block.rent_price), None
        else:
            assert block.life is not None
            price, busy = self._owned(host, block.life, stairs)
        by_hour = isinstance(host, RentOption) and rules.scale_by_hour

        def cost(volume: str) -> str:
            if by_hour:
                need = stairs.machines_for(f"({volume}{per_day}*{growth}*{stairs.week.weights})")
                paid = f"SUMPRODUCT({price}*{stairs.week.hours}*{need})/{HOURS_PER_WEEK:.0f}"
            else:
                paid = f"SUMPRODUCT({price}*{stairs.machines_for(f'({volume}{per_day}*{growth}*{self.week.peak})')})"
            power = f"+SUMPRODUCT({busy})*{volume}" if busy else ""
            return f"({paid}{power}+{staff})/SUM({discount})"

        return cost

    def _rented(self, host: RentOption, price_row: int) -> str:
        """Present value of a rented machine by month."""
        schedule, horizon = self.schedule, self.horizon
        rest = max(host.offer.min_term_months - horizon, 0)
        values = schedule.rows.values[schedule.shared.discount] * schedule.rows.values[price_row] * HOURS_PER_MONTH
        values[horizon] *= 1 + rest

        def formula(m: int) -> str:
            owed = f"*{1 + rest}" if m == horizon and rest else ""
            cells = (f"Schedule!{schedule.rows.cell(row, m)}" for row in (schedule.shared.discount, price_row))
            return f"{'*'.join(cells)}*{HOURS_PER_MONTH:.0f}{owed}"

        return self._weight_row(f"a machine rented all month: {host.id}", formula, values)

    def _owned(self, host: OwnOption, life: str, stairs: Staircase) -> tuple[str, str]:
        """Present value of a machine in service by month, and of the busy power of one request a day by month."""
        schedule, shared, horizon, inputs = self.schedule, self.schedule.shared, self.horizon, self.inputs
        price, residual, idle, loaded = (
            inputs[f"{host.id}/{field}"] for field in ("price_usd", "residual_frac", "idle_w", "loaded_w")
        )
        months, discount = (schedule.rows.months(row, 0, horizon) for row in (shared.months, shared.discount))
        resale, network = inputs["resale_frac_of_book_value"], inputs["network_frac_of_hardware"]
        installed = inputs["installation_frac_of_hardware"]

        def pv(m: int) -> str:
            return f"Schedule!{schedule.rows.cell(shared.discount, m)}"

        def bought(b: int) -> str:
            since, age = f"({months}-{b})", f"MOD({horizon - b},{life})"
            book = f"({price}-{price}*(1-{residual})/{life}*{age})"
            return (
                f"SUMPRODUCT({discount}*(MOD({since},{life})=0)*(({since}>=0)*({months}<{horizon})*{price}*(1+{network}+{installed})"
                f"-({since}>0)*{residual}*{price}))-{pv(horizon)}*({age}>0)*{resale}*{book}"
                if b < horizon
                else "0"
            )

        mid = {name: float(column[0]) for name, column in self.mid.values.items()}
        at = schedule.rows.values[shared.discount]
        cohorts = _cohort_values(host, mid, at, horizon)
        self._weight_row(f"one bought in this month, to the end: {host.id}", bought, cohorts, from_month=0)
        row = self._next_weight - 1
        power = (
            f"*{HOURS_PER_MONTH:.0f}/{WATTS_PER_KILOWATT:.0f}*{inputs['pue_ratio']}*{inputs['electricity_usd_per_kwh']}"
        )
        space = f"{loaded}/{WATTS_PER_KILOWATT:.0f}*{inputs['colocation_usd_per_kw_month']}"
        fixed = f"({idle}{power}+{space}+{price}*{inputs['support_frac_per_year']}/{MONTHS_PER_YEAR})"
        usd_per_w = HOURS_PER_MONTH / WATTS_PER_KILOWATT * mid["pue_ratio"] * mid["electricity_usd_per_kwh"]
        fixed_usd = (
            mid[f"{host.id}/idle_w"] * usd_per_w
            + mid[f"{host.id}/loaded_w"] / WATTS_PER_KILOWATT * mid["colocation_usd_per_kw_month"]
            + mid[f"{host.id}/price_usd"] * mid["support_frac_per_year"] / MONTHS_PER_YEAR
        )
        machine = self._weight_row(
            f"a machine in service: {host.id}",
            lambda m: f"{_weight_cell(row, m - 1)}-{_weight_cell(row, m)}+{pv(m)}*{fixed}",
            np.append(0.0, cohorts[:-1] - cohorts[1:]) + at * fixed_usd,
        )
        per_request = f"{stairs.busy_s_per_request}/INT({stairs.per_machine})/{SECONDS_PER_DAY:.0f}"
        watts = mid[f"{host.id}/loaded_w"] - mid[f"{host.id}/idle_w"]
        machines = host.curve.busy_s_per_request / int(mid[f"{host.id}/replicas_per_machine"]) / SECONDS_PER_DAY
        busy = self._weight_row(
            f"busy power of one request a day: {host.id}",
            lambda m: (
                f"{pv(m)}*Schedule!{schedule.rows.cell(shared.load_per_rate, m)}*{per_request}*({loaded}-{idle}){power}"
            ),
            at * schedule.rows.values[shared.load_per_rate] * machines * watts * usd_per_w,
        )
        return machine, busy

    def _weight_row(self, name: str, formula: Callable[[int], str], values: Array, from_month: int = 1) -> str:
        """One row of weights; returns the reference to months 1 to the last."""
        row = self._next_weight
        self._next_weight += 1
        self.weights.text(row, 0, name)
        for month in range(from_month, self.horizon + 1):
            self.weights.formula(row, 1 + month, formula(month), float(values[month]), Look.USD_FINE)
        return self.weights.span(row, 2, row, 1 + self.horizon)


def _cohort_values(host: OwnOption, mid: dict[str, float], discount: Array, horizon: int) -> Array:
    """Present value, at month 0, of a machine bought at the end of each month: renewed to the end, then sold."""
    price, residual = mid[f"{host.id}/price_usd"], mid[f"{host.id}/residual_frac"]
    life = max(round(mid[f"{host.id}/life_years"] * MONTHS_PER_YEAR), 1)
    values = np.zeros(horizon + 1)
    for begin in range(horizon):
        for month in range(begin, horizon + 1):
            if (month - begin) % life == 0:
                around = mid["network_frac_of_hardware"] + mid["installation_frac_of_hardware"]
                values[begin] += discount[month] * price * (1 + around) * (month < horizon)
                values[begin] -= discount[month] * residual * price * (month > begin)
        if age := (horizon - begin) % life:
            book = price - price * (1 - residual) / life * age
            values[begin] -= discount[horizon] * mid["resale_frac_of_book_value"] * book
    return values


def _hosts(blocks: Sequence[Block]) -> list[RentOption | OwnOption]:
    return [block.option for block in blocks if isinstance(block.option, RentOption | OwnOption)]


def _weight_cell(row: int, month: int) -> str:
    return str(xl_rowcol_to_cell(row, 1 + month))


def _local(row: int, column: int) -> str:
    """A cell of this sheet, as this sheet writes it."""
    return str(xl_rowcol_to_cell(row, column))
