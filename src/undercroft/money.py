"""Exact money: whole nano-dollars (1e-9 USD) inside, decimal strings outside, never a float."""

from decimal import Decimal, InvalidOperation

NANO_PER_USD = 1_000_000_000
TOKENS_PER_PRICE = 1_000_000
"""Prices are quoted per million tokens."""


def parse_usd(text: str | Decimal | int) -> int:
    """Nano-dollars from a decimal string such as `"0.25"`.

    Raises ValueError for anything that is not a finite, non-negative amount exact in nano-dollars.
    """
    try:
        amount = Decimal(text)
    except (InvalidOperation, TypeError) as error:
        raise ValueError(f'{text!r} is not an amount in USD; write a decimal such as "0.25"') from error
    if not amount.is_finite() or amount < 0:
        raise ValueError(f"{text!r} is not an amount in USD; it must be a finite number of at least 0")
    nano = amount * NANO_PER_USD
    if nano != nano.to_integral_value():
        raise ValueError(f"{text!r} is finer than a nano-dollar (9 decimal places)")
    return int(nano)


def format_usd(nano: int) -> str:
    """`1_500_000` -> `"0.0015"`: the shortest decimal string that says exactly this amount."""
    if 0 < nano < NANO_PER_USD:  # what calls cost
        return f"0.{nano:09d}".rstrip("0")
    sign = "-" if nano < 0 else ""
    whole, rest = divmod(abs(nano), NANO_PER_USD)
    return f"{sign}{whole}.{rest:09d}".rstrip("0").rstrip(".") if rest else f"{sign}{whole}"


def divide_rounding(numerator: int, denominator: int) -> int:
    """Half up, on non-negative integers: how a price per million becomes the cost of one call, rounded once."""
    return (2 * numerator + denominator) // (2 * denominator)
