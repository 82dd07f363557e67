"""What went wrong, grouped: the same error in the same place is one line, however often it happens."""

import hashlib
import traceback
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Final

import msgspec
from sqlalchemy import Connection, delete, func, select

from undercroft.storage.schema import error_groups, insert

FRAMES: Final = 5
"""The innermost ones say where an error is; how it was reached differs from call to call."""
LONGEST_MESSAGE: Final = 500
LONGEST_SAMPLE: Final = 8000


class Occurrence(msgspec.Struct, frozen=True, kw_only=True):
    """An error that was logged, without secrets."""

    fingerprint: str
    kind: str
    """The exception's type, or the name of the log event."""
    message: str
    place: str
    """`module.function` that raised or logged it."""
    sample: str
    """Traceback and fields."""
    at_us: int
    count: int = 1
    """How often it happened, up to this one."""


class ErrorGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that has the same fingerprint; message and sample are the latest one's."""

    fingerprint: str
    kind: str
    message: str
    place: str
    sample: str
    count: int
    first_us: int
    last_us: int


def fingerprint_of(kind: str, places: Iterable[str]) -> str:
    """By type and place, never by the message, which differs from time to time, nor by line numbers, which move."""
    return hashlib.blake2b("\n".join((kind, *places)).encode(), digest_size=8).hexdigest()


def places_of(trace: TracebackType | None) -> list[str]:
    """`file:function` of the innermost frames, the innermost last."""
    frames = traceback.extract_tb(trace)[-FRAMES:]
    return [f"{frame.filename.rpartition('site-packages/')[2].rpartition('src/')[2]}:{frame.name}" for frame in frames]


def together(found: Iterable[Occurrence]) -> list[Occurrence]:
    """One for each fingerprint: the latest, with how many there were."""
    latest: dict[str, Occurrence] = {}
    for each in found:
        before = latest.get(each.fingerprint)
        count = each.count + (before.count if before else 0)
        latest[each.fingerprint] = msgspec.structs.replace(each, count=count)
    return list(latest.values())


def note_errors(connection: Connection, found: Iterable[Occurrence]) -> None:
    """Counts them in their groups."""
    for each in together(found):
        offer = insert(connection, error_groups).values(
            fingerprint=each.fingerprint,
            kind=each.kind,
            message=each.message[:LONGEST_MESSAGE],
            place=each.place,
            sample=each.sample[:LONGEST_SAMPLE],
            count=each.count,
            first_us=each.at_us,
            last_us=each.at_us,
        )
        fresh: Mapping[str, object] = {
            "message": offer.excluded.message,
            "sample": offer.excluded.sample,
            "count": error_groups.c.count + offer.excluded.count,
            "last_us": offer.excluded.last_us,
        }
        connection.execute(offer.on_conflict_do_update(index_elements=["fingerprint"], set_=dict(fresh)))


def prune_errors(connection: Connection, *, keep: int) -> None:
    """Deletes the groups that were seen longest ago."""
    old = select(error_groups.c.fingerprint).order_by(error_groups.c.last_us.desc()).limit(10**9).offset(keep)
    connection.execute(delete(error_groups).where(error_groups.c.fingerprint.in_(old.scalar_subquery())))


def list_errors(connection: Connection, *, limit: int, since_us: int = 0) -> list[ErrorGroup]:
    """Those that were seen last come first."""
    query = (
        select(error_groups)
        .where(error_groups.c.last_us >= since_us)
        .order_by(error_groups.c.last_us.desc(), error_groups.c.fingerprint)
        .limit(limit)
    )
    return [ErrorGroup(**row) for row in connection.execute(query).mappings()]


def count_errors(connection: Connection) -> int:
    """How many groups there are."""
    return int(connection.execute(select(func.count()).select_from(error_groups)).scalar_one())
