"""Numbers that say where they come from."""

from typing import Literal

from msgspec import Struct

Basis = Literal["given", "measured", "derived", "assumed", "unknown"]
"""Said by the user, measured in this installation, computed from the others, a default of ours, or not known."""

BAND = 0.15
"""The error that `undercroft plan verify` holds predictions to, and the range of what is derived from them."""


class Figure(Struct, frozen=True, kw_only=True):
    """One number of a plan. `value` None: unknown."""

    name: str
    value: float | None
    unit: str
    basis: Basis
    how: str


class MonthlyCost(Struct, frozen=True, kw_only=True):
    """What one part costs a month in USD. None: unknown, and in no total."""

    name: str
    low: float | None
    likely: float | None
    high: float | None
    basis: Basis
    how: str


class Range(Struct, frozen=True, kw_only=True):
    """A number with its error bar."""

    low: float
    likely: float
    high: float


def total(costs: tuple[MonthlyCost, ...]) -> Range:
    """The sum of what is known."""
    return Range(
        low=round(sum(each.low or 0.0 for each in costs), 2),
        likely=round(sum(each.likely or 0.0 for each in costs), 2),
        high=round(sum(each.high or 0.0 for each in costs), 2),
    )


def around(name: str, usd: float, how: str, *, basis: Basis = "derived", band: float = BAND) -> MonthlyCost:
    """A cost that is uncertain by `band` both ways."""
    return MonthlyCost(name=name, low=usd * (1 - band), likely=usd, high=usd * (1 + band), basis=basis, how=how)


def unknown(name: str, setting: str) -> MonthlyCost:
    """A cost for which there is no figure with a source and a date."""
    how = f"no price with a source and a date; set {setting} in prices.toml"
    return MonthlyCost(name=name, low=None, likely=None, high=None, basis="unknown", how=how)
