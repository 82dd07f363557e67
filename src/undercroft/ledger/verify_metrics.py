"""Whether what servers have counted is what is booked: metrics are made of the same records, beside the ledger."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec
from sqlalchemy import Connection, func, select

from undercroft.ledger.entries import INTERRUPTED
from undercroft.money import NANO_PER_USD
from undercroft.storage.schema import calls

_SAMPLE: Final = re.compile(r"^(ai_\w+_total)\{(.*)\} ([0-9.eE+]+)$", re.MULTILINE)
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_STARTED: Final = re.compile(r"^process_start_time_seconds ([0-9.eE+]+)$", re.MULTILINE)


class Sums(msgspec.Struct, frozen=True, kw_only=True):
    """Of the calls of one route."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_nano: int = 0


def counted(scrapes: Iterable[str]) -> tuple[dict[str, Sums], int]:
    """Sums by route over some servers' metrics in Prometheus' text form, and when the first process began (us).

    Raises ValueError for a text that is none of ours.
    """
    sums: dict[str, dict[str, int]] = {}
    starts = []
    for text in scrapes:
        started = _STARTED.search(text)
        if started is None:
            raise ValueError("there is no process_start_time_seconds in it")
        starts.append(int(float(started[1]) * 1_000_000))
        for name, labels, value in _SAMPLE.findall(text):
            said = dict(_LABEL.findall(labels))
            if (field := _field_of(name, said)) is not None:
                of = sums.setdefault(said.get("endpoint", ""), {})
                scale = NANO_PER_USD if field == "cost_nano" else 1
                of[field] = of.get(field, 0) + round(float(value) * scale)
    return {route: Sums(**of) for route, of in sums.items()}, min(starts)


def _field_of(name: str, labels: Mapping[str, str]) -> str | None:
    match name:
        case "ai_api_calls_total":
            return "calls"
        case "ai_cost_usd_total":
            return "cost_nano"
        case "ai_tokens_total" if labels.get("class") in ("input", "output"):
            return f"{labels['class']}_tokens"
        case _:
            return None


def booked(connection: Connection, *, since_us: int) -> dict[str, Sums]:
    """Sums by route of the calls that began since then, without those whose process died before it could count them."""
    query = (
        select(
            calls.c.endpoint,
            func.count().label("calls"),
            func.coalesce(func.sum(calls.c.input_tokens), 0).label("input_tokens"),
            func.coalesce(func.sum(calls.c.output_tokens), 0).label("output_tokens"),
            func.coalesce(func.sum(calls.c.cost_nano), 0).label("cost_nano"),
        )
        .where(calls.c.started_us >= since_us, calls.c.error != INTERRUPTED)
        .group_by(calls.c.endpoint)
    )
    return {
        row["endpoint"]: Sums(**{name: int(row[name]) for name in Sums.__struct_fields__})
        for row in connection.execute(query).mappings()
    }


def differences(in_books: Mapping[str, Sums], in_metrics: Mapping[str, Sums]) -> Iterator[str]:
    """What differs, route by route. Functions that a program has monitored are in the metrics alone, and no fault."""
    for route in sorted({*in_books, *(name for name in in_metrics if name.startswith("/"))}):
        book, metric = in_books.get(route, Sums()), in_metrics.get(route, Sums())
        for name in Sums.__struct_fields__:
            if (in_book := getattr(book, name)) != (in_metric := getattr(metric, name)):
                yield f"{route}: the books have {in_book} {name}, the metrics {in_metric}"
