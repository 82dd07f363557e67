"""One series: a counter, a gauge or a histogram, bound to its slots; and the series of one name by their labels."""

import collections
import threading
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

from undercroft.record import CallRecord
from undercroft.telemetry.slots import Family, Labels, Series

OTHER: Final = "other"
"""The label of everything that is not configured or too much."""
SERIES_LIMIT: Final = 2_000
"""Series of one name; further ones are counted together as `other`."""
LONGEST_LABEL: Final = 200


class Exemplar(NamedTuple):
    """The last call that fell into a bucket and has a trace."""

    trace: str
    value: int
    """In the slots' units."""
    at_us: int


class SeriesInstrument:
    """One series, bound to its slots."""

    __slots__ = ("_lock", "size", "slots")

    _lock: threading.Lock
    slots: memoryview

    def __init__(self, family: Family) -> None:
        self.size = family.slots

    def bind(self, slots: memoryview, lock: threading.Lock) -> None:
        """Where to count from now on."""
        self.slots, self._lock = slots, lock


class Counter(SeriesInstrument):
    """Only goes up."""

    __slots__ = ()

    def add(self, count: int = 1) -> None:
        with self._lock:
            self.slots[0] += count

    def advance_to(self, total: int) -> None:
        """For totals that somebody else counts."""
        with self._lock:
            self.slots[0] = max(total, self.slots[0])


class Gauge(SeriesInstrument):
    """Goes up and down; the sum over all living processes is shown, or the largest where the family says so."""

    __slots__ = ()

    def add(self, count: int = 1) -> None:
        with self._lock:
            self.slots[0] += count

    def set(self, value: int) -> None:
        with self._lock:
            self.slots[0] = value


class Histogram(SeriesInstrument):
    """Counts by size, and adds up."""

    __slots__ = ("_bounds", "exemplars")

    def __init__(self, family: Family) -> None:
        super().__init__(family)
        self._bounds = family.bounds
        self.exemplars: dict[int, Exemplar] = {}
        """By bucket; of this process alone, which is enough to find an example by."""

    def observe(self, value: int) -> None:
        with self._lock:
            self.slots[bisect_left(self._bounds, value)] += 1
            self.slots[-1] += value

    def note(self, values: Sequence[int], records: Sequence[CallRecord]) -> None:
        """`observe` for several, by who holds the lock; `records` are the calls they are of."""
        slots, bounds = self.slots, self._bounds
        buckets = [bisect_left(bounds, value) for value in values]
        for bucket, count in collections.Counter(buckets).items():
            slots[bucket] += count
        if values:
            slots[-1] += sum(values)
        # The last of each bucket is enough: an example of every call would take longer than all the rest.
        traced = zip(buckets, range(len(records)), records, strict=True)
        for bucket, last in {bucket: at for bucket, at, record in traced if record.trace}.items():
            record = records[last]
            self.exemplars[bucket] = Exemplar(record.trace, values[last], record.started_us + record.duration_us)


Instrument = TypeVar("Instrument", bound=SeriesInstrument)


class Labelled(Generic[Instrument]):
    """The series of one name, by their labels."""

    def __init__(
        self, family: Family, make: type[Instrument], place: Callable[[SeriesInstrument, Series], None], limit: int
    ):
        self.family = family
        self._make = make
        self._place = place
        self._limit = limit
        self._known: dict[Labels, Instrument] = {}

    def labels(self, *values: str) -> Instrument:
        """The series with these values, in the order of the family's labels; ask once and keep it where it is hot."""
        known = self._known.get(values)
        if known is not None:
            return known
        if len(values) != len(self.family.labels):
            raise ValueError(f"{self.family.name} has the labels {self.family.labels}, got {values}")
        labels = tuple(value if value.isprintable() and len(value) <= LONGEST_LABEL else OTHER for value in values)
        if len(self._known) >= self._limit and labels not in self._known:
            labels = (OTHER,) * len(values)
        instrument = self._known.get(labels)
        if instrument is None:
            instrument = self._make(self.family)
            self._place(instrument, Series(self.family.name, labels))
            instrument = self._known.setdefault(labels, instrument)  # another thread may have been first
        return instrument

    def all(self) -> list[tuple[Labels, Instrument]]:
        """The series there are."""
        return list(self._known.items())

    def replace(self) -> None:
        """Binds every series to a new place, where it begins at 0."""
        for labels, instrument in self._known.items():
            self._place(instrument, Series(self.family.name, labels))
