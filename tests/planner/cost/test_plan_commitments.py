"""Commitments over worlds and months: hand-worked cases, and the same answer as settling each bill in decimals."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import numpy as np
import pytest
from exact_settlement import free_usd, settle, settle_provisioned
from hypothesis import given
from hypothesis import strategies as st

from planner.cost.commitments import Load, Promises, commitment_entries
from planner.cost.schedule import cash_usd, pnl_usd
from pricing.commitments import (
    FreeQuota,
    KeptCache,
    MinimumSpend,
    PrepaidCredit,
    ProvisionedUnits,
    StorageRate,
)
from pricing.layers import Note, Window

WHY = Note(source="Order 17", as_of=date(2026, 11, 20))
STARTS = tuple(date(2026 + (11 + n) // 12, (11 + n) % 12 + 1, 1) for n in range(6))


def load(*usage: list[float]) -> Load:
    usd = np.array(usage)
    return Load(usage_usd=usd, weighted_tokens_per_h=lambda w: usd[:, :, np.newaxis] * w, hours_per_week=(168,))


def paid(entries: tuple, usage: Load) -> tuple[list[float], list[float]]:
    cash = usage.usage_usd + cash_usd(entries)[:, 1:]
    pnl = usage.usage_usd + pnl_usd(entries)[:, 1:]
    return cash[0].tolist(), pnl[0].tolist()


def test_credit_that_expires() -> None:
    """1,250 for 1,000 from December, ends with February: 3 x 500 used, 250 of it paid in cash, nothing lost."""
    credit = PrepaidCredit(
        id="c",
        targets=("openai",),
        paid_usd=Decimal(1000),
        credit_usd=Decimal(1250),
        bought_on=date(2026, 12, 5),
        expires_on=date(2027, 3, 1),
        why=WHY,
    )
    usage = load([500.0] * 6)
    cash, pnl = paid(commitment_entries(Promises(commitments=(credit,), month_starts=STARTS), usage), usage)
    assert cash == pytest.approx([1000, 0, 250, 500, 500, 500])
    assert pnl == pytest.approx([400, 400, 450, 500, 500, 500])
    little = load([100.0] * 6)
    cash, pnl = paid(commitment_entries(Promises(commitments=(credit,), month_starts=STARTS), little), little)
    assert cash == pytest.approx([1000, 0, 0, 100, 100, 100])
    assert pnl == pytest.approx([80, 80, 80 + 950 * 0.8, 100, 100, 100])


def test_provisioned_units_carry_what_fits_in_each_hour() -> None:
    """2 units of 1,000 tokens/min carry 120,000 an hour: of 84 hours at 60,000 and 84 at 240,000 tokens 40 % spill.

    Fee 2 * 3 * 730 = 4,380; of 1,000 USD at the price per token 400 are left. A minimum of 5,000 lacks 220.
    """
    units = ProvisionedUnits(
        id="ptu",
        model="openai/m",
        units=2,
        usd_per_unit_h=Decimal(3),
        tokens_per_min=1000,
        output_weight=4.0,
        why=WHY,
        window=Window(to_date=date(2027, 1, 1)),
    )
    minimum = MinimumSpend(id="m", targets=("openai",), usd_per_month=Decimal(5000), why=WHY)
    hours = np.array([60_000.0, 240_000.0])
    usage = Load(
        usage_usd=np.full((1, 2), 1000.0),
        weighted_tokens_per_h=lambda w: np.broadcast_to(hours * (w / 4.0), (1, 2, 2)),
        hours_per_week=(84, 84),
    )
    promises = Promises(commitments=(minimum, units), month_starts=STARTS[:2])
    entries = commitment_entries(promises, usage)
    assert {e.item: e.cash_usd[0, 1:].tolist() for e in entries} == {
        "provisioned units ptu": [4380.0, 0.0],
        "tokens carried by ptu": [-600.0, 0.0],
        "shortfall of minimum spend m": pytest.approx([220.0, 4000.0]),
    }
    month = settle_provisioned(units, [60_000.0, 240_000.0] * 365, Decimal(1000))
    assert float(month.total_usd) == pytest.approx(4380 + 400)


def test_free_tokens_and_a_kept_cache() -> None:
    """84 hours of 60,000 and 84 of 240,000 tokens are 3.6 million a day; 0.9 million free are a quarter of 1,000 USD.

    The cache of 2 million tokens for 100 h at 0.50 costs 100, 200 from January on. A minimum of 1,000 lacks 150 and 50.
    """
    quota = FreeQuota(id="q", targets=("openai/m",), tokens_per_day=900_000, why=WHY)
    cache = KeptCache(
        id="manual",
        model="openai/m",
        stored_tokens=2_000_000,
        hours_per_month=Decimal(100),
        rates=(
            StorageRate(usd_per_mtok_h=Decimal("0.50"), window=Window(to_date=date(2027, 1, 1))),
            StorageRate(usd_per_mtok_h=Decimal("1.00"), window=Window(from_date=date(2027, 1, 1))),
        ),
        why=WHY,
    )
    floor = MinimumSpend(id="m", targets=("openai",), usd_per_month=Decimal(1000), why=WHY)
    usage = Load(
        usage_usd=np.full((1, 2), 1000.0),
        weighted_tokens_per_h=lambda w: np.broadcast_to(np.array([60_000.0, 240_000.0]) * w, (1, 2, 2)),
        hours_per_week=(84, 84),
    )
    entries = commitment_entries(Promises(commitments=(floor, cache, quota), month_starts=STARTS[:2]), usage)
    assert {e.item: e.cash_usd[0, 1:].tolist() for e in entries} == {
        "free tokens of q": pytest.approx([-250.0, -250.0]),
        "cache manual of 2,000,000 tokens": pytest.approx([100.0, 200.0]),
        "shortfall of minimum spend m": pytest.approx([150.0, 50.0]),
    }
    assert free_usd(quota, [3_600_000] * 30, Decimal(1000)) == 250
    assert cache.usd_in(STARTS[1]) == 200


day = st.dates(min_value=date(2026, 10, 1), max_value=date(2027, 8, 1))
usd = st.integers(min_value=1, max_value=5_000).map(Decimal)


@st.composite
def prepaid(draw: st.DrawFn, name: str) -> PrepaidCredit:
    first, last = sorted((draw(day), draw(day)))
    return PrepaidCredit(
        id=name,
        targets=("openai",),
        paid_usd=draw(usd),
        credit_usd=draw(usd),
        bought_on=first,
        expires_on=last.replace(year=last.year + 1) if first == last else last,
        why=WHY,
    )


@st.composite
def minimum(draw: st.DrawFn, name: str) -> MinimumSpend:
    first, last = sorted((draw(day), draw(day)))
    return MinimumSpend(
        id=name, targets=("openai/m",), usd_per_month=draw(usd), why=WHY, window=Window(from_date=first, to_date=last)
    )


@given(
    st.lists(st.integers(min_value=0, max_value=3_000), min_size=6, max_size=6),
    prepaid("a"),
    prepaid("b"),
    minimum("c"),
    minimum("d"),
)
def test_equals_settling_each_months_bill(
    usage: list[int], a: PrepaidCredit, b: PrepaidCredit, c: MinimumSpend, d: MinimumSpend
) -> None:
    commitments = (a, b, c, d)
    bills = [(start, {"openai/m": Decimal(amount)}) for start, amount in zip(STARTS, usage, strict=True)]
    lines = settle(bills, commitments)
    at_list = load([float(amount) for amount in usage])
    entries = commitment_entries(Promises(commitments=commitments, month_starts=STARTS), at_list)
    cash, pnl = paid(entries, at_list)
    for month, start in enumerate(STARTS):
        mine = [line for line in lines if line.month == start]
        assert cash[month] == pytest.approx(float(sum(line.cash_usd for line in mine)), abs=1e-6)
        assert pnl[month] == pytest.approx(float(sum(line.pnl_usd for line in mine)), abs=1e-6)


tokens = st.integers(min_value=1, max_value=400_000)


@given(
    st.lists(st.integers(min_value=0, max_value=3_000), min_size=6, max_size=6),
    st.tuples(tokens, tokens),
    st.integers(min_value=1, max_value=3),
    st.lists(st.integers(min_value=0, max_value=5_000_000), max_size=2),
    st.lists(st.integers(min_value=0, max_value=9_000_000), max_size=2),
    st.lists(prepaid("credit"), max_size=1),
    st.lists(minimum("floor"), max_size=1),
)
def test_all_kinds_together_agree_with_the_bills_to_the_cent(
    usage: list[int],
    by_hour: tuple[int, int],
    reserved: int,
    quotas: list[int],
    stored: list[int],
    credit: list[PrepaidCredit],
    floor: list[MinimumSpend],
) -> None:
    """Half of the hours carry one load, half the other; what units and quota leave of a bill goes on to the credit."""
    units = ProvisionedUnits(
        id="u",
        model="openai/m",
        units=reserved,
        usd_per_unit_h=Decimal(3),
        tokens_per_min=1000,
        output_weight=1.0,
        why=WHY,
    )
    free = [FreeQuota(id=f"q{n}", targets=("openai",), tokens_per_day=t, why=WHY) for n, t in enumerate(quotas)]
    rate = StorageRate(usd_per_mtok_h=Decimal("0.50"))
    kept = [
        KeptCache(id=f"k{n}", model="openai/m", stored_tokens=t, hours_per_month=Decimal(100), rates=(rate,), why=WHY)
        for n, t in enumerate(stored)
    ]
    credit = [replace(c, targets=("openai/m",)) for c in credit]
    floor = [replace(m, targets=("openai",)) for m in floor]
    bills = []
    for start, amount in zip(STARTS, usage, strict=True):
        month = settle_provisioned(units, list(by_hour) * 365, Decimal(amount))
        left, beside = month.spilled_usd, month.fixed_usd
        for quota in free:
            left -= free_usd(quota, [sum(by_hour) * 12] * 30, left)
        beside += sum((cache.usd_in(start) for cache in kept), Decimal(0))
        bills.append((start, {"openai/m": left, "openai/beside": beside}))
    lines = settle(bills, (*credit, *floor))
    at_list = Load(
        usage_usd=np.array([usage], dtype=float),
        weighted_tokens_per_h=lambda w: np.broadcast_to(np.array(by_hour) * w, (1, 6, 2)),
        hours_per_week=(84, 84),
    )
    promises = Promises(commitments=(units, *free, *kept, *credit, *floor), month_starts=STARTS)
    cash, pnl = paid(commitment_entries(promises, at_list), at_list)
    for n, start in enumerate(STARTS):
        mine = [line for line in lines if line.month == start]
        assert cash[n] == pytest.approx(float(sum(line.cash_usd for line in mine)), abs=0.005)
        assert pnl[n] == pytest.approx(float(sum(line.pnl_usd for line in mine)), abs=0.005)
