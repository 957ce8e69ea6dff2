"""May this model be used like that? Pass, conflict or "ask counsel", with the clause; never a silent pass."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from fnmatch import fnmatchcase

from pricing.types import Accelerator


class CommercialUse(StrEnum):
    """What a licence says about using a model in business."""

    ALLOWED = "allowed"
    FORBIDDEN = "forbidden"


class LicenceVerdict(StrEnum):
    """Ordered from harmless to harmful."""

    PASS = "pass"
    ASK_COUNSEL = "ask counsel"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True, kw_only=True)
class Licence:
    """What one version of a licence asks for; None or empty where no such clause is known.

    `from_text` is False for a row that was written from summaries of the licence. `models` are name patterns as on
    Hugging Face.
    """

    id: str
    name: str
    version: str
    source_url: str
    checked_on: date
    from_text: bool
    commercial_use: CommercialUse
    models: tuple[str, ...]
    monthly_users_cap: int | None = None
    monthly_users_cap_counted: str = "at any time"
    trains_other_models: str | None = None
    attribution: str | None = None
    attribution_from_monthly_users: int | None = None
    attribution_from_monthly_revenue_usd: int | None = None
    use_policy_url: str | None = None
    excluded_regions: tuple[str, ...] = ()
    excluded_regions_multimodal_only: bool = False
    redistribution_duty: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IntendedUse:
    """What somebody wants to do; None is "not stated" and never counts as no.

    `region` is where the company sits, such as "EU" or "US".
    """

    commercial: bool | None = None
    monthly_users: int | None = None
    monthly_revenue_usd: int | None = None
    trains_other_models: bool | None = None
    redistributes: bool | None = None
    multimodal: bool | None = None
    region: str | None = None
    keeps_use_policy: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """One clause that the intended use meets, and how it comes out."""

    about: str
    verdict: LicenceVerdict
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LicenceCheck:
    """The result for one model; the verdict is that of its worst clause. `licence` is None for an unknown model."""

    model: str
    licence: Licence | None
    verdict: LicenceVerdict
    clauses: tuple[Clause, ...]


def check_licence(model: str, use: IntendedUse, licences: Sequence[Licence]) -> LicenceCheck:
    """Hold the intended use against every clause of the model's licence.

    Worked: a commercial product of 1,000 monthly users in the US on meta-llama/Llama-3.3-70B-Instruct, use policy kept,
    nothing trained, nothing passed on: pass, with the duty to show "Built with Llama". The same with users not stated:
    ask counsel, because of the cap of 700,000,000.
    """
    found = [licence for licence in licences if any(fnmatchcase(model, pattern) for pattern in licence.models)]
    if len(found) != 1:
        why = "is not in the licence table" if not found else f"fits {' and '.join(licence.name for licence in found)}"
        clause = Clause(about="licence", verdict=LicenceVerdict.ASK_COUNSEL, text=f"{model} {why}: read its licence")
        return LicenceCheck(model=model, licence=None, verdict=LicenceVerdict.ASK_COUNSEL, clauses=(clause,))
    licence = found[0]
    clauses = tuple(_clauses(licence, use))
    order = list(LicenceVerdict)
    worst = max((clause.verdict for clause in clauses), key=order.index, default=LicenceVerdict.PASS)
    return LicenceCheck(model=model, licence=licence, verdict=worst, clauses=clauses)


def check_card(card: Accelerator, in_datacenter: bool | None) -> Clause | None:
    """The driver licence of consumer cards forbids data centres; None for a card without such a clause.

    Source: NVIDIA GeForce software licence, section 2.1.3, "No Datacenter Deployment" (block chains excepted).
    """
    if not card.datacenter_clause or in_datacenter is False:
        return None
    place = "stands in a data centre" if in_datacenter else "may stand in a data centre: not stated"
    text = f"{card.name} {place}; the licence of its driver forbids data centres (section 2.1.3): check with counsel"
    return Clause(about="driver licence", verdict=LicenceVerdict.ASK_COUNSEL, text=text)


def _clauses(licence: Licence, use: IntendedUse) -> Iterator[Clause]:
    if licence.commercial_use is CommercialUse.FORBIDDEN:
        yield _decide("commercial use", use.commercial, "the licence forbids commercial use", "not commercial")
    yield from _users(licence, use)
    yield from _region(licence, use)
    if licence.trains_other_models is not None:
        yield _duty("training other models", use.trains_other_models, licence.trains_other_models)
    if licence.use_policy_url is not None:
        kept = use.keeps_use_policy
        text = f"the use policy {licence.use_policy_url} must be kept"
        if kept is False:
            yield Clause(about="use policy", verdict=LicenceVerdict.CONFLICT, text=f"{text}, and it is not")
        else:
            yield _stated("use policy", kept, text)
    if licence.redistribution_duty is not None:
        yield _duty("passing the model on", use.redistributes, licence.redistribution_duty)
    yield from _attribution(licence, use)
    if not licence.from_text:
        yield Clause(
            about="this table",
            verdict=LicenceVerdict.PASS,
            text=f"written from summaries on {licence.checked_on}, not from the text: read {licence.source_url}",
        )


def _users(licence: Licence, use: IntendedUse) -> Iterator[Clause]:
    cap, counted = licence.monthly_users_cap, licence.monthly_users_cap_counted
    if cap is None:
        return
    if use.monthly_users is None:
        text = f"above {cap:,} monthly users, counted {counted}, a separate licence is needed: state how many"
        yield Clause(about="monthly users", verdict=LicenceVerdict.ASK_COUNSEL, text=text)
    elif use.monthly_users > cap:
        text = f"{use.monthly_users:,} monthly users are above the cap of {cap:,}, counted {counted}: ask for a licence"
        yield Clause(about="monthly users", verdict=LicenceVerdict.CONFLICT, text=text)
    else:
        text = f"{use.monthly_users:,} monthly users are within the cap of {cap:,}"
        yield Clause(about="monthly users", verdict=LicenceVerdict.PASS, text=text)


def _region(licence: Licence, use: IntendedUse) -> Iterator[Clause]:
    if not licence.excluded_regions:
        return
    where = ", ".join(licence.excluded_regions)
    if licence.excluded_regions_multimodal_only and use.multimodal is False:
        yield Clause(
            about="region", verdict=LicenceVerdict.PASS, text=f"{where} is excluded for multimodal models only"
        )
    elif use.region is None:
        text = f"companies in {where} get no rights: state where the company sits"
        yield Clause(about="region", verdict=LicenceVerdict.ASK_COUNSEL, text=text)
    elif use.region not in licence.excluded_regions:
        yield Clause(about="region", verdict=LicenceVerdict.PASS, text=f"{use.region} is not excluded ({where} is)")
    elif licence.excluded_regions_multimodal_only and use.multimodal is None:
        text = f"companies in {where} get no rights to multimodal models: state whether this is one"
        yield Clause(about="region", verdict=LicenceVerdict.ASK_COUNSEL, text=text)
    else:
        yield Clause(about="region", verdict=LicenceVerdict.CONFLICT, text=f"companies in {where} get no rights")


def _attribution(licence: Licence, use: IntendedUse) -> Iterator[Clause]:
    if licence.attribution is None:
        return
    limits = (
        (licence.attribution_from_monthly_users, use.monthly_users),
        (licence.attribution_from_monthly_revenue_usd, use.monthly_revenue_usd),
    )
    known = [(limit, stated) for limit, stated in limits if limit is not None]
    if known and all(stated is not None and stated <= limit for limit, stated in known):
        return
    exceeded = any(stated is not None and stated > limit for limit, stated in known)
    if known and not exceeded:
        text = f"above some size {licence.attribution}: state monthly users and monthly revenue"
        yield Clause(about="attribution", verdict=LicenceVerdict.ASK_COUNSEL, text=text)
    else:
        yield Clause(about="attribution", verdict=LicenceVerdict.PASS, text=f"duty: {licence.attribution}")


def _decide(about: str, happens: bool | None, conflict: str, harmless: str) -> Clause:
    if happens is None:
        return Clause(about=about, verdict=LicenceVerdict.ASK_COUNSEL, text=f"{conflict}: state whether it is meant")
    verdict = LicenceVerdict.CONFLICT if happens else LicenceVerdict.PASS
    return Clause(about=about, verdict=verdict, text=conflict if happens else harmless)


def _duty(about: str, happens: bool | None, duty: str) -> Clause:
    if happens is False:
        return Clause(about=about, verdict=LicenceVerdict.PASS, text="not meant")
    return _stated(about, happens, f"duty: {duty}")


def _stated(about: str, stated: bool | None, text: str) -> Clause:
    if stated is None:
        return Clause(about=about, verdict=LicenceVerdict.ASK_COUNSEL, text=f"{text}: state whether it applies")
    return Clause(about=about, verdict=LicenceVerdict.PASS, text=text)
