"""What a reader of a plan should know before relying on it, one sentence each."""

from collections.abc import Iterator

from planner.cost.options import OptionKind
from planner.decision.plan import Plan
from planner.decision.wording import cards, label, length, volume
from planner.profile import Profile
from planner.units import SECONDS_PER_HOUR
from pricing.operations import NOT_COUNTED

_SMALL_LOG_S = 7 * 24 * SECONDS_PER_HOUR
_FAR_START_YEARS = 10


def cautions(plan: Plan) -> Iterator[str]:
    """All of them, the weightiest kinds first."""
    span_s = plan.workload.span_s
    if span_s < _SMALL_LOG_S:
        yield (
            f"The log covers {length(span_s)} and can carry no claim about days: that its rate holds around the "
            f'clock and that the week has the shape "{plan.week_name}" ({plan.week_source}) are assumptions.'
        )
    if plan.bad_rows:
        yield f"{plan.bad_rows} rows of the log could not be used and were left out."
    yield from _start_cautions(plan)
    yield from _capacity_cautions(plan)
    if plan.options and plan.options[0].kind in (OptionKind.HYBRID, OptionKind.STAGED):
        yield "The mix answers with two models: check that users may get either, and that both may see the data."
    for price in plan.prices:
        for change in price.changes:
            yield f"{price.model} changes its price in {change.from_month}: {change.factor:.2f} times the month before."
    placeholders = [label(a.name) for a in plan.assumptions if a.is_placeholder]
    if placeholders:
        yield (
            "Placeholders, without a good primary source or a date; replace them by your own, dated figures: "
            f"{', '.join(placeholders)}."
        )
    nothing = [label(a.name) for a in plan.assumptions if a.source == NOT_COUNTED and a.value.high == 0.0]
    if nothing:
        yield f"Counted as nothing until the scenario states them: {', '.join(nothing)}."
    yield from plan.questions
    for excluded in plan.excluded:
        yield f"{excluded.id} is out: {excluded.reason}."


def _start_cautions(plan: Plan) -> Iterator[str]:
    """Held against the newest date in the assumptions, so that the same plan says the same on any day."""
    newest = max((a.as_of[:7] for a in plan.assumptions if a.as_of), default=None)
    start = plan.scenario.start_month
    if newest is None:
        return
    if start < newest:
        yield f"The plan starts in {start}, before the newest of its figures ({newest}): it is a look back."
    elif int(start[:4]) - int(newest[:4]) > _FAR_START_YEARS:
        yield (
            f"The plan starts in {start}, more than {_FAR_START_YEARS} years after the newest of its figures "
            f"({newest}): no price of today says anything about then."
        )


def _capacity_cautions(plan: Plan) -> Iterator[str]:
    fleets = [option.fleet for option in plan.options if option.fleet is not None]
    for key in sorted({fleet.profile for fleet in fleets}):
        mine = [fleet for fleet in fleets if fleet.profile == key]
        curve, host = mine[0].curve, plan.profiles[key].host
        cores = f"{host.cpu_model} with {host.cpu_cores} cores" if host.cpu_cores else "a host that nobody named"
        yield (
            f"The replica was measured on {cores}{cards(host.accelerators)}; how many of it an offered machine "
            "carries is an assumption (replicas per machine)."
        )
        yield from _foreign(key, plan.profiles[key])
        fleet = plan.scenario.fleet
        if fleet.scale_by_hour and fleet.boot_s is None and curve.load_time_s is None:
            yield f"Nobody measured how long {key} takes to load: replicas are taken to boot at once; set `boot_s`."
        if curve.requests_outside_hull_frac > 0:
            yield (
                f"{curve.requests_outside_hull_frac:.1%} of the requests lie outside what was measured, so their speed "
                "is extrapolated; measure such requests too."
            )
        simulated = curve.max_requests_per_s[-1] * 24 * SECONDS_PER_HOUR
        reach = [c.requests_per_day for c in plan.break_even.crossings] if plan.break_even else []
        if max((*reach, plan.requests_per_day)) > simulated:
            yield (
                f"Fleets were simulated up to {curve.replicas[-1]} replicas ({volume(simulated)} requests/day, evenly "
                "spread); beyond that, every further replica is credited with the same rate as the last."
            )


def _foreign(key: str, profile: Profile) -> Iterator[str]:
    """A measurement that was read in: whose it is, of what and when, and how far off it is where it was not fitted."""
    origin, fit = profile.provenance, profile.fit
    if origin.source != "imported":
        return
    errors = [
        f"{name} {error:.0%}"
        for name, error in (("TPOT", fit.held_out_tpot_error_frac), ("TTFT", fit.held_out_ttft_error_frac))
        if error is not None
    ]
    off = f"; on points left out of the fit it is off by {' and '.join(errors)}" if errors else ""
    source = "; ".join(origin.notes[:1]) or "source not stated"
    yield (
        f"{key} was not measured here but read in ({source}): {origin.model} "
        f"with {origin.engine}, version {origin.engine_version}, measured {origin.measured_at[:10]}{off}. Measure your "
        "own machine before you sign."
    )
