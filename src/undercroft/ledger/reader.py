"""Reads one spool from its start: which records stand in it, which calls are still open, what is torn or damaged."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from undercroft.ledger.disk import Disk
from undercroft.ledger.frames import (
    HEADER,
    LONGEST_FRAME_BYTES,
    READ_BYTES,
    is_header,
    next_frame,
    payloads,
    segment_name,
    segment_numbers,
)
from undercroft.record import CallOpened, CallProgressed, CallRecord, SpoolRecord, decode


class Place(NamedTuple):
    """A point in a spool; all before it is meant."""

    segment: int
    position: int


START: Final = Place(0, 0)


@dataclass(frozen=True, slots=True)
class Batch:
    """Some records with the place behind each, and the place behind them all."""

    end: Place
    records: tuple[tuple[tuple[int, int], SpoolRecord], ...] = ()
    """The places are bare pairs: naming each would take a third as long as reading its record."""
    torn_bytes: int = 0
    """A tail that was never acknowledged: its process died, or its disk was full, in the middle of it."""
    damage: str = ""
    """What could not be read though something readable follows."""


@dataclass(slots=True)
class OpenCall:
    """A call that has started: the segment of its first record, and how far it got."""

    segment: int
    record: CallOpened
    output: int = 0


class SpoolReader:
    """Goes through a folder batch by batch: `following` looks, `take` goes on. A batch may be looked at again.

    Raises OSError as the disk does, and NewerFormat.
    """

    def __init__(self, folder: Path, disk: Disk) -> None:
        self.folder = folder
        self.scanned = START
        self.opened: dict[str, OpenCall] = {}
        self.damaged: set[int] = set()
        self._disk = disk

    def following(self, *, is_alive: bool) -> Batch | None:
        """What comes after `scanned`; None when there is no more, or no more yet while the writer `is_alive`."""
        segments = self.segments()
        for segment in segments:
            if segment < self.scanned.segment:
                continue
            # A segment is written to its end before the next one exists.
            is_sealed = not is_alive or segment < segments[-1]
            position = self.scanned.position if segment == self.scanned.segment else 0
            batch = self._read(segment, position, is_sealed=is_sealed)
            if batch is not None or not is_sealed:
                return batch
        return None

    def take(self, batch: Batch) -> None:
        """Goes behind a batch, and follows its calls from start to end."""
        for (segment, _), record in batch.records:
            if isinstance(record, CallRecord):
                self.opened.pop(record.id, None)
            elif isinstance(record, CallOpened):
                # A retry opens the call again; the first segment stays the one to keep.
                known = self.opened.get(record.id)
                self.opened[record.id] = OpenCall(known.segment if known else segment, record)
            elif record.id in self.opened:
                self.opened[record.id].output = record.output
        if batch.damage:
            self.damaged.add(batch.end.segment)
        self.scanned = batch.end

    def pass_over(self, end: Place, records: Sequence[SpoolRecord]) -> None:
        """Goes behind records that need not be read."""
        ended = {record.id for record in records if type(record) is CallRecord}
        for call in self.opened.keys() & ended:
            del self.opened[call]
        # Where among them each stands is not known: none in a segment before that of the first.
        segment = self.scanned.segment
        for record in records:
            if record.id in ended:
                continue
            if type(record) is CallOpened:
                known = self.opened.get(record.id)
                self.opened[record.id] = OpenCall(known.segment if known else segment, record)
            elif type(record) is CallProgressed and record.id in self.opened:
                self.opened[record.id].output = record.output
        self.scanned = end

    def segments(self) -> list[int]:
        return segment_numbers(self._disk.names(self.folder))

    def path_of(self, segment: int) -> Path:
        return self.folder / segment_name(segment)

    def done_with(self, *, is_alive: bool) -> list[int]:
        """Segments that nobody needs any more, oldest first; a dead process's last one is among them.

        None after a segment in which a call is still open, so that a call's end is never removed before its start.
        """
        if not is_alive:
            return self.segments()
        needed = min((call.segment for call in self.opened.values()), default=self.scanned.segment)
        return [segment for segment in self.segments() if segment < needed]

    def _read(self, segment: int, position: int, *, is_sealed: bool) -> Batch | None:
        path = self.path_of(segment)
        data = self._disk.read(path, position, READ_BYTES)
        if position == 0:
            if is_header(data):
                position = len(HEADER)
                data = data[position:]
            elif not is_sealed:
                return None
        found = payloads(data)
        if found:
            return _decoded(segment, position, found, path)
        if not data or not is_sealed:
            return None
        whole = self._disk.read(path, position, self._disk.size(path))
        rest_bytes = len(whole.rstrip(b"\0"))  # then come the zeros that were set aside for records that did not come
        skipped = next_frame(whole[: rest_bytes + LONGEST_FRAME_BYTES]) if rest_bytes else len(whole)
        if skipped >= rest_bytes:
            return Batch(Place(segment, position + len(whole)), torn_bytes=rest_bytes)
        end = Place(segment, position + skipped)
        return Batch(end, damage=f"{path}: {skipped} unreadable bytes at {position}")


def _decoded(segment: int, start: int, found: list[tuple[int, bytes]], path: Path) -> Batch:
    records: list[tuple[tuple[int, int], SpoolRecord]] = []
    damage = ""
    for end, payload in found:
        try:
            records.append(((segment, start + end), decode(payload)))
        except msgspec.DecodeError as error:
            damage = f"{path}: the record before {start + end} cannot be read: {error}"
    return Batch(Place(segment, start + found[-1][0]), tuple(records), damage=damage)
