"""Which numbers a plan can be made from. What lies outside is refused by name, with the limit and the nearest value."""

import math
from collections.abc import Iterable

from undercroft.errors import InvalidRequest


class OutOfRange(InvalidRequest, ValueError):
    """An input from which no plan can be made; also a ValueError, for those who call from Python."""


def bounded(name: str, value: float, *, least: float, most: float, unit: str = "") -> float:
    """The value, where `least` <= value <= `most`. Raises OutOfRange, TypeError for what is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number, not {type(value).__name__}")
    if least <= value <= most:
        return float(value)
    unit = f" {unit}" if unit else ""
    limits = f"it must be from {least:g} to {most:g}{unit}"
    nearest = "" if math.isnan(value) else f"; the nearest is {least if value < least else most:g}"
    raise OutOfRange(f"{name} is {value:g}: {limits}{nearest}.", param=name)


def one_of(name: str, value: str, known: Iterable[str]) -> str:
    """The value, where it is one of those known. Raises OutOfRange with the nearest of them."""
    choices = sorted(known)
    if value in choices:
        return value
    import difflib

    close = difflib.get_close_matches(value.lower(), choices, n=1, cutoff=0.3)
    shown = ", ".join(choices) if len(choices) <= 24 else f"{len(choices)} are known"
    nearest = f"; the nearest is '{close[0]}'" if close else ""
    raise OutOfRange(f"{name} '{value}' is not known{nearest} ({shown}).", param=name)
