"""The answer in words, made from the numbers of a plan and from nothing else."""

from collections.abc import Iterator, Sequence

from planner.analysis.breakeven import BreakEven
from planner.analysis.risk import LearnBy
from planner.cost.options import OptionKind
from planner.decision.cautions import cautions
from planner.decision.plan import OptionResult, Plan, Point, Verdict
from planner.decision.wording import describe, figure_text, label, percent, signed, usd, volume

_NAMED_ASSUMPTIONS = 3
_SIDES = {
    OptionKind.API: "Buy tokens",
    OptionKind.RENT: "Host it yourself",
    OptionKind.OWN: "Host it yourself",
    OptionKind.HYBRID: "Mix",
    OptionKind.STAGED: "Start with tokens",
    OptionKind.MIX: "Host it yourself on several offers",
}
_WORTH_SAYING_USD_PER_MONTH = 1.0
_WORTH_SAYING_FRAC = 0.02
_MOSTLY_EXTRAPOLATED_FRAC = 0.25
_WEAK_FIT_ERROR_FRAC = 0.5


def make_verdict(plan: Plan) -> Verdict:
    """Who wins, by how much, from which volume on, how sure that is, what would change it, and what it leaves out."""
    if not plan.options:
        reasons = "; ".join(f"{excluded.id}: {excluded.reason}" for excluded in plan.excluded)
        why = Point(about="Why", sentences=("No candidate can serve this workload.", f"{reasons}."))
        headline = "The result is that no option is left: every candidate is out."
        return Verdict(headline=headline, points=(why,), cautions=tuple(cautions(plan)))
    points = {
        "What it costs": (*_winner(plan), *_several_offers(plan)),
        "From what volume": (*_break_even(plan), *_busy_and_payback(plan)),
        "How sure": (*_extrapolated(plan), *_weak_fits(plan), *_risk(plan)),
        "What would change it": (*_sensitivity(plan), *_next_step(plan), *_flexibility(plan)),
        "What it does not say": tuple(_quality(plan)),
    }
    return Verdict(
        headline=headline_of(plan.options),
        points=tuple(Point(about=about, sentences=said) for about, said in points.items() if said),
        cautions=tuple(cautions(plan)),
    )


def headline_of(options: Sequence[OptionResult]) -> str:
    """The answer in one sentence; `options` ascend in levelised cost and are not empty."""
    best = options[0]
    api = next((option for option in options if option.kind is OptionKind.API), None)
    host = next((option for option in options if option.kind in (OptionKind.RENT, OptionKind.OWN)), None)
    if api is None or host is None:
        return f"{describe(best)} is the cheapest option at {usd(best.levelised_usd_per_month)} a month."
    loser = _runner_up(best, api, host)
    saving = loser.levelised_usd_per_month - best.levelised_usd_per_month
    said = f"{_SIDES[best.kind]}: {describe(best)} costs {usd(saving)} a month less than {describe(loser)}"
    rough = best.kind is not OptionKind.API and _outside(options) > _MOSTLY_EXTRAPOLATED_FRAC
    return f"{said}, at a speed that is mostly extrapolated." if rough else f"{said}."


def _runner_up(best: OptionResult, api: OptionResult, host: OptionResult) -> OptionResult:
    """The other side's cheapest option; for both in one the cheaper of the pure sides."""
    if best.kind is OptionKind.MIX:
        return api
    others = [option for option in (api, host) if option is not best]
    return min(others, key=lambda option: option.levelised_usd_per_month)


def _winner(plan: Plan) -> Iterator[str]:
    best, api, host = plan.options[0], plan.best_api, plan.best_self_host
    rate = next(a.value.mid for a in plan.assumptions if a.name == "discount_rate_frac_per_year")
    yield (
        f"At {volume(plan.requests_per_day)} requests/day from {plan.scenario.start_month} on, over "
        f"{plan.scenario.horizon_months} months, {describe(best)} is the cheapest of {len(plan.options)} options at "
        f"{usd(best.levelised_usd_per_month)} a month (levelised at {rate:.1%} a year, like every cost here)."
    )
    if api is None or host is None:
        missing = "API model" if best.kind is not OptionKind.API else "self-hosted option"
        yield f"There is no {missing} to compare it with."
        return
    other = _runner_up(best, api, host)
    name = "API model" if other is api else "self-hosted option on one offer"
    more = other.levelised_usd_per_month - best.levelised_usd_per_month
    yield (
        f"The cheapest {name}, {describe(other)}, costs {usd(other.levelised_usd_per_month)}: {usd(more)} a month more "
        f"({_times(other.levelised_usd_per_month, best.levelised_usd_per_month)})."
    )


def _several_offers(plan: Plan) -> Iterator[str]:
    """What the figures of one offer leave out: machines of several offers that serve the same for less."""
    several, host, api = plan.best(OptionKind.MIX), plan.best_self_host, plan.best_api
    if several is None or host is None or several.levelised_usd_per_month >= host.levelised_usd_per_month:
        return
    cost = several.levelised_usd_per_month
    less = f"{usd(host.levelised_usd_per_month - cost)} less than {describe(host)}"
    turns = api is not None and cost < api.levelised_usd_per_month <= host.levelised_usd_per_month
    end = f", and less than {describe(api)} at the planned volume already" if api is not None and turns else ""
    yield (
        "Break-even, sensitivity and the odds of self-hosting are for machines of one offer; "
        f"{describe(several)} together cost {usd(cost)} a month, {less}{end}."
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
    said = "; ".join(
        f"{label(bar.name)} {figure_text(bar.low)} to {figure_text(bar.high)} "
        f"({signed(bar.difference_at_low_usd_per_month)} to {signed(bar.difference_at_high_usd_per_month)})"
        for bar in bars
    )
    yield f"Self-hosting minus API, in USD a month, depends most on {said}."
    mid = _difference(plan)
    turning = [label(bar.name) for bar in plan.sensitivity if bar.turns(mid)]
    if not turning:
        yield "No assumption alone turns the answer."
    else:
        yield f"{'' if len(turning) == 1 else 'Each of '}{', '.join(turning)} alone would turn the answer."


def _risk(plan: Plan) -> Iterator[str]:
    risk = plan.risk
    difference, cheaper = risk.difference_usd_per_month, risk.self_host_cheaper_frac
    if difference is None or cheaper is None:
        return
    yield (
        f"With all assumptions drawn at once ({risk.draws:,} draws), self-hosting is cheaper in {percent(cheaper)} of "
        f"them and self-hosting minus API runs from {signed(difference.p10)} to {signed(difference.p90)} a month "
        "(P10 to P90)."
    )
    best, api, host = plan.options[0], plan.best_api, plan.best_self_host
    if risk.recommended_cheaper_frac is not None and best not in (api, host) and api is not None:
        yield f"{describe(best)} costs less than {api.id} in {percent(risk.recommended_cheaper_frac)} of them."
    held = next((o.slo_held_frac for o in risk.options if o.id == best.id), None)
    if held is not None:
        yield f"Its fleet holds the service level at the first month's peak in {percent(held)} of the draws."


def _busy_and_payback(plan: Plan) -> Iterator[str]:
    views = plan.break_even_views
    if views is None:
        return
    there = [busy.utilisation_frac for busy in views.busy_at_crossings]
    plan_busy = (
        f"At the planned volume {views.busy_at_plan.host} would be {views.busy_at_plan.utilisation_frac:.0%} busy"
    )
    if there:
        low, high = min(there), max(there)
        at = f"{low:.0%}" if f"{low:.0%}" == f"{high:.0%}" else f"{low:.0%} to {high:.0%}"
        plan_busy += f"; it breaks even at {at}"
    yield f"{plan_busy}."
    payback = views.payback
    if payback.mid_month is not None and payback.mid_month > 0:
        latest = "never" if payback.latest_month is None else f"month {payback.latest_month:.0f}"
        yield (
            f"What self-hosting lays out over the API has come back in month {payback.mid_month:.0f} (with one "
            f"assumption at its low or high, month {payback.earliest_month:.0f} to {latest})."
        )


def _flexibility(plan: Plan) -> Iterator[str]:
    """What it is worth to keep the choice open, where that changes anything."""
    waiting, open_end = plan.risk.waiting, plan.risk.not_committing
    enough = max(_WORTH_SAYING_FRAC * plan.options[0].levelised_usd_per_month, _WORTH_SAYING_USD_PER_MONTH)
    if waiting is not None and waiting.worth_usd_per_month >= enough:
        yield (
            f"Buying tokens for {waiting.months} months and choosing then is worth up to "
            f"{usd(waiting.worth_usd_per_month)} a month, if by then all of this is known."
        )
    elif waiting is not None and waiting.worth_usd_per_month <= -enough:
        yield f"Waiting {waiting.months} months for certainty would cost {usd(-waiting.worth_usd_per_month)} a month."
    if open_end is not None and open_end.worth_usd_per_month >= enough:
        yield (
            f"Renting {open_end.host} without a term and changing sides month by month is worth "
            f"{usd(open_end.worth_usd_per_month)} a month over the best choice for good."
        )


def _next_step(plan: Plan) -> Iterator[str]:
    """The measurement or quote that would change the decision most; what only time tells is named apart."""
    risk = plan.risk
    if risk.difference_usd_per_month is None:
        return
    worth = [k for k in risk.worth_knowing if k.worth_usd_per_month >= _WORTH_SAYING_USD_PER_MONTH]
    if not worth:
        yield "No better figure for any single assumption is worth paying for: the choice would stay the same."
        return
    obtainable = next((k for k in worth if k.learn_by is not LearnBy.TIME), None)
    if obtainable is not None:
        yield (
            f"The next {obtainable.learn_by} to get is {label(obtainable.name)}: knowing it is worth up to "
            f"{usd(obtainable.worth_usd_per_month)} a month to this decision."
        )
    if worth[0] is not obtainable:
        yield (
            f"Worth most would be to know {label(worth[0].name)} ({usd(worth[0].worth_usd_per_month)} a month), which "
            "no measurement or quote tells today."
        )


def _difference(plan: Plan) -> float:
    api, host = plan.best_api, plan.best_self_host
    assert api is not None  # a plan has bars only where both sides have an option
    assert host is not None
    return host.levelised_usd_per_month - api.levelised_usd_per_month


def _outside(options: Sequence[OptionResult]) -> float:
    """Share of the requests that lie outside what was measured."""
    return max((o.fleet.curve.requests_outside_hull_frac for o in options if o.fleet), default=0.0)


def _extrapolated(plan: Plan) -> Iterator[str]:
    outside = _outside(plan.options)
    if outside > _MOSTLY_EXTRAPOLATED_FRAC:
        yield (
            f"Take the self-hosted side as a rough guess, because {outside:.0%} of the requests lie outside what was "
            "measured: measure such requests before you decide."
        )


def _weak_fits(plan: Plan) -> Iterator[str]:
    for key in sorted({option.fleet.profile for option in plan.options if option.fleet is not None}):
        error = plan.profiles[key].fit.held_out_error_frac
        if error is not None and error > _WEAK_FIT_ERROR_FRAC:
            yield (
                f"The fit behind {key} was off by {error:.0%} on load points that it had not seen, which is too weak "
                "to plan with: measure again on an idle machine, with more requests per level."
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
