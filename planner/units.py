"""The only place for conversion factors.

Every dimensioned name in code, JSON and CSV carries its unit as a suffix (`_s`, `_w`, `_gib`, `_usd`, `_frac`, ...);
these constants are the only numbers that turn one unit into another.
"""

from typing import Final

SECONDS_PER_MINUTE: Final = 60.0
SECONDS_PER_HOUR: Final = 3600.0
HOURS_PER_DAY: Final = 24.0
SECONDS_PER_DAY: Final = HOURS_PER_DAY * SECONDS_PER_HOUR
HOURS_PER_WEEK: Final = 168.0
HOURS_PER_YEAR: Final = 8760.0
MONTHS_PER_YEAR: Final = 12
HOURS_PER_MONTH: Final = HOURS_PER_YEAR / MONTHS_PER_YEAR  # 730.0, the figure that rental invoices use
DAYS_PER_MONTH: Final = HOURS_PER_MONTH / HOURS_PER_DAY

TOKENS_PER_MTOK: Final = 1_000_000

BYTES_PER_KIB: Final = 1024
BYTES_PER_GB: Final = 10**9
BYTES_PER_GIB: Final = 1024**3

MILLISECONDS_PER_SECOND: Final = 1e3
NANOSECONDS_PER_SECOND: Final = 1e9
WATTS_PER_KILOWATT: Final = 1e3
MILLIWATTS_PER_WATT: Final = 1e3
