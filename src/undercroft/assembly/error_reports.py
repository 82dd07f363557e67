"""Who hears of errors that are logged: Sentry where its DSN is set, else the groups in the database."""

import logging
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from undercroft.assembly.kept_telemetry import KeptErrors
from undercroft.errors import MissingExtra
from undercroft.settings.model import Settings
from undercroft.settings.secrets import secrets_of
from undercroft.telemetry.redaction import Redactor

OURS: Final = "undercroft"
CLOSE_S: Final = 2.0


class Reports(Protocol):
    """Takes errors without making anybody wait."""

    def report(self, record: logging.LogRecord, redactor: Redactor, /) -> None:
        """A log record of level ERROR or above, as it was logged."""
        ...

    def close(self) -> None: ...


class ErrorHandler(logging.Handler):
    """On the root logger: sees every error, whoever logged it.

    Where a program has set up no logging, the standard library prints warnings and errors; a handler would silence
    that, so this one passes them on, without their secrets.
    """

    def __init__(self, reports: Reports, redactor: Redactor) -> None:
        super().__init__(logging.WARNING)
        self.redactor = redactor
        self.reports = reports

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if logging.lastResort is not None and self._is_alone(record.name):
                logging.lastResort.handle(self.redactor.record(record))
            if record.levelno < logging.ERROR:
                return
            if record.name == "undercroft.requests" or record.name.startswith("sentry_sdk"):
                return  # calls that failed are in the ledger; Sentry must not report itself
            self.reports.report(record, self.redactor)
        except Exception:  # noqa: BLE001 - a logging handler is an outermost edge: logging must not fail the work
            self.handleError(record)

    def _is_alone(self, name: str) -> bool:
        """Whether nobody else hears of what this logger is told."""
        logger: logging.Logger | None = logging.getLogger(name)
        while logger is not None:
            if any(handler is not self for handler in logger.handlers):
                return False
            logger = logger.parent if logger.propagate else None
        return True

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """The standard library would print message and arguments, secrets and all."""
        error = sys.exc_info()[1]
        if logging.raiseExceptions and sys.stderr is not None:
            sys.stderr.write(f"An error of {record.name} could not be reported: {type(error).__name__}\n")


class Nobody:
    """Hears nothing: where there is neither Sentry nor time to write to the database."""

    def report(self, record: logging.LogRecord, redactor: Redactor, /) -> None:
        """The log has it."""

    def close(self) -> None:
        """Nothing is held."""


class GroupedErrors:
    """Groups for the database."""

    def __init__(self, kept: KeptErrors, now_us: Callable[[], int]) -> None:
        self._kept = kept
        self._now_us = now_us

    def report(self, record: logging.LogRecord, redactor: Redactor, /) -> None:
        # Imported here: at the first error, not at the start.
        from undercroft.observed.errors import Occurrence, fingerprint_of, places_of

        clean = redactor.record(record)
        raised = record.exc_info if isinstance(record.exc_info, tuple) else None
        error = raised[1] if raised else None
        if error is not None:
            kind, places = type(error).__name__, places_of(error.__traceback__)
            message = redactor.text(str(error)) or clean.getMessage()
        else:
            kind, places, message = str(record.msg)[:100], [f"{record.module}:{record.funcName}"], clean.getMessage()
            kind = redactor.text(kind)
        fields = getattr(clean, "_fields", None)
        sample = "\n".join(filter(None, (clean.getMessage(), _shown(fields), clean.exc_text or _formatted(clean))))
        self._kept.offer(
            Occurrence(
                fingerprint=fingerprint_of(kind, places or [record.name]),
                kind=kind,
                message=message,
                place=places[-1] if places else record.name,
                sample=redactor.text(sample),
                at_us=self._now_us(),
            )
        )

    def close(self) -> None:
        """Whoever keeps them writes what is left."""


class Sentry:
    """Sentry's SDK without its integrations: it hears what is logged as an error, scrubbed like every log line."""

    def __init__(self, dsn: str, redactor: Callable[[], Redactor], *, release: str) -> None:
        try:
            import sentry_sdk
        except ImportError as error:
            raise MissingExtra("[telemetry] sentry_dsn", extra="sentry") from error
        self._client = sentry_sdk.Client(
            dsn=dsn,
            release=f"{OURS}@{release}",
            default_integrations=False,
            include_local_variables=False,
            shutdown_timeout=CLOSE_S,
            before_send=lambda event, _: _scrubbed(event, redactor()),
        )
        self._scope = sentry_sdk.Scope(client=self._client)

    def report(self, record: logging.LogRecord, redactor: Redactor, /) -> None:
        from sentry_sdk.utils import event_from_exception

        clean = redactor.record(record)
        raised = record.exc_info if isinstance(record.exc_info, tuple) and record.exc_info[1] is not None else None
        event: dict[str, Any] = {}
        if raised:
            event, _ = event_from_exception(raised, client_options=self._client.options)  # type: ignore[assignment]
        event |= {"level": "error", "logger": record.name, "extra": dict(getattr(clean, "_fields", None) or {})}
        event["logentry"] = {"message": clean.getMessage()}
        self._client.capture_event(_scrubbed(event, redactor), scope=self._scope)

    def close(self) -> None:
        self._client.close(timeout=CLOSE_S)


def _scrubbed(value: Any, redactor: Redactor, name: str = "") -> Any:
    """The same without secrets, however deep: Sentry's events are deeper than log lines, and must keep their shape."""
    match value:
        case Mapping():
            return {str(key): _scrubbed(item, redactor, str(key)) for key, item in value.items()}
        case list() | tuple():
            return [_scrubbed(item, redactor, name) for item in value]
        case str():
            return redactor.field(name, value)
        case _:
            return value


def _shown(fields: Mapping[str, object] | None) -> str:
    return " ".join(f"{name}={value}" for name, value in (fields or {}).items())


def _formatted(record: logging.LogRecord) -> str:
    return logging.Formatter().formatException(record.exc_info) if record.exc_info else ""


def redactor_of(settings: Settings) -> Redactor:
    """What knows every secret of these settings."""
    return Redactor(secrets_of(settings))
