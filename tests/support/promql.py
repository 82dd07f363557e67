"""What a PromQL expression refers to: names of series, and the labels it asks of them."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

FUNCTIONS: Final = frozenset(
    {"sum", "max", "min", "rate", "increase", "histogram_quantile", "avg_over_time", "by", "and", "or", "offset"}
)
_TEXT: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_SERIES: Final = re.compile(r"(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(?P<matchers>[^}]*)\})?")
_BY: Final = re.compile(r"\bby\s*\((?P<labels>[^)]*)\)")
_MATCHER: Final = re.compile(r"([a-zA-Z_][a-zA-Z0-9_]*)\s*(?:=~|!~|!=|=)")


class Reference(NamedTuple):
    """A series in an expression; `labels` are those that its matchers name."""

    name: str
    labels: frozenset[str]


def references(expression: str) -> Iterator[Reference]:
    """Each series that the expression reads."""
    plain = _TEXT.sub('""', expression)
    grouped = _BY.sub(" ", plain)
    without_durations = re.sub(r"\[[^\]]*\]|offset\s+\w+", " ", grouped)
    for found in _SERIES.finditer(without_durations):
        name = found["name"]
        if name in FUNCTIONS or re.match(r"[0-9]", without_durations[max(0, found.start() - 1) : found.start()] or " "):
            continue
        yield Reference(name, frozenset(_MATCHER.findall(found["matchers"] or "")))


def grouping(expression: str) -> frozenset[str]:
    """The labels that it keeps."""
    found: set[str] = set()
    for group in _BY.finditer(expression):
        found |= {label.strip() for label in group["labels"].split(",")}
    return frozenset(found)
