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

NOT_COUNTED = "not stated, so not counted"

OWN_BELIEFS = (
    Assumption(
        name="resale_frac_of_book_value",
        value=Range(low=0.3, mid=1.0, high=1.3),
        unit="1",
        source="book value as terminal value is a convention; no primary source found for the resale of such hardware",
        as_of="2026-11-20",
        note="what a machine younger than its life brings at the end of the horizon",
        is_placeholder=True,
    ),
    *(
        Assumption(name=name, value=value, unit=unit, source=source, as_of="2026-11-20", note=note, is_placeholder=True)
        for name, value, unit, source, note in (
            (
                "installation_frac_of_hardware",
                Range(low=0.01, mid=0.03, high=0.08),
                "1",
                "a guess: no primary source found",
                "rack, cabling, delivery and acceptance of what is owned; enter your quote",
            ),
            (
                "migration_fte_months",
                Range(low=0.5, mid=1.0, high=3.0),
                "FTE-months",
                "a guess: no primary source found",
                "one-time effort before a service of one's own answers its first request",
            ),
            (
                "api_price_steps_per_year",
                Range(low=0.05, mid=0.2, high=0.5),
                "1/year",
                "a guess: the price library's history holds few years",
                "sudden changes of the same model's price, up or down; in the draws only",
            ),
            (
                "rental_price_steps_per_year",
                Range(low=0.2, mid=0.5, high=1.0),
                "1/year",
                "a guess: published indices disagree",
                "sudden changes of rental prices, up or down; in the draws only",
            ),
            (
                "machine_availability_frac",
                Range(low=0.98, mid=0.995, high=0.999),
                "1",
                "a guess: providers promise 99.5 % for a single machine, and accelerators fail more often than others",
                "share of the time that one machine serves; for availability, not for money",
            ),
            (
                "api_availability_frac",
                Range(low=0.99, mid=0.995, high=0.999),
                "1",
                "a guess: status pages of large providers show 99 % to 99.9 %, mostly without a promise",
                "share of the time that an API serves; for availability, not for money",
            ),
            (
                "exit_fte_months",
                Range(low=0.0, mid=0.25, high=1.0),
                "FTE-months",
                "a guess: no primary source found",
                "one-time effort to leave it at the end of the plan; what a term leaves unpaid comes on top",
            ),
        )
    ),
    *(
        Assumption(name=name, value=certain(value), unit=unit, source=NOT_COUNTED, as_of="2026-11-20", note=note)
        for name, value, unit, note in (
            ("storage_usd_per_month", 0.0, "USD/month", "weights, logs and backups of a service of one's own"),
            ("egress_usd_per_mtok", 0.0, "USD per million generated tokens", "what leaves one's own machines"),
            ("evaluation_usd_per_year", 0.0, "USD/year", "testing the model in use; every option bears it"),
            ("fine_tuning_usd_per_year", 0.0, "USD/year", "runs and data for a model of one's own"),
            ("tax_frac", 0.0, "1", "on profit: costs, depreciation included, save it in the month that bears them"),
            ("newer_model_gain_frac_per_year", 0.0, "1/year", "newer models of equal quality, for both sides alike"),
            ("newer_model_every_months", 12.0, "months", "between two changes to a newer model"),
            ("newer_model_fte_months", 0.5, "FTE-months", "to change to a newer model, on either side"),
        )
    ),
)
"""Beliefs of the planner itself; those about electricity, staff and the like come with the prices."""

SPOT_BELIEFS = tuple(
    Assumption(
        name=name,
        value=value,
        unit="1",
        source="a guess: it differs by region and week, and no list says it",
        as_of="2026-11-20",
        note=note,
        is_placeholder=True,
    )
    for name, value, note in (
        ("spot_interrupted_frac", Range(low=0.02, mid=0.08, high=0.25), "part of the time without the spot machine"),
        ("spot_fallback_price_ratio", Range(low=1.5, mid=2.5, high=4.0), "what stands in for it, over its own price"),
    )
)

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
    found = {a.name: a for a in (*_demand(scenario, log_requests_per_day), *defaults, *OWN_BELIEFS)}
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
        found |= {a.name: a for a in SPOT_BELIEFS}
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
