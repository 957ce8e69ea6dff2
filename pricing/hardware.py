"""Machines to rent and to own, and which of them matches a host that somebody measured."""

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import TypeVar

from planner.errors import PriceError
from pricing.load import load_accelerators, load_purchases, load_rentals
from pricing.types import Accelerator, PurchaseOffer, RentalOffer, Term

_OfferT = TypeVar("_OfferT", RentalOffer, PurchaseOffer)


def rental_offers() -> tuple[RentalOffer, ...]:
    """Every machine by the hour that the tables know."""
    return load_rentals()


def purchase_offers() -> tuple[PurchaseOffer, ...]:
    """Every machine to own that the tables know."""
    return load_purchases()


def rental_offer(offer_id: str, quotes: Sequence[RentalOffer] = ()) -> RentalOffer:
    """The rental with this id; a quote goes before the table. Raises `PriceError` with the closest ids."""
    return _by_id(offer_id, (*load_rentals(), *quotes), "rental")


def purchase_offer(offer_id: str, quotes: Sequence[PurchaseOffer] = ()) -> PurchaseOffer:
    """The purchase with this id; a quote goes before the table. Raises `PriceError` with the closest ids."""
    return _by_id(offer_id, (*load_purchases(), *quotes), "purchase")


def find_accelerator(reported: str) -> Accelerator:
    """The card behind an id or a name that a driver reports, such as "NVIDIA H100 80GB HBM3".

    Case, punctuation and the maker's name do not matter. Raises `PriceError` with the closest names.
    """
    wanted = _squeezed(reported)
    names = {
        _squeezed(name): card for card in load_accelerators() for name in (card.id, card.name, *card.reported_names)
    }
    if wanted in names:
        return names[wanted]
    close = difflib.get_close_matches(wanted, names, n=3, cutoff=0.4)
    known = dict.fromkeys(names[name].name for name in close) or [card.name for card in load_accelerators()]
    raise PriceError(f'no accelerator "{reported}" in the price tables; closest: {", ".join(known)}')


def smallest_rental_for(cpu_cores: int, ram_gib: float, accelerator: str | None) -> RentalOffer:
    """The cheapest on-demand machine at least as large as a measured host, with the same accelerator if it has one.

    A published list price goes before a placeholder, one card before a machine with several.

    `cpu_cores` are the cores the host's system shows, `ram_gib` its memory, `accelerator` a name as the driver reports
    it. Memory may fall short by a tenth, because a machine sold with 8 GiB shows a little less. With an accelerator,
    one card is looked for and cores and memory are not: they come with the card.
    Raises `PriceError` when nothing is large enough or no such card is for rent.
    """
    on_demand = [offer for offer in load_rentals() if offer.term is Term.ON_DEMAND]
    if accelerator is not None:
        card = find_accelerator(accelerator)
        fits = [offer for offer in on_demand if offer.accelerator == card.id]
        if not fits:
            raise PriceError(f"no rental offer with {card.name} in the price tables; add your quote")
        return min(fits, key=lambda offer: (offer.is_placeholder, offer.accelerators, offer.usd_per_h.mid))
    plain = [offer for offer in on_demand if offer.accelerator is None]
    fits = [offer for offer in plain if offer.vcpus >= cpu_cores and offer.ram_gib >= 0.9 * ram_gib]
    if not fits:
        largest = max(plain, key=lambda offer: (offer.vcpus, offer.ram_gib))
        raise PriceError(
            f"no rental offer with {cpu_cores} cores and {ram_gib:g} GiB; "
            f"the largest is {largest.id} with {largest.vcpus} vCPUs and {largest.ram_gib:g} GiB"
        )
    return min(fits, key=lambda offer: offer.usd_per_h.mid)


def purchase_for(accelerator: str | None, cpu_cores: int = 1) -> PurchaseOffer:
    """The smallest machine to own that holds the accelerator, or `cpu_cores` physical cores where there is none.

    A machine may hold several replicas of what was measured: that many fit as its cards or cores are multiples.
    Raises `PriceError` when nothing matches.
    """
    if accelerator is not None:
        card = find_accelerator(accelerator)
        fits = [offer for offer in load_purchases() if offer.accelerator == card.id]
        if not fits:
            raise PriceError(f"no purchase offer with {card.name} in the price tables; add your quote")
        return min(fits, key=lambda offer: (offer.accelerators, offer.price_usd.mid))
    plain = [offer for offer in load_purchases() if offer.accelerator is None]
    fits = [offer for offer in plain if offer.cpu_cores >= cpu_cores]
    if not fits:
        largest = max(plain, key=lambda offer: offer.cpu_cores)
        raise PriceError(
            f"no server with {cpu_cores} cores in the price tables; the largest is {largest.id} "
            f"with {largest.cpu_cores}"
        )
    return min(fits, key=lambda offer: offer.price_usd.mid)


def _by_id(offer_id: str, offers: Iterable[_OfferT], kind: str) -> _OfferT:
    table = {offer.id: offer for offer in offers}
    if offer_id in table:
        return table[offer_id]
    close = difflib.get_close_matches(offer_id.lower(), table, n=3, cutoff=0.3) or sorted(table)[:3]
    raise PriceError(f'no {kind} offer "{offer_id}" in the price tables; closest: {", ".join(close)}')


def _squeezed(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", re.sub(r"\b(nvidia|amd|intel|apple)\b", "", name.lower()))
