"""Sums over the ledger, made by the database: no row is ever loaded to be added up."""

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import Connection, Text, and_, case, func, literal, select, text, type_coerce

from undercroft.clock import rfc3339
from undercroft.ledger.usage_tags import TAG_NAME
from undercroft.record import Usage
from undercroft.storage.schema import api_keys, calls

Grouping = Literal["total", "key", "user", "team", "model", "provider", "endpoint", "tag", "hour", "day"]
HOUR_US: Final = 3_600_000_000
DAY_US: Final = 86_400_000_000
FIRST_ERROR_STATUS: Final = 400


class UsageLine(msgspec.Struct, frozen=True, kw_only=True):
    """What one group used."""

    group: str
    """A key's id, a user, a team, a model, a provider, a route, a tag's value, an hour or a day (UTC); empty for the
    calls that have none, and for the total."""
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
    tag: str = "",
) -> list[UsageLine]:
    """One line a group, in the group's order; `since_us` is included, `until_us` is not.

    By `tag`, calls are grouped by the value that the call, or else its key, has for `tag`.
    """
    source: Any = calls
    if by == "tag":
        source = calls.outerjoin(
            api_keys, and_(api_keys.c.organisation == calls.c.organisation, api_keys.c.id == calls.c.key)
        )
        own, of_key = (_value(connection, column, tag) for column in (calls.c.tags, api_keys.c.tags))
        group: Any = func.coalesce(own, of_key, "")
    else:
        group = _GROUPS[by]
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
        .select_from(source)
        .where(calls.c.organisation == organisation)
        .group_by(text("1"))
        .order_by(text("1"))
    )
    if since_us is not None:
        query = query.where(calls.c.started_us >= since_us)
    if until_us is not None:
        query = query.where(calls.c.started_us < until_us)
    return [
        UsageLine(
            group=_named(by, row["group"]),
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


_GROUPS: Final[Mapping[Grouping, Any]] = {
    "total": literal(""),
    "key": calls.c.key,
    "user": calls.c.user_id,
    "team": calls.c.team,
    "model": calls.c.model,
    "provider": calls.c.provider,
    "endpoint": calls.c.endpoint,
    "hour": calls.c.started_us // HOUR_US,
    "day": calls.c.started_us // DAY_US,
}


def _named(by: Grouping, value: Any) -> str:
    match by:
        case "day":
            return rfc3339(value * DAY_US)[:10]
        case "hour":
            return rfc3339(value * HOUR_US)[:13] + ":00Z"
        case _:
            return str(value)


def _value(connection: Connection, tags: Any, name: str) -> Any:
    """A tag's value, as text; NULL where there is none. Raises ValueError for a name that no tag has."""
    if not TAG_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no tag")
    if connection.dialect.name == "postgresql":
        return func.jsonb_extract_path_text(tags, name)
    return func.json_extract(type_coerce(tags, Text), f'$."{name}"')


def grouping_of(given: str) -> tuple[Grouping, str]:
    """`model` or `tag:NAME` as people write it: the grouping and the tag. Raises ValueError, saying what there is."""
    by, _, tag = given.partition(":")
    if (by == "tag") == bool(TAG_NAME.fullmatch(tag)) and by in (*_GROUPS, "tag") and by != "total":
        return msgspec.convert(by, Grouping), tag
    known = ", ".join(each for each in _GROUPS if each != "total")
    raise ValueError(f"takes {known} or tag:NAME, got {given[:100]!r}")


def _sum(column: Any) -> Any:
    return func.coalesce(func.sum(column), 0)


def _count(condition: Any) -> Any:
    return func.count(case((condition, 1)))
