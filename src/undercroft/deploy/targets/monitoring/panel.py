"""What a dashboard shows, as values."""

from dataclasses import dataclass
from typing import Literal

Unit = Literal["reqps", "s", "percentunit", "short", "currencyUSD", "bytes", "tokens"]


@dataclass(frozen=True, slots=True)
class Line:
    """One expression, and what its series are called."""

    expression: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """A question and the lines that answer it."""

    title: str
    lines: tuple[Line, ...]
    unit: Unit = "short"
    kind: Literal["timeseries", "stat", "gauge"] = "timeseries"
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class Dashboard:
    """Panels under one title; `key` is its file and its address."""

    key: str
    title: str
    panels: tuple[Panel, ...]
