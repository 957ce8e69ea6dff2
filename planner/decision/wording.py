"""Figures, assumptions and options in words: how every page and file writes them."""

from planner.analysis.breakeven import BreakEven
from planner.cost.options import OptionKind
from planner.decision.plan import MixPool, OptionResult
from planner.units import SECONDS_PER_HOUR, SECONDS_PER_MINUTE

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
    "installation_frac_of_hardware": "installation (part of the hardware price)",
    "migration_fte_months": "effort to set up the service (FTE-months)",
    "exit_fte_months": "effort to take the service down (FTE-months)",
    "storage_usd_per_month": "storage (USD/month)",
    "egress_usd_per_mtok": "egress (USD per million generated tokens)",
    "evaluation_usd_per_year": "evaluation (USD per year)",
    "fine_tuning_usd_per_year": "fine-tuning (USD per year)",
    "tax_frac": "tax rate",
    "machine_availability_frac": "availability of one machine",
    "api_availability_frac": "availability of an API",
    "api_price_steps_per_year": "sudden changes of API prices per year",
    "rental_price_steps_per_year": "sudden changes of rental prices per year",
    "newer_model_gain_frac_per_year": "yearly gain of newer models",
    "newer_model_every_months": "months between changes of the model",
    "newer_model_fte_months": "effort to change the model (FTE-months)",
    "spot_interrupted_frac": "part of the time that spot machines are taken away",
    "spot_fallback_price_ratio": "price of the stand-in over that of a spot machine",
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


def signed(amount: float) -> str:
    """Dollars with a plus where they are more.

    >>> signed(1234.5), signed(-1234.5)
    ('+$1,234', '-$1,234')
    """
    return f"+{usd(amount)}" if amount > 0 else usd(amount)


def volume(requests_per_day: float) -> str:
    """Requests per day for reading, three significant digits.

    >>> volume(3_186_668.4), volume(221_762), volume(12.3)
    ('3.19 M', '222 k', '12.3')
    """
    for factor, suffix in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if requests_per_day >= factor:
            return f"{_three_digits(requests_per_day / factor)}{suffix}"
    return _three_digits(requests_per_day)


def break_even_span(found: BreakEven) -> str:
    """Where the cheaper side changes, in a few words."""
    if found.always_cheaper:
        return "always cheaper"
    if not found.crossings:
        return "none"
    first, last = found.crossings[0].requests_per_day, found.crossings[-1].requests_per_day
    return volume(first) if len(found.crossings) == 1 else f"{volume(first)} to {volume(last)}"


def percent(frac: float) -> str:
    """A probability for reading; the ends are not rounded to certainty.

    >>> percent(0.834), percent(0.0013), percent(0.0001), percent(0.0)
    ('83%', '0.1%', 'under 0.1%', 'none')
    """
    if frac in (0.0, 1.0):
        return "all" if frac else "none"
    if frac < 0.0005 or frac > 0.9995:
        return "under 0.1%" if frac < 0.5 else "over 99.9%"
    return f"{frac:.0%}" if 0.01 <= frac <= 0.99 else f"{frac:.1%}"


def figure_text(value: float) -> str:
    """An assumption's value for reading: four significant digits, no exponent.

    >>> figure_text(1_500_000.0), figure_text(0.284813701), figure_text(10.4)
    ('1,500,000', '0.2848', '10.4')
    """
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:,.4g}"


def length(span_s: float) -> str:
    """The span of a log for reading.

    >>> length(12.34), length(160.0), length(9000.0)
    ('12.3 seconds', '3 minutes', '2 hours')
    """
    if span_s < 2 * SECONDS_PER_MINUTE:
        return f"{span_s:.3g} seconds"
    minutes = span_s / SECONDS_PER_MINUTE
    return f"{minutes:.0f} minutes" if minutes < 120 else f"{span_s / SECONDS_PER_HOUR:.0f} hours"


def cards(names: tuple[str, ...]) -> str:
    """Accelerators, counted.

    >>> cards(("H100", "H100"))
    ' and 2 x H100'
    """
    counted = [f"{names.count(name)} x {name}" for name in dict.fromkeys(names)]
    return f" and {', '.join(counted)}" if counted else ""


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
    if option.mix:
        return " and ".join(_pool(pool) for pool in option.mix)
    if option.fleet is None:
        return option.id
    verb = "renting" if option.kind is OptionKind.RENT else "owning"
    machines = f"{option.fleet.peak_machines} machine{'s' if option.fleet.peak_machines != 1 else ''}"
    return f"{verb} {option.id} ({machines})"


def _pool(pool: MixPool) -> str:
    machines = f"{pool.peak_machines} machine{'s' if pool.peak_machines != 1 else ''}"
    return f"{'up to ' if pool.by_hour else ''}{machines} of {pool.offer}{' by the hour' if pool.by_hour else ''}"


def _three_digits(number: float) -> str:
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"
