"""What `/metrics` says of the process itself: how late its event loop runs, and how far the ledger is behind."""

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Final

from undercroft.assembly.beside import alongside
from undercroft.clock import Clock
from undercroft.record import CallRecord
from undercroft.telemetry.metrics import US_PER_S, Metrics

EVERY_S: Final = 0.5
LAG_BOUNDS_US: Final = (1_000, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 5_000_000)


class LedgerLag:
    """How old the oldest call is that has ended and is not in the database yet."""

    def __init__(self, metrics: Metrics, *, clock: Clock) -> None:
        self._clock = clock
        self._lag = metrics.gauge(
            "ai_ledger_lag_seconds",
            "Age of the oldest call that has ended and is not in the ledger's database yet; 0 when all are.",
            scale=US_PER_S,
            merge="max",
        ).labels()
        self._oldest_us = 0
        self._since_us = 0
        """The oldest that has ended since the pass began which is under way."""
        metrics.before_scrape(self._refresh)

    def ended(self, records: list[CallRecord]) -> None:
        """These calls are in the spool."""
        first_us = min(record.started_us + record.duration_us for record in records)
        self._since_us = self._since_us or first_us
        self._oldest_us = self._oldest_us or first_us

    def passing(self) -> None:
        """A pass over the spool begins."""
        self._since_us = 0

    def passed(self) -> None:
        """It has moved all that had ended when it began."""
        self._oldest_us = self._since_us

    def _refresh(self) -> None:
        self._lag.set(max(0, self._clock.now_us() - self._oldest_us) if self._oldest_us else 0)


class DroppedTelemetry:
    """What had to be thrown away so that calls need not wait: log lines, spans, errors."""

    def __init__(self, metrics: Metrics) -> None:
        self._dropped = metrics.counter(
            "ai_telemetry_dropped_total",
            "Log lines, spans and errors that were thrown away, because whoever takes them was too slow.",
            ("signal",),
        )
        self._metrics = metrics

    def follow(self, signal: str, dropped: Callable[[], int]) -> None:
        """Shows what somebody else counts."""
        series = self._dropped.labels(signal)
        self._metrics.before_scrape(lambda: series.advance_to(dropped()))


@contextlib.asynccontextmanager
async def watching_loop(metrics: Metrics, *, clock: Clock) -> AsyncIterator[None]:
    """Measures twice a second, beside the block, how much later a timer comes than it was asked to."""
    lag = metrics.histogram(
        "ai_event_loop_lag_seconds",
        "How much later than asked for the event loop comes to a timer: what blocks it delays every call.",
        bounds=LAG_BOUNDS_US,
    ).labels()

    async def run() -> None:
        while True:
            asked = clock.monotonic()
            await clock.sleep(EVERY_S)
            lag.observe(max(0, round((clock.monotonic() - asked - EVERY_S) * US_PER_S)))

    async with alongside(run(), raises=False):
        yield
