"""The audit log: who changed what, from where, before and after. It only grows, and each entry seals those before it.

An entry's hash is SHA-256 over the hash of the entry before it and its own fields; the number of entries is kept beside
them, so that a changed, removed, inserted or cut-off entry is found. Whoever can rewrite the whole log and that number
can still forge it: note the head from time to time (`undercroft audit verify` prints it) and have it looked for again.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeVar

import msgspec
from sqlalchemy import Connection, RowMapping, select

from undercroft.access.actions import Action
from undercroft.storage.schema import audit, insert
from undercroft.storage.versions import bump, current
from undercroft.telemetry.redaction import Redactor

T = TypeVar("T")

AUDIT: Final = "audit"
"""The counter in `versions` that numbers the entries."""
GENESIS: Final = bytes(32)
READ_AT_ONCE: Final = 1000
LARGEST_DETAILS: Final = 32_768
"""Longer details are cut: the log tells what was changed, it is no backup of it."""

_shapes = Redactor()


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Who acts, and from where."""

    organisation: str
    actor: str
    address: str = ""
    request: str = ""
    """The request's id; empty for the command line."""


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """What is done: `key.create` to the key `k3y1d2ab`, as it was before and is after (secrets left out)."""

    action: Action
    subject: str = ""
    before: object = None
    after: object = None


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry as it stands in the log. `details` is the JSON text that was hashed."""

    number: int
    organisation: str
    at_us: int
    actor: str
    address: str
    action: str
    subject: str
    request: str
    details: str
    hash: bytes


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a verification came to; `fault` is empty when nothing was found."""

    entries: int
    head: str
    fault: str = ""


def append(connection: Connection, act: Act, *, origin: Origin, now_us: int) -> Entry:
    """Writes an entry in the transaction of the change that it tells of: there is no change without it."""
    bump(connection, AUDIT)  # locks the counter, so that entries are numbered and chained one after the other
    number = current(connection)[AUDIT]
    latest = select(audit.c.hash).where(audit.c.number == number - 1)
    previous = connection.execute(latest).scalar_one_or_none() or GENESIS
    fields: dict[str, str | int] = {
        "number": number,
        "organisation": origin.organisation,
        "at_us": now_us,
        "actor": origin.actor,
        "address": origin.address,
        "action": act.action,
        "subject": act.subject[:200],
        "request": origin.request,
        "details": _details(act),
    }
    entry = {**fields, "hash": _sealed(previous, fields)}
    connection.execute(insert(connection, audit).values(entry))
    return Entry(**entry)  # type: ignore[arg-type]  # the fields of the table


def audited(
    work: Callable[[Connection], T], act: Callable[[T], Act], *, origin: Origin, now_us: int
) -> Callable[[Connection], T]:
    """`work` with its entry, in one transaction."""

    def both(connection: Connection) -> T:
        result = work(connection)
        append(connection, act(result), origin=origin, now_us=now_us)
        return result

    return both


def entries_of(
    connection: Connection, *, organisation: str, before: int | None = None, limit: int = 100, action: str = ""
) -> list[Entry]:
    """The latest entries of an organisation first; those numbered below `before`, of `action` or what begins so."""
    wanted = select(audit).where(audit.c.organisation == organisation)
    if before is not None:
        wanted = wanted.where(audit.c.number < before)
    if action:
        wanted = wanted.where(audit.c.action.startswith(action, autoescape=True))
    rows = connection.execute(wanted.order_by(audit.c.number.desc()).limit(limit)).mappings()
    return [_entry(row) for row in rows]


def every_entry(connection: Connection) -> Iterator[Entry]:
    """The whole log in its order."""
    after = 0
    while True:
        some = select(audit).where(audit.c.number > after).order_by(audit.c.number).limit(READ_AT_ONCE)
        rows = connection.execute(some).mappings().all()
        yield from (_entry(row) for row in rows)
        if len(rows) < READ_AT_ONCE:
            return
        after = rows[-1]["number"]


def verify(connection: Connection, *, expected_head: str = "") -> Verdict:
    """Looks for whatever was changed, removed or put in. `expected_head`: a head noted earlier, which must be there."""
    previous, count, seen = GENESIS, 0, not expected_head
    for entry in every_entry(connection):
        count += 1
        if entry.number != count:
            fault = f"entry {count} is missing" if entry.number > count else f"entry {entry.number} stands twice"
            return Verdict(entries=count - 1, head=previous.hex(), fault=fault)
        if entry.hash != _sealed(previous, _fields(entry)):
            return Verdict(entries=count - 1, head=previous.hex(), fault=f"entry {count} is not what was written")
        previous = entry.hash
        seen = seen or previous.hex() == expected_head
    written = current(connection).get(AUDIT, 0)
    fault = ""
    if count != written:
        fault = f"{written} entries were written, and {count} are there"
    elif not seen:
        fault = "the head that was noted is not in the log: it was written anew"
    return Verdict(entries=count, head=previous.hex(), fault=fault)


def as_line(entry: Entry) -> bytes:
    """An entry as a line of JSON, with everything that its hash is made of."""
    shown = {**_fields(entry), "hash": entry.hash.hex()}
    return msgspec.json.encode(shown) + b"\n"


def _details(act: Act) -> str:
    """Before and after as JSON, without what looks like a secret or is called one."""
    shown = {name: value for name, value in (("before", act.before), ("after", act.after)) if value is not None}
    plain = msgspec.json.decode(msgspec.json.encode(shown))
    text = msgspec.json.encode(_shapes.value(plain), order="deterministic").decode()
    return text if len(text) <= LARGEST_DETAILS else msgspec.json.encode({"cut": text[:LARGEST_DETAILS]}).decode()


def _sealed(previous: bytes, fields: Mapping[str, str | int]) -> bytes:
    return hashlib.sha256(previous + msgspec.json.encode(fields, order="sorted")).digest()


def _fields(entry: Entry) -> dict[str, str | int]:
    return {name: value for name, value in msgspec.structs.asdict(entry).items() if name != "hash"}


def _entry(row: RowMapping) -> Entry:
    return Entry(**{name: row[name] for name in Entry.__struct_fields__})
