"""What the workbook's formulas read: assumptions, traffic, capacity staircases, API prices."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.capacity.fleet import Week, boot_hours, staffed_week
from planner.capacity.staircase import CapacityCurve
from planner.cost.draws import Draws
from planner.cost.options import ApiOption, OwnOption, RentOption
from planner.cost.schedule import period_start
from planner.decision.plan import Plan
from planner.decision.wording import label
from planner.units import TOKENS_PER_MTOK
from planner.workbook.cells import Book, Look, Sheet

Array = NDArray[np.floating[Any]]

_TINY_RATE = 1e-12
_TOLERANCE = 1e-9  # the planner's own: a rate that equals a step's limit up to rounding still fits


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """References to the cells that may be changed. `values` by the name of the assumption."""

    values: Mapping[str, str]
    spare_replicas: str
    min_replicas: str

    def __getitem__(self, name: str) -> str:
        return self.values[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class WeekCells:
    """Distinct hourly weights and how many hours of the week have each, as columns; `peak` is the last weight."""

    weights: str
    hours: str
    peak: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Staircase:
    """The cells of one host's capacity table. `week` is the one that its machines are paid for, boot time included."""

    needs_more_than: str
    replicas: str
    holds_up_to: str
    machines: str
    last_rate: str
    last_replicas: str
    last_machines: str
    busy_s_per_request: str
    per_machine: str
    spare: str
    zones: int
    week: WeekCells

    def machines_for(self, rate: str) -> str:
        """Formula: whole machines at a rate [1/s] or at an array of rates, as `capacity.fleet.machines_needed`."""
        needed = f"-INT(-{rate}/({self.last_rate}/{self.last_replicas})*(1-{_TOLERANCE}))"
        beyond = f"-INT(-({needed}+{self.spare})/INT({self.per_machine}))"
        if self.zones > 1:
            spread = _spread(f"-INT(-({needed})/INT({self.per_machine}))", self.zones)
            beyond = f"({beyond}+{spread}+ABS({beyond}-({spread})))/2"
        return (
            f"(LOOKUP({rate},{self.needs_more_than},{self.machines})+({rate}>{self.last_rate}*(1+{_TOLERANCE}))*"
            f"({beyond}-{self.last_machines}))"
        )

    def held_by(self, replicas: str) -> str:
        """Formula: the rate [1/s] that so many replicas hold, as `planner.capacity.fleet.held_rate_per_s`."""
        return (
            f"IF({replicas}>{self.last_replicas},{replicas}*{self.last_rate}/{self.last_replicas},"
            f"LOOKUP({replicas},{self.replicas},{self.holds_up_to}))"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RateCells:
    """Where each kind of token of a model has its tokens and USD per request, by month 1..horizon."""

    tokens_per_request: Mapping[tuple[str, str, int], str]
    usd_per_request: Mapping[tuple[str, str, int], str]


_INPUT_COLUMNS = (
    *("assumption", "name in the scenario file", "unit", "low (P10)", "mid (best guess)", "high (P90)"),
    *("case", "own value", "value used", "source", "read on", "placeholder", "note"),
)
_FIRST = 6


def write_inputs(book: Book, plan: Plan) -> Inputs:
    """Every assumption with low, mid and high; the column "value used" is what all formulas read."""
    sheet = book.sheet("Inputs", (34, 34, 12, 12, 14, 12, 8, 12, 14, 46, 12, 12, 46))
    sheet.text(0, 0, f"Inputs: {plan.scenario.name}", Look.TITLE)
    sheet.text(
        1, 0, "Change a yellow cell and every sheet follows. Case picks low, mid or high; an own value wins.", Look.NOTE
    )
    sheet.text(2, 0, f"Currency {plan.scenario.currency}; fractions are shown as percentages.", Look.NOTE)
    sheet.row(_FIRST - 1, 0, _INPUT_COLUMNS, Look.HEAD)
    found: dict[str, str] = {}
    for row, a in enumerate(plan.assumptions, start=_FIRST):
        is_frac = "_frac" in a.name
        given, shown = (Look.INPUT_FRACTION, Look.FRACTION) if is_frac else (Look.INPUT, Look.NUMBER)
        sheet.row(row, 0, (label(a.name), a.name, a.unit))
        for column, value in enumerate((a.value.low, a.value.mid, a.value.high), start=3):
            sheet.number(row, column, value, given)
        sheet.text(row, 6, "mid", Look.INPUT_TEXT)
        sheet.worksheet.write_blank(row, 7, None, book.look(given))
        low, mid, high, case, own = (f"{c}{row + 1}" for c in "DEFGH")
        chosen = f'IF(ISNUMBER({own}),{own},IF({case}="low",{low},IF({case}="high",{high},{mid})))'
        found[a.name] = sheet.formula(row, 8, chosen, a.value.mid, shown)
        sheet.row(row, 9, (a.source, a.as_of, "yes" if a.is_placeholder else "", a.note))
    last = _FIRST + len(plan.assumptions) - 1
    sheet.worksheet.data_validation(_FIRST, 6, last, 6, {"validate": "list", "source": ["low", "mid", "high"]})
    rules, row = plan.scenario.fleet, last + 2
    sheet.text(row, 0, "Fleet rules", Look.SECTION)
    sheet.row(row + 1, 0, ("spare replicas on top of the need (N+1: 1)", "fleet.spare_replicas", "replicas"))
    spare = sheet.number(row + 1, 8, rules.spare_replicas, Look.INPUT)
    sheet.row(row + 2, 0, ("least replicas", "fleet.min_replicas", "replicas"))
    least = sheet.number(row + 2, 8, rules.min_replicas, Look.INPUT)
    sheet.row(row + 3, 0, ("machines rented by the hour follow the hour's need", "fleet.scale_by_hour", ""))
    sheet.text(row + 3, 8, "yes" if rules.scale_by_hour else "no")
    sheet.worksheet.freeze_panes(_FIRST, 2)
    sheet.worksheet.repeat_rows(_FIRST - 1)
    return Inputs(values=found, spare_replicas=spare, min_replicas=least)


def write_workload(book: Book, plan: Plan) -> WeekCells:
    """What the log holds, and the distinct hours of the week."""
    sheet = book.sheet("Workload", (40, 16, 16, 16, 16, 16), landscape=False)
    sheet.text(0, 0, "Workload", Look.TITLE)
    work, slo = plan.workload, plan.scenario.slo
    facts: Sequence[tuple[str, float | str | None]] = (
        ("request log", plan.workload_source),
        ("requests in the log", work.requests),
        ("rows left out", plan.bad_rows),
        ("time that the log covers [s]", work.span_s),
        ("requests per second in the log", work.requests_per_s),
        ("fullest minute over the mean minute", work.peak_to_mean_1min),
        ("shape of the week", f"{plan.week_name} ({plan.week_source})"),
        ("share of requests that meet the service level", slo.attainment_frac),
        ("limit on the time to first token [s]", slo.ttft_s),
        ("limit on the time per output token [s]", slo.tpot_s),
        ("limit on the whole request [s]", slo.e2e_s),
    )
    for row, (name, value) in enumerate(facts, start=2):
        sheet.text(row, 0, name)
        if isinstance(value, int | float):
            sheet.number(row, 1, value)
        else:
            sheet.text(row, 1, "not given" if value is None else value)
    row = len(facts) + 3
    sheet.row(row, 0, ("tokens of a request", "mean", "p50", "p95", "p99", "max"), Look.HEAD)
    for offset, (name, d) in enumerate((("input", work.input_tokens), ("output", work.output_tokens)), start=1):
        sheet.text(row + offset, 0, f"{name} tokens")
        for column, value in enumerate((d.mean, d.p50, d.p95, d.p99, d.max), start=1):
            sheet.number(row + offset, column, value)
    row += 5
    sheet.row(row - 1, 0, ("request rate of an hour over the week's mean", "hours of the week"), Look.HEAD)
    return _week(sheet, row, 0, plan.frame.week)


def write_capacity(
    book: Book, hosts: Sequence[RentOption | OwnOption], inputs: Inputs, plan: Plan, mid: Draws
) -> dict[str, Staircase]:
    """How many machines each request rate needs on each host: the simulated staircase, by option id."""
    sheet = book.sheet("Capacity", (18, 12, 18, 12, 3))
    sheet.text(0, 0, "Capacity: simulated with the measured profile, so not recomputed here", Look.TITLE)
    sheet.text(1, 0, "Only the machines follow: replicas plus spare, at least the least, in whole machines.", Look.NOTE)
    return {
        host.id: _staircase(sheet, 7 * place, host.id, host.curve, inputs, plan, mid)
        for place, host in enumerate(hosts)
    }


def _staircase(
    sheet: Sheet, column: int, host: str, curve: CapacityCurve, inputs: Inputs, plan: Plan, mid: Draws
) -> Staircase:
    rules, name = plan.frame.rules, f"{host}/replicas_per_machine"
    sheet.worksheet.set_column(column, column + 5, 16)
    sheet.text(3, column, host, Look.SECTION)
    sheet.row(4, column, ("replicas per machine", "busy seconds per request"), Look.HEAD)
    per_machine = sheet.formula(5, column, inputs[name], float(mid.values[name][0]))
    busy = sheet.number(5, column + 1, curve.busy_s_per_request)
    heads = ("needed above this rate [requests/s]", "replicas", "hold up to [requests/s]", "machines")
    sheet.row(7, column, heads, Look.HEAD)
    limits = np.array(curve.max_requests_per_s)
    above = (0.0, _TINY_RATE, *(limits[:-1] * (1 + _TOLERANCE)).tolist())
    first, per = 8, int(mid.values[name][0])
    for row, (rate, replicas, held) in enumerate(
        zip(above, (0, *curve.replicas), (0.0, *limits.tolist()), strict=True), start=first
    ):
        sheet.number(row, column, rate)
        needed = sheet.number(row, column + 1, replicas, Look.COUNT)
        sheet.number(row, column + 2, held)
        wanted = f"MAX({needed}+{inputs.spare_replicas},{inputs.min_replicas})" if replicas else inputs.min_replicas
        machines = f"-INT(-{wanted}/INT({per_machine}))"
        if rules.zones > 1:
            machines = f"MAX({machines},{_spread(f'-INT(-{needed}/INT({per_machine}))', rules.zones)})"
        now = -(-(max(replicas + rules.spare_replicas, rules.min_replicas) if replicas else rules.min_replicas) // per)
        if rules.zones > 1:
            now = max(now, math.ceil(-(-replicas // per) * rules.zones / (rules.zones - 1) - _TOLERANCE))
        sheet.formula(row, column + 3, machines, now, Look.COUNT)
    last = first + len(curve.replicas)
    week = staffed_week(plan.frame.week, boot_hours(curve, rules), rules.min_up_h if rules.scale_by_hour else 1)
    sheet.row(7, column + 4, ("paid as at this rate over the week's mean", "hours of the week"), Look.HEAD)
    return Staircase(
        needs_more_than=sheet.span(first, column, last, column),
        replicas=sheet.span(first, column + 1, last, column + 1),
        holds_up_to=sheet.span(first, column + 2, last, column + 2),
        machines=sheet.span(first, column + 3, last, column + 3),
        last_rate=sheet.at(last, column + 2),
        last_replicas=sheet.at(last, column + 1),
        last_machines=sheet.at(last, column + 3),
        busy_s_per_request=busy,
        per_machine=per_machine,
        spare=inputs.spare_replicas,
        zones=rules.zones,
        week=_week(sheet, first, column + 4, week),
    )


def _spread(machines: str, zones: int) -> str:
    """Formula: fewest machines of which so many are left without the fullest zone, as `planner.capacity.fleet`."""
    return f"-INT(-({machines}*{zones}/{zones - 1}-{_TOLERANCE}))"


def _week(sheet: Sheet, row: int, column: int, week: Week) -> WeekCells:
    for offset, (weight, hours) in enumerate(zip(week.weights, week.hours, strict=True)):
        sheet.number(row + offset, column, weight)
        sheet.number(row + offset, column + 1, hours, Look.COUNT)
    last = row + len(week.weights) - 1
    return WeekCells(
        weights=sheet.span(row, column, last, column),
        hours=sheet.span(row, column + 1, last, column + 1),
        peak=sheet.at(last, column),
    )


def write_prices(book: Book, plan: Plan, apis: Sequence[ApiOption], inputs: Inputs, mid: Draws) -> RateCells:
    """The price per million tokens of every model, with source and date, and what it makes of every month."""
    prices = book.sheet("Prices", (38, 38, 16, 18, 22, 60, 12))
    prices.text(0, 0, "Prices", Look.TITLE)
    note = "Price of the first month; a change here carries over to all months in proportion, announced changes stay."
    prices.text(1, 0, note, Look.NOTE)
    heads = ("model", "priced as", "kind", "USD per million", "announced changes", "source", "read on")
    prices.row(3, 0, heads, Look.HEAD)
    prices.worksheet.freeze_panes(4, 1)
    rates = book.sheet("Rates", (38, 16, 8, 10, 16))
    rates.text(0, 0, "Tokens and cost of one mean request, by model, kind and month", Look.TITLE)
    levels = apis[0].cached_levels if apis else (0.0,)
    cached = inputs["cached_input_frac"]
    weights = [
        rates.formula(2, 4 + i, _hat(cached, levels, i), w)
        for i, w in enumerate(_hats(levels, float(mid.values["cached_input_frac"][0])))
    ]
    rates.row(2, 0, ("weight of each cached share, from Inputs",), Look.NOTE)
    count = len(levels)
    shares = [f"at {level:.0%} cached" for level in levels]
    rates.row(3, 0, ("model", "kind", "month", "period"), Look.HEAD)
    rates.row(3, 4, [f"tokens per request {share}" for share in shares], Look.HEAD)
    rates.row(3, 4 + count, [f"price over the first month's {share}" for share in shares], Look.HEAD)
    rates.row(3, 4 + 2 * count, ("tokens per request", "USD per request before drift"), Look.HEAD)
    rates.worksheet.freeze_panes(4, 4)
    changes = {price.model: price for price in plan.prices}
    row, line = 4, 4
    tokens: dict[tuple[str, str, int], str] = {}
    usd: dict[tuple[str, str, int], str] = {}
    for api in apis:
        for place, kind in enumerate(api.kinds):
            per_mtok = _usd_per_mtok(api, place)
            first = _first_price(per_mtok)
            announced = changes[api.id].changes if api.id in changes else ()
            said = "; ".join(f"{c.from_month}: x {c.factor:.4g}" for c in announced)
            source, as_of = _source(api, place)
            prices.row(line, 0, (api.id, api.matched_model, kind))
            price = prices.number(line, 3, first, Look.INPUT)
            prices.row(line, 4, (said or "none", source, as_of))
            line += 1
            for month in range(1, plan.frame.horizon_months + 1):
                rates.row(row, 0, (api.id, kind))
                rates.number(row, 2, month, Look.COUNT)
                rates.month(row, 3, period_start(plan.scenario.start_month, month), Look.DATE)
                mine, ratio = api.tokens_per_request[place, :, month - 1], np.ones(count)
                if first > 0:
                    ratio = np.where(mine > 0, per_mtok[:, month - 1] / first, 1.0)
                for level in range(count):
                    rates.number(row, 4 + level, float(mine[level]))
                    rates.number(row, 4 + count + level, float(ratio[level]))
                now = np.array(_hats(levels, float(mid.values["cached_input_frac"][0])))
                amounts = [f"{w}*{rates.at(row, 4 + level)}".replace("Rates!", "") for level, w in enumerate(weights)]
                costs = [f"{a}*{rates.at(row, 4 + count + i)}".replace("Rates!", "") for i, a in enumerate(amounts)]
                key = (api.id, kind, month)
                tokens[key] = rates.formula(row, 4 + 2 * count, "+".join(amounts), float(now @ mine))
                cost = float(now @ api.usd_per_request[place, :, month - 1])
                formula = f"({'+'.join(costs)})*{price}/{TOKENS_PER_MTOK}"
                usd[key] = rates.formula(row, 5 + 2 * count, formula, cost, Look.USD_FINE)
                row += 1
    return RateCells(tokens_per_request=tokens, usd_per_request=usd)


def _usd_per_mtok(api: ApiOption, place: int) -> Array:
    tokens, usd = api.tokens_per_request[place], api.usd_per_request[place]
    return np.asarray(np.divide(usd * TOKENS_PER_MTOK, tokens, out=np.zeros_like(usd), where=tokens > 0))


def _first_price(per_mtok: Array) -> float:
    """The price of the first month, at the first cached share at which there are such tokens; 0 for a free kind."""
    return float(next((price for price in per_mtok.T.ravel() if price > 0), 0.0))


def _source(api: ApiOption, place: int) -> tuple[str, str]:
    """The layers behind a rate and the newest date in their words."""
    said = api.basis_by_month[place][0] if api.basis_by_month else f"{api.source} {api.source_url or ''}"
    dates = [word.strip(";,") for word in said.split() if len(word.strip(";,")) == 10 and word[4:5] == "-"]
    return said, max(dates, default="")


def _hats(levels: Sequence[float], at: float) -> list[float]:
    return [float(np.interp(at, levels, hat)) for hat in np.eye(len(levels))]


def _hat(cell: str, levels: Sequence[float], place: int) -> str:
    """Formula for the weight of one level in a linear interpolation; outside the levels the nearest one counts."""
    here = levels[place]
    rising = falling = "1"
    if place > 0:
        below = levels[place - 1]
        rising = f"MAX(0,({cell}-{below!r})/{here - below!r})"
    if place + 1 < len(levels):
        above = levels[place + 1]
        falling = f"MAX(0,({above!r}-{cell})/{above - here!r})"
    return f"MIN(1,{rising},{falling})"
