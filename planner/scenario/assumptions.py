"""Everything the plan believes without having measured it, in one list with source and date."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import replace

from planner.cost.limits import impossible
from planner.errors import InputError
from planner.profile import Profile
from planner.ranges import Assumption, Range, certain
from planner.scenario.tables import Figure, Machine, Scenario
from pricing.types import PurchaseOffer, RentalOffer, Term

SCENARIO = "the scenario file"

_SPOT = "spot_"
"""How the names of the defaults begin that concern spot machines alone."""

_UNMEASURED_ERROR_FRAC = 0.3
"""Assumed error of a profile whose fit was checked on no load point of its own."""

_EXTRAPOLATION_ERROR_FRAC = 0.5
"""Added error of a workload that lies wholly outside the measured hull. Held-out shapes outside it were off by 12 % in
the median and 100 % in the mean (benchmarks/accuracy), so this is a guess between the two."""

_LARGEST_ERROR_FRAC = 0.9


def gather_assumptions(
    scenario: Scenario,
    *,
    defaults: Sequence[Assumption],
    log_requests_per_day: float,
    profile: Profile | None,
    outside_hull_frac: float,
    posterior: Sequence[float] = (),
    rentals: Sequence[RentalOffer],
    purchases: Sequence[PurchaseOffer],
) -> tuple[Assumption, ...]:
    """Defaults, offers and the scenario's own figures as one list; the scenario's `[assumptions]` win by name.

    Raises `InputError` that lists all overrides with an unknown name or a value that cannot be.
    """
    general = (default for default in defaults if not default.name.startswith(_SPOT))
    found = {a.name: a for a in (*_demand(scenario, log_requests_per_day), *general)}
    if profile is not None:
        found["throughput_ratio"] = _throughput(profile, outside_hull_frac, posterior)
    for machine in (*scenario.candidates.rent, *scenario.candidates.own):
        found[f"{machine.offer}/replicas_per_machine"] = _replicas(machine)
    for rental in rentals:
        found[f"{rental.id}/usd_per_h"] = _offered(rental, "usd_per_h", rental.usd_per_h, "USD/h")
    for purchase in purchases:
        for name, value, unit in (
            ("price_usd", purchase.price_usd, "USD"),
            ("life_years", purchase.life_years, "years"),
            ("residual_frac", purchase.residual_frac, "1"),
            ("idle_w", purchase.idle_w, "W"),
            ("loaded_w", purchase.loaded_w, "W"),
        ):
            found[f"{purchase.id}/{name}"] = _offered(purchase, name, value, unit)
    if any(rental.term is Term.SPOT for rental in rentals):
        found |= {default.name: default for default in defaults if default.name.startswith(_SPOT)}
    mistakes = [_unknown(name, found) for name in scenario.assumptions if name not in found]
    for name, figure in scenario.assumptions.items():
        if name in found:
            found[name] = _stated(found[name], figure)
    mistakes += [
        f'assumptions."{a.name}" {said}'
        for a in found.values()
        if (said := impossible(a.name, a.value.low, a.value.high))
    ]
    if mistakes:
        raise InputError("the assumptions of the scenario cannot be used: " + "; ".join(mistakes))
    return tuple(found.values())


def _demand(scenario: Scenario, log_requests_per_day: float) -> Iterable[Assumption]:
    demand = scenario.workload
    yield (
        Assumption(
            name="requests_per_day",
            value=certain(log_requests_per_day),
            unit="1/day",
            source=f"mean rate of the log {demand.log}, taken to hold around the clock",
            as_of="",
            note="as old as the log, which carries its own dates or none",
        )
        if demand.requests_per_day is None
        else _named("requests_per_day", demand.requests_per_day, "1/day", "in the first month")
    )
    yield _named("growth_frac_per_month", demand.growth_frac_per_month, "1/month", "from the second month on")
    yield _named("cached_input_frac", demand.cached_input_frac, "1", "part of the prompt tokens billed as cached")


def _named(name: str, figure: Figure, unit: str, note: str) -> Assumption:
    """A figure of the scenario's own tables; undated, it counts as a guess."""
    return Assumption(
        name=name,
        value=figure.range,
        unit=unit,
        source=figure.source or SCENARIO,
        as_of=figure.as_of,
        note=note,
        is_placeholder=not figure.as_of,
    )


def _replicas(machine: Machine) -> Assumption:
    return _named(
        f"{machine.offer}/replicas_per_machine",
        machine.replicas_per_machine,
        "replicas",
        "measured replicas that one machine carries, rounded down; measure on the offer itself to be sure",
    )


def _throughput(profile: Profile, outside_hull_frac: float, posterior: Sequence[float]) -> Assumption:
    """As uncertain as the fit was wrong on points it never saw, and more so the more requests were never measured."""
    held_out = profile.fit.held_out_error_frac
    measured = _UNMEASURED_ERROR_FRAC if held_out is None else held_out
    wanted = measured + _EXTRAPOLATION_ERROR_FRAC * outside_hull_frac
    spread = (max(posterior) - min(posterior)) / 2 if len(posterior) > 1 else 0.0
    wanted = max(wanted, spread)
    error = min(wanted, _LARGEST_ERROR_FRAC)
    source = (
        "no load point was kept out of the fit, so its error is not known"
        if held_out is None
        else f"error of the fitted step time on load points that were never fitted: {held_out:.0%}"
    )
    if outside_hull_frac > 0:
        source += f"; widened because {outside_hull_frac:.0%} of the requests lie outside what was measured"
    if wanted > error:
        source += f"; {wanted:.0%} in all, held to {error:.0%} here"
    return Assumption(
        name="throughput_ratio",
        value=Range(low=1.0 - error, mid=1.0, high=1.0 + error),
        unit="1",
        source=source,
        as_of=profile.provenance.measured_at[:10],
        note="real over predicted rate of a replica",
        is_placeholder=held_out is None or wanted > error,
    )


def _offered(offer: RentalOffer | PurchaseOffer, name: str, value: Range, unit: str) -> Assumption:
    return Assumption(
        name=f"{offer.id}/{name}",
        value=value,
        unit=unit,
        source=offer.source_url,
        as_of=offer.checked_on.isoformat(),
        note=offer.note,
        is_placeholder=offer.is_placeholder,
    )


def _stated(default: Assumption, figure: Figure) -> Assumption:
    return replace(
        default,
        value=figure.range,
        source=figure.source or SCENARIO,
        as_of=figure.as_of,
        is_placeholder=not figure.as_of,
    )


def _unknown(name: str, found: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, sorted(found), n=3, cutoff=0.4)
    return f'assumptions."{name}" is not known; closest: {", ".join(close or sorted(found))}'
