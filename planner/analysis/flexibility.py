"""What it is worth not to decide for good today: waiting, and machines that can be given back."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.cost.draws import Draws, chunks
from planner.cost.finance import levelised_usd_per_month, monthly_rate
from planner.cost.ledger import ledger, levelised_cost_usd_per_month
from planner.cost.options import ApiOption, Frame, OwnOption, RentOption, StagedOption
from planner.cost.schedule import Entry, cash_usd
from planner.units import MONTHS_PER_YEAR

Array = NDArray[np.floating[Any]]

WAITS_MONTHS = (3, 6, 12)
_ONE_OFF = ("migration", "exit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Buying tokens for `months` and only then choosing, every uncertainty resolved by then [USD/month].

    `worth_usd_per_month` is the mean cost of the best choice of today less that of choosing later; below 0, waiting
    costs more than it teaches. What is learnt by then is taken to be everything, so it is an upper limit.
    """

    months: int
    worth_usd_per_month: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NotCommitting:
    """Renting `host` without a term and going over to the API, or back, by a monthly rule [USD/month].

    Each month: change sides if the month's saving, kept to the end of the plan, is more than the change costs.
    `worth_usd_per_month` is the mean cost of the best choice for good less that of the rule; below 0 a commitment wins.
    `changed_frac` is the share of draws in which the rule changes sides at least once.
    """

    host: str
    worth_usd_per_month: float
    changed_frac: float


def value_of_waiting(
    api: ApiOption,
    host: RentOption | OwnOption,
    frame: Frame,
    worlds: Draws,
    api_cost: Array,
    best_today_usd_per_month: float,
) -> Waiting | None:
    """The best of waiting 3, 6 or 12 months; `None` for a horizon of 3 months or less.

    `best_today_usd_per_month` is the lowest mean cost of all options.

    Worked: with equal chances self-hosting costs 50 or 150 and tokens 100. Today both cost 100 in the mean. Who waits
    without cost and then knows pays 50 or 100: 25 a month are saved.
    """
    found = []
    for months in (m for m in WAITS_MONTHS if m < frame.horizon_months):
        later = levelised_cost_usd_per_month(StagedOption(api=api, host=host, api_months=months), frame, worlds)
        today = min(best_today_usd_per_month, float(later.mean()))
        found.append(Waiting(months=months, worth_usd_per_month=today - float(np.minimum(api_cost, later).mean())))
    return max(found, key=lambda waiting: waiting.worth_usd_per_month, default=None)


def value_of_not_committing(
    api: ApiOption, host: RentOption, frame: Frame, worlds: Draws, best_for_good_usd_per_month: float
) -> NotCommitting:
    """The monthly rule between an API model and machines rented without a term, against the best fixed choice."""
    schedules, changes = [], []
    for part in chunks(worlds):
        tokens, own = ledger(api, frame, part), ledger(host, frame, part)
        usd_per_fte_month = part.column("staff_usd_per_fte_year") / MONTHS_PER_YEAR
        schedule, changed = monthly_rule(
            cash_usd(tokens)[:, 1:],
            _running(own)[:, 1:],
            to_host_usd=(part.column("migration_fte_months") * usd_per_fte_month)[:, 0],
            to_api_usd=(part.column("exit_fte_months") * usd_per_fte_month)[:, 0],
        )
        schedules.append(schedule)
        changes.append(changed)
    rate = monthly_rate(worlds.values["discount_rate_frac_per_year"])
    cost = levelised_usd_per_month(np.concatenate(schedules), rate)
    return NotCommitting(
        host=host.id,
        worth_usd_per_month=best_for_good_usd_per_month - float(cost.mean()),
        changed_frac=float((np.concatenate(changes) > 0).mean()),
    )


def monthly_rule(api_usd: Array, host_usd: Array, *, to_host_usd: Array, to_api_usd: Array) -> tuple[Array, Array]:
    """Cash of months 0..n and the number of changes when sides are changed by the rule of `NotCommitting`.

    The first month begins on the side that the same rule picks, from the API. Each change is paid in the month before.
    Worked: tokens 1, 3, 3, 1, a machine 2 each month, 1.5 to begin and nothing to leave: in month 2 three months are
    left, each saving 1, more than 1.5, so it begins there; in month 4 tokens save 1 and it leaves. 1 + 1.5, 2, 2, 1.
    """
    worlds, months = api_usd.shape
    cash, changes = np.zeros((worlds, months + 1)), np.zeros(worlds)
    hosting = np.zeros(worlds, dtype=bool)
    for month in range(months):
        saving = (api_usd[:, month] - host_usd[:, month]) * (months - month)
        begin, leave = ~hosting & (saving > to_host_usd), hosting & (-saving > to_api_usd)
        cash[:, month] += np.where(begin, to_host_usd, 0.0) + np.where(leave, to_api_usd, 0.0)
        hosting = (hosting | begin) & ~leave
        changes += (begin | leave) if month else 0
        cash[:, month + 1] += np.where(hosting, host_usd[:, month], api_usd[:, month])
    return cash, changes


def _running(entries: tuple[Entry, ...]) -> Array:
    return cash_usd([entry for entry in entries if entry.category not in _ONE_OFF])
