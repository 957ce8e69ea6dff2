"""A mix of offers as rows of the schedule: a base that runs all the time, and machines that come and go with the hours.

How many machines of each offer there are is the planner's choice for the inputs as planned: yellow cells. What they
hold, what is missing in each hour and what all of it costs are formulas.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from planner.cost.mix import base_of, hourly_week
from planner.cost.options import MixOption, OwnOption, RentOption
from planner.cost.schedule import Entry
from planner.units import HOURS_PER_MONTH, HOURS_PER_WEEK
from planner.workbook.capacity import TINY, TOLERANCE, Staircase
from planner.workbook.cells import Book, Look
from planner.workbook.hosts import entries_of, owned, rented
from planner.workbook.inputs import write_week
from planner.workbook.rows import Formula
from planner.workbook.service import service
from planner.workbook.shared import Context


def write_mix(book: Book, ctx: Context, option: MixOption, entries: Sequence[Entry]) -> None:
    """All rows of the option but those that every option bears."""
    rows, shared = ctx.rows, ctx.shared
    hosts = [*(pool.host for pool in option.base), *option.hourly]
    mine = {host.id: part for host, part in entries_of(hosts, entries)}
    counts, held, in_all = _base(ctx, option)
    load = base_of(option, ctx.plan.frame, ctx.mid).load_per_s[0]
    week = ctx.workload.week
    served = rows.line(
        *(option.id, "load that the base serves", "quantity", "1/s", "each hour taken as even"),
        lambda m: (
            f"SUMPRODUCT(({ctx.cell(shared.load, m)}*{week.weights}+{ctx.cell(in_all, m)}"
            f"-ABS({ctx.cell(shared.load, m)}*{week.weights}-{ctx.cell(in_all, m)}))/2*{week.hours})"
            f"/{HOURS_PER_WEEK:.0f}"
        ),
        rows.from_month_1(load),
    )
    for pool in option.base:
        host, count = pool.host, counts[pool.host.id]
        if isinstance(host, OwnOption):
            owned(ctx, option.id, host, mine[host.id], count, _share_of(ctx, served, held[host.id], in_all))
        else:
            rented(ctx, option.id, host, mine[host.id], _all_month(ctx, count))
    if option.hourly:
        hours = _hourly(book, ctx, option, in_all)
        for follows in option.hourly:
            rented(ctx, option.id, follows, mine[follows.id], hours[follows.id])
    service(ctx, option.id, entries, None, lambda m: ctx.cell(shared.requests, m))


def _share_of(ctx: Context, served: int, held: int, in_all: int) -> Formula:
    return lambda m: f"IF({ctx.cell(in_all, m)}>0,{ctx.cell(served, m)}*{ctx.cell(held, m)}/{ctx.cell(in_all, m)},0)"


def _all_month(ctx: Context, count: int) -> Formula:
    return lambda m: f"{ctx.cell(count, m)}*{HOURS_PER_MONTH:.0f}"


def _stairs(ctx: Context, option: MixOption, host: RentOption | OwnOption) -> Staircase:
    """Only one offer keeps the spare replicas of a mix."""
    return (ctx.capacity.stairs if host.id == option.spare_of else ctx.capacity.alone)[host.id]


def _base(ctx: Context, option: MixOption) -> tuple[Mapping[str, int], Mapping[str, int], int]:
    """Rows with the machines of each pool and the rate that they hold, and one with the rate of all together."""
    rows, shared = ctx.rows, ctx.shared
    base = base_of(option, ctx.plan.frame, ctx.mid)
    counts: dict[str, int] = {}
    held: dict[str, int] = {}
    pools = list(zip(option.base, base.planned, base.machines, base.replicas, base.held_per_s, strict=True))
    grows = None if option.hourly else option.base[0].host.id
    for pool, plans, machines, replicas, holds in [*pools[1:], *pools[:1]]:  # the first grows where the others lack
        host, stairs = pool.host, _stairs(ctx, option, pool.host)
        planned = rows.line(
            *(option.id, f"machines planned: {host.id}", "quantity", "machines", "the cheapest mix, inputs as planned"),
            None,
            rows.from_month_1(plans[0]),
            Look.INPUT_COUNT,
        )
        counts[host.id] = planned
        if host.id == grows:
            others = tuple(held.values())

            def needed(
                m: int, stairs: Staircase = stairs, planned: int = planned, others: Sequence[int] = others
            ) -> str:
                peak = f"{ctx.cell(shared.load, m)}*{ctx.workload.week.peak}"
                left = f"MAX({'-'.join([peak, *(ctx.cell(row, m) for row in others)])},0)"
                before = "" if m == 1 else f",{ctx.cell(rows.next_row, m - 1)}"
                return f"MAX({ctx.cell(planned, m)},{stairs.machines_for(left)}{before})"

            counts[host.id] = rows.line(
                *(option.id, f"machines in service: {host.id}", "quantity", "machines", "planned, or what is missing"),
                needed,
                rows.from_month_1(machines[0]),
            )
        count = counts[host.id]
        left = rows.line(
            *(option.id, f"replicas that may be counted on: {host.id}", "quantity", "replicas", "spare ones down"),
            lambda m, count=count, stairs=stairs: stairs.replicas_left(ctx.cell(count, m)),  # type: ignore[misc]
            rows.from_month_1(replicas[0]),
        )
        held[host.id] = rows.line(
            *(option.id, f"rate that they hold: {host.id}", "quantity", "1/s", ""),
            lambda m, left=left, stairs=stairs: stairs.held_by(ctx.cell(left, m)),  # type: ignore[misc]
            rows.from_month_1(holds[0]),
        )
    each = tuple(held.values())
    in_all = rows.line(
        *(option.id, "rate that the base holds", "quantity", "1/s", ""),
        lambda m: "+".join(ctx.cell(row, m) for row in each) or "0",
        rows.from_month_1(np.asarray(sum((h[0] for h in base.held_per_s), np.zeros(rows.horizon)))),
    )
    return counts, held, in_all


def _hourly(book: Book, ctx: Context, option: MixOption, in_all: int) -> dict[str, Formula]:
    """Machine-hours of each hourly offer: its machines on the step that the load above the base asks for."""
    sheet = book.sheet("Mix", (22, 18, 18))
    sheet.text(0, 0, f"Hourly machines above the base: {option.id}", Look.TITLE)
    note = "The cheapest replicas for each rate above the base, inputs as planned; the machines follow."
    sheet.text(1, 0, note, Look.NOTE)
    names = [host.id for host in option.hourly]
    heads = ("from this rate above the base [1/s]", "hold up to [1/s]", *(f"replicas: {name}" for name in names))
    heads += tuple(f"machines: {name}" for name in names)
    sheet.heads(3, 0, heads, range(len(heads)))
    sheet.worksheet.freeze_panes(4, 0)
    first, last, width = 4, 3 + len(option.steps), len(names)
    sheet.worksheet.set_column(2, 4 + 2 * width, 18)
    for place, step in enumerate(option.steps):
        row = first + place
        key = -1 / TINY if place == 0 else option.steps[place - 1].held_per_s * (1 + TOLERANCE) + TINY
        sheet.number(row, 0, key)
        sheet.number(row, 1, step.held_per_s)
        for column, (host, replicas) in enumerate(zip(option.hourly, step.replicas, strict=True), start=2):
            per = int(ctx.mid.values[f"{host.id}/replicas_per_machine"][0])
            cell = sheet.number(row, column, replicas, Look.INPUT_COUNT)
            formula = f"-INT(-{cell}/INT({ctx.capacity.stairs[host.id].per_machine}))"
            sheet.formula(row, column + width, formula, float(-(-replicas // per)), Look.COUNT)
    column = 3 + 2 * width
    sheet.heads(3, column, ("paid as at this rate over the week's mean", "hours of the week"), range(2))
    week = write_week(sheet, first, column, hourly_week(option.hourly, ctx.plan.frame))
    keys, top = sheet.span(first, 0, last, 0), sheet.at(last, 1)

    def hours(machines: str) -> Formula:
        def formula(m: int) -> str:
            load, base = ctx.cell(ctx.shared.load, m), ctx.cell(in_all, m)
            above = f"({load}*{week.weights}-{base}*(1+{TOLERANCE}))"
            beyond = f"MAX({load}*{week.peak}/({base}+{top}),1)"
            week_sum = f"SUMPRODUCT({week.hours}*LOOKUP({above},{keys},{machines}))"
            return f"{week_sum}*{beyond}*{HOURS_PER_MONTH:.0f}/{HOURS_PER_WEEK:.0f}"

        return formula

    return {
        name: hours(sheet.span(first, 2 + width + place, last, 2 + width + place)) for place, name in enumerate(names)
    }
