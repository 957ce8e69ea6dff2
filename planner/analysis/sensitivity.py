"""One assumption at a time: how far each one moves the difference between self-hosting and the API."""

from collections.abc import Sequence
from dataclasses import dataclass

from planner.analysis.breakeven import VOLUME, Difference
from planner.cost.draws import one_at_a_time
from planner.ranges import Assumption


@dataclass(frozen=True, slots=True, kw_only=True)
class TornadoBar:
    """Self-hosting minus API [USD/month] with one assumption at its low and at its high, all others at mid."""

    name: str
    unit: str
    low: float
    high: float
    difference_at_low_usd_per_month: float
    difference_at_high_usd_per_month: float

    @property
    def swing_usd_per_month(self) -> float:
        return abs(self.difference_at_high_usd_per_month - self.difference_at_low_usd_per_month)

    def turns(self, difference_at_mid_usd_per_month: float) -> bool:
        """Whether this assumption alone changes which side is cheaper."""
        ends = (self.difference_at_low_usd_per_month, self.difference_at_high_usd_per_month)
        return any((end > 0) != (difference_at_mid_usd_per_month > 0) for end in ends)


def tornado(assumptions: Sequence[Assumption], difference: Difference) -> tuple[TornadoBar, ...]:
    """A bar for every uncertain assumption, the widest swing first, then by name."""
    names, worlds = one_at_a_time(assumptions)
    values = difference(worlds)(worlds.column(VOLUME))[:, 0]
    by_name = {a.name: a for a in assumptions}
    bars = [
        TornadoBar(
            name=name,
            unit=by_name[name].unit,
            low=by_name[name].value.low,
            high=by_name[name].value.high,
            difference_at_low_usd_per_month=float(values[1 + 2 * index]),
            difference_at_high_usd_per_month=float(values[2 + 2 * index]),
        )
        for index, name in enumerate(names)
    ]
    return tuple(sorted(bars, key=lambda bar: (-bar.swing_usd_per_month, bar.name)))
