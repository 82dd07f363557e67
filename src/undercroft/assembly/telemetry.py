"""What is known of a running installation: metrics, the log of calls, traces, errors. None of it makes a call wait."""

import contextlib
import logging
import random
import sys
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from undercroft import __version__
from undercroft.assembly.database import DatabaseLink
from undercroft.assembly.error_reports import ErrorHandler, GroupedErrors, Nobody, Reports, Sentry, redactor_of
from undercroft.assembly.kept_telemetry import KeptErrors, KeptSpans, keeping
from undercroft.assembly.process import Process
from undercroft.assembly.process_metrics import DroppedTelemetry, LedgerLag, watching_loop
from undercroft.assembly.queue_metrics import watching_queues
from undercroft.assembly.upstreams import refreshing
from undercroft.clock import Clock
from undercroft.record import CallRecord
from undercroft.settings.model import Settings
from undercroft.settings.model import Telemetry as Section
from undercroft.settings.secrets import secrets_of
from undercroft.telemetry import monitor
from undercroft.telemetry.metrics import Metrics
from undercroft.telemetry.redaction import Redactor
from undercroft.telemetry.requests import RequestLog
from undercroft.telemetry.tracing import Sink, Tracing

if TYPE_CHECKING:
    from undercroft.telemetry.otlp import Exporter


class Telemetry:
    """Lasts as long as the process, whatever the configuration becomes."""

    def __init__(
        self, settings: Settings, *, metrics_folder: Path | None, log_calls: bool, is_frozen: bool, clock: Clock
    ) -> None:
        """Raises ConfigurationError for a collector or a Sentry that cannot be used."""
        self._clock = clock
        self._is_frozen = is_frozen
        self._section = settings.telemetry
        self.metrics = Metrics(metrics_folder, clock=clock)
        self.lag = LedgerLag(self.metrics, clock=clock)
        self._dropped = DroppedTelemetry(self.metrics)
        self.log = _request_log(settings, clock=clock) if log_calls else None
        redactor = redactor_of(settings)
        # A process that is frozen between requests has no time to write to the database beside them.
        self._spans = KeptSpans() if _keeps_traces(self._section) and not is_frozen else None
        self._errors = KeptErrors() if self._section.sentry_dsn is None and not is_frozen else None
        self._exporter = _exporter(self._section)
        sink: Sink | None = self._exporter or self._spans
        rng = random.Random()  # noqa: S311 - ids of spans, and which traces are kept
        self.tracing = Tracing(
            sink, ratio=self._section.trace_ratio, slow_s=self._section.trace_slow_s, clock=clock, rng=rng
        )
        self._handler = ErrorHandler(self._reports(), redactor)
        for signal, dropped in (
            ("log_lines", partial(_dropped_of, self.log)),
            ("spans", partial(_dropped_of, sink)),
            ("errors", partial(_dropped_of, self._errors)),
        ):
            self._dropped.follow(signal, dropped)

    def _reports(self) -> Reports:
        if self._section.sentry_dsn is not None:
            return Sentry(self._section.sentry_dsn.get_secret_value(), self._redactor, release=__version__)
        return GroupedErrors(self._errors, self._clock.now_us) if self._errors is not None else Nobody()

    def _redactor(self) -> Redactor:
        return self._handler.redactor

    @property
    def listeners(self) -> list[Callable[[list[CallRecord]], None]]:
        """Who lives off the records of calls that have ended."""
        found: list[Callable[[list[CallRecord]], None]] = [self._count]
        if self.tracing.is_on:
            found.append(self.tracing.ended)
        if self.log is not None:
            found.append(partial(_log, self.log))
        if not self._is_frozen:  # else records are in the database before their answers end
            found.append(self.lag.ended)
        return found

    def _count(self, records: list[CallRecord]) -> None:
        self.metrics.observe(*records)

    @contextlib.asynccontextmanager
    async def watching(self, link: DatabaseLink) -> AsyncIterator[None]:
        """Measures and keeps, beside the block. A process that is frozen between requests has nothing beside it."""
        if self._is_frozen:
            yield
            return
        keep = keeping(
            link,
            self._spans,
            self._errors,
            traces_kept=self._section.traces_kept,
            errors_kept=self._section.errors_kept,
            clock=self._clock,
        )
        async with (
            keep,
            watching_loop(self.metrics, clock=self._clock),
            watching_queues(self.metrics, link, clock=self._clock),
        ):
            yield

    def open(self) -> None:
        """From now on `monitor_endpoint` counts here too, and errors that are logged are heard of."""
        monitor.attach(self.metrics)
        logging.getLogger().addHandler(self._handler)

    def close(self) -> None:
        """Sends what is left."""
        logging.getLogger().removeHandler(self._handler)
        self._handler.reports.close()
        if self._exporter is not None:
            self._exporter.close()
        if self.log is not None:
            self.log.close()
        monitor.attach(None)
        self.metrics.close()

    def set_level(self, level: str) -> None:
        """The least severe level that is logged from now on, `api_request` lines included."""
        logging.getLogger().setLevel(level.upper())
        if self.log is not None:
            self.log.set_level(level)

    def follow(self, settings: Settings, former: Settings) -> None:
        """A configuration is replaced. What is under way may still name the secrets of before."""
        redactor = Redactor([*secrets_of(settings), *secrets_of(former)])
        self._handler.redactor = redactor
        telemetry = settings.telemetry
        if self.log is not None:
            self.log.configure(
                redactor=redactor,
                format=telemetry.log_format,
                level=telemetry.log_level,
                sample=telemetry.log_sample,
            )
            if telemetry.log_level != former.telemetry.log_level:
                logging.getLogger().setLevel(telemetry.log_level.upper())


@contextlib.asynccontextmanager
async def observing(settings: Settings, process: Process) -> AsyncIterator[Telemetry]:
    """Open for as long as the block lasts. Raises ConfigurationError for a collector or a Sentry that cannot be
    used."""
    shared = process.shared
    telemetry = Telemetry(
        settings,
        metrics_folder=shared.metrics if shared is not None else None,
        log_calls=process.log_calls,
        is_frozen=process.is_frozen,
        clock=process.clock,
    )
    with contextlib.closing(telemetry):
        telemetry.open()
        async with contextlib.AsyncExitStack() as stack:
            if shared is not None:
                await stack.enter_async_context(refreshing(telemetry.metrics, clock=process.clock))
            yield telemetry


def _keeps_traces(section: Section) -> bool:
    return section.traces and section.otlp_endpoint is None and section.traces_kept > 0


def _exporter(section: Section) -> "Exporter | None":
    if not section.traces or section.otlp_endpoint is None:
        return None
    from undercroft.telemetry.otlp import SERVICE, Exporter, transport  # needs the extra otel

    headers = {name: value.get_secret_value() for name, value in section.otlp_headers.items()}
    resource = {"service.name": SERVICE, "service.version": __version__}
    return Exporter(transport(section.otlp_endpoint, section.otlp_protocol, headers), resource=resource)


def _dropped_of(who: Sink | RequestLog | KeptErrors | None) -> int:
    return 0 if who is None else who.dropped


def _request_log(settings: Settings, *, clock: Clock) -> RequestLog:
    telemetry = settings.telemetry
    return RequestLog(
        sys.stdout,
        clock=clock,
        redactor=Redactor(secrets_of(settings)),
        format=telemetry.log_format,
        level=telemetry.log_level,
        sample=telemetry.log_sample,
    )


def _log(log: RequestLog, records: list[CallRecord]) -> None:
    log.add(*records)
    log.flush()
