"""The spool: call records on local disk before the last byte of an answer leaves, whatever the database does.

One folder a process, locked while it lives; what dies is adopted by whoever ships (`shipping.py`).
"""

import asyncio
import errno
import logging
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

import msgspec

from undercroft.clock import Clock
from undercroft.errors import Unavailable
from undercroft.ids import Ids
from undercroft.ledger.disk import Disk, SystemDisk
from undercroft.ledger.frames import HEADER, LONGEST_FRAME_BYTES, frame, segment_name
from undercroft.ledger.reader import START, Place
from undercroft.ledger.recent import STRETCH, Recent, Stretch
from undercroft.record import CallOpened, CallProgressed, SpoolRecord, Usage, encode

PREFIX: Final = "spool_"
SEGMENT_BYTES: Final = 8 * 1024 * 1024
MOST_OWED: Final = 10_000
"""Records of calls under way that are kept in memory while the disk refuses them."""
MOST_TOKENS: Final = 2**53
LONGEST_TEXT: Final = 200

_log = logging.getLogger(__name__)


class Spool:
    """Appends records for this process. Made of nothing but files: no database, no thread, one copy a record.

    `append` returning means: survives kill -9. `durable` returning means: survives a power cut, when so configured.
    Call it from one event loop's thread.
    """

    place: Final = "disk"

    def __init__(
        self,
        root: Path,
        *,
        clock: Clock,
        ids: Ids,
        durability: Literal["process", "power"] = "process",
        segment_bytes: int = SEGMENT_BYTES,
        sync_interval_s: float = 0.1,
        disk: Disk | None = None,
    ) -> None:
        self.name = ids.new(PREFIX)
        self.folder = root / self.name
        self._clock = clock
        self._power = durability == "power"
        self._segment_bytes = segment_bytes
        self._sync_interval_s = sync_interval_s
        self._disk = disk or SystemDisk()
        self.problem = ""
        """Why the disk took no record the last time; empty while it does."""
        self._claim: int | None = None
        self._segment = 0
        """The highest number that is used up; not always that of the segment which is written to."""
        self._written = 0
        self._descriptor: int | None = None
        self._size = 0
        self._retired: list[int] = []
        """Descriptors of full segments that were not synced yet."""
        self._folder_changed = False
        self._owed: deque[tuple[SpoolRecord, bytes]] = deque()
        self._recent = Recent()
        # Bytes since the start: written, known to be on the medium, and failed to get there.
        self._appended = 0
        self._synced = 0
        self._sync_failed = 0
        self._syncing: asyncio.Task[None] | None = None
        self._closed = False
        self._stirred = asyncio.Event()
        """Something was written, or could not be."""
        self._is_awaited = False

    @property
    def is_immediate(self) -> bool:
        """Whether `durable` has nothing to wait for."""
        return not self._power

    @property
    def is_open(self) -> bool:
        """Whether this process holds the folder."""
        return self._claim is not None

    @property
    def appended_bytes(self) -> int:
        """How much was written since the start."""
        return self._appended

    @property
    def end(self) -> Place:
        """Behind the last record."""
        return Place(self._written, self._size) if self._appended else START

    async def grown(self, beyond_bytes: int) -> None:
        """Returns when more than that was written."""
        await self._until(lambda: self._appended > beyond_bytes)

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            self._stirred.clear()
            self._is_awaited = True
            await self._stirred.wait()

    def _stir(self) -> None:
        self._is_awaited = False
        self._stirred.set()

    def at_hand(self, start: Place) -> Stretch | None:
        """What stands behind `start`, if it need not be read back."""
        return self._recent.take(start, self.end)

    def was_read(self, until: Place) -> None:
        """Somebody has read all before `until`: if that is the end, what comes now is at hand for him."""
        if until == self.end:
            self._recent.restart(until)

    def open(self) -> None:
        """Makes the folder and the first segment, so that an unusable disk shows at the start.

        Optional: `append` does it too, again each time until it works. Raises Unavailable.
        """
        try:
            self._next_segment()
        except OSError as error:
            raise self._refusal(error) from error
        self.problem = ""

    def append(self, record: SpoolRecord) -> None:
        """Puts one record on disk. Raises Unavailable (`ledger_unavailable`) when it is not there.

        A refused `CallOpened` is forgotten: its call must not start. Any other refused record belongs to money already
        spent, so it is kept and written when the disk takes it again; until then no call may open.
        """
        try:
            data = frame(encode(record))
        except (OverflowError, UnicodeEncodeError):
            data = b""
        if not 0 < len(data) <= LONGEST_FRAME_BYTES:
            # A provider's answer can hold a number or a text that nothing can store; its call is booked all the same.
            record = _within_bounds(record)
            data = frame(encode(record))
        try:
            if self._owed:
                self._pay()
            self._write(record, data)
        except OSError as error:
            if not isinstance(record, CallOpened) and len(self._owed) < MOST_OWED:
                self._owed.append((record, data))
            raise self._refusal(error) from error
        if self.problem:
            self.problem = ""

    async def durable(self) -> None:
        """Returns when all that was appended before is on the medium (`power`), or at once (`process`).

        All who wait share one sync. Raises Unavailable when the medium failed.
        """
        if not self._power:
            return
        wanted = self._appended
        while self._synced < wanted:
            if self._sync_failed >= wanted:
                raise Unavailable("The disk did not confirm the call's record.", code="ledger_unavailable")
            if self._syncing is None:
                self._syncing = asyncio.ensure_future(self._sync())
            await asyncio.shield(self._syncing)

    async def run(self) -> None:
        """Until cancelled: syncs in the background and writes what is owed."""
        while True:
            await self._until(lambda: bool(self.problem) or self._is_unsynced)
            await self._clock.sleep(self._sync_interval_s)
            self._mend()
            if self._is_unsynced and self._syncing is None:
                self._syncing = asyncio.ensure_future(self._sync())
                await asyncio.shield(self._syncing)

    async def close(self) -> None:
        """Writes what is owed, syncs and lets go of the folder, which can then be shipped and removed by anyone."""
        if self._closed:
            return
        try:
            self._pay()
        except OSError as error:
            _log.error("%d call records could not be written: %s", len(self._owed), error)
        self._closed = True
        self._retire()  # nothing more is written
        if self._syncing is not None:
            await asyncio.shield(self._syncing)
        await self._sync()
        if self._claim is not None:
            self._disk.release(self._claim)
            self._claim = None

    @property
    def _is_unsynced(self) -> bool:
        return self._appended > max(self._synced, self._sync_failed)

    def _mend(self) -> None:
        """While there is a problem, tries the disk: without calls, nothing else would notice that it is well again."""
        if not self.problem:
            return
        try:
            self._pay()
            self._next_segment()
            self.problem = ""
        except OSError as error:
            self.problem = _reason(error)

    def _write(self, record: SpoolRecord, data: bytes) -> None:
        descriptor = self._descriptor
        if descriptor is None or self._size >= self._segment_bytes:
            descriptor = self._next_segment()
        try:
            written = self._disk.write(descriptor, data)
            if written != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            self._undo(descriptor)
            raise
        self._size += written
        self._appended += written
        recent = self._recent.records
        recent.append(record)
        if len(recent) >= STRETCH:
            self._recent.seal(self.end)
        if self._is_awaited:
            self._stir()

    def _undo(self, descriptor: int) -> None:
        """Takes a half-written record back; where even that fails, the segment ends here and its tail is torn."""
        try:
            self._disk.truncate(descriptor, self._size)
        except OSError:
            self._retire()

    def _pay(self) -> None:
        while self._owed:
            self._write(*self._owed[0])
            self._owed.popleft()

    def _next_segment(self) -> int:
        """Its descriptor."""
        if self._closed:
            raise OSError(errno.ESHUTDOWN, "the spool is closed")
        if self._claim is None:
            self._claim = self._disk.make_folder(self.folder)
        number = self._segment + 1
        descriptor = self._disk.create(self.folder / segment_name(number), self._segment_bytes + LONGEST_FRAME_BYTES)
        # The number is used up even if the header does not fit: the name is taken.
        self._segment = number
        self._folder_changed = True
        try:
            if self._disk.write(descriptor, HEADER) != len(HEADER):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            self._disk.close(descriptor)
            try:
                self._disk.remove(self.folder / segment_name(number))
            except OSError:  # its name stays, and readers take the segment before it for finished
                self._retire()
            raise
        self._retire()
        self._descriptor, self._written, self._size = descriptor, number, len(HEADER)
        return descriptor

    def _retire(self) -> None:
        if self._descriptor is not None:
            self._retired.append(self._descriptor)
            self._descriptor = None

    async def _sync(self) -> None:
        covered = self._appended
        retired, self._retired = self._retired, []
        current = self._descriptor
        changed, self._folder_changed = self._folder_changed, False
        try:
            for descriptor in (*retired, *(() if current is None else (current,))):
                await self._disk.sync(descriptor)
            if changed:
                await self._disk.sync_folder(self.folder)
                await self._disk.sync_folder(self.folder.parent)
            self._synced = covered
        except OSError as error:
            # A failed sync is reported once and the pages count as clean afterwards, so syncing the same file again
            # would lie. The records stay readable for shipping; new ones go to a new segment.
            _log.error("syncing the spool failed: %s", error)
            self._sync_failed = self._appended
            self._retire()
        finally:
            for descriptor in retired:
                self._disk.close(descriptor)
            self._syncing = None

    def _refusal(self, error: OSError) -> Unavailable:
        if not self.problem:
            _log.warning("call records cannot be written to %s: %s", self.folder, error)
        self.problem = _reason(error)
        self._stir()
        return Unavailable(
            f"The call's record cannot be written to {self.folder}: {self.problem}.",
            code="ledger_unavailable",
            hint="Free space or mend the disk; it goes on by itself.",
            retry_after_s=5,
        )


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _within_bounds(record: SpoolRecord) -> SpoolRecord:
    if isinstance(record, CallProgressed):
        return msgspec.structs.replace(record, output=_count(record.output))
    changes: dict[str, object] = {
        name: _text(value) for name in record.__struct_fields__ if isinstance(value := getattr(record, name), str)
    }
    if isinstance(record, CallOpened):
        return msgspec.structs.replace(record, **changes, estimated_input=_count(record.estimated_input))
    usage = Usage(**{name: _count(getattr(record.usage, name)) for name in Usage.__struct_fields__})
    return msgspec.structs.replace(record, **changes, usage=usage, cost_nano=_count(record.cost_nano), tags={})


def _text(value: str) -> str:
    return value[:LONGEST_TEXT].encode("utf-8", "replace").decode()


def _count(value: int) -> int:
    return min(max(value, 0), MOST_TOKENS)
