"""Counters, gauges and histograms of our own (an update costs 0.2 µs), and the metrics every call record feeds."""

import logging
import os
import resource
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from msgspec.structs import astuple

from undercroft.clock import Clock
from undercroft.money import NANO_PER_USD
from undercroft.record import CallRecord
from undercroft.settings.slo import LATENCY_STEPS_S
from undercroft.telemetry.exposition import Exemplars, Foreign, negotiate, render
from undercroft.telemetry.instruments import (
    OTHER,
    SERIES_LIMIT,
    Counter,
    Gauge,
    Histogram,
    Instrument,
    Labelled,
    SeriesInstrument,
)
from undercroft.telemetry.shared import SharedFile
from undercroft.telemetry.slots import SEGMENT_BYTES, Family, Labels, Segments, Series, Totals

ERROR_TYPES_LIMIT: Final = 100
"""Providers have a say in error codes, so there must be an end."""
US_PER_S: Final = 1_000_000
TOKEN_CLASSES: Final = (
    "input", "output", "cache_read", "cache_write", "reasoning", "audio_input", "audio_output", "cache_write_long",
)  # fmt: skip

LATENCY_BOUNDS_US: Final = tuple(round(seconds * US_PER_S) for seconds in LATENCY_STEPS_S)
FIRST_FAULT_STATUS: Final = 500

SPEED_BOUNDS: Final = (1, 2, 5, 10, 20, 35, 50, 75, 100, 150, 200, 300, 500, 1000, 2000, 5000)
"""Output tokens a second."""
CACHES: Final[Mapping[str, str]] = {"coalesced": "coalesced", "hit": "exact", "semantic": "semantic"}
"""Kinds of cached answers by what a record's `cache` says; anything else that is no miss is counted as `other`."""
MISS: Final = "miss"
REFUSALS: Final[Mapping[str, str]] = {
    "rate_limit_exceeded": "rate",
    "limit_reached": "rate",
    "budget_exceeded": "budget",
    "budget_reserved": "budget",
    "insufficient_quota": "budget",
}
"""Codes of calls that a limit of ours has turned away, by its kind."""


@dataclass(slots=True)
class _Outcome:
    """The series of one endpoint, model and provider."""

    at: Labels
    calls: Counter
    active: Gauge
    latency: Histogram
    first_token: Histogram
    attempts: Counter
    cost: Counter
    tokens: tuple[Counter, ...]
    faults: Counter
    speed: Histogram
    retries: Counter
    fallbacks: Counter
    misses: Counter
    caches: dict[str, tuple[Counter, Counter]] = field(default_factory=dict)
    """Answers from a cache, and what they have saved, by kind."""
    refusals: dict[str, Counter] = field(default_factory=dict)
    errors: dict[str, Counter] = field(default_factory=dict)


def _fallbacks(records: Sequence[CallRecord]) -> int:
    """How many were with another model's deployment than the one asked for, which is the same for all."""
    model = records[0].model
    deployments = {record.deployment for record in records}
    others = {name for name in deployments if name.rpartition("/")[0] != model}
    return sum([record.attempts > 0 and record.deployment in others for record in records]) if others else 0


def _add_up(outcome: _Outcome, records: Sequence[CallRecord]) -> None:
    """By who holds the lock."""
    outcome.calls.slots[0] += len(records)
    outcome.cost.slots[0] += sum([record.cost_nano for record in records])
    outcome.attempts.slots[0] += sum([record.attempts for record in records])
    outcome.retries.slots[0] += sum([record.attempts - 1 for record in records if record.attempts > 1])
    outcome.fallbacks.slots[0] += _fallbacks(records)
    outcome.faults.slots[0] += sum([record.status >= FIRST_FAULT_STATUS for record in records])
    # In the order of TOKEN_CLASSES.
    by_class = zip(*[astuple(record.usage) for record in records], strict=True)
    for counter, counts in zip(outcome.tokens, by_class, strict=True):
        if any(counts):
            counter.slots[0] += sum(counts)
    outcome.latency.note([record.duration_us for record in records], records)
    begun = [record for record in records if record.first_token_us]
    outcome.first_token.note([record.first_token_us for record in begun], begun)
    streams = [
        record
        for record in begun
        if record.streamed and record.usage.output > 1 and record.duration_us > record.first_token_us > 0
    ]
    outcome.speed.note([_speed(record) for record in streams], streams)


def _speed(record: CallRecord) -> int:
    return record.usage.output * US_PER_S // (record.duration_us - record.first_token_us)


class Metrics:
    """The series of this process and, with a directory, of all processes that share it.

    `known` says which model names may be labels; all others are counted as `other`. Every worker of one server gets
    the same directory, which starts out empty with the server, on a local file system.
    """

    def __init__(
        self, directory: Path | None = None, *, clock: Clock, known: Callable[[str], bool] = lambda _: True
    ) -> None:
        self._directory = directory
        self._started_us = clock.now_us()
        self._is_known = known
        self._families: dict[str, Labelled[Any]] = {}
        self._outcomes: dict[Labels, _Outcome] = {}
        self._error_types: set[str] = set()
        self._notes: list[Callable[[], None]] = []
        self._open()
        at = ("endpoint", "model", "provider")
        self.calls = self.counter("ai_api_calls_total", "Calls of the AI routes.", at)
        self.errors = self.counter("ai_api_errors_total", "Calls that failed, by the error's code.", (*at, "type"))
        self._faults = self.counter(
            "ai_api_faults_total", "Calls that failed by our or a provider's fault: status 500 and above.", at
        )
        self.latency = self.histogram("ai_api_latency_seconds", "From a call's arrival to the end of its answer.", at)
        self.active = self.gauge("ai_active_requests", "Calls that are with a provider right now.", at)
        self._first_token = self.histogram(
            "ai_time_to_first_token_seconds", "From a call's arrival to the first piece of its answer.", at
        )
        self._attempts = self.counter(
            "ai_upstream_attempts_total", "Attempts at providers, repeated ones included.", at
        )
        self._tokens = self.counter(
            "ai_tokens_total",
            "Tokens by class; cache_read, cache_write and audio_input are parts of input, cache_write_long of "
            "cache_write, the others of output.",
            (*at, "class"),
            limit=SERIES_LIMIT * len(TOKEN_CLASSES),
        )
        self._cost = self.counter("ai_cost_usd_total", "What the calls cost, in USD.", at, scale=NANO_PER_USD)
        self._speed = self.histogram(
            "ai_output_tokens_per_second",
            "Output tokens a second of a stream, from its first piece to its end.",
            at,
            bounds=SPEED_BOUNDS,
            scale=1,
        )
        self._retries = self.counter("ai_upstream_retries_total", "Attempts after the first of a call.", at)
        self._fallbacks = self.counter(
            "ai_fallbacks_total", "Calls that another model answered, or tried to, than the one asked for.", at
        )
        self._hits = self.counter(
            "ai_cache_hits_total",
            "Calls answered without a provider of their own: coalesced with an equal one, or from a cache.",
            (*at, "kind"),
            limit=SERIES_LIMIT * len(CACHES),
        )
        self._saved = self.counter(
            "ai_cache_saved_usd_total",
            "What answers from a cache had cost when they were made, in USD.",
            (*at, "kind"),
            scale=NANO_PER_USD,
            limit=SERIES_LIMIT * len(CACHES),
        )
        self._misses = self.counter(
            "ai_cache_misses_total", "Calls whose answer was looked for in the cache and was not there.", at
        )
        self._refusals = self.counter(
            "ai_limit_refusals_total", "Calls that a rate limit or a budget turned away.", (*at, "kind")
        )
        self._cpu = self.counter(
            "process_cpu_seconds_total", "User and system CPU time of all processes.", scale=US_PER_S
        ).labels()
        self._memory = self.gauge("process_resident_memory_bytes", "Resident memory of all processes.").labels()
        self._files = self.gauge("process_open_fds", "Open file descriptors of all processes.").labels()
        _after_fork_call(weakref.WeakMethod(self._reopen))

    def know(self, known: Callable[[str], bool]) -> None:
        """Which model names may be labels from now on; what has been counted keeps its name."""
        self._is_known = known

    def counter(
        self,
        name: str,
        help: str,
        labels: Labels = (),
        *,
        scale: int = 1,
        limit: int = SERIES_LIMIT,
        merge: Literal["sum", "max"] = "sum",
    ) -> Labelled[Counter]:
        """Declares a counter; its name ends in `_total`. It counts in 1/scale of the unit that is shown. `merge` is as
        for gauges."""
        return self._declare(Family(name, "counter", help, labels, scale, merge=merge), Counter, limit)

    def gauge(
        self,
        name: str,
        help: str,
        labels: Labels = (),
        *,
        scale: int = 1,
        limit: int = SERIES_LIMIT,
        merge: Literal["sum", "max"] = "sum",
    ) -> Labelled[Gauge]:
        """Declares a gauge. Over several processes the sum is shown, or the largest of what all of them see."""
        return self._declare(Family(name, "gauge", help, labels, scale, merge=merge), Gauge, limit)

    def histogram(
        self,
        name: str,
        help: str,
        labels: Labels = (),
        *,
        bounds: tuple[int, ...] = LATENCY_BOUNDS_US,
        scale: int = US_PER_S,
        limit: int = SERIES_LIMIT,
    ) -> Labelled[Histogram]:
        """Declares a histogram; by default of durations in microseconds, shown in seconds."""
        return self._declare(Family(name, "histogram", help, labels, scale, bounds), Histogram, limit)

    def observe(self, *records: CallRecord) -> None:
        """Counts calls that have ended: those of one place together, since adding to a slot takes longer than adding
        numbers up."""
        places: dict[tuple[str, str, str], list[CallRecord]] = {}
        for record in records:
            places.setdefault((record.endpoint, record.model, record.provider), []).append(record)
        for place, of_place in places.items():
            outcome = self._outcome(*place)
            odd = [each for record in of_place if record.error or record.cache for each in self._odd(outcome, record)]
            with self._lock:
                _add_up(outcome, of_place)
                for counter in odd:
                    counter.slots[0] += 1

    def _odd(self, outcome: _Outcome, record: CallRecord) -> Iterator[Counter]:
        """Where a call is counted that failed, or that the cache had a part in."""
        if record.error:
            yield self._error(outcome, record.error)
            if not record.attempts and (refusal := self._refusal(outcome, record.error)) is not None:
                yield refusal
        if record.cache:
            yield self._hit(outcome, record)

    def at(self, endpoint: str, model: str, provider: str, /) -> Gauge:
        """Of the calls that are with a provider right now: up when one goes there, down when it has come back or been
        given up."""
        return self._outcome(endpoint, model, provider).active

    def refresh(self) -> None:
        """Notes what this process uses and how it is. A scrape does it; of several workers, each once a second."""
        self._cpu.advance_to(time.process_time_ns() // 1000)
        for note in self._notes:
            note()
        usage = _usage_from_system()
        if usage is not None:
            self._memory.set(usage[0])
            self._files.set(usage[1])

    def before_scrape(self, note: Callable[[], None]) -> None:
        """Calls `note` at each `refresh`: for gauges of what is known elsewhere and changes with every call."""
        self._notes.append(note)

    def totals(self) -> Totals:
        """All series, added up over the processes."""
        if self._file is not None:
            return self._file.totals()
        totals = Totals()
        totals.add(b"".join(self._memory_segments), alive=True)
        return totals

    def render(self, accept: str = "", *, foreign: Foreign | None = None) -> tuple[str, bytes]:
        """A scrape: content type and text, in the form that `Accept` asks for. `foreign` adds others' families."""
        self.refresh()
        totals = self.totals()
        started = Family("process_start_time_seconds", "gauge", "When the oldest process began.", scale=US_PER_S)
        totals.families[started.name], totals.values[started.name] = started, {(): [totals.started_us]}
        form = negotiate(accept)
        exemplars = self._exemplars() if form.is_openmetrics else {}
        return form.content_type, render(totals, form, foreign=foreign, exemplars=exemplars)

    def _exemplars(self) -> Exemplars:
        return {
            (family.family.name, labels): dict(each.exemplars)
            for family in self._families.values()
            if family.family.kind == "histogram"
            for labels, each in family.all()
            if each.exemplars
        }

    def close(self) -> None:
        """Leaves what was counted to the other processes."""
        if self._file is not None:
            self._file.close()

    def _declare(self, family: Family, make: type[Instrument], limit: int) -> Labelled[Instrument]:
        known = self._families.get(family.name)
        if known is None:
            with self._lock:
                self._segments.append(family)
            known = self._families[family.name] = Labelled(family, make, self._place, limit)
        elif known.family != family:
            raise ValueError(f"{family.name} is declared twice, differently")
        return known

    def _place(self, instrument: SeriesInstrument, series: Series) -> None:
        with self._lock:
            try:
                slots = self._segments.append(series, slots=instrument.size)
            except OSError as error:  # a full disk must not fail a call, whose record is safe already
                logging.getLogger(__name__).warning("metrics_incomplete: %s of %s is not counted", series, error)
                slots = memoryview(bytearray(8 * instrument.size)).cast("q")
            instrument.bind(slots, self._lock)

    def _outcome(self, endpoint: str, model: str, provider: str) -> _Outcome:
        known = self._outcomes.get((endpoint, model, provider))
        if known is not None:
            return known
        shown = model if model and self._is_known(model) else OTHER
        at = (endpoint, shown, provider)
        outcome = _Outcome(
            at=at,
            calls=self.calls.labels(*at),
            active=self.active.labels(*at),
            latency=self.latency.labels(*at),
            first_token=self._first_token.labels(*at),
            attempts=self._attempts.labels(*at),
            cost=self._cost.labels(*at),
            tokens=tuple(self._tokens.labels(*at, name) for name in TOKEN_CLASSES),
            faults=self._faults.labels(*at),
            speed=self._speed.labels(*at),
            retries=self._retries.labels(*at),
            fallbacks=self._fallbacks.labels(*at),
            misses=self._misses.labels(*at),
        )
        if (shown == model or not model) and len(self._outcomes) < SERIES_LIMIT:
            self._outcomes[endpoint, model, provider] = outcome
        return outcome

    def _hit(self, outcome: _Outcome, record: CallRecord) -> Counter:
        if record.cache == MISS:
            return outcome.misses
        kind = CACHES.get(record.cache, OTHER)
        found = outcome.caches.get(kind)
        if found is None:
            at = (*outcome.at, kind)
            found = outcome.caches[kind] = self._hits.labels(*at), self._saved.labels(*at)
        if record.saved_nano:
            found[1].add(record.saved_nano)
        return found[0]

    def _refusal(self, outcome: _Outcome, code: str) -> Counter | None:
        kind = REFUSALS.get(code)
        if kind is None:
            return None
        return outcome.refusals.get(kind) or outcome.refusals.setdefault(kind, self._refusals.labels(*outcome.at, kind))

    def _error(self, outcome: _Outcome, type: str) -> Counter:
        known = outcome.errors.get(type)
        if known is not None:
            return known
        if type not in self._error_types and len(self._error_types) >= ERROR_TYPES_LIMIT:
            return self.errors.labels(*outcome.at, OTHER)
        self._error_types.add(type)
        counter = outcome.errors[type] = self.errors.labels(*outcome.at, type)
        return counter

    def _open(self) -> None:
        """A place to count in: a file among those of the directory, or memory of our own."""
        self._lock = threading.Lock()
        self._memory_segments: list[memoryview] = []
        self._file = SharedFile(self._directory) if self._directory is not None else None
        self._segments = Segments(self._file.more if self._file else self._more_memory, started_us=self._started_us)

    def _more_memory(self) -> memoryview:
        self._memory_segments.append(memoryview(bytearray(SEGMENT_BYTES)))
        return self._memory_segments[-1]

    def _reopen(self) -> None:
        """In a forked child: a lock that nobody holds; and the parent's file is the parent's."""
        if self._file is not None:
            self._file.abandon()
        self._open()
        for labelled in self._families.values():
            self._segments.append(labelled.family)
            labelled.replace()


def _after_fork_call(method: "weakref.WeakMethod[Callable[[], None]]") -> None:
    def call() -> None:
        living = method()
        if living is not None:
            living()

    os.register_at_fork(after_in_child=call)


def _usage_from_system() -> tuple[int, int] | None:
    """Resident bytes and open descriptors, where the system says (Linux)."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize(), sum(1 for _ in Path("/proc/self/fd").iterdir())
    except OSError:
        return None
