"""Your own prices over the published ones: scenario over organisation over discount over the library.

An absolute rate of the scenario beats one of the organisation; where neither says anything the library's rate stands,
reduced by the discount that applies. Surcharges come on top of all. Commitments are settled per month, see
`pricing.commitments`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from enum import StrEnum

from planner.errors import PriceError
from pricing.extras import Region
from pricing.library import in_utc
from pricing.rates import (
    STANDARD,
    RateQuery,
    Resolve,
    ResolvedRates,
    TierRates,
    library_rates,
    with_fallbacks,
)
from pricing.types import Provenance, TokenKind


class Layer(StrEnum):
    """Who set an absolute rate; the scenario is asked first."""

    SCENARIO = "scenario"
    ORGANISATION = "organisation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """From `from_date` (inclusive) to `to_date` (exclusive); None is open."""

    from_date: date | None = None
    to_date: date | None = None

    def holds(self, day: date) -> bool:
        return (self.from_date is None or day >= self.from_date) and (self.to_date is None or day < self.to_date)


ALWAYS = Window()
"""Open on both sides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Where a rule of one's own comes from; every rule must have one."""

    source: str
    as_of: date
    source_url: str | None = None
    author: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnRate:
    """Absolute rates [USD per million tokens] of one model, for requests with more than `above_input_tokens` of prompt.

    They hold for longer prompts too, unless another row names a higher `above_input_tokens`. Kinds that are not named
    keep their published rate. A model that the library does not know needs input and output.
    """

    layer: Layer
    model: str
    usd_per_mtok: Mapping[TokenKind, Decimal]
    why: Note
    window: Window = ALWAYS
    tier: str = STANDARD
    above_input_tokens: int = 0
    context_window: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Discount:
    """`percent` off the published rates of a provider ("openai") or a model ("openai/gpt-6-luna")."""

    target: str
    percent: Decimal
    why: Note
    window: Window = ALWAYS

    def covers(self, matched_model: str) -> bool:
        return self.target in (matched_model, matched_model.partition("/")[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Surcharge:
    """`percent` on top of the rates of a provider or a model, such as for data residency or a tax that is not refunded.

    Every surcharge that covers a model applies, one after the other, to published and to own rates alike.
    """

    target: str
    percent: Decimal
    why: Note
    window: Window = ALWAYS

    def covers(self, matched_model: str) -> bool:
        return self.target in (matched_model, matched_model.partition("/")[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceLayers:
    """Everything of one's own that stands over the library; `regions` come on top, after the surcharges."""

    rates: tuple[OwnRate, ...] = ()
    discounts: tuple[Discount, ...] = ()
    surcharges: tuple[Surcharge, ...] = ()
    regions: tuple[Region, ...] = ()


def layered(layers: PriceLayers, base: Resolve = library_rates) -> Resolve:
    """A resolver that asks `layers` before `base`.

    Worked: library input 0.10 and output 0.50 USD, 20 % off the provider, an organisation rate of 0.30 for output:
    input 0.10 * (1 - 20 / 100) = 0.08, output 0.30 (an absolute rate is not discounted again).
    Raises `PriceError` where two rules of the same rank contradict each other.
    """

    def resolve(query: RateQuery) -> ResolvedRates:
        day = in_utc(query.at).date()
        own = [r for r in layers.rates if r.model == query.model and r.tier == query.tier and r.window.holds(day)]
        listed = _listed(query, own, base)
        rules = [d for d in layers.discounts if d.covers(listed.matched_model) and d.window.holds(day)]
        listed = _discounted(listed, rules)
        ranked = [[r for r in own if r.layer is layer] for layer in reversed(Layer)]
        for rules_of_layer in ranked:
            listed = _overlaid(listed, rules_of_layer)
        for extra in layers.surcharges:
            if extra.covers(listed.matched_model) and extra.window.holds(day):
                note = f"{extra.percent} % on top of {extra.target}"
                listed = _scaled(listed, 1 + extra.percent / 100, _provenance("surcharge", extra.why, note))
        for region in layers.regions:
            listed = _in_region(listed, region)
        return listed

    return resolve


def _listed(query: RateQuery, own: Sequence[OwnRate], base: Resolve) -> ResolvedRates:
    try:
        return base(query)
    except PriceError:
        named = {kind for rate in own for kind in rate.usd_per_mtok if rate.above_input_tokens == 0}
        if not {TokenKind.INPUT, TokenKind.OUTPUT} <= named:
            raise
    bare = TierRates(above_input_tokens=0, up_to_input_tokens=None, usd_per_mtok={}, own=frozenset())
    return ResolvedRates(
        model=query.model, matched_model=query.model, context_window=None, tiers=(bare,), provenance=()
    )


def _discounted(rates: ResolvedRates, rules: Sequence[Discount]) -> ResolvedRates:
    if not rules:
        return rates
    exact = [rule for rule in rules if rule.target == rates.matched_model] or list(rules)
    if len(exact) > 1:
        raise PriceError(
            f"{rates.model}: two discounts for {exact[0].target} hold on the same day "
            f"({exact[0].why.source}; {exact[1].why.source}); end one before the other starts"
        )
    rule = exact[0]
    note = f"{rule.percent} % off {rule.target}"
    return _scaled(rates, 1 - rule.percent / 100, _provenance("discount", rule.why, note))


def _scaled(rates: ResolvedRates, factor: Decimal, why: Provenance) -> ResolvedRates:
    tiers = tuple(
        replace(
            tier,
            usd_per_mtok={kind: rate * factor for kind, rate in tier.usd_per_mtok.items()},
            why={kind: (*said, why) for kind, said in tier.why.items()},
        )
        for tier in rates.tiers
    )
    return replace(rates, tiers=tiers, provenance=(*rates.provenance, why))


def _in_region(rates: ResolvedRates, region: Region) -> ResolvedRates:
    provider, _, model = rates.matched_model.partition("/")
    if provider != region.provider:
        return rates
    if model not in region.models:
        raise PriceError(
            f"{rates.model} has no price for region {region.id} in {region.why.source}; "
            f"it is known for {', '.join(sorted(region.models))}"
        )
    note = f"{region.percent} % for processing in the region; {region.why.note}"
    return _scaled(rates, 1 + region.percent / 100, replace(region.why, layer="surcharge", note=note))


def _overlaid(rates: ResolvedRates, own: Sequence[OwnRate]) -> ResolvedRates:
    for rate in own:
        rivals = [r for r in own if r.above_input_tokens == rate.above_input_tokens]
        if len(rivals) > 1:
            raise PriceError(
                f"{rate.model}: two {rate.layer} rates hold on the same day "
                f"({rivals[0].why.source}; {rivals[1].why.source}); end one before the other starts"
            )
    if not own:
        return rates
    edges = sorted({0, *(t.above_input_tokens for t in rates.tiers), *(r.above_input_tokens for r in own)})
    uppers = [*edges[1:], None]
    tiers = tuple(_tier(rates, own, edge, upper) for edge, upper in zip(edges, uppers, strict=True))
    said = tuple(_set_by(rate) for rate in own)
    window = next((rate.context_window for rate in own if rate.context_window is not None), rates.context_window)
    return replace(rates, tiers=tiers, context_window=window, provenance=(*said, *rates.provenance))


def _tier(rates: ResolvedRates, own: Sequence[OwnRate], edge: int, upper: int | None) -> TierRates:
    """The published tier at `edge` with the last own rate at or below it laid over."""
    published = [t for t in rates.tiers if t.above_input_tokens <= edge][-1]
    below = sorted((r for r in own if r.above_input_tokens <= edge), key=lambda r: r.above_input_tokens)
    merged = {kind: value for kind, value in published.usd_per_mtok.items() if kind in published.own}
    why = dict(published.why)
    for rate in below:
        merged.update(rate.usd_per_mtok)
        why.update(dict.fromkeys(rate.usd_per_mtok, (_set_by(rate),)))
    return TierRates(
        above_input_tokens=edge,
        up_to_input_tokens=upper,
        usd_per_mtok=with_fallbacks(merged),
        own=frozenset(merged),
        why=why,
    )


def _set_by(rate: OwnRate) -> Provenance:
    return _provenance(rate.layer, rate.why, _kinds(rate))


def _kinds(rate: OwnRate) -> str:
    return "sets " + ", ".join(kind for kind in TokenKind if kind in rate.usd_per_mtok)


def _provenance(layer: str, why: Note, what: str) -> Provenance:
    parts = [what, why.note, f"by {why.author}" if why.author else ""]
    return Provenance(
        layer=layer,
        source=why.source,
        source_url=why.source_url,
        as_of=why.as_of,
        note="; ".join(part for part in parts if part),
    )
