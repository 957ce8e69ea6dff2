"""The API bill month by month: tokens at dated prices, and what commitments make of it."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.capacity.fleet import overflow_frac, spilled_frac
from planner.capacity.staircase import CapacityCurve
from planner.cost.commitments import Load, commitment_entries
from planner.cost.draws import Draws
from planner.cost.options import ApiOption, Frame
from planner.cost.paths import API_PRICE, newer_model_factor, price_factor
from planner.cost.schedule import Entry, cash_usd, running
from planner.units import HOURS_PER_MONTH, SECONDS_PER_HOUR, TOKENS_PER_MTOK
from pricing.types import TokenKind

Array = NDArray[np.floating[Any]]

_GENERATED = (TokenKind.OUTPUT, TokenKind.REASONING)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Base:
    """Replicas of one's own in front of an API; `ratio` is real over predicted throughput, (worlds, horizon)."""

    curve: CapacityCurve
    replicas: Array
    ratio: Array

    def overflow_frac(self, rate: Array, frame: Frame) -> Array:
        """Share of each month's requests that leaves for the API."""
        return overflow_frac(self.curve, rate / self.ratio, self.replicas, frame.week)

    def hourly_overflow_per_s(self, rate: Array, weights: Array) -> Array:
        """What leaves in each hour [1/s], (worlds, horizon, hours)."""
        hourly = rate[:, :, np.newaxis] * weights
        ratio, replicas = np.expand_dims(self.ratio, -1), np.expand_dims(self.replicas, -1)
        return hourly * spilled_frac(self.curve, hourly / ratio, replicas)


def api_entries(
    option: ApiOption, draws: Draws, frame: Frame, rate: Array, base: Base | None = None
) -> tuple[Entry, ...]:
    """The bill for what leaves the base, all of it without one, and what commitments make of it."""
    share = 1.0 if base is None else base.overflow_frac(rate, frame)
    requests = rate * share * SECONDS_PER_HOUR * HOURS_PER_MONTH
    drift = price_factor(API_PRICE, frame, draws) * newer_model_factor(draws, frame)
    mix = _level_weights(option.cached_levels, draws.values["cached_input_frac"])
    entries = []
    for index, kind in enumerate(option.kinds):
        tokens = mix @ option.tokens_per_request[index]
        usd = mix @ option.usd_per_request[index] * drift
        per_mtok = np.divide(usd * TOKENS_PER_MTOK, tokens, out=np.zeros_like(usd), where=tokens > 0)
        basis = f"{option.matched_model}, {option.source}"
        unit = "million requests" if kind == TokenKind.REQUEST else "million tokens"
        entry = running("API", f"{kind} tokens", requests * tokens / TOKENS_PER_MTOK, unit, per_mtok, basis)
        entries.append(replace(entry, basis_by_month=option.basis_by_month[index]) if option.basis_by_month else entry)
    if option.promises is None:
        return tuple(entries)
    weights = np.array(frame.week.weights)
    hourly = base.hourly_overflow_per_s(rate, weights) if base else rate[:, :, np.newaxis] * weights

    def weighted_tokens_per_h(output_weight: float) -> Array:
        weights = [output_weight if kind in _GENERATED else float(kind != TokenKind.REQUEST) for kind in option.kinds]
        each = sum(w * (mix @ tokens) for w, tokens in zip(weights, option.tokens_per_request, strict=True))
        return np.asarray(hourly * SECONDS_PER_HOUR * np.asarray(each)[:, :, np.newaxis])

    load = Load(
        usage_usd=cash_usd(entries)[:, 1:],
        weighted_tokens_per_h=weighted_tokens_per_h,
        hours_per_week=frame.week.hours,
    )
    return (*entries, *commitment_entries(option.promises, load))


def _level_weights(levels: tuple[float, ...], at: Array) -> Array:
    """Linear interpolation between levels as weights, (worlds, levels); outside the levels the nearest one counts."""
    hats = np.eye(len(levels))
    return np.stack([np.interp(at, levels, hat) for hat in hats], axis=1)
