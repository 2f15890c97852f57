"""Money as integers: nano-dollars, so that adding up never loses anything."""

from decimal import ROUND_HALF_EVEN, Decimal

NUSD_PER_USD = 1_000_000_000
"""Nano-dollars in a dollar."""


def nusd_of(amount_usd: float | str | Decimal) -> int:
    """Dollars as nano-dollars, by the decimal digits as they were written: 0.1 is 100,000,000 exactly."""
    return int((Decimal(str(amount_usd)) * NUSD_PER_USD).to_integral_value(ROUND_HALF_EVEN))


def usd_text(amount_nusd: int) -> str:
    """Nano-dollars as dollars, exactly, without an exponent and without zeros at the end: `0.00015`, `12`, `-0.5`."""
    sign = "-" if amount_nusd < 0 else ""
    whole, nanos = divmod(abs(amount_nusd), NUSD_PER_USD)
    if not nanos:
        return f"{sign}{whole}"
    return f"{sign}{whole}.{nanos:09d}".rstrip("0")


def usd_plain(amount_usd: float) -> str:
    """Dollars as they are in settings and answers, exactly, never in scientific notation: `9000000`, `0.000018`."""
    return usd_text(nusd_of(amount_usd))


def usd_short(amount_nusd: int) -> str:
    """For people: to the cent, below ten cents to two digits, never 0 for what is something: `12.35`, `0.00042`."""
    amount = Decimal(amount_nusd) / NUSD_PER_USD
    places = max(2, 1 - amount.adjusted()) if amount_nusd else 2
    return f"{amount.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN):,f}"
