"""Proves that the ledger is right: every cost from its own row, the sums, and the spools against the rows."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec
from sqlalchemy import Connection, func, select

from undercroft.ledger.disk import Disk, SystemDisk
from undercroft.ledger.entries import usage_of
from undercroft.ledger.frames import NewerFormat
from undercroft.ledger.limit_repository import used_in
from undercroft.ledger.limits import counted_in
from undercroft.ledger.prices import recompute
from undercroft.ledger.reader import Batch, Place, SpoolReader
from undercroft.ledger.shipping import DAMAGED, place_of
from undercroft.ledger.slice_stores.sql import SETTLED
from undercroft.ledger.slices import Window
from undercroft.ledger.spool import PREFIX
from undercroft.record import CallRecord, Usage
from undercroft.storage.schema import calls, slices

PAGE: Final = 2000
MOST_EXAMPLES: Final = 20
"""Faults of one kind that are spelled out; the rest is counted."""


class Findings(msgspec.Struct, kw_only=True):
    """What was looked at, and everything that is not as it should be."""

    calls: int = 0
    cost_nano: int = 0
    unpriced: int = 0
    """Rows that used something at a price that is unknown; they must cost 0."""
    unproven: int = 0
    """Rows whose price names no rates: their cost is taken as it stands."""
    balances: int = 0
    """Windows of budgets and token limits that nobody holds a part of just now, and whose sum was compared."""
    counted: int = 0
    """Calls whose sums were compared with what servers have counted."""
    spools: int = 0
    waiting: int = 0
    """Records on disk that are not in the ledger yet."""
    torn_bytes: int = 0
    """Half-written ends that were never acknowledged: no fault."""
    faults: list[str] = []


def verify(connection: Connection, root: Path, *, disk: Disk | None = None) -> Findings:
    """Reads every row and every spool of this machine once, on the connection's snapshot: the server may go on."""
    findings = Findings()
    disk = disk or SystemDisk()
    _tell(findings, "rows", _row_faults(connection, findings))
    _tell(findings, "ids", _repeated_ids(connection))
    for name in disk.names(root):
        if name.startswith(PREFIX):
            findings.spools += 1
            _tell(findings, name, _spool_faults(connection, root / name, disk, findings))
    if not findings.waiting:
        _tell(findings, "limits", _balance_faults(connection, findings))
    _tell(findings, "damaged segments", (f"{root / DAMAGED / name} is damaged" for name in disk.names(root / DAMAGED)))
    return findings


def _tell(findings: Findings, what: str, faults: Iterable[str]) -> None:
    count = 0
    for fault in faults:
        count += 1
        if count <= MOST_EXAMPLES:
            findings.faults.append(fault)
    if count > MOST_EXAMPLES:
        findings.faults.append(f"{what}: {count - MOST_EXAMPLES} more faults like these")


def _row_faults(connection: Connection, findings: Findings) -> Iterator[str]:
    tokens = [calls.c[f"{name}_tokens"] for name in Usage.__struct_fields__]
    query = select(calls.c.id, calls.c.cost_nano, calls.c.price, *tokens).execution_options(yield_per=PAGE)
    proven_nano = 0
    for row in connection.execute(query).mappings():
        booked, price = row["cost_nano"], row["price"]
        expected = recompute(price, usage_of(row)) if price else 0
        findings.unpriced += not price and usage_of(row).total > 0
        if expected is None:
            findings.unproven += 1
            expected = booked
        if expected != booked:
            by = f"its price {price!r}" if price else "an unknown price"
            yield f"call {row['id']} is booked at {booked} nano-dollars; {by} makes it {expected}"
        findings.calls += 1
        findings.cost_nano += booked
        proven_nano += expected
    rows, total_nano = connection.execute(select(func.count(), func.coalesce(func.sum(calls.c.cost_nano), 0))).one()
    if rows != findings.calls:
        yield f"the database counts {rows} calls and shows {findings.calls}"
    if total_nano != proven_nano:
        yield f"the calls cost {total_nano} nano-dollars in sum; their prices make it {proven_nano}"


def _repeated_ids(connection: Connection) -> Iterator[str]:
    repeated = select(calls.c.id, func.count()).group_by(calls.c.id).having(func.count() > 1)
    for call_id, count in connection.execute(repeated):
        yield f"call {call_id} is booked {count} times"


def _spool_faults(connection: Connection, folder: Path, disk: Disk, findings: Findings) -> Iterator[str]:
    reader = SpoolReader(folder, disk)
    # Whoever can be claimed is dead, and its last segment complete. Held while looking, so that nobody ships it.
    claim = disk.claim(folder)
    try:
        place = place_of(connection, spool=folder.name)
        yield from _place_faults(reader, place, disk)
        while batch := reader.following(is_alive=claim is None):
            yield from _batch_faults(connection, batch, place, findings)
            findings.torn_bytes += batch.torn_bytes
            reader.take(batch)
    except FileNotFoundError:
        pass  # shipped and removed by its holder under our eyes
    except (OSError, NewerFormat) as error:
        yield f"{folder.name} cannot be read: {error}"
    finally:
        if claim is not None:
            disk.release(claim)


def _balance_faults(connection: Connection, findings: Findings) -> Iterator[str]:
    """What limits count as used against the calls; a process that holds a part of one has not told yet."""
    held = select(slices.c.organisation, slices.c.name, slices.c.period).where(slices.c.owner != SETTLED).distinct()
    in_use = {tuple(row) for row in connection.execute(held)}
    for row in connection.execute(select(slices).where(slices.c.owner == SETTLED)).mappings().all():
        window = Window(organisation=row["organisation"], name=row["name"], id=row["period"], ends_us=row["ends_us"])
        is_compared = counted_in(window).measure in ("spend", "tokens")  # requests that were refused are booked too
        if not is_compared or (window.organisation, window.name, window.id) in in_use:
            continue
        findings.balances += 1
        used = used_in(connection, window)
        if used != row["amount"]:
            yield f"the limit {window.name} counts {row['amount']} in {window.id}; its calls make it {used}"


def _place_faults(reader: SpoolReader, place: Place | None, disk: Disk) -> Iterator[str]:
    if place is not None and place.segment in reader.segments():
        path = reader.path_of(place.segment)
        size = disk.size(path)
        if place.position > size:
            yield f"{path} has {size} bytes; the ledger has booked {place.position} of them"


def _batch_faults(connection: Connection, batch: Batch, place: Place | None, findings: Findings) -> Iterator[str]:
    if batch.damage:
        yield batch.damage
    booked = {}
    for end, record in batch.records:
        if isinstance(record, CallRecord):
            if place is not None and end <= place:
                booked[record.id] = record
            else:
                findings.waiting += 1
    rows = connection.execute(select(calls.c.id, calls.c.cost_nano).where(calls.c.id.in_(booked))).all()
    costs: dict[str, int] = {row.id: row.cost_nano for row in rows}
    for call_id, record in booked.items():
        if call_id not in costs:
            yield f"call {call_id} counts as booked and is not in the ledger"
        elif costs[call_id] != record.cost_nano:
            yield f"call {call_id} cost {record.cost_nano} nano-dollars when it ended and is booked at {costs[call_id]}"
