"""Which machines of which offers: an integer programme over whole machines and whole hours, solved with HiGHS.

The variables are steps of the simulated staircases, so a machine is worth what it holds within the service level and
not an average throughput. Own and reserved machines run all week; what is rented by the hour follows the need.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from planner.capacity.fleet import Week, held_rate_per_s, replicas_left
from planner.capacity.staircase import FleetRules
from planner.cost.options import HourStep, OwnOption, RentOption
from planner.units import HOURS_PER_WEEK
from pricing.types import Term

Array = NDArray[np.floating[Any]]
Host = RentOption | OwnOption

_LARGEST_HOURS = 24
"""Distinct hours of the programme; a week with more is cut into as many groups, each served at its fullest hour."""

_LARGEST_POOL = 64

_SLACK = 1e-9
_NODES = 2_000  # a limit in nodes, not in seconds, gives the same answer on every machine
_GAP = 1e-5

_Combination = tuple[float, float, tuple[int, ...]]  # held [1/s], cost [USD/h], replicas by hourly offer


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One offer as the programme sees it: `usd_per_h` of a machine that is there, idle or busy."""

    host: Host
    usd_per_h: float
    replicas_per_machine: int
    follows_hours: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The cheapest fleet: base machines by offer, and the staircase of the hourly ones above it."""

    base: tuple[tuple[Host, int], ...]
    hourly: tuple[RentOption, ...]
    steps: tuple[HourStep, ...]
    spare_of: str
    usd_per_week: float


def follows_hours(host: Host, rules: FleetRules) -> bool:
    """Only machines rented without a term can be given back for an hour, and only if the operator scales by hour."""
    return rules.scale_by_hour and isinstance(host, RentOption) and host.offer.term is not Term.RESERVED


def cheapest_fleet(offers: Sequence[Offer], requests_per_s: float, week: Week, rules: FleetRules) -> Fleet | None:
    """The machines that hold `requests_per_s` times every hour's weight for the least money; None without an offer.

    Any replica may fail: the spare replicas are of one offer, and no offer with a faster replica takes part; every
    offer is tried as the one with the spares. Optimal up to 1e-5 for weeks of at most 24 distinct hours; other weeks
    are grouped first, the fuller hour counting.
    """
    found = [fleet_with_spares_of(carrier, offers, requests_per_s, week, rules) for carrier in offers]
    return min(filter(None, found), key=lambda fleet: (fleet.usd_per_week, fleet.spare_of), default=None)


def held_by_machines(offer: Offer, machines: NDArray[Any], rules: FleetRules) -> Array:
    """What so many machines hold [1/s] while the spare replicas, or the fullest zone, are down."""
    return held_rate_per_s(offer.host.curve, replicas_left(machines, offer.replicas_per_machine, rules))


def fleet_with_spares_of(
    carrier: Offer,
    offers: Sequence[Offer],
    requests_per_s: float,
    week: Week,
    rules: FleetRules,
    *,
    at_least: Mapping[str, int] | None = None,
    reach_per_s: float = 0.0,
) -> Fleet | None:
    """As `cheapest_fleet` with the spare replicas of one given offer.

    `at_least` are machines by offer that are there already; the hourly staircase goes on to `reach_per_s`. `None` where
    the machines that are there have a faster replica than the spare ones.
    """
    there = at_least or {}
    fastest = _one_replica(carrier)
    mine = [offer for offer in offers if offer is carrier or _one_replica(offer) <= fastest * (1 + _SLACK)]
    if set(there) - {offer.host.id for offer in mine}:
        return None
    fewest = -(-max(rules.spare_replicas, rules.min_replicas) // carrier.replicas_per_machine)
    least = {o.host.id: max(there.get(o.host.id, 0), fewest if o is carrier else 0) for o in mine}
    without = replace(rules, spare_replicas=0, min_replicas=0)
    spare = {o.host.id: rules if o is carrier else without for o in mine}
    hourly, base = [o for o in mine if o.follows_hours], [o for o in mine if not o.follows_hours]
    peak = requests_per_s * week.peak
    steps = _staircase(hourly, spare, least, max(reach_per_s, peak))
    weights, hours = _grouped(week)
    programme = _Programme()
    pools = []
    for offer in base:
        fewest = least[offer.host.id]
        counts = np.arange(fewest, fewest + _more(offer, spare[offer.host.id], peak, fewest) + 1)
        held = held_by_machines(offer, counts, spare[offer.host.id])
        pools.append((offer, counts, programme.choice(counts * offer.usd_per_h * HOURS_PER_WEEK), held))
    enough = next((n for n, step in enumerate(steps, start=1) if step.held_per_s >= peak), len(steps))
    prices = np.array([_usd_per_h(step, hourly) for step in steps[:enough]])
    held_above = np.array([step.held_per_s for step in steps[:enough]])
    for weight, count in zip(weights, hours, strict=True):
        terms = [(places, held) for _, _, places, held in pools]
        if hourly:
            terms.append((programme.choice(prices * count), held_above))
        programme.at_least(terms, requests_per_s * float(weight) * (1 - _SLACK))
    chosen = programme.solve()
    if chosen is None:
        return None
    picked = [(offer.host, int(counts[chosen[places].argmax()])) for offer, counts, places, _ in pools]
    return Fleet(
        base=tuple((host, count) for host, count in picked if count),
        hourly=tuple(o.host for o in hourly if isinstance(o.host, RentOption)),
        steps=steps,
        spare_of=carrier.host.id,
        usd_per_week=programme.cost(chosen),
    )


def _one_replica(offer: Offer) -> float:
    curve = offer.host.curve
    return curve.max_requests_per_s[0] / curve.replicas[0]


def _more(offer: Offer, rules: FleetRules, peak: float, least: int) -> int:
    """Machines beyond `least` after which more of this offer alone hold more than the peak."""
    counts = np.arange(least, least + _LARGEST_POOL + 1)
    enough = np.flatnonzero(held_by_machines(offer, counts, rules) >= peak)
    return int(enough[0]) if enough.size else _LARGEST_POOL


def _staircase(
    hourly: Sequence[Offer], spare: Mapping[str, FleetRules], least: Mapping[str, int], reach_per_s: float
) -> tuple[HourStep, ...]:
    """The cheapest combination of hourly machines for every rate up to `reach_per_s`."""
    combined: list[_Combination] = [(0.0, 0.0, ())]
    for offer in hourly:
        counts = np.arange(least[offer.host.id], 8 * _LARGEST_POOL)
        held = held_by_machines(offer, counts, spare[offer.host.id])
        last = int(np.searchsorted(held, reach_per_s)) + 1
        pairs = [
            (h + float(more), c + count * offer.usd_per_h, (*n, count * offer.replicas_per_machine))
            for h, c, n in combined
            for more, count in zip(held[:last], counts[:last].tolist(), strict=True)
        ]
        combined = _undominated(pairs)
    return tuple(HourStep(held_per_s=held, replicas=replicas) for held, _, replicas in combined)


def _usd_per_h(step: HourStep, hourly: Sequence[Offer]) -> float:
    each = zip(step.replicas, hourly, strict=True)
    return float(sum(n / o.replicas_per_machine * o.usd_per_h for n, o in each))


def _undominated(pairs: list[_Combination]) -> list[_Combination]:
    """In order of what they hold, those that nothing as cheap holds more than."""
    kept: list[_Combination] = []
    for pair in sorted(pairs, key=lambda row: (-row[0], row[1], row[2])):
        if not kept or pair[1] < kept[-1][1] - _SLACK:
            kept.append(pair)
    return kept[::-1]


def _grouped(week: Week) -> tuple[Array, Array]:
    """Weights and hours; of a week with many distinct hours groups of neighbours, each at its largest weight."""
    weights, hours = np.array(week.weights), np.array(week.hours, dtype=float)
    if weights.size <= _LARGEST_HOURS:
        return weights, hours
    groups = np.array_split(np.arange(weights.size), _LARGEST_HOURS)
    return np.array([weights[group[-1]] for group in groups]), np.array([hours[group].sum() for group in groups])


class _Programme:
    """A programme of choices: every choice is a set of 0/1 variables of which exactly one is 1."""

    def __init__(self) -> None:
        self._costs: list[float] = []
        self._rows: list[tuple[NDArray[np.intp], Array, float, float]] = []

    def choice(self, costs: Array) -> NDArray[np.intp]:
        places = np.arange(len(self._costs), len(self._costs) + costs.size)
        self._costs += costs.tolist()
        self._rows.append((places, np.ones(costs.size), 1.0, 1.0))
        return places

    def at_least(self, terms: Sequence[tuple[NDArray[np.intp], Array]], need: float) -> None:
        places = np.concatenate([place for place, _ in terms])
        scale = need or 1.0
        self._rows.append((places, np.concatenate([held for _, held in terms]) / scale, need / scale, np.inf))

    def solve(self) -> Array | None:
        size = len(self._costs)
        rows = np.concatenate([np.full(places.size, row) for row, (places, *_) in enumerate(self._rows)])
        columns = np.concatenate([places for places, *_ in self._rows])
        values = np.concatenate([value for _, value, *_ in self._rows])
        matrix = csr_array((values, (rows, columns)), shape=(len(self._rows), size))
        lows, highs = (np.array([row[k] for row in self._rows]) for k in (2, 3))
        result = milp(
            np.array(self._costs),
            integrality=np.ones(size, dtype=np.int64),
            bounds=Bounds(0, 1),
            constraints=LinearConstraint(matrix, lows, highs),
            options={"mip_rel_gap": _GAP, "node_limit": _NODES},
        )
        return None if result.x is None else np.asarray(result.x).round()

    def cost(self, chosen: Array) -> float:
        return float(np.array(self._costs) @ chosen)
