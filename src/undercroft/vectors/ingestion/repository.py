"""What was ingested, in the database: which generation of each source is seen. Works for `read` and `write`.

Points are visible only while their generation stands here, so files appear, change and vanish in one step, whatever the
vector store can do, and whatever a process that died has left in it.
"""

from collections.abc import Sequence

import msgspec
from sqlalchemy import ColumnElement, Connection, RowMapping, and_, delete, select, update

from undercroft.storage.schema import ingested_sources as table
from undercroft.storage.schema import insert
from undercroft.vectors.ingestion.types import Place


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """A source as it stands. The fields are columns."""

    source: str
    generation: str
    """Of the points that are seen; empty: none yet."""
    writing: str
    litter: list[str]
    """Generations whose points are to be deleted."""
    digest: str
    chunks: int
    tokens: int
    text_bytes: int


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """What takes the place of a source's former points."""

    generation: str
    digest: str
    chunks: int
    tokens: int
    text_bytes: int


def find(connection: Connection, place: Place, source: str) -> Known | None:
    row = connection.execute(select(*_COLUMNS).where(_is(place, source))).mappings().one_or_none()
    return None if row is None else _known(row)


def listed(connection: Connection, place: Place) -> list[Known]:
    """All sources of a place that are seen, by name."""
    wanted = select(*_COLUMNS).where(_in(place), table.c.generation != "").order_by(table.c.source)
    return [_known(row) for row in connection.execute(wanted).mappings()]


def littered(connection: Connection, place: Place) -> list[str]:
    """Sources that left something to be deleted, and that nobody writes."""
    rows = connection.execute(select(table.c.source, table.c.litter).where(_in(place), table.c.writing == ""))
    return [row.source for row in rows if row.litter]


def begin(connection: Connection, place: Place, source: str, *, writing: str, now_us: int) -> None:
    """`writing` is the generation in the making. One that was begun before is fenced off: it will not be published."""
    known = find(connection, place, source)
    if known is None:
        fresh = insert(connection, table).values(
            organisation=place.organisation, collection=place.collection, namespace=place.namespace, source=source,
            generation="", writing=writing, litter=[], digest="", chunks=0, tokens=0, text_bytes=0, updated_us=now_us,
        )  # fmt: skip
        if connection.execute(fresh.on_conflict_do_nothing()).rowcount:
            return
        known = find(connection, place, source)
        assert known is not None, "somebody else has begun meanwhile"
    litter = [*known.litter, known.writing] if known.writing else known.litter
    connection.execute(update(table).where(_is(place, source)).values(writing=writing, litter=litter))


def publish(connection: Connection, place: Place, source: str, fresh: Published, *, now_us: int) -> list[str] | None:
    """From now on the fresh generation is seen, and no other. Returns those to be deleted; None when somebody else has
    begun meanwhile, and nothing was changed."""
    known = find(connection, place, source)
    if known is None or known.writing != fresh.generation:
        return None
    litter = [*known.litter, known.generation] if known.generation else known.litter
    values = {**msgspec.structs.asdict(fresh), "writing": "", "litter": litter, "updated_us": now_us}
    where = and_(_is(place, source), table.c.writing == fresh.generation)
    return litter if connection.execute(update(table).where(where).values(**values)).rowcount else None


def hide(connection: Connection, place: Place, source: str) -> list[str] | None:
    """From now on nothing of it is seen. Returns the generations to be deleted; None when there was no such source."""
    known = find(connection, place, source)
    if known is None:
        return None
    litter = [*known.litter, *(each for each in (known.generation, known.writing) if each)]
    values = {"generation": "", "writing": "", "digest": "", "chunks": 0, "tokens": 0, "litter": litter}
    connection.execute(update(table).where(_is(place, source)).values(**values))
    return litter


def cleaned(connection: Connection, place: Place, source: str, generations: Sequence[str]) -> None:
    """The points of these are deleted. A source of which nothing is left is forgotten."""
    known = find(connection, place, source)
    if known is None:
        return
    litter = [each for each in known.litter if each not in generations]
    if litter or known.generation or known.writing:
        connection.execute(update(table).where(_is(place, source)).values(litter=litter))
    else:
        connection.execute(delete(table).where(_is(place, source)))


def forget(connection: Connection, place: Place) -> None:
    """Nothing of this place is seen any more, nor to be deleted: its namespace is dropped as a whole."""
    connection.execute(delete(table).where(_in(place)))


def visible(connection: Connection, organisation: str, generations: Sequence[str]) -> frozenset[str]:
    """Those of the generations that are seen."""
    wanted = and_(table.c.organisation == organisation, table.c.generation.in_(generations))
    return frozenset(row.generation for row in connection.execute(select(table.c.generation).where(wanted)))


def _known(row: RowMapping) -> Known:
    return Known(**{field: row[field] for field in Known.__struct_fields__})


_COLUMNS = tuple(table.c[field] for field in Known.__struct_fields__)


def _in(place: Place) -> ColumnElement[bool]:
    return and_(
        table.c.organisation == place.organisation,
        table.c.collection == place.collection,
        table.c.namespace == place.namespace,
    )


def _is(place: Place, source: str) -> ColumnElement[bool]:
    return and_(_in(place), table.c.source == source)
