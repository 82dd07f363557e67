"""What managed vector services cost: figures with a source and a date, or unknown."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

from undercroft.errors import InvalidRequest

SHIPPED: Final = Path(__file__).parent / "data" / "prices.toml"
KEYS: Final = frozenset(("service", "item", "usd", "plan", "source", "date"))


@dataclass(frozen=True, slots=True)
class Price:
    """USD for one of the item's unit."""

    usd: Decimal
    plan: str
    source: str
    date: date


Prices = Mapping[tuple[str, str], Price]
"""By service and item; what is not in it is unknown."""


def read_prices(path: Path = SHIPPED) -> Prices:
    """The prices of a file. An entry without a figure, a source or a date is left out: it is unknown.

    Raises InvalidRequest for a file that cannot be read as one, naming the entry.
    """
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{path} is no TOML: {error}.") from error
    entries = document.get("price", [])
    if not isinstance(entries, list) or set(document) - {"price"}:
        raise InvalidRequest(f"{path} takes [[price]] entries and nothing else.")
    found: dict[tuple[str, str], Price] = {}
    for place, entry in enumerate(entries):
        at = f"{path}: price[{place}]"
        if not isinstance(entry, dict) or (unknown := set(entry) - KEYS):
            raise InvalidRequest(f"{at} has an unknown key {min(unknown)!r}; it takes {', '.join(sorted(KEYS))}.")
        key = (_text(entry, "service", at), _text(entry, "item", at))
        if key in found:
            raise InvalidRequest(f"{at}: {key[0]} has a price for {key[1]} already.")
        if entry.get("usd") and entry.get("source") and isinstance(entry.get("date"), date):
            found[key] = Price(
                _figure(entry["usd"], at), str(entry.get("plan", "")), str(entry["source"]), entry["date"]
            )
    return found


def _text(entry: Mapping[str, Any], name: str, at: str) -> str:
    held = entry.get(name)
    if not isinstance(held, str) or not held:
        raise InvalidRequest(f"{at} has no {name}.")
    return held


def _figure(written: object, at: str) -> Decimal:
    if not isinstance(written, str):
        raise InvalidRequest(f'{at}.usd is no text; write it in quotation marks, like "0.33".')
    try:
        figure = Decimal(written)
    except InvalidOperation as error:
        raise InvalidRequest(f"{at}.usd is {written!r}, which is no number.") from error
    if not figure.is_finite() or figure < 0:
        raise InvalidRequest(f"{at}.usd is {written!r}; a price is 0 or more.")
    return figure
