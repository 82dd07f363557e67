"""Moves spooled records into the ledger, each exactly once, and takes over the spools of processes that died.

How far a spool is in the ledger stands in the database and moves in the transaction that inserts the rows; a shipper
that lost its place, or met another one, sees the move fail and reads the place again. `ON CONFLICT DO NOTHING` on the
call's id is the second fence.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, Protocol, TypeVar

from sqlalchemy import Connection, bindparam, delete, select, update

from undercroft.clock import Clock
from undercroft.errors import Unavailable
from undercroft.ledger.disk import Disk, SystemDisk
from undercroft.ledger.entries import LARGEST, columns_of, interrupted
from undercroft.ledger.frames import NewerFormat
from undercroft.ledger.prices import Price, charge
from undercroft.ledger.reader import START, Batch, OpenCall, Place, SpoolReader
from undercroft.ledger.spool import PREFIX, Spool
from undercroft.record import CallOpened, CallRecord, Usage
from undercroft.storage.bulk import insert_new
from undercroft.storage.schema import calls, insert, spool_offsets

T = TypeVar("T")
DAMAGED: Final = "damaged"
"""Folder beside the spools that keeps segments with something unreadable in the middle."""
LONGEST_PAUSE_S: Final = 5.0
OTHERS_S: Final = 2.0
"""How often it is looked whether others have left something behind."""
ROWS_AT_ONCE: Final = 256
"""Rows that are made ready in one go: it takes the interpreter's lock for half a millisecond."""
GONE: Final = Place(LARGEST, 0)
"""The place of a spool that is wholly booked and removed. Were it forgotten at once, a move that is still on its way
from a process that died, or was stopped, would find no place and book everything anew."""
GONE_FOR_US: Final = 86_400_000_000
"""How long such places are kept: no move is under way for so long."""

_log = logging.getLogger(__name__)


class Transactions(Protocol):
    """The database, as far as shipping needs it: each work runs in one transaction; raises Unavailable."""

    async def read(self, work: Callable[[Connection], T], /) -> T: ...

    async def write(self, work: Callable[[Connection], T], /) -> T: ...


class Passes(Protocol):
    """Hears of each pass over the spools."""

    def passing(self) -> None:
        """One begins."""
        ...

    def passed(self) -> None:
        """It has moved all that was there when it began."""
        ...


@dataclass(slots=True)
class Flushed:
    """What one pass did, and what it had to leave."""

    booked: int = 0
    interrupted: int = 0
    running: int = 0
    """Calls of living processes that have started and not ended."""
    torn_bytes: int = 0
    """Half-written tails that were never acknowledged, passed over."""
    damaged: list[str] = field(default_factory=list)
    """What was unreadable in the middle of a segment; the rest is booked, the file is kept in `damaged`."""
    left: list[str] = field(default_factory=list)
    """Spools that could not be shipped, and why."""


class _Shipment:
    """One spool on its way into the ledger."""

    def __init__(self, reader: SpoolReader) -> None:
        self.reader = reader
        self.name = reader.folder.name
        self.claim: int | None = None
        """Our hold of a dead process's folder."""
        self.shipped: Place | None = None
        """What we believe the database says; a move from anywhere else fails and puts it right."""


class Shipper:
    """Ships this process's spool and those whose process is gone; `everyones` ships what living others wrote as well.

    A call that a dead process left open is booked as interrupted, at `price`. A living process's folder is only read:
    booking what is open and removing what is shipped are for whoever holds the folder.
    """

    def __init__(
        self,
        database: Transactions,
        root: Path,
        *,
        clock: Clock,
        price: Callable[[CallOpened], Price | None],
        own: Spool | None = None,
        everyones: bool = False,
        interval_s: float = 0.25,
        disk: Disk | None = None,
        passes: Passes | None = None,
    ) -> None:
        self._database = database
        self._passes = passes
        self._root = root
        self._clock = clock
        self._price = price
        self._own = own
        self._everyones = everyones
        self._interval_s = interval_s
        self._disk = disk or SystemDisk()
        self._shipments: dict[str, _Shipment] = {}
        self._said: set[str] = set()
        self._seen_bytes = 0
        """How much of our own spool was there at the last pass."""

    async def run(self) -> None:
        """Until cancelled. While the database is away the spool keeps the records and the pauses grow."""
        pause_s = self._interval_s
        trouble: type[Exception] | None = None
        others_at = self._clock.monotonic()
        while True:
            if trouble is None:
                await self._news(others_at)
            await self._clock.sleep(pause_s)
            if self._passes is not None:
                self._passes.passing()
            is_full = self._own is None or not self._own.is_open or self._clock.monotonic() >= others_at
            try:
                done = await self.flush() if is_full else await self._flush_own()
            except Exception as error:  # noqa: BLE001 - the outermost edge of this task: nobody else would ship
                if trouble is not type(error):
                    _log.warning("call records wait in %s: %s", self._root, error, exc_info=_unexpected(error))
                trouble = type(error)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            else:
                trouble = None
                pause_s = self._interval_s
                if is_full:
                    others_at = self._clock.monotonic() + OTHERS_S
                if self._passes is not None and not done.left:
                    self._passes.passed()

    async def _news(self, others_at: float) -> None:
        """Until our own spool has grown since the last pass, or it is time to look at the others."""
        own, wait_s = self._own, others_at - self._clock.monotonic()
        if own is None or own.appended_bytes > self._seen_bytes or wait_s <= 0:
            return
        waiting = [asyncio.ensure_future(work) for work in (own.grown(self._seen_bytes), self._clock.sleep(wait_s))]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()

    async def flush(self) -> Flushed:
        """Ships all that can be shipped now. Raises Unavailable while the database is away; nothing is lost by it."""
        done = Flushed()
        present = [name for name in self._disk.names(self._root) if name.startswith(PREFIX)]
        for gone in self._shipments.keys() - set(present):
            del self._shipments[gone]
        for name in present:
            await self._flush(name, done)
        return done

    async def _flush_own(self) -> Flushed:
        done = Flushed()
        if self._own is not None:
            await self._flush(self._own.name, done)
        return done

    async def _flush(self, name: str, done: Flushed) -> None:
        shipment = self._shipments.get(name) or _Shipment(SpoolReader(self._root / name, self._disk))
        own = self._own if self._own is not None and self._own.name == name and self._own.is_open else None
        if own is None and shipment.claim is None:
            shipment.claim = self._disk.claim(shipment.reader.folder)
        if own is None and shipment.claim is None and not self._everyones:
            return
        self._shipments[name] = shipment
        try:
            if own is not None:
                await self._ship_own(shipment, own, done)
            else:
                await self._ship(shipment, done)
            if own is not None or shipment.claim is not None:
                await self._clear(shipment)
        except FileNotFoundError:
            pass  # shipped and removed by its holder under our eyes
        except (OSError, NewerFormat) as error:
            done.left.append(f"{name}: {error}")
            self._say_once(f"spool {name} is left as it is: {error}")
        finally:
            self._let_go(shipment)

    async def _ship(self, shipment: _Shipment, done: Flushed) -> None:
        reader, is_alive = shipment.reader, shipment.claim is None
        while batch := reader.following(is_alive=is_alive):
            await self._ship_batch(shipment, batch, done)
        if is_alive:
            done.running += len(reader.opened)
        else:
            done.interrupted += await self._book_interrupted(shipment)

    async def _ship_own(self, shipment: _Shipment, own: Spool, done: Flushed) -> None:
        """What is there now, and not what comes meanwhile: that would go one by one. Most of it is at hand."""
        reader = shipment.reader
        self._seen_bytes, end = own.appended_bytes, own.end
        while reader.scanned < end and (stretch := own.at_hand(reader.scanned)) is not None:
            ended = [record for record in stretch.records if type(record) is CallRecord]
            is_ahead = (shipment.shipped or START) > stretch.start  # another shipper was here
            if is_ahead or (ended and not await self._move(shipment, stretch.end, ended)):
                break
            done.booked += len(ended)
            reader.pass_over(stretch.end, stretch.records)
        while reader.scanned < end and (batch := reader.following(is_alive=True)):
            own.was_read(until=batch.end)
            await self._ship_batch(shipment, batch, done)
        done.running += len(reader.opened)

    async def _ship_batch(self, shipment: _Shipment, batch: Batch, done: Flushed) -> None:
        done.booked += await self._book(shipment, batch)
        done.torn_bytes += batch.torn_bytes
        if batch.damage:
            done.damaged.append(batch.damage)
            self._say_once(batch.damage)
        shipment.reader.take(batch)

    async def _book(self, shipment: _Shipment, batch: Batch) -> int:
        while True:
            shipped = shipment.shipped or START
            new = [record for place, record in batch.records if isinstance(record, CallRecord) and place > shipped]
            # Starts and progress alone move nothing: the next end does.
            if not new or await self._move(shipment, batch.end, new):
                return len(new)

    async def _book_interrupted(self, shipment: _Shipment) -> int:
        """Ends the calls that a dead process left open; the place behind its last segment says that this was done."""
        end = Place(shipment.reader.scanned.segment + 1, 0)
        left = [self._interrupted(call) for call in shipment.reader.opened.values()]
        while left and end > (shipment.shipped or START):
            if await self._move(shipment, end, left):
                return len(left)
        return 0

    def _interrupted(self, call: OpenCall) -> CallRecord:
        usage = Usage(input=call.record.estimated_input, output=call.output)
        cost_nano, price = charge(self._price(call.record), usage)
        return interrupted(call.record, usage=usage, cost_nano=cost_nano, price=price)

    async def _move(self, shipment: _Shipment, end: Place, records: Sequence[CallRecord]) -> bool:
        """Books records and the place behind them; False, with the place read again, when it had moved without us."""
        name = shipment.name
        now_us = self._clock.now_us()
        move = partial(book, spool=name, before=shipment.shipped, after=end, records=records, now_us=now_us)
        moved = await self._database.write(move)
        shipment.shipped = end if moved else await self._database.read(partial(place_of, spool=name))
        return moved

    async def _clear(self, shipment: _Shipment) -> None:
        reader, is_alive = shipment.reader, shipment.claim is None
        for segment in reader.done_with(is_alive=is_alive):
            path = reader.path_of(segment)
            if segment in reader.damaged:
                self._disk.move(path, self._root / DAMAGED / f"{shipment.name}-{path.name}")
            else:
                self._disk.remove(path)
        if not is_alive:
            # The folder outlives the records, so that a crash here leaves nobody without what he has to do next.
            await self._database.write(partial(leave, spool=shipment.name, now_us=self._clock.now_us()))
            self._disk.remove_folder(reader.folder)

    def _let_go(self, shipment: _Shipment) -> None:
        """A dead process's folder is held for one pass at a time: whoever comes next starts from its beginning."""
        if shipment.claim is not None:
            self._disk.release(shipment.claim)
            shipment.claim = None
            del self._shipments[shipment.name]

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            _log.warning("%s", text)


def _unexpected(error: Exception) -> bool:
    return not isinstance(error, Unavailable)


def place_of(connection: Connection, *, spool: str) -> Place | None:
    """How far a spool is in the ledger."""
    row = connection.execute(
        select(spool_offsets.c.segment, spool_offsets.c.position).where(spool_offsets.c.spool == spool)
    ).one_or_none()
    return None if row is None else Place(row.segment, row.position)


# Made once: building it costs as much as running it.
_MOVE: Final = (
    update(spool_offsets)
    .where(
        spool_offsets.c.spool == bindparam("its_spool"),
        spool_offsets.c.segment == bindparam("its_segment"),
        spool_offsets.c.position == bindparam("its_position"),
    )
    .returning(spool_offsets.c.spool)
)


def book(
    connection: Connection,
    *,
    spool: str,
    before: Place | None,
    after: Place,
    records: Sequence[CallRecord],
    now_us: int,
) -> bool:
    """Moves a spool's place and inserts what lies between; False, and nothing done, when it was not at `before`."""
    place = {"segment": after.segment, "position": after.position, "updated_us": now_us}
    if before is None:
        offer = insert(connection, spool_offsets).values(spool=spool, **place)
        moved = connection.execute(offer.on_conflict_do_nothing().returning(spool_offsets.c.spool))
    else:
        believed = {"its_spool": spool, "its_segment": before.segment, "its_position": before.position}
        moved = connection.execute(_MOVE, believed | place)
    # Asked for by RETURNING: `rowcount` of an INSERT is -1 on PostgreSQL, moved or not.
    if moved.first() is None:
        return False
    for start in range(0, len(records), ROWS_AT_ONCE):
        some = records[start : start + ROWS_AT_ONCE]
        insert_new(connection, calls, {**columns_of(some), "spool": [spool] * len(some)})
    return True


def leave(connection: Connection, *, spool: str, now_us: int) -> None:
    """Puts a spool's place behind everything, so that it shows that nothing of it is still to come; drops those that
    have been there for long."""
    place = {"segment": GONE.segment, "position": GONE.position, "updated_us": now_us}
    gone = insert(connection, spool_offsets).values(spool=spool, **place)
    behind = spool_offsets.c.segment < GONE.segment
    connection.execute(gone.on_conflict_do_update(index_elements=["spool"], set_=place, where=behind))
    old = spool_offsets.c.updated_us < now_us - GONE_FOR_US
    connection.execute(delete(spool_offsets).where(spool_offsets.c.segment == GONE.segment, old))
