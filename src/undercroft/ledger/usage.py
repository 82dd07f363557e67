"""Sums over the ledger, made by the database: no row is ever loaded to be added up."""

from typing import Any, Final, Literal

import msgspec
from sqlalchemy import Connection, and_, case, func, literal, select

from undercroft.clock import rfc3339
from undercroft.record import Usage
from undercroft.storage.schema import calls

Grouping = Literal["total", "key", "model", "provider", "day"]
DAY_US: Final = 86_400_000_000
FIRST_ERROR_STATUS: Final = 400


class UsageLine(msgspec.Struct, frozen=True, kw_only=True):
    """What one group used."""

    group: str
    """A key's id, a model, a provider or a day; empty for the calls that have none, and for the total."""
    calls: int
    errors: int
    usage: Usage
    cost_nano: int
    """Exact, over all calls whose price is known."""
    unpriced: int
    """Calls that used something at a price that is not known: they are not in `cost_nano`."""
    estimated: int
    """Calls whose tokens were counted by ourselves."""


def sum_usage(
    connection: Connection,
    *,
    organisation: str,
    by: Grouping = "total",
    since_us: int | None = None,
    until_us: int | None = None,
) -> list[UsageLine]:
    """One line a group, in the group's order; `since_us` is included, `until_us` is not."""
    group: Any = {
        "total": literal(""),
        "key": calls.c.key,
        "model": calls.c.model,
        "provider": calls.c.provider,
        "day": calls.c.started_us // DAY_US,
    }[by]
    used = calls.c.input_tokens + calls.c.output_tokens > 0
    without_price = and_(calls.c.price == "", calls.c.attempts > 0, used | (calls.c.error == ""))
    query = (
        select(
            group.label("group"),
            func.count().label("calls"),
            _count(calls.c.status >= FIRST_ERROR_STATUS).label("errors"),
            *(_sum(calls.c[f"{name}_tokens"]).label(name) for name in Usage.__struct_fields__),
            _sum(calls.c.cost_nano).label("cost_nano"),
            _count(without_price).label("unpriced"),
            _count(calls.c.usage_estimated).label("estimated"),
        )
        .where(calls.c.organisation == organisation)
        .group_by(group)
        .order_by(group)
    )
    if since_us is not None:
        query = query.where(calls.c.started_us >= since_us)
    if until_us is not None:
        query = query.where(calls.c.started_us < until_us)
    return [
        UsageLine(
            group=rfc3339(row["group"] * DAY_US)[:10] if by == "day" else row["group"],
            calls=row["calls"],
            errors=row["errors"],
            # PostgreSQL's sum of bigints is a numeric.
            usage=Usage(**{name: int(row[name]) for name in Usage.__struct_fields__}),
            cost_nano=int(row["cost_nano"]),
            unpriced=row["unpriced"],
            estimated=row["estimated"],
        )
        for row in connection.execute(query).mappings()
    ]


def _sum(column: Any) -> Any:
    return func.coalesce(func.sum(column), 0)


def _count(condition: Any) -> Any:
    return func.count(case((condition, 1)))
