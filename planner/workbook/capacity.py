"""What was simulated, as tables that formulas look up: machines by request rate, and overflow by load."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.capacity.fleet import boot_hours, staffed_week, weekly_share
from planner.capacity.staircase import SpillRow
from planner.cost.draws import Draws
from planner.cost.options import HybridOption, MixOption, Option, OwnOption, RentOption, StagedOption
from planner.decision.plan import Plan
from planner.workbook.cells import Book, Look, Sheet
from planner.workbook.inputs import Inputs, WeekCells, write_week

Array = NDArray[np.floating[Any]]
Host = RentOption | OwnOption

TOLERANCE = 1e-9  # the planner's own: a rate that equals a step's limit up to rounding still fits
TINY = 1e-12
_FLEET_KEY = 1000.0  # more than the logarithm of any load
_STRAIGHT = 1e-12


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
        """Formula: whole machines at a rate [1/s] or an array of rates, as `planner.capacity.fleet.machines_needed`."""
        needed = f"-INT(-{rate}/({self.last_rate}/{self.last_replicas})*(1-{TOLERANCE}))"
        beyond = f"-INT(-({needed}+{self.spare})/INT({self.per_machine}))"
        if self.zones > 1:
            spread = _spread(f"-INT(-({needed})/INT({self.per_machine}))", self.zones)
            beyond = f"({beyond}+{spread}+ABS({beyond}-({spread})))/2"
        return (
            f"(LOOKUP({rate},{self.needs_more_than},{self.machines})+({rate}>{self.last_rate}*(1+{TOLERANCE}))*"
            f"({beyond}-{self.last_machines}))"
        )

    def held_by(self, replicas: str) -> str:
        """Formula: the rate [1/s] that so many replicas hold, as `planner.capacity.fleet.held_rate_per_s`."""
        return (
            f"IF({replicas}>{self.last_replicas},{replicas}*{self.last_rate}/{self.last_replicas},"
            f"LOOKUP({replicas},{self.replicas},{self.holds_up_to}))"
        )

    def replicas_left(self, machines: str) -> str:
        """Formula: replicas that serve while the spare ones or a zone are down, as `planner.mixes.programme`."""
        per = f"INT({self.per_machine})"
        left = f"{machines}*{per}-{self.spare}"
        if self.zones > 1:
            left = f"MIN({left},({machines}+INT(-{machines}/{self.zones}))*{per})"
        return f"MAX({left},0)"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareTable:
    """Simulated shares that leave, by fleet size and load per replica, straight in the logarithm of the load."""

    sizes: str
    last_loads: str
    keys: str
    starts: str
    slopes: str

    def share(self, load: str, replicas: str) -> str:
        """Formula: the share that so many replicas leave at a load [1/s] or at an array of loads."""
        fleet = f"MAX({replicas},1)"
        each = f"({load}/{fleet})"
        positive = f"({each}+({each}<=0))"
        size = f"MATCH({fleet},{self.sizes},1)"
        key = f"({_FLEET_KEY:.0f}*{size}+LN{positive})"
        within = f"(LOOKUP({key},{self.keys},{self.starts})+LN{positive}*LOOKUP({key},{self.keys},{self.slopes}))"
        beyond = f"(INDEX({self.last_loads},{size})/{positive})"
        served = f"(1-{within})*(1+{beyond}-ABS(1-{beyond}))/2"
        return f"(({replicas}<1)+({replicas}>=1)*(1-{served}))"


@dataclass(frozen=True, slots=True, kw_only=True)
class OverflowCells:
    """What one host leaves of an hour at a load, and of a week at a mean load."""

    hour: ShareTable
    week: ShareTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """The tables by host. `alone` are those without spare replicas, for machines of a mix that another offer spares."""

    stairs: Mapping[str, Staircase]
    alone: Mapping[str, Staircase]
    overflow: Mapping[str, OverflowCells]


def hosts_of(option: Option) -> tuple[Host, ...]:
    """The machines of an option: one kind, several in a mix of offers, none at an API."""
    match option:
        case RentOption() | OwnOption():
            return (option,)
        case HybridOption() | StagedOption():
            return (option.host,)
        case MixOption():
            return (*(pool.host for pool in option.base), *option.hourly)
    return ()


def write_capacity(book: Book, options: Sequence[Option], inputs: Inputs, plan: Plan, mid: Draws) -> Capacity:
    """How many machines each request rate needs on each host of the options, and what overflows in hybrids."""
    sheet = book.sheet("Capacity", (18, 12, 18, 12, 3), pages_wide=0)
    sheet.text(0, 0, "Capacity: simulated with the measured profile, so not recomputed here", Look.TITLE)
    sheet.text(1, 0, "Only the machines follow: replicas plus spare, at least the least, in whole machines.", Look.NOTE)
    sheet.worksheet.freeze_panes(3, 0)
    hosts = {host.id: host for option in options for host in hosts_of(option)}
    spared = {
        pool.host.id: pool.host
        for option in options
        if isinstance(option, MixOption)
        for pool in option.base
        if pool.host.id != option.spare_of
    }
    columns = iter(range(0, 7 * (len(hosts) + len(spared)), 7))
    stairs = {
        host.id: _staircase(sheet, next(columns), host, inputs, plan, mid, spares=True) for host in hosts.values()
    }
    alone = {
        host.id: _staircase(sheet, next(columns), host, inputs, plan, mid, spares=False) for host in spared.values()
    }
    overflowing = [option.host for option in options if isinstance(option, HybridOption) and option.host.curve.spill]
    return Capacity(stairs=stairs, alone=alone, overflow=_write_overflow(book, overflowing, plan))


def _staircase(
    sheet: Sheet, column: int, host: Host, inputs: Inputs, plan: Plan, mid: Draws, *, spares: bool
) -> Staircase:
    curve, rules, name = host.curve, plan.frame.rules, f"{host.id}/replicas_per_machine"
    sheet.worksheet.set_column(column, column + 5, 16)
    sheet.text(3, column, host.id if spares else f"{host.id}, its spare replicas of another offer", Look.SECTION)
    sheet.heads(4, column, ("replicas per machine", "busy seconds per request"), range(2))
    per_machine = sheet.formula(5, column, inputs[name], float(mid.values[name][0]))
    busy = sheet.number(5, column + 1, curve.busy_s_per_request)
    heads = ("needed above this rate [requests/s]", "replicas", "hold up to [requests/s]", "machines")
    sheet.heads(7, column, heads, range(4))
    limits = np.array(curve.max_requests_per_s)
    above = (0.0, TINY, *(limits[:-1] * (1 + TOLERANCE)).tolist())
    first, per = 8, int(mid.values[name][0])
    spare, least = (inputs.spare_replicas, inputs.min_replicas) if spares else ("0", "0")
    more, fewest = (rules.spare_replicas, rules.min_replicas) if spares else (0, 0)
    for row, (rate, replicas, held) in enumerate(
        zip(above, (0, *curve.replicas), (0.0, *limits.tolist()), strict=True), start=first
    ):
        sheet.number(row, column, rate)
        needed = sheet.number(row, column + 1, replicas, Look.COUNT)
        sheet.number(row, column + 2, held)
        wanted = f"MAX({needed}+{spare},{least})" if replicas else least
        machines = f"-INT(-{wanted}/INT({per_machine}))"
        if rules.zones > 1:
            machines = f"MAX({machines},{_spread(f'-INT(-{needed}/INT({per_machine}))', rules.zones)})"
        now = -(-(max(replicas + more, fewest) if replicas else fewest) // per)
        if rules.zones > 1:
            now = max(now, math.ceil(-(-replicas // per) * rules.zones / (rules.zones - 1) - TOLERANCE))
        sheet.formula(row, column + 3, machines, now, Look.COUNT)
    last = first + len(curve.replicas)
    week = staffed_week(plan.frame.week, boot_hours(curve, rules), rules.min_up_h if rules.scale_by_hour else 1)
    sheet.heads(7, column + 4, ("paid as at this rate over the week's mean", "hours of the week"), range(2))
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
        spare=spare,
        zones=rules.zones,
        week=write_week(sheet, first, column + 4, week),
    )


def _spread(machines: str, zones: int) -> str:
    """Formula: fewest machines of which so many are left without the fullest zone, as `planner.capacity.fleet`."""
    return f"-INT(-({machines}*{zones}/{zones - 1}-{TOLERANCE}))"


def _write_overflow(book: Book, hosts: Sequence[Host], plan: Plan) -> dict[str, OverflowCells]:
    """The simulated shares that leave for an API, where a hybrid is among the options."""
    if not hosts:
        return {}
    sheet = book.sheet("Overflow", (16, 18, 3, 22, 18, 18, 3), pages_wide=0)
    sheet.text(
        0, 0, "Overflow: the share of requests that leaves for the API, simulated request by request", Look.TITLE
    )
    note = "Share = start + slope * ln(requests per replica and second); beyond the last load no more is served there."
    sheet.text(1, 0, note, Look.NOTE)
    sheet.worksheet.freeze_panes(5, 0)
    found = {}
    for place, host in enumerate(hosts):
        tables = (
            [(np.array(row.requests_per_replica_s), np.array(row.spilled_frac)) for row in host.curve.spill],
            [weekly_share(row, plan.frame.week) for row in host.curve.spill],
        )
        cells = [
            _share_table(sheet, 14 * place + 7 * offset, f"{host.id}: {what}", host.curve.spill, table)
            for offset, (what, table) in enumerate(zip(("an hour", "a week at its mean load"), tables, strict=True))
        ]
        found[host.id] = OverflowCells(hour=cells[0], week=cells[1])
    return found


def _share_table(
    sheet: Sheet, column: int, title: str, rows: Sequence[SpillRow], tables: Sequence[tuple[Array, Array]]
) -> ShareTable:
    sheet.worksheet.set_column(column, column + 5, 16)
    sheet.text(3, column, title, Look.SECTION)
    sheet.heads(4, column, ("replicas from", "last load [1/s]", "", "fleet, ln of load", "start", "slope"), range(6))
    first, row = 5, 5
    for place, (fleet, (loads, shares)) in enumerate(zip(rows, tables, strict=True), start=1):
        sheet.number(first + place - 1, column, fleet.replicas, Look.COUNT)
        sheet.number(first + place - 1, column + 1, float(loads[-1]))
        for key, start, slope in _pieces(np.log(loads), shares):
            sheet.number(row, column + 3, place * _FLEET_KEY + key)
            sheet.number(row, column + 4, start)
            sheet.number(row, column + 5, slope)
            row += 1
    sizes = len(rows)
    return ShareTable(
        sizes=sheet.span(first, column, first + sizes - 1, column),
        last_loads=sheet.span(first, column + 1, first + sizes - 1, column + 1),
        keys=sheet.span(first, column + 3, row - 1, column + 3),
        starts=sheet.span(first, column + 4, row - 1, column + 4),
        slopes=sheet.span(first, column + 5, row - 1, column + 5),
    )


def _pieces(logs: Array, shares: Array) -> Iterator[tuple[float, float, float]]:
    """Where each straight piece of an interpolation begins, its value at 0 and its slope; level on both sides of it."""
    yield -_FLEET_KEY / 2, float(shares[0]), 0.0
    before = 0.0
    for place, slope in enumerate([*(np.diff(shares) / np.diff(logs)).tolist(), 0.0]):
        if abs(slope - before) > _STRAIGHT:
            yield float(logs[place]), float(shares[place] - slope * logs[place]), slope
            before = slope
