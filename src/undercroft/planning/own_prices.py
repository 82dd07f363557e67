"""`prices.toml`: what a figure costs for you, where the package has none with a source and a date, or another one."""

from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from undercroft.errors import ConfigurationError, NotFound

FILE: Final = Path("prices.toml")


class TokenPrice(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """USD per million tokens."""

    input: float
    output: float


class ServerlessPrice(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a cloud's functions cost: memory for as long as they run, and each request."""

    usd_per_gb_second: float
    usd_per_million_requests: float = 0.0


class OwnPrices(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The file. What is absent stays unknown: shown as such, and in no total."""

    disk_usd_per_gb_month: float | None = None
    egress_usd_per_gb: float | None = None
    load_balancer_usd_month: float | None = None
    kubernetes_usd_month: float | None = None
    """The control plane of one cluster."""
    database_usd_month: float | None = None
    redis_usd_month: float | None = None
    vector_store_usd_month: float | None = None
    batch_discount: float | None = None
    """The share of its price that a call costs less as part of a batch, e.g. 0.5."""
    serverless: dict[str, ServerlessPrice] = {}
    """By cloud."""
    tokens: dict[str, TokenPrice] = {}
    """By `provider/model`."""
    instances: dict[str, float] = {}
    """USD an hour by `cloud/region/type`."""


NONE: Final = OwnPrices()


def read_prices(path: Path | None) -> OwnPrices:
    """The file's prices; those of `prices.toml` in this folder, if it is there, where none is named.

    Raises NotFound, and ConfigurationError for what cannot be used, naming the field.
    """
    chosen = path or FILE
    if not chosen.is_file():
        if path is None:
            return NONE
        raise NotFound(f"There is no price file {path}.", hint="Leave --prices out, or write the file.")
    try:
        prices = msgspec.toml.decode(chosen.read_bytes(), type=OwnPrices)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{chosen}: {error}{_nearest(str(error))}") from error
    for field, value in _numbers(msgspec.to_builtins(prices)):
        if not 0 <= value < 1e9:
            raise ConfigurationError(f"{chosen}: {field} is {value:g}: it must be from 0 to 1e9; the nearest is 0.")
    return prices


def _nearest(message: str) -> str:
    """What may have been meant by a field that is not known."""
    import difflib

    if "unknown field" not in message:
        return ""
    word = message.split("`")[1]
    known = {*OwnPrices.__struct_fields__, *TokenPrice.__struct_fields__, *ServerlessPrice.__struct_fields__}
    close = difflib.get_close_matches(word, sorted(known), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def _numbers(value: object, at: str = "") -> list[tuple[str, float]]:
    match value:
        case dict():
            return [found for key, inner in value.items() for found in _numbers(inner, f"{at}.{key}" if at else key)]
        case int() | float():
            return [(at, float(value))]
    return []
