"""Arrival schedules: laws of the processes, and that the client keeps to them."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from measure.arrivals import Arrivals, arrival_times_s, dispersion_index


def test_constant_rate() -> None:
    times = arrival_times_s(Arrivals.CONSTANT, rate_per_s=4, duration_s=1, seed=0)
    assert times == pytest.approx([0, 0.25, 0.5, 0.75])


def test_poisson_gaps_are_exponential_and_all_different() -> None:
    times = arrival_times_s(Arrivals.POISSON, rate_per_s=50, duration_s=400, seed=3)
    gaps = np.diff(times)
    assert stats.kstest(gaps, "expon", args=(0, 1 / 50)).pvalue > 0.01
    assert np.unique(gaps).size == gaps.size
    assert times.size == pytest.approx(20_000, rel=0.03)


@pytest.mark.parametrize(("shape", "variation"), [(0.25, 2.0), (1.0, 1.0), (4.0, 0.5)])
def test_burstiness_sets_the_variation_of_the_gaps(shape: float, variation: float) -> None:
    times = arrival_times_s(Arrivals.GAMMA, rate_per_s=50, duration_s=400, seed=5, burstiness=shape)
    gaps = np.diff(times)
    assert gaps.std() / gaps.mean() == pytest.approx(variation, rel=0.05)  # 1 / sqrt(shape)
    assert gaps.mean() == pytest.approx(0.02, rel=0.05)


def test_dispersion_is_one_for_poisson_and_zero_for_a_constant_rate() -> None:
    poisson = arrival_times_s(Arrivals.POISSON, rate_per_s=100, duration_s=1000, seed=1)
    assert dispersion_index(poisson, start_s=0, end_s=1000, bins=5000) == pytest.approx(1.0, abs=0.05)
    constant = arrival_times_s(Arrivals.CONSTANT, rate_per_s=100, duration_s=1000, seed=1)
    assert dispersion_index(constant, start_s=0, end_s=1000, bins=1000) == pytest.approx(0.0, abs=0.01)
    assert dispersion_index(np.empty(0), start_s=0, end_s=1, bins=10) is None


@pytest.mark.parametrize(("shape", "index"), [(0.25, 4.0), (0.5, 2.0), (1.0, 1.0), (4.0, 0.25)])
def test_the_dispersion_of_gamma_arrivals_is_the_squared_variation_of_their_gaps(shape: float, index: float) -> None:
    # renewal theory: counts in long bins have variance / mean = (deviation / mean of the gaps)^2 = 1 / shape
    times = arrival_times_s(Arrivals.GAMMA, rate_per_s=200, duration_s=4000, seed=11, burstiness=shape)
    found = dispersion_index(times, start_s=0, end_s=4000, bins=4000)
    assert found == pytest.approx(index, rel=0.12)  # 4,000 bins: a standard error of 2.2 %, and bins of 200 arrivals
    assert times.size == pytest.approx(800_000, rel=0.02)


def test_every_gap_repeated_ten_times_shows_in_the_dispersion() -> None:
    gaps = np.repeat(np.random.default_rng(1).exponential(0.01, 2000), 10)
    index = dispersion_index(np.cumsum(gaps), start_s=0, end_s=200, bins=200)
    assert index is not None
    assert index > 5


@settings(max_examples=50)
@example(kind=Arrivals.CONSTANT, rate=1.3, seed=0)  # 13 gaps of 1 / 1.3 s end at 10 s, which is not within
@given(kind=st.sampled_from(Arrivals), rate=st.floats(0.1, 200), seed=st.integers(0, 2**31))
def test_schedules_ascend_within_their_time_and_repeat_with_their_seed(kind: Arrivals, rate: float, seed: int) -> None:
    times = arrival_times_s(kind, rate_per_s=rate, duration_s=10, seed=seed)
    assert (np.diff(times) >= 0).all()
    assert ((times >= 0) & (times < 10)).all()
    assert (times == arrival_times_s(kind, rate_per_s=rate, duration_s=10, seed=seed)).all()
