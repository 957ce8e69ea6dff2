"""Reasons that are not money: what may not be chosen whatever it costs, and what somebody should look at first."""

from collections.abc import Iterator
from dataclasses import asdict

from planner.cost.options import ApiOption, OptionKind
from planner.scenario.inputs import Excluded, PlanInputs
from planner.scenario.requirements import SELF_HOSTED, DataRule
from planner.scenario.tables import Machine
from pricing.commitments import FreeQuota
from pricing.licences import IntendedUse, LicenceVerdict, check_card, check_licence
from pricing.quality import QualityResult, Suitability, suitability
from pricing.types import PurchaseOffer, RentalOffer, Term


def vetoes(inputs: PlanInputs) -> tuple[Excluded, ...]:
    """Every candidate that a requirement takes out, with all its reasons."""
    candidates = inputs.scenario.candidates
    rows = [(model, OptionKind.API, _api(inputs, model)) for model in candidates.api]
    rows += [(m.offer, OptionKind.RENT, _rent(inputs, m)) for m in candidates.rent]
    rows += [(m.offer, OptionKind.OWN, _own(inputs, m)) for m in candidates.own]
    told = [(name, kind, "; ".join(reasons)) for name, kind, reasons in rows]
    return tuple(Excluded(id=name, kind=kind, reason=reason) for name, kind, reason in told if reason)


def questions(inputs: PlanInputs) -> Iterator[str]:
    """What the requirements leave open, one sentence each."""
    needed = inputs.scenario.requirements.min_pass_rate_frac
    machines = (*inputs.scenario.candidates.rent, *inputs.scenario.candidates.own)
    names = (*inputs.scenario.candidates.api, *((SELF_HOSTED,) if machines else ()))
    if needed is not None:
        for name in names:
            if name not in inputs.scenario.quality:
                yield f"No test result is given for {name}, so its quality against the minimum of {needed:.0%} is open."
            elif _quality(inputs, name) is Suitability.UNDECIDED:
                rate = inputs.scenario.quality[name]
                yield (
                    f"{name} passed {rate.passed} of {rate.total} ({rate.suite}): too few tasks to tell it from the "
                    f"minimum of {needed:.0%}."
                )
    if inputs.scenario.requirements.may_share_data is None:
        for option in inputs.apis:
            for quota in _shared_for(option):
                yield (
                    f"The free tokens of {quota.id} on {option.id} are counted, but only for prompts and answers that "
                    "the provider may keep and use: say in requirements.may_share_data whether it may."
                )
    for key, profile in sorted(inputs.profiles.items()):
        check = check_licence(profile.provenance.model, _use(inputs), inputs.licences)
        if not profile.provenance.is_synthetic and check.verdict is LicenceVerdict.ASK_COUNSEL:
            yield f"Licence of {profile.provenance.model} ({key}): " + "; ".join(
                clause.text for clause in check.clauses if clause.verdict is LicenceVerdict.ASK_COUNSEL
            )
    offers: list[RentalOffer | PurchaseOffer] = [*inputs.rentals.values(), *inputs.purchases.values()]
    for offer in offers:
        if isinstance(offer, RentalOffer) and offer.term is Term.SPOT:
            yield f"{offer.id} can be taken away at any time: no interruption is priced in; add spare replicas."
        card = inputs.cards.get(offer.accelerator or "")
        clause = check_card(card, None if offer.id in inputs.purchases else True) if card else None
        if clause is not None:
            yield f"{offer.id}: {clause.text}."


def _shared_for(option: ApiOption) -> Iterator[FreeQuota]:
    for commitment in option.promises.commitments if option.promises else ():
        if isinstance(commitment, FreeQuota) and commitment.shares_data:
            yield commitment


def _api(inputs: PlanInputs, model: str) -> Iterator[str]:
    match inputs.scenario.requirements.data:
        case DataRule.OWN_MACHINES:
            yield "data must stay on own machines"
        case DataRule.ON_PREMISES:
            yield "data must stay on premises"
    required = inputs.scenario.requirements
    if required.regions and model not in required.api_in_region:
        yield f"nothing says that it keeps data in {', '.join(required.regions)} (requirements.api_in_region)"
    yield from _provider(inputs, model.partition("/")[0])
    yield from _poor(inputs, model)


def _rent(inputs: PlanInputs, machine: Machine) -> Iterator[str]:
    if inputs.scenario.requirements.data is DataRule.ON_PREMISES:
        yield "data must stay on premises"
    regions, where = inputs.scenario.requirements.regions, inputs.rentals[machine.offer].region
    if regions and not where.lower().startswith(tuple(region.lower() for region in regions)):
        yield f"it stands in {where or 'a region that its offer does not name'}, not in {', '.join(regions)}"
    yield from _provider(inputs, inputs.rentals[machine.offer].provider)
    yield from _model(inputs, machine)


def _own(inputs: PlanInputs, machine: Machine) -> Iterator[str]:
    yield from _model(inputs, machine)


def _model(inputs: PlanInputs, machine: Machine) -> Iterator[str]:
    yield from _poor(inputs, SELF_HOSTED)
    provenance = inputs.profiles[inputs.profile_key(machine)].provenance
    check = check_licence(provenance.model, _use(inputs), inputs.licences)
    if not provenance.is_synthetic and check.verdict is LicenceVerdict.CONFLICT:
        conflicts = (c.text for c in check.clauses if c.verdict is LicenceVerdict.CONFLICT)
        yield f"licence of {provenance.model}: " + ", ".join(conflicts)


def _provider(inputs: PlanInputs, provider: str) -> Iterator[str]:
    if provider.lower() in (name.lower() for name in inputs.scenario.requirements.without_providers):
        yield f"{provider} may not be used"


def _poor(inputs: PlanInputs, name: str) -> Iterator[str]:
    if _quality(inputs, name) is Suitability.FAILS:
        rate, needed = inputs.scenario.quality[name], inputs.scenario.requirements.min_pass_rate_frac
        yield f"passed {rate.passed} of {rate.total} ({rate.suite}), below the minimum of {needed:.0%}"


def _quality(inputs: PlanInputs, name: str) -> Suitability | None:
    """`None` where no minimum is asked for or no result is given."""
    needed, result = inputs.scenario.requirements.min_pass_rate_frac, own_result(inputs, name)
    return None if needed is None or result is None else suitability(result, needed)


def own_result(inputs: PlanInputs, name: str) -> QualityResult | None:
    """What the scenario says a model passed on the user's own tests; `None` where it says nothing."""
    rate = inputs.scenario.quality.get(name)
    if rate is None:
        return None
    return QualityResult(
        model=name,
        variant="",
        suite=rate.suite,
        passed=rate.passed,
        total=rate.total,
        source=rate.source,
        as_of=None,
    )


def _use(inputs: PlanInputs) -> IntendedUse:
    use = inputs.scenario.requirements.use
    return IntendedUse() if use is None else IntendedUse(**asdict(use))
