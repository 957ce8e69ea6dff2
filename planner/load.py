"""Reading everything that a scenario names: the only IO of planning."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from planner.errors import InputError
from planner.inputs import Excluded, InputFile, PlanInputs
from planner.options import ApiOption, OptionKind
from planner.profile import load_profile
from planner.scenario import Demand, Scenario, load_scenario, scenario_file
from planner.schedule import period_start
from planner.traces import read_log
from planner.workload import WeekShape, Workload, flat_week, servegen_week, week_of
from pricing.api import api_bill, rate_card
from pricing.commitments import Commitment, MinimumSpend
from pricing.hardware import find_accelerator, purchase_offer, rental_offer
from pricing.layers import PriceLayers, layered
from pricing.load import load_licences
from pricing.lock import locked
from pricing.lockfile import read_lock
from pricing.operations import default_assumptions
from pricing.own_prices import OwnPrices, read_own_prices
from pricing.rates import Resolve, library_rates
from pricing.tally import ShapeTally, tally_shapes
from pricing.types import RequestShape, ShapeCount, TokenKind

_MID_MONTH_DAY = 15
NO_OWN_PRICES = OwnPrices(layers=PriceLayers(), commitments=())


def load_inputs(path: Path) -> PlanInputs:
    """Read a scenario file (or the one in a directory) and all that it names. Raises `InputError` and `PriceError`."""
    return read_inputs(load_scenario(path), scenario_file(path).parent)


def read_inputs(scenario: Scenario, directory: Path) -> PlanInputs:
    """Read what a scenario names, paths relative to `directory`. Raises `InputError` and `PriceError`."""
    demand = scenario.workload
    workload, report = read_log(directory / demand.log, max_bad_rows=demand.max_bad_rows)
    machines = (*scenario.candidates.rent, *scenario.candidates.own)
    keys = sorted({key for m in machines if (key := m.profile or scenario.profile)})
    profiles = {key: load_profile(directory / key) for key in keys}
    own = read_own_prices(directory / scenario.own_prices) if scenario.own_prices else NO_OWN_PRICES
    base = locked(read_lock(directory / scenario.price_lock)) if scenario.price_lock else library_rates
    apis, excluded = price_api_models(scenario, workload, own=own, base=base)
    rentals = {m.offer: rental_offer(m.offer) for m in scenario.candidates.rent}
    purchases = {m.offer: purchase_offer(m.offer) for m in scenario.candidates.own}
    cards = [*(r.accelerator for r in rentals.values()), *(p.accelerator for p in purchases.values())]
    files = [_hashed("request log", demand.log, directory)]
    files += [_hashed("profile", key, directory) for key in keys]
    prices = (("own prices", scenario.own_prices), ("price lock", scenario.price_lock))
    files += [_hashed(role, path, directory) for role, path in prices if path]
    return PlanInputs(
        scenario=scenario,
        workload=replace(workload, source=demand.log),
        week=_week(demand, workload),
        bad_rows=len(report.bad_rows),
        profiles=profiles,
        apis=apis,
        excluded=excluded,
        rentals=rentals,
        purchases=purchases,
        cards={name: find_accelerator(name) for name in sorted(set(filter(None, cards)))},
        licences=load_licences(),
        defaults=tuple(default_assumptions()),
        files=tuple(files),
    )


def price_api_models(
    scenario: Scenario, workload: Workload, *, own: OwnPrices, base: Resolve
) -> tuple[tuple[ApiOption, ...], tuple[Excluded, ...]]:
    """Price the log's mix of requests on every candidate model, each month at its own date (the 15th, noon UTC).

    A model whose context window is too short for the log is excluded with the reason. Raises `PriceError` for a model
    that is not known.
    """
    refuse_unplanned(own.commitments)
    demand = scenario.workload
    resolve = layered(own.layers, base)
    levels = _cached_levels(demand, scenario)
    tallies = [tally_shapes(_shapes(workload, level)) for level in levels]
    months = [_mid_month(scenario.start_month, month) for month in range(1, scenario.horizon_months + 1)]
    priced = [_price(model, levels, tallies, months, resolve) for model in scenario.candidates.api]
    return (
        tuple(_committed(option, own.commitments, months) for option in priced if isinstance(option, ApiOption)),
        tuple(option for option in priced if isinstance(option, Excluded)),
    )


def refuse_unplanned(commitments: Sequence[Commitment]) -> None:
    """Only minimum spends are planned with; leaving another commitment out silently would be a wrong answer."""
    others = [commitment.id for commitment in commitments if not isinstance(commitment, MinimumSpend)]
    if others:
        raise InputError(
            f"a plan knows minimum spends, but no prepaid credit or provisioned units: take {', '.join(others)} out of "
            "the price file, or enter what it comes to as a minimum spend"
        )


def _committed(option: ApiOption, commitments: Sequence[Commitment], months: Sequence[datetime]) -> ApiOption:
    """The option with what has been promised for it, the sum of all minimum spends that cover the model."""
    mine = [c for c in commitments if isinstance(c, MinimumSpend) and _covers(c.targets, option.matched_model)]
    if not mine:
        return option
    promised = [sum(float(c.usd_per_month) for c in mine if c.window.holds(at.date())) for at in months]
    return replace(option, minimum_usd=np.array(promised))


def _covers(targets: Sequence[str], matched_model: str) -> bool:
    return matched_model in targets or matched_model.partition("/")[0] in targets


def _price(
    model: str,
    levels: Sequence[float],
    tallies: Sequence[ShapeTally],
    months: Sequence[datetime],
    resolve: Resolve,
) -> ApiOption | Excluded:
    window = rate_card(model, months[0], resolve=resolve).context_window
    longest = tallies[0].longest_input_tokens
    if window is not None and longest > window:
        reason = f"takes at most {window:,} input tokens, but a request of the log has {longest:,}"
        return Excluded(id=model, kind=OptionKind.API, reason=reason)
    bills = [[api_bill(model, tally, at, resolve=resolve) for at in months] for tally in tallies]
    requests = tallies[0].requests
    present = {line.kind for row in bills for bill in row for line in bill.lines}
    kinds = tuple(kind for kind in TokenKind if kind in present)
    tokens = np.zeros((len(kinds), len(levels), len(months)))
    usd = np.zeros_like(tokens)
    for level, row in enumerate(bills):
        for month, bill in enumerate(row):
            for line in bill.lines:
                place = (kinds.index(TokenKind(line.kind)), level, month)
                tokens[place] += line.tokens / requests
                usd[place] += float(line.cost_usd / requests)
    first = bills[0][0]
    return ApiOption(
        id=model,
        matched_model=first.matched_model,
        source=first.source,
        source_url=first.source_url,
        kinds=tuple(str(kind) for kind in kinds),
        cached_levels=tuple(levels),
        tokens_per_request=tokens,
        usd_per_request=usd,
    )


def _week(demand: Demand, workload: Workload) -> WeekShape:
    match demand.week_shape:
        case "flat":
            return flat_week()
        case "servegen":
            return servegen_week()
        case "log":
            return replace(week_of(workload), name="that of the log", source=demand.log)


def _cached_levels(demand: Demand, scenario: Scenario) -> tuple[float, ...]:
    figure = scenario.assumptions.get("cached_input_frac", demand.cached_input_frac)
    return tuple(sorted({figure.low, figure.mid, figure.high}))


def _shapes(workload: Workload, cached_frac: float) -> list[ShapeCount]:
    counts = Counter(zip(workload.input_tokens.tolist(), workload.output_tokens.tolist(), strict=True))
    return [
        ShapeCount(
            shape=RequestShape(
                input_tokens=prompt, output_tokens=output, cached_input_tokens=min(round(prompt * cached_frac), prompt)
            ),
            count=count,
        )
        for (prompt, output), count in sorted(counts.items())
    ]


def _mid_month(start_month: str, month: int) -> datetime:
    first = datetime.fromisoformat(period_start(start_month, month))
    return first.replace(day=_MID_MONTH_DAY, hour=12, tzinfo=UTC)


def _hashed(role: str, path: str, directory: Path) -> InputFile:
    try:
        content = (directory / path).read_bytes()
    except OSError as error:
        raise InputError(
            f"cannot read the {role} {directory / path}: {error.strerror}; correct it in the scenario"
        ) from None
    return InputFile(role=role, path=path, sha256=hashlib.sha256(content).hexdigest())
