"""What does not fit into memory, by hand."""

import dataclasses

import pytest
from plan_case import ONE_AT_A_TIME

from planner.capacity.memory_fit import memory_shortfall
from planner.profile import Memory, Profile


def _profile(weights_gib: float | None, kv_bytes: float | None, peak_gib: float | None = None) -> Profile:
    memory = Memory(
        scope="process",
        weights_file_gib=weights_gib,
        kv_bytes_per_token=kv_bytes,
        peak_gib=peak_gib,
        available_gib=None,
    )
    return dataclasses.replace(ONE_AT_A_TIME, memory=memory)


def test_a_large_model_on_a_small_card() -> None:
    """140 GiB and 8,192 tokens of 0.3 MiB: 142.4 GiB; 80 - 2.4 = 77.6 GiB is 55 % of the weights; 2 cards hold it."""
    found = memory_shortfall(_profile(140.0, 0.3 * 2**20), available_gib=80.0, replicas=1, longest_request_tokens=8192)
    assert found is not None
    assert (found.bottleneck, found.available, found.unit) == ("memory", 80.0, "GiB")
    assert found.needed == pytest.approx(142.4)
    assert "77.6 GiB, 55% of their size" in found.advice
    assert "2 times the memory (tensor parallel)" in found.advice
    assert "context" not in found.advice  # the weights alone are too large


def test_a_request_that_is_too_long_and_replicas_that_are_too_many() -> None:
    profile = _profile(10.0, 2.0**20)  # 1 MiB a token
    found = memory_shortfall(profile, available_gib=24.0, replicas=1, longest_request_tokens=16_384)
    assert found is not None
    assert "keep requests to 14,336 tokens" in found.advice
    crowded = memory_shortfall(profile, available_gib=24.0, replicas=3.9, longest_request_tokens=1024)
    assert crowded is not None
    assert crowded.needed == pytest.approx(33.0)
    assert "put 2 replicas on it and not 3" in crowded.advice


def test_what_fits_and_what_nobody_knows() -> None:
    assert (
        memory_shortfall(_profile(10.0, 2.0**20), available_gib=24.0, replicas=2, longest_request_tokens=1024) is None
    )
    assert memory_shortfall(_profile(None, None), available_gib=1.0, replicas=1, longest_request_tokens=10) is None
    peak = memory_shortfall(_profile(None, None, 6.0), available_gib=4.0, replicas=1, longest_request_tokens=10)
    assert peak is not None
    assert peak.needed == 6.0
