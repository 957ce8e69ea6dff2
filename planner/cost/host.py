"""What machines of one's own cost month by month: rent busy or idle, or everything from purchase to resale."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.capacity.fleet import machine_hours_per_week, machines_needed
from planner.cost.draws import Draws
from planner.cost.options import Frame, OwnOption, RentOption, rules_for
from planner.cost.paths import RENTAL_PRICE, host_requests_per_s, price_factor, requests_per_s
from planner.cost.schedule import AssetTerms, Entry, asset_entries, immediate, running
from planner.units import (
    HOURS_PER_MONTH,
    HOURS_PER_WEEK,
    MONTHS_PER_YEAR,
    SECONDS_PER_HOUR,
    WATTS_PER_KILOWATT,
)
from pricing.types import Term

Array = NDArray[np.floating[Any]]


def rent_entries(option: RentOption, frame: Frame, draws: Draws, serving: Array) -> tuple[Entry, ...]:
    """Rent and service of the months in which `serving` is 1, not 0."""
    rate = host_requests_per_s(draws, frame)
    per_machine = draws.column(f"{option.id}/replicas_per_machine")
    per_week = machine_hours_per_week(option.curve, rate, frame.week, rules_for(option, frame.rules), per_machine)
    if option.offer.term is Term.RESERVED:
        per_week = np.maximum.accumulate(per_week * serving, axis=1)
    hours = per_week * serving * (HOURS_PER_MONTH / HOURS_PER_WEEK)
    served = requests_per_s(draws, frame) * serving
    return (*rented_entries(option, frame, draws, hours), *service_entries(frame, draws, serving, served))


def rented_entries(option: RentOption, frame: Frame, draws: Draws, machine_hours: Array) -> tuple[Entry, ...]:
    """Rent month by month; what a minimum term leaves unpaid at the end of the horizon falls due in the last month.

    A reserved price is fixed; every other follows the drift of rental prices.
    """
    price = np.broadcast_to(draws.column(f"{option.id}/usd_per_h"), machine_hours.shape)
    if option.offer.term is not Term.RESERVED:
        price = price * price_factor(RENTAL_PRICE, frame, draws)
    offer = option.offer
    change = "fixed" if offer.term is Term.RESERVED else "times rental_price_drift_frac_per_year"
    basis = f"{option.id}/usd_per_h, {offer.provider}, {offer.checked_on.isoformat()}, {change}"
    item = f"{option.offer.name}, billed busy or idle"
    rent = running("rent", item, machine_hours, "machine-hours", price, basis)
    if offer.term is Term.SPOT:
        return (rent, _interrupted(option, draws, machine_hours, price))
    left = np.maximum(option.offer.min_term_months - (machine_hours > 0).sum(axis=1), 0)
    if not left.any():
        return (rent,)
    owed = np.zeros_like(machine_hours)
    owed[:, -1] = machine_hours[:, -1] * left
    term = f"rest of the term of {option.offer.min_term_months} months"
    return (rent, running("exit", f"{option.offer.name}, {term}", owed, "machine-hours", price, basis))


def _interrupted(option: RentOption, draws: Draws, machine_hours: Array, price: Array) -> Entry:
    """Hours in which a spot machine is taken away and one at the dearer price stands in for it, less what it saves."""
    frac, ratio = draws.column("spot_interrupted_frac"), draws.column("spot_fallback_price_ratio")
    basis = f"spot_interrupted_frac, spot_fallback_price_ratio, {option.id}/usd_per_h"
    item = f"{option.offer.name}, replaced while taken away"
    return running("rent", item, machine_hours * frac, "machine-hours", price * (ratio - 1.0), basis)


def own_entries(option: OwnOption, frame: Frame, draws: Draws, serving: Array) -> tuple[Entry, ...]:
    """Everything owned and the service in the months in which `serving` is 1, which once begun do not end."""
    rate = host_requests_per_s(draws, frame)
    per_machine = draws.column(f"{option.id}/replicas_per_machine")
    needed = machines_needed(option.curve, rate * frame.week.peak, frame.rules, per_machine)
    machines = np.maximum.accumulate(needed * serving, axis=1)
    served = requests_per_s(draws, frame) * serving
    return (
        *owned_entries(option, draws, machines, rate * serving),
        *service_entries(frame, draws, serving, served),
    )


def owned_entries(option: OwnOption, draws: Draws, machines: Array, rate: Array) -> tuple[Entry, ...]:
    """Purchase to resale of `machines` per month that serve `rate`, the rate at the predicted throughput [1/s]."""
    name = option.offer.name
    per_machine = np.floor(draws.column(f"{option.id}/replicas_per_machine"))
    price = draws.column(f"{option.id}/price_usd")
    hardware = AssetTerms(
        price_usd=price[:, 0],
        life_months=np.maximum(np.round(draws.values[f"{option.id}/life_years"] * MONTHS_PER_YEAR), 1.0),
        residual_frac=draws.values[f"{option.id}/residual_frac"],
        resale_frac_of_book=draws.values["resale_frac_of_book_value"],
    )
    network = AssetTerms(
        price_usd=hardware.price_usd * draws.values["network_frac_of_hardware"],
        life_months=hardware.life_months,
        residual_frac=np.zeros(draws.worlds),
        resale_frac_of_book=np.zeros(draws.worlds),
    )
    setup = replace(network, price_usd=hardware.price_usd * draws.values["installation_frac_of_hardware"])
    busy_machines = np.minimum(rate * option.curve.busy_s_per_request / per_machine, machines)
    idle_w, loaded_w = draws.column(f"{option.id}/idle_w"), draws.column(f"{option.id}/loaded_w")
    watts = machines * idle_w + busy_machines * (loaded_w - idle_w)
    kwh = watts / WATTS_PER_KILOWATT * HOURS_PER_MONTH * draws.column("pue_ratio")
    power_basis = f"electricity_usd_per_kwh, pue_ratio, {option.id}/idle_w, loaded_w"
    kilowatts = machines * loaded_w / WATTS_PER_KILOWATT
    space = draws.column("colocation_usd_per_kw_month")
    space_basis = f"colocation_usd_per_kw_month, {option.id}/loaded_w"
    support = price * draws.column("support_frac_per_year") / MONTHS_PER_YEAR
    return (
        *asset_entries(name, machines, hardware, basis=f"{option.id}/price_usd, life_years, residual_frac"),
        *asset_entries(f"network for {name}", machines, network, basis="network_frac_of_hardware"),
        *(
            asset_entries(f"installation of {name}", machines, setup, basis="installation_frac_of_hardware")
            if setup.price_usd.any()
            else ()
        ),
        running("power", f"{name}, idle and busy", kwh, "kWh", draws.column("electricity_usd_per_kwh"), power_basis),
        running("colocation", f"{name}, at full load", kilowatts, "kW-months", space, space_basis),
        running("support", name, machines, "machine-months", support, "support_frac_per_year"),
    )


def service_entries(frame: Frame, draws: Draws, serving: Array, served_per_s: Array) -> tuple[Entry, ...]:
    """What a service of one's own costs beside its machines, in the months in which `serving` is 1, not 0.

    Staff, storage, egress of `served_per_s` requests, fine-tuning; setting it up in the month before it begins, and
    taking it down in its last month. What the assumptions put at nothing is left out.
    """
    usd_per_fte_month = draws.column("staff_usd_per_fte_year") / MONTHS_PER_YEAR
    staff_basis = "staff_usd_per_fte_year"
    fte = draws.column("staff_fte") * serving
    entries = [
        running("staff", "operating the service", fte, "FTE-months", usd_per_fte_month, f"staff_fte, {staff_basis}")
    ]
    for category, item, name, unit, quantity in (
        ("storage", "weights and logs", "storage_usd_per_month", "months", serving),
        ("fine-tuning", "runs and data", "fine_tuning_usd_per_year", "months", serving / MONTHS_PER_YEAR),
        ("egress", "generated tokens", "egress_usd_per_mtok", "million tokens", _output_mtok(frame, served_per_s)),
    ):
        if draws.values[name].any():
            entries.append(running(category, item, quantity, unit, draws.column(name), name))
    begins = np.diff(serving, axis=1, prepend=0.0) > 0
    ends = np.zeros_like(serving)
    ends[:, -1] = serving[:, -1]
    if draws.values["migration_fte_months"].any():
        effort = draws.column("migration_fte_months") * np.pad(begins, ((0, 0), (0, 1)))
        basis = f"migration_fte_months, {staff_basis}"
        entries.append(immediate("migration", "setting up the service", effort, "FTE-months", usd_per_fte_month, basis))
    if draws.values["exit_fte_months"].any():
        effort = draws.column("exit_fte_months") * ends
        basis = f"exit_fte_months, {staff_basis}"
        entries.append(running("exit", "taking the service down", effort, "FTE-months", usd_per_fte_month, basis))
    return tuple(entries)


def _output_mtok(frame: Frame, served_per_s: Array) -> Array:
    return served_per_s * SECONDS_PER_HOUR * HOURS_PER_MONTH * frame.output_mtok_per_request
