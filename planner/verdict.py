"""The answer in words, made from the numbers of a plan and from nothing else."""

from collections.abc import Iterator

from planner.breakeven import BreakEven
from planner.options import OptionKind
from planner.plan import OptionResult, Plan, Verdict
from planner.units import SECONDS_PER_HOUR, SECONDS_PER_MINUTE

_SMALL_LOG_S = 7 * 24 * SECONDS_PER_HOUR
_NAMED_ASSUMPTIONS = 3
_SIDES = {
    OptionKind.API: "Buy tokens",
    OptionKind.RENT: "Host it yourself",
    OptionKind.OWN: "Host it yourself",
    OptionKind.HYBRID: "Mix",
    OptionKind.STAGED: "Start with tokens",
}
_WORTH_SAYING_USD_PER_MONTH = 1.0
_MOSTLY_EXTRAPOLATED_FRAC = 0.25
_WEAK_FIT_ERROR_FRAC = 0.5
_FAR_START_YEARS = 10
_LABELS = {
    "requests_per_day": "requests per day",
    "growth_frac_per_month": "traffic growth per month",
    "cached_input_frac": "cached part of the input",
    "throughput_ratio": "real over predicted throughput",
    "electricity_usd_per_kwh": "electricity price (USD/kWh)",
    "pue_ratio": "PUE",
    "colocation_usd_per_kw_month": "colocation price (USD/kW-month)",
    "support_frac_per_year": "hardware support (part of the price per year)",
    "staff_fte": "staff (FTE)",
    "staff_usd_per_fte_year": "staff cost (USD per FTE and year)",
    "network_frac_of_hardware": "network (part of the hardware price)",
    "discount_rate_frac_per_year": "discount rate per year",
    "api_price_drift_frac_per_year": "drift of API prices per year",
    "rental_price_drift_frac_per_year": "drift of rental prices per year",
    "resale_frac_of_book_value": "resale (part of book value)",
}
_OFFER_LABELS = {
    "replicas_per_machine": "replicas per machine on {}",
    "usd_per_h": "rent of {} (USD/h)",
    "price_usd": "price of {} (USD)",
    "life_years": "life of {} (years)",
    "residual_frac": "residual value of {}",
    "idle_w": "idle power of {} (W)",
    "loaded_w": "loaded power of {} (W)",
}


def label(assumption: str) -> str:
    """An assumption's name in words.

    >>> label("dgx/price_usd")
    'price of dgx (USD)'
    """
    offer, slash, field = assumption.rpartition("/")
    if slash and field in _OFFER_LABELS:
        return _OFFER_LABELS[field].format(offer)
    return _LABELS.get(assumption, assumption)


def usd(amount: float) -> str:
    """Dollars for reading: cents below 100.

    >>> usd(1234.5), usd(-3.456)
    ('$1,234', '-$3.46')
    """
    sign = "-" if amount < 0 else ""
    return f"{sign}${abs(amount):,.0f}" if abs(amount) >= 100 else f"{sign}${abs(amount):,.2f}"


def volume(requests_per_day: float) -> str:
    """Requests per day for reading, three significant digits.

    >>> volume(3_186_668.4), volume(221_762), volume(12.3)
    ('3.19 M', '222 k', '12.3')
    """
    for factor, suffix in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if requests_per_day >= factor:
            return f"{_three_digits(requests_per_day / factor)}{suffix}"
    return _three_digits(requests_per_day)


def describe(option: OptionResult) -> str:
    """An option as the subject of a sentence."""
    if option.hybrid is not None:
        size = option.hybrid
        machines = f"{size.machines} machine{'s' if size.machines != 1 else ''}"
        return f"{machines} of {size.host} with {percent(size.overflow_frac)} of the requests going to {size.api}"
    if option.staged is not None:
        step = option.staged
        machines = f"{step.machines} machine{'s' if step.machines != 1 else ''}"
        return f"{step.api} for {step.api_months} months, then {machines} of {step.host}"
    if option.fleet is None:
        return option.id
    verb = "renting" if option.kind is OptionKind.RENT else "owning"
    machines = f"{option.fleet.peak_machines} machine{'s' if option.fleet.peak_machines != 1 else ''}"
    return f"{verb} {option.id} ({machines})"


def make_verdict(plan: Plan) -> Verdict:
    """Who wins, by how much, from which volume on, and what would change it."""
    if not plan.options:
        reasons = "; ".join(f"{excluded.id}: {excluded.reason}" for excluded in plan.excluded)
        text = f"No candidate can serve this workload. {reasons}."
        headline = "The result is that no option is left: every candidate is out."
        return Verdict(headline=headline, paragraph=text, cautions=tuple(_cautions(plan)))
    sentences = [
        _winner(plan),
        *_break_even(plan),
        *_sensitivity(plan),
        *_risk(plan),
        *_extrapolated(plan),
        *_quality(plan),
    ]
    return Verdict(headline=_headline(plan), paragraph=" ".join(sentences), cautions=tuple(_cautions(plan)))


def _headline(plan: Plan) -> str:
    best, api, host = plan.options[0], plan.best_api, plan.best_self_host
    if api is None or host is None:
        return f"{describe(best)} is the cheapest option at {usd(best.levelised_usd_per_month)} a month."
    loser = _runner_up(best, api, host)
    saving = loser.levelised_usd_per_month - best.levelised_usd_per_month
    return f"{_SIDES[best.kind]}: {describe(best)} costs {usd(saving)} a month less than {describe(loser)}."


def _runner_up(best: OptionResult, api: OptionResult, host: OptionResult) -> OptionResult:
    """The other side's cheapest option; for a hybrid the cheaper of the two pure sides."""
    others = [option for option in (api, host) if option is not best]
    return min(others, key=lambda option: option.levelised_usd_per_month)


def _winner(plan: Plan) -> str:
    best, api, host = plan.options[0], plan.best_api, plan.best_self_host
    rate = next(a.value.mid for a in plan.assumptions if a.name == "discount_rate_frac_per_year")
    start = (
        f"At {volume(plan.requests_per_day)} requests/day from {plan.scenario.start_month} on, over "
        f"{plan.scenario.horizon_months} months, {describe(best)} is the cheapest of {len(plan.options)} options at "
        f"{usd(best.levelised_usd_per_month)} a month (all costs levelised at {rate:.1%} a year)"
    )
    if api is None or host is None:
        missing = "API model" if best.kind is not OptionKind.API else "self-hosted option"
        return f"{start}; there is no {missing} to compare it with."
    other = _runner_up(best, api, host)
    name = "API model" if other is api else "self-hosted option"
    more = other.levelised_usd_per_month - best.levelised_usd_per_month
    return (
        f"{start}; the cheapest {name}, {describe(other)}, costs {usd(other.levelised_usd_per_month)}, "
        f"which is {usd(more)} a month more ({_times(other.levelised_usd_per_month, best.levelised_usd_per_month)})."
    )


def _times(larger: float, smaller: float) -> str:
    if smaller <= 0:
        return "the cheaper one costs nothing"
    ratio = larger / smaller
    return f"{ratio:.1f} times as much" if ratio >= 2 else f"{ratio - 1:.0%} more"


def _break_even(plan: Plan) -> Iterator[str]:
    found = plan.break_even
    if found is None:
        return
    yield break_even_in_words(found, plan.requests_per_day)
    if found.low is None:
        return
    if found.high is None:
        yield (
            f"With any one assumption at its low or high it starts at {volume(found.low)} requests/day soonest; "
            f"in {found.worlds_without} of {found.worlds} such cases there is none."
        )
    elif found.high > found.low:
        yield (
            f"With any one assumption at its low or high, break-even stays between {volume(found.low)} and "
            f"{volume(found.high)} requests/day."
        )


def break_even_in_words(found: BreakEven, planned_requests_per_day: float) -> str:
    """The crossings of the mid case as one sentence, with the honest words where there is none."""
    if found.always_cheaper:
        return f"Self-hosting is cheaper at every volume from {volume(found.searched_from)} requests/day on."
    if not found.crossings:
        none = f"At no volume up to {volume(found.searched_to)} requests/day does self-hosting cost less"
        if found.closest is None:
            return f"{none}."
        return (
            f"{none}; it comes closest at {volume(found.closest.requests_per_day)} requests/day, where it costs "
            f"{found.closest.cost_ratio:.2f} times the API."
        )
    first, last = found.crossings[0], found.crossings[-1]
    ratio = first.requests_per_day / planned_requests_per_day
    share = f"{ratio:.1f} times the plan" if ratio >= 2 else f"{ratio:.0%} of the plan"
    if len(found.crossings) == 1:
        side = "above" if first.self_host_cheaper_above else "below"
        at = f"{volume(first.requests_per_day)} requests/day ({share})"
        return f"Break-even is at {at}: self-hosting is cheaper {side} it."
    end = "for good above it" if last.self_host_cheaper_above else "and the API is cheaper above it"
    return (
        f"Break-even is a range, because machines are whole: from {volume(first.requests_per_day)} ({share}) to "
        f"{volume(last.requests_per_day)} requests/day the cheaper side changes {len(found.crossings)} times, {end}."
    )


def _sensitivity(plan: Plan) -> Iterator[str]:
    bars = [bar for bar in plan.sensitivity if bar.swing_usd_per_month > 0][:_NAMED_ASSUMPTIONS]
    if not bars:
        return
    mid = _difference(plan)
    said = "; ".join(
        f"{label(bar.name)} {figure_text(bar.low)} to {figure_text(bar.high)} "
        f"({_signed(bar.difference_at_low_usd_per_month)} to {_signed(bar.difference_at_high_usd_per_month)})"
        for bar in bars
    )
    turning = [label(bar.name) for bar in plan.sensitivity if bar.turns(mid)]
    one = "" if len(turning) == 1 else "each of "
    end = (
        f"{one}{', '.join(turning)} alone would turn the answer"
        if turning
        else "none of all assumptions alone turns the answer"
    )
    yield f"Self-hosting minus API, in USD a month, depends most on {said}; {end}."


def figure_text(value: float) -> str:
    """An assumption's value for reading: four significant digits, no exponent.

    >>> figure_text(1_500_000.0), figure_text(0.284813701), figure_text(10.4)
    ('1,500,000', '0.2848', '10.4')
    """
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:,.4g}"


def _risk(plan: Plan) -> Iterator[str]:
    risk = plan.risk
    difference, cheaper = risk.difference_usd_per_month, risk.self_host_cheaper_frac
    if difference is None or cheaper is None:
        return
    yield (
        f"With all assumptions drawn at once ({risk.draws:,} draws), self-hosting is cheaper in {percent(cheaper)} of "
        f"them and the difference runs from {_signed(difference.p10)} to {_signed(difference.p90)} (P10 to P90)."
    )
    held = next((o.slo_held_frac for o in risk.options if o.id == plan.options[0].id), None)
    if held is not None:
        yield f"Its fleet holds the service level at the first month's peak in {percent(held)} of the draws."
    best = risk.worth_knowing[0] if risk.worth_knowing else None
    if best is not None and best.worth_usd_per_month >= _WORTH_SAYING_USD_PER_MONTH:
        yield (
            f"What would help the decision most is a better figure for {label(best.name)}: knowing it is worth up to "
            f"{usd(best.worth_usd_per_month)} a month."
        )
    else:
        yield "No better figure for any single assumption is worth paying for: the choice would stay the same."


def percent(frac: float) -> str:
    """A probability for reading; the ends are not rounded to certainty.

    >>> percent(0.834), percent(0.0013), percent(0.0)
    ('83%', '0.1%', 'none')
    """
    if frac in (0.0, 1.0):
        return "all" if frac else "none"
    return f"{frac:.0%}" if 0.01 <= frac <= 0.99 else f"{frac:.1%}"


def _difference(plan: Plan) -> float:
    api, host = plan.best_api, plan.best_self_host
    assert api is not None  # a plan has bars only where both sides have an option
    assert host is not None
    return host.levelised_usd_per_month - api.levelised_usd_per_month


def _extrapolated(plan: Plan) -> Iterator[str]:
    outside = max((o.fleet.curve.requests_outside_hull_frac for o in plan.options if o.fleet), default=0.0)
    if outside > _MOSTLY_EXTRAPOLATED_FRAC:
        yield (
            f"Take the self-hosted side as a rough guess, because {outside:.0%} of the requests lie outside what was "
            "measured: measure such requests before you decide."
        )


def _quality(plan: Plan) -> Iterator[str]:
    synthetic = sorted({p.provenance.model for p in plan.profiles.values() if p.provenance.is_synthetic})
    if synthetic:
        yield (
            f"This is about money only. {', '.join(synthetic)} has random weights; its speed and memory are real, but "
            "its quality cannot be compared with any API model; for a real decision run `breakeven measure --gguf "
            "YOUR_MODEL.gguf` or `breakeven measure --endpoint URL --model NAME` and plan with that profile."
        )
    elif plan.profiles:
        yield "This is about money only: check on your own tests that the models are good enough for the task."


def _cautions(plan: Plan) -> Iterator[str]:
    span_s = plan.workload.span_s
    if span_s < _SMALL_LOG_S:
        yield (
            f"The log covers {_length(span_s)} and can carry no claim about days: that its rate holds around the "
            f'clock and that the week has the shape "{plan.week_name}" ({plan.week_source}) are assumptions.'
        )
    if plan.bad_rows:
        yield f"{plan.bad_rows} rows of the log could not be used and were left out."
    yield from _start_cautions(plan)
    yield from _capacity_cautions(plan)
    if plan.options and plan.options[0].kind in (OptionKind.HYBRID, OptionKind.STAGED):
        yield "The mix answers with two models: check that users may get either, and that both may see the data."
    for price in plan.prices:
        for change in price.changes:
            yield f"{price.model} changes its price in {change.from_month}: {change.factor:.2f} times the month before."
    placeholders = [label(a.name) for a in plan.assumptions if a.is_placeholder]
    if placeholders:
        yield f"Placeholders without a good primary source; replace them by your own: {', '.join(placeholders)}."
    yield from plan.questions
    for excluded in plan.excluded:
        yield f"{excluded.id} is out: {excluded.reason}."


def _length(span_s: float) -> str:
    """The span of a log for reading.

    >>> _length(12.34), _length(160.0), _length(9000.0)
    ('12.3 seconds', '3 minutes', '2 hours')
    """
    if span_s < 2 * SECONDS_PER_MINUTE:
        return f"{span_s:.3g} seconds"
    minutes = span_s / SECONDS_PER_MINUTE
    return f"{minutes:.0f} minutes" if minutes < 120 else f"{span_s / SECONDS_PER_HOUR:.0f} hours"


def _start_cautions(plan: Plan) -> Iterator[str]:
    """Held against the newest date in the assumptions, so that the same plan says the same on any day."""
    newest = max((a.as_of[:7] for a in plan.assumptions if a.as_of), default=None)
    start = plan.scenario.start_month
    if newest is None:
        return
    if start < newest:
        yield f"The plan starts in {start}, before the newest of its figures ({newest}): it is a look back."
    elif int(start[:4]) - int(newest[:4]) > _FAR_START_YEARS:
        yield (
            f"The plan starts in {start}, more than {_FAR_START_YEARS} years after the newest of its figures "
            f"({newest}): no price of today says anything about then."
        )


def _capacity_cautions(plan: Plan) -> Iterator[str]:
    fleets = [option.fleet for option in plan.options if option.fleet is not None]
    for key in sorted({fleet.profile for fleet in fleets}):
        mine = [fleet for fleet in fleets if fleet.profile == key]
        curve, host = mine[0].curve, plan.profiles[key].host
        cores = f"{host.cpu_model} with {host.cpu_cores} cores" if host.cpu_cores else "a host that nobody named"
        yield (
            f"The replica was measured on {cores}{cards(host.accelerators)}; how many of it an offered machine "
            "carries is an assumption (replicas per machine)."
        )
        error = plan.profiles[key].fit.held_out_error_frac
        if error is not None and error > _WEAK_FIT_ERROR_FRAC:
            yield (
                f"The fit behind {key} was off by {error:.0%} on load points that it had not seen, which is too weak "
                "to plan with: measure again on an idle machine, with more requests per level."
            )
        if curve.requests_outside_hull_frac > 0:
            yield (
                f"{curve.requests_outside_hull_frac:.1%} of the requests lie outside what was measured, so their speed "
                "is extrapolated; measure such requests too."
            )
        simulated = curve.max_requests_per_s[-1] * 24 * SECONDS_PER_HOUR
        reach = [c.requests_per_day for c in plan.break_even.crossings] if plan.break_even else []
        if max((*reach, plan.requests_per_day)) > simulated:
            yield (
                f"Fleets were simulated up to {curve.replicas[-1]} replicas ({volume(simulated)} requests/day, evenly "
                "spread); beyond that, every further replica is credited with the same rate as the last."
            )


def cards(names: tuple[str, ...]) -> str:
    """Accelerators, counted.

    >>> cards(("H100", "H100"))
    ' and 2 x H100'
    """
    counted = [f"{names.count(name)} x {name}" for name in dict.fromkeys(names)]
    return f" and {', '.join(counted)}" if counted else ""


def _signed(amount: float) -> str:
    return f"+{usd(amount)}" if amount > 0 else usd(amount)


def _three_digits(number: float) -> str:
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"
