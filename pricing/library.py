"""The one door to the price library: exact names in, model records out, nothing fetched from the network."""

import difflib
from datetime import UTC, date, datetime
from functools import cache
from importlib.metadata import version

from genai_prices.data_snapshot import DataSnapshot
from genai_prices.types import (
    ClauseEquals,
    ClauseOr,
    ConditionalPrice,
    MatchLogic,
    ModelInfo,
    Provider,
    StartDateConstraint,
    TimeOfDateConstraint,
)

from planner.errors import PriceError
from pricing.hosts import host_providers, host_source
from pricing.types import Provenance

_VERSION = version("genai_prices")
LIBRARY_LAYER = "library"
"""The layer of published rates."""

_READ_ON = {"0.2.3": date(2026, 11, 20)}

LIBRARY = f"genai-prices {_VERSION}"
"""What every bill names as its source; the data is inside the wheel and ages with it."""


def library_date() -> date | None:
    """The day on which the bundled data was the newest published; None for a version that nobody has noted here."""
    return _READ_ON.get(_VERSION)


@cache
def snapshot() -> DataSnapshot:
    """The bundled data and our table of further hosts, whatever the process has installed as the library's default."""
    from genai_prices.data import providers

    return DataSnapshot(providers=[*providers, *host_providers()], from_auto_update=False)


@cache
def find_model(model: str) -> tuple[Provider, ModelInfo]:
    """The library's record for "provider/model-id", by its id or by a name that the library lists word for word.

    A name that fits only a pattern ("starts with claude-sonnet-4-5") is refused: the price would be a guess.
    Raises `PriceError` with the closest real names.
    """
    provider_id, slash, model_id = model.strip().partition("/")
    if not slash or not model_id:
        offers = _names(_holders(model.strip()))
        hint = f"; it is offered as {offers}" if offers else "; `breakeven prices list` shows all"
        raise PriceError(f'API model "{model}" must be written as provider/model-id{hint}')
    provider = _provider(provider_id, model_id, model)
    wanted = model_id.lower()
    for info in provider.models:
        if info.id.lower() == wanted:
            return provider, info
    for info in provider.models:
        if wanted in _exact_names(info.match):
            return provider, info
    guess = provider.find_model(wanted, all_providers=snapshot().providers)
    if guess is not None:
        owner = provider.id if any(guess is info for info in provider.models) else _owner(guess)
        raise PriceError(
            f'API model "{model}" is not in {LIBRARY} under that name; only a pattern leads to {owner}/{guess.id}: '
            f"write {owner}/{guess.id} if that is the model you mean"
        )
    close = difflib.get_close_matches(wanted, [info.id.lower() for info in provider.models], n=3, cutoff=0.4)
    real = [f"{provider.id}/{info.id}" for name in close for info in provider.models if info.id.lower() == name]
    elsewhere = _names(_holders(model_id))
    raise PriceError(
        f'API model "{model}" is not in {LIBRARY}; '
        f"closest at {provider.id}: {', '.join(real) or 'nothing similar'}"
        f"{f'; elsewhere: {elsewhere}' if elsewhere else ''}"
    )


def known_model(matched_model: str) -> ModelInfo | None:
    """The record with exactly this "provider/model-id", None where the library has none (a model of one's own)."""
    provider_id, _, model_id = matched_model.partition("/")
    records = [info for p in snapshot().providers if p.id == provider_id for info in p.models if info.id == model_id]
    return records[0] if records else None


def conditional_prices(info: ModelInfo) -> list[ConditionalPrice]:
    """The model's prices with their conditions; the last one whose condition holds is in force."""
    return info.prices if isinstance(info.prices, list) else [ConditionalPrice(prices=info.prices)]


def day_windows(info: ModelInfo) -> list[TimeOfDateConstraint]:
    """The daily intervals with a price of their own (empty for nearly every model)."""
    conditions = [row.constraint for row in conditional_prices(info)]
    conditions += [row.constraint for row in info.price_variants or ()]
    return [c for c in conditions if isinstance(c, TimeOfDateConstraint)]


def next_change(info: ModelInfo, after: datetime) -> date | None:
    """The first announced date after `after` on which another price takes effect, None if none is announced."""
    conditions = [row.constraint for row in conditional_prices(info)]
    starts = [c.start_date for c in conditions if isinstance(c, StartDateConstraint)]
    return min((day for day in starts if day > in_utc(after).date()), default=None)


def in_utc(at: datetime) -> datetime:
    """`at` in UTC; a time without zone is taken as UTC, as the library does."""
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def pricing_url(provider: Provider) -> str | None:
    """The provider's own price page, where the library names one."""
    return provider.pricing_urls[0] if provider.pricing_urls else None


def published_source(provider: Provider, info: ModelInfo) -> Provenance:
    """What stands behind the published price of a model: the library, or the row of our table of hosts."""
    listed = Provenance(layer=LIBRARY_LAYER, source=LIBRARY, source_url=pricing_url(provider), as_of=library_date())
    return host_source(f"{provider.id}/{info.id}") or listed


def _provider(provider_id: str, model_id: str, model: str) -> Provider:
    providers = {provider.id: provider for provider in snapshot().providers}
    if provider_id.lower() in providers:
        return providers[provider_id.lower()]
    close = difflib.get_close_matches(provider_id.lower(), providers, n=3, cutoff=0.5)
    holders = _holders(model_id) or _holders(model)
    ways = [f"providers like it: {', '.join(close)}"] if close else []
    ways += [f"the model is offered as {_names(holders)}"] if holders else []
    raise PriceError(
        f'API model "{model}": {LIBRARY} knows no provider "{provider_id}"; '
        f"{'; '.join(ways) or 'known are ' + ', '.join(sorted(providers))}"
    )


def _exact_names(match: MatchLogic) -> set[str]:
    if isinstance(match, ClauseEquals):
        return {match.equals.lower()}
    if isinstance(match, ClauseOr):
        return {name for clause in match.or_ for name in _exact_names(clause)}
    return set()


def _holders(model_id: str) -> list[str]:
    wanted = model_id.lower()
    found = [
        f"{provider.id}/{info.id}"
        for provider in snapshot().providers
        for info in provider.models
        if wanted in (info.id.lower(), info.id.lower().rpartition("/")[2])
    ]
    return sorted(found, key=lambda name: (name.startswith(("openrouter/", "huggingface_")), name))


def _names(names: list[str]) -> str:
    return ", ".join(names[:3])


def _owner(info: ModelInfo) -> str:
    return next(p.id for p in snapshot().providers if any(info is candidate for candidate in p.models))
