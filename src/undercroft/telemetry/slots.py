"""Where series are kept: 64-bit integers in segments of memory, laid out so that another process can read them.

A segment holds entries one after the other: length of the description, number of slots, description (JSON), slots. The
length is written last and never changes, so a reader that meets 0 has seen all there is. Everything is an integer in
the smallest unit (microseconds, nano-dollars): sums over processes are exact.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec

SEGMENT_BYTES: Final = 65_536
"""A multiple of every platform's page size."""
_WORD: Final = 8
_HEADER: Final = struct.Struct("=2q")
_MAGIC: Final = 0x31_54_45_4D_43_55  # "UCMET1"

Labels = tuple[str, ...]


class Family(msgspec.Struct, frozen=True, array_like=True, tag="family"):
    """What the series of one name have in common."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: Labels = ()
    scale: int = 1
    """Slots count in 1/scale of the unit that is shown; a power of ten."""
    bounds: tuple[int, ...] = ()
    """A histogram's upper bounds, in slots' units. Its slots: one a bound, one for what is above, the sum."""
    merge: Literal["sum", "max"] = "sum"
    """How processes are put together: `max` for what all of them see, such as the age of a queue."""

    @property
    def slots(self) -> int:
        return len(self.bounds) + 2 if self.kind == "histogram" else 1


class Series(msgspec.Struct, frozen=True, array_like=True, tag="series"):
    """One series; its family stands earlier."""

    family: str
    labels: Labels


class Folded(msgspec.Struct, frozen=True, array_like=True, tag="folded"):
    """A file whose numbers are contained in this one already."""

    file: str


Entry = Family | Series | Folded

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Entry] = msgspec.json.Decoder(Entry)


class Segments:
    """Appends entries; `more` provides zeroed segments."""

    def __init__(self, more: Callable[[], memoryview], *, started_us: int) -> None:
        self._more = more
        self._bytes = more()
        self._words = self._bytes.cast("q")
        self._words[1] = started_us
        self._words[0] = _MAGIC
        self._at = 2

    def append(self, entry: Entry, *, slots: int = 0) -> memoryview:
        """Room for an entry; returns its slots, all 0."""
        description = _encoder.encode(entry)
        first = 2 + -(-len(description) // _WORD)
        if (first + slots) * _WORD > SEGMENT_BYTES - _HEADER.size:
            raise ValueError(f"A description of {len(description)} bytes and {slots} slots is too long for a metric")
        if self._at + first + slots > len(self._words):
            self._bytes = self._more()
            self._words = self._bytes.cast("q")
            self._at = 0
        at, self._at = self._at, self._at + first + slots
        start = (at + 2) * _WORD
        self._bytes[start : start + len(description)] = description
        self._words[at + 1] = slots
        self._words[at] = len(description)  # publishes the entry
        return self._words[at + first : at + first + slots]


def entries(data: bytes) -> Iterator[tuple[Entry, tuple[int, ...]]]:
    """What `Segments` has written so far."""
    for begin in range(0, len(data), SEGMENT_BYTES):
        end = min(begin + SEGMENT_BYTES, len(data))
        at = begin or _HEADER.size
        while at + _HEADER.size <= end:
            length, slots = _HEADER.unpack_from(data, at)
            if not length:
                break
            at += _HEADER.size
            entry = _decoder.decode(data[at : at + length])
            at += -(-length // _WORD) * _WORD
            yield entry, struct.unpack_from(f"={slots}q", data, at)
            at += slots * _WORD


@dataclass(slots=True)
class Totals:
    """Series added up over processes."""

    families: dict[str, Family] = field(default_factory=dict)
    values: dict[str, dict[Labels, list[int]]] = field(default_factory=dict)
    folded: set[str] = field(default_factory=set)
    started_us: int = 0
    """When the oldest of the living processes began."""

    def add(self, data: bytes, *, alive: bool) -> None:
        """Adds a process's segments. Of a dead one the gauges do not count: what it had open is gone."""
        if len(data) < _HEADER.size or _HEADER.unpack_from(data)[0] != _MAGIC:
            return  # died before it had counted anything, or of another version
        started_us = _HEADER.unpack_from(data)[1]
        if alive:
            self.started_us = min(started_us, self.started_us or started_us)
        usable: set[str] = set()
        for entry, slots in entries(data):
            match entry:
                case Family():
                    if self.families.setdefault(entry.name, entry) == entry:  # not with other buckets, say
                        usable.add(entry.name)
                case Series() if entry.family in usable and (alive or self.families[entry.family].kind != "gauge"):
                    self._sum(entry, slots)
                case Folded():
                    self.folded.add(entry.file)
                case _:
                    pass

    def _sum(self, series: Series, slots: tuple[int, ...]) -> None:
        of_family = self.values.setdefault(series.family, {})
        known = of_family.get(series.labels)
        if not known:
            of_family[series.labels] = list(slots)
        elif self.families[series.family].merge == "max":
            of_family[series.labels] = [max(pair) for pair in zip(known, slots, strict=True)]
        else:
            of_family[series.labels] = [a + b for a, b in zip(known, slots, strict=True)]

    def encode(self) -> bytes:
        """The same as segments."""
        written: list[memoryview] = []

        def more() -> memoryview:
            written.append(memoryview(bytearray(SEGMENT_BYTES)))
            return written[-1]

        segments = Segments(more, started_us=0)
        for name in sorted(self.folded):
            segments.append(Folded(name))
        for family in self.families.values():
            segments.append(family)
            for labels, slots in self.values.get(family.name, {}).items():
                room = segments.append(Series(family.name, labels), slots=len(slots))
                for index, value in enumerate(slots):
                    room[index] = value
        return b"".join(written)
