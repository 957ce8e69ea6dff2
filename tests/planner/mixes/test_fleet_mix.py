"""Mixes of offers: the integer programme against trying everything, and the schedule against the hours on paper."""

import dataclasses
import itertools

import numpy as np
import pytest
from cost_case import WORLD
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.capacity.fleet import Week
from planner.capacity.staircase import CapacityCurve, FleetRules
from planner.cost.draws import draws_from
from planner.cost.ledger import ledger, levelised_cost_usd_per_month
from planner.cost.options import Frame, HourStep, MixOption, OwnOption, Pool, RentOption
from planner.cost.schedule import cash_usd, pnl_usd
from planner.mixes.offers import best_mix
from planner.mixes.programme import Offer, cheapest_fleet, held_by_machines
from pricing.hardware import purchase_offer, rental_offer
from pricing.types import Term


def curve(*rates: float) -> CapacityCurve:
    return CapacityCurve(
        replicas=tuple(range(1, len(rates) + 1)),
        max_requests_per_s=rates,
        busy_s_per_request=0.5,
        requests_outside_hull_frac=0.0,
    )


def rent(name: str, staircase: CapacityCurve, term: Term = Term.ON_DEMAND) -> RentOption:
    return RentOption(id=name, offer=dataclasses.replace(rental_offer("aws-c7a-large"), term=term), curve=staircase)


def offer(host: RentOption, usd_per_h: float, replicas_per_machine: int = 1) -> Offer:
    by_hour = host.offer.term is not Term.RESERVED
    return Offer(host=host, usd_per_h=usd_per_h, replicas_per_machine=replicas_per_machine, follows_hours=by_hour)


def tried_one_by_one(offers: list[Offer], rate: float, week: Week, rules: FleetRules, most: int) -> float:
    """Least USD a week over every number of machines of every offer in every hour, every offer with the spares once."""
    best = np.inf
    for carrier in offers:
        fastest = carrier.host.curve.max_requests_per_s[0]
        mine = [o for o in offers if o is carrier or o.host.curve.max_requests_per_s[0] <= fastest]
        fewest = -(-max(rules.spare_replicas, rules.min_replicas) // carrier.replicas_per_machine)

        def held(o: Offer, n: int, carrier: Offer = carrier) -> float:
            return float(
                held_by_machines(
                    o, np.array(float(n)), rules if o is carrier else dataclasses.replace(rules, spare_replicas=0)
                )
            )

        base, hourly = [o for o in mine if not o.follows_hours], [o for o in mine if o.follows_hours]
        counts = {id(o): range(fewest if o is carrier else 0, most + 1) for o in mine}
        for fixed in itertools.product(*(counts[id(o)] for o in base)):
            below = sum(held(o, n) for o, n in zip(base, fixed, strict=True))
            usd = sum(n * o.usd_per_h for o, n in zip(base, fixed, strict=True)) * 168
            for weight, hours in zip(week.weights, week.hours, strict=True):
                fitting = [
                    sum(n * o.usd_per_h for o, n in zip(hourly, moving, strict=True))
                    for moving in itertools.product(*(counts[id(o)] for o in hourly))
                    if below + sum(held(o, n) for o, n in zip(hourly, moving, strict=True)) >= rate * weight - 1e-9
                ]
                usd += min(fitting, default=np.inf) * hours
            best = min(best, usd)
    return best


stairs = st.tuples(st.floats(0.8, 2.0), st.floats(0.9, 1.2), st.floats(0.8, 1.3)).map(
    lambda t: curve(t[0], t[0] * (1 + t[1]), t[0] * (1 + t[1] + t[2]))
)


@settings(max_examples=20, deadline=None)
@given(
    stairs,
    stairs,
    stairs,
    st.lists(st.floats(0.2, 5.0), min_size=3, max_size=3),
    st.integers(1, 2),
    st.integers(0, 1),
    st.floats(0.5, 2.0),
    st.floats(0.1, 0.9),
)
def test_it_finds_what_trying_everything_finds(
    first: CapacityCurve,
    second: CapacityCurve,
    third: CapacityCurve,
    usd_per_h: list[float],
    per_machine: int,
    spare: int,
    rate: float,
    night: float,
) -> None:
    week = Week(weights=(night, 2.0 - night), hours=(84, 84))
    offers = [
        offer(rent("base", first, Term.RESERVED), usd_per_h[0], per_machine),
        offer(rent("hourly", second), usd_per_h[1]),
        offer(rent("other", third), usd_per_h[2], per_machine),
    ]
    rules = FleetRules(spare_replicas=spare, scale_by_hour=True)
    found = cheapest_fleet(offers, rate, week, rules)
    assert found is not None
    assert found.usd_per_week == pytest.approx(tried_one_by_one(offers, rate, week, rules, 7), rel=2e-5)


def test_reserved_for_the_night_and_hourly_for_the_day() -> None:
    """1 request/s by night, 3 by day, replicas of 1/s: one reserved machine at 1 USD/h runs always, two at 1.50 USD/h
    for the 84 hours of the day: 168 + 2 * 84 * 1.50 = 420. All reserved 504, all hourly (84 + 3 * 84) * 1.50 = 504.
    """
    ladder = curve(1.0, 2.0, 3.0)
    week = Week(weights=(0.5, 1.5), hours=(84, 84))
    offers = [offer(rent("r", ladder, Term.RESERVED), 1.0), offer(rent("h", ladder), 1.5)]
    found = cheapest_fleet(offers, 2.0, week, FleetRules(spare_replicas=0, min_replicas=0, scale_by_hour=True))
    assert found is not None
    assert found.usd_per_week == pytest.approx(420.0)
    assert [(host.id, count) for host, count in found.base] == [("r", 1)]


FRAME = Frame(
    horizon_months=24,
    week=Week(weights=(0.5, 1.5), hours=(84, 84)),
    rules=FleetRules(spare_replicas=0, min_replicas=0, scale_by_hour=True),
)
PRICES = {f"{name}/{what}": value for name in ("r", "h", "s") for what, value in (("replicas_per_machine", 1.0),)}
MID = WORLD | PRICES | {"requests_per_day": 2 * 86_400.0, "staff_fte": 0.0, "r/usd_per_h": 1.0, "h/usd_per_h": 1.5}


def test_a_mix_costs_its_hours() -> None:
    """The same on a schedule: 420 USD a week are 420 / 168 * 730 = 1,825 a month."""
    ladder = curve(1.0, 2.0, 3.0)
    mid = draws_from([MID])
    mix = best_mix([rent("r", ladder, Term.RESERVED), rent("h", ladder)], FRAME, mid)
    assert mix is not None
    assert levelised_cost_usd_per_month(mix, FRAME, mid)[0] == pytest.approx(1_825.0)
    hours = {e.basis: e.quantity[0, 5] for e in ledger(mix, FRAME, mid) if e.category == "rent"}
    assert sorted(hours.values()) == pytest.approx([730.0, 730.0])  # one machine always; two for half of the time


def test_worlds_are_costed_as_if_each_were_alone() -> None:
    ladder = curve(1.0, 2.0, 3.0)
    mix = best_mix([rent("r", ladder, Term.RESERVED), rent("h", ladder)], FRAME, draws_from([MID]))
    assert mix is not None
    rows = [
        MID | {"requests_per_day": 86_400.0 * volume, "throughput_ratio": ratio, "h/replicas_per_machine": per}
        for volume, ratio, per in itertools.product((0.3, 2.0, 9.0), (0.5, 1.0, 1.7), (1.0, 2.9))
    ]
    alone = [float(levelised_cost_usd_per_month(mix, FRAME, draws_from([row]))[0]) for row in rows]
    assert levelised_cost_usd_per_month(mix, FRAME, draws_from(rows)).tolist() == pytest.approx(alone)
    assert len({round(value, 6) for value in alone}) >= 10


@given(st.floats(0.2, 6.0))
def test_every_hour_of_every_world_is_held(volume: float) -> None:
    """The hours on the schedule are those of machines that hold each hour's rate, counted one by one."""
    ladder = curve(1.0, 2.0, 3.0)
    steps = tuple(HourStep(held_per_s=float(n), replicas=(n,)) for n in range(40))
    base = Pool(host=rent("r", ladder, Term.RESERVED), machines_by_stage=(1, 1))
    mix = MixOption(base=(base,), hourly=(rent("h", ladder),), steps=steps, spare_of="h")
    mid = draws_from([MID | {"requests_per_day": 86_400.0 * volume}])
    hourly = next(e for e in ledger(mix, FRAME, mid) if e.category == "rent" and e.unit_price_usd[0, 1] == 1.5)
    by_hand = sum(max(np.ceil(volume * w - 1.0 - 1e-9), 0.0) * h for w, h in zip((0.5, 1.5), (84, 84), strict=True))
    assert hourly.quantity[0, 1] == pytest.approx(by_hand / 168 * 730)


def test_owned_machines_of_a_mix_grow_and_cash_equals_pnl() -> None:
    """Without machines by the hour the first pool grows; what is bought stays, and both views agree over the life."""
    ladder = curve(1.0, 2.0, 3.0)
    own = OwnOption(id="o", offer=purchase_offer("cpu-1p-8c"), curve=ladder)
    frame = dataclasses.replace(FRAME, rules=FleetRules(spare_replicas=1))
    mid = draws_from([MID | {"growth_frac_per_month": 0.1}])
    pools = (
        Pool(host=own, machines_by_stage=(2, 2)),
        Pool(host=rent("r", ladder, Term.RESERVED), machines_by_stage=(1, 1)),
    )
    entries = ledger(MixOption(base=pools, hourly=(), steps=(), spare_of="o"), frame, mid)
    assert cash_usd(entries).sum() == pytest.approx(pnl_usd(entries).sum())
    serving = next(e for e in entries if e.category == "support").quantity[0, 1:]
    peaks = 3.0 * 1.1 ** np.arange(24)
    assert serving.tolist() == [max(2.0, np.ceil((np.ceil(peak - 1 - 1e-9) + 1) / 2)) for peak in peaks]


def test_spot_is_charged_for_being_taken_away() -> None:
    """1,000 h at 0.5 USD, a tenth of them at three times the price: 500 + 100 * 0.5 * 2 = 600."""
    spot = rent("s", curve(5.0), Term.SPOT)
    mid = draws_from([MID | {"s/usd_per_h": 0.5}])
    frame = dataclasses.replace(FRAME, rules=FleetRules(spare_replicas=0))
    cash = cash_usd([e for e in ledger(spot, frame, mid) if e.category == "rent"])[0, 1]
    assert cash == pytest.approx(730 * 0.5 * (1 + 0.1 * 2))


def test_one_offer_is_no_mix() -> None:
    assert best_mix([rent("r", curve(1.0))], FRAME, draws_from([MID])) is None
    same = [rent("r", curve(1.0, 2.0, 3.0), Term.RESERVED), rent("h", curve(1.0, 2.0, 3.0), Term.RESERVED)]
    assert best_mix(same, FRAME, draws_from([MID])) is None  # the dearer of two equal offers is never used
