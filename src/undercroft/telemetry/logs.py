"""The logs: structlog and the standard library's loggers, one handler, JSON or readable lines, never a secret."""

import logging
import os
import sys
import threading
from collections.abc import Iterable, Mapping, MutableMapping
from functools import partial
from typing import Any, Final, Literal, TextIO

import msgspec

from undercroft.clock import rfc3339
from undercroft.telemetry.imported import when_imported
from undercroft.telemetry.redaction import DEEPEST, Redactor, as_text, secrets_in
from undercroft.telemetry.trace_context import current

Format = Literal["auto", "json", "console"]

_PLAIN_RECORD: Final = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime"})
_FIELDS: Final = "_fields"
"""The record's attribute that carries structlog's fields: as `extra`, `name` and others would be refused."""
_OWN_KEYS: Final = ("event", "level", "logger", "timestamp", "exception", "stack")
_COLOURS: Final = {"warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[31m"}
_LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_configuring = threading.Lock()


def configure_logging(
    level: str | int = "info",
    format: Format = "auto",
    stream: TextIO | None = None,
    *,
    secrets: Iterable[str] = (),
) -> None:
    """Routes structlog and the standard library's loggers to one handler on the root logger; stdout by default.

    `auto` writes readable lines on a terminal and JSON otherwise. Secrets known from the environment, those in
    `secrets` and everything that looks like one are replaced. A second call replaces the first.
    """
    redactor = Redactor([*secrets_in(os.environ), *secrets])
    handler = _Handler(stream)
    handler.setFormatter(_Lines(redactor, readable=is_readable(format, handler.stream)))
    root = logging.getLogger()
    with _configuring:
        for former in [former for former in root.handlers if isinstance(former, _Handler)]:
            root.removeHandler(former)
        root.addHandler(handler)
        root.setLevel(level.upper() if isinstance(level, str) else level)
        for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):  # uvicorn gives them handlers of their own
            logger = logging.getLogger(name)
            logger.handlers.clear()
            logger.propagate = True
        # An access line holds the whole address, prompts in query parameters included; `api_request` says the rest.
        logging.getLogger("uvicorn.access").setLevel(logging.WARNING)
        for name in ("uvicorn.error", "alembic"):  # each start and each migration in ten lines; ours take one
            logging.getLogger(name).setLevel(logging.WARNING)
        logging.captureWarnings(capture=True)
        when_imported("structlog", _configure_structlog)


def get_logger(name: str | None = None) -> Any:
    """A structlog logger over the standard library's logger of that name; by default, of the calling module.

    Without `configure_logging` it behaves as any library's logger does: what is logged goes where the program sends it.
    """
    return _Logger(logging.getLogger(name or sys._getframe(1).f_globals.get("__name__", "undercroft")))


class _Logger:
    """structlog's own from its first line on: most of a start's loggers have nothing to say, and importing structlog
    (which imports rich where it is installed) takes as long as reading the settings."""

    __slots__ = ("_logger", "_made")

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._made: Any = None

    def __getattr__(self, name: str) -> Any:
        if name in _LEVELS and not self._logger.isEnabledFor(_LEVELS[name]):
            return _pass_over
        if self._made is None:
            try:
                self._made = self._with_structlog()
            except (ImportError, OSError):  # no file can be opened any more, say: a log line must not fail the work
                return partial(self._say, name)
        return getattr(self._made, name)

    def _with_structlog(self) -> Any:
        import structlog

        return structlog.wrap_logger(
            self._logger,
            processors=_processors(),
            wrapper_class=structlog.stdlib.BoundLogger,
            cache_logger_on_first_use=True,
        )

    def _say(self, method: str, event: str, *arguments: object, **fields: Any) -> None:
        """A line without structlog."""
        if method == "exception":
            fields.setdefault("exc_info", True)
        (message,), passed = _to_record(None, method, {"event": event, **fields})
        self._logger.log(_LEVELS.get(method, logging.ERROR), message, *arguments, **passed)


def _pass_over(*_: object, **__: object) -> None:
    """What becomes of a line below the level."""


def _configure_structlog() -> None:
    import structlog

    structlog.configure(
        processors=_processors(),
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def is_readable(format: Format, stream: TextIO) -> bool:
    """Whether lines are for people."""
    return format == "console" or (format == "auto" and stream.isatty())


def printable(text: str) -> str:
    """`text` with control characters escaped: a line stays a line, and a terminal is not written to by strangers."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def readable_line(timestamp: str, level: str, logger: str, event: str, fields: Iterable[tuple[str, object]]) -> str:
    """`10:00:00 info     undercroft.server  started  port=8000`."""
    shown = "".join(f"  {printable(name)}={printable(as_text(value))}" for name, value in fields)
    return f"{timestamp[11:19]} {level:<8} {printable(logger)}  {printable(event)}{shown}"


def _processors() -> list[Any]:
    import structlog

    return [
        structlog.stdlib.filter_by_level,
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.PositionalArgumentsFormatter(),
        _to_record,
    ]


def _to_record(_logger: object, _method: str, event: MutableMapping[str, Any]) -> tuple[tuple[str], dict[str, Any]]:
    """What a logger of the standard library is called with; the handler does the rest."""
    passed = {name: event.pop(name) for name in ("exc_info", "stack_info", "stacklevel") if name in event}
    message = event.pop("event", "")
    return (message,), {**passed, "extra": {_FIELDS: dict(event)}}


class _Handler(logging.StreamHandler[TextIO]):
    """Ours, so that a second configuration finds it. Without a stream of its own it follows `sys.stdout`."""

    def __init__(self, stream: TextIO | None) -> None:
        self._own = stream
        super().__init__(stream or sys.stdout)

    @property
    def stream(self) -> TextIO:
        return self._own or sys.stdout

    @stream.setter
    def stream(self, stream: TextIO) -> None:
        """StreamHandler sets what it was given; nothing to keep."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """The standard library would print message and arguments, secrets and all."""
        error = sys.exc_info()[1]
        if logging.raiseExceptions and sys.stderr is not None:
            sys.stderr.write(f"A log line of {record.name} could not be written: {type(error).__name__}\n")


class _Lines(logging.Formatter):
    """A record as one line."""

    def __init__(self, redactor: Redactor, *, readable: bool) -> None:
        super().__init__()
        self._redactor = redactor
        self._readable = readable

    def format(self, record: logging.LogRecord) -> str:
        clean = self._redactor.record(record)
        line: dict[str, object] = {
            "event": clean.getMessage(),
            "level": clean.levelname.lower(),
            "logger": clean.name,
            "timestamp": rfc3339(round(clean.created * 1_000_000)),
        }
        fields = {name: value for name, value in vars(clean).items() if name not in _PLAIN_RECORD and name != _FIELDS}
        fields |= getattr(clean, _FIELDS, {})
        # A field of the name of a key must not hide it.
        line |= {f"{name}_" if name in _OWN_KEYS else name: value for name, value in fields.items()}
        context = current.get()
        if context is not None:
            line.setdefault("trace_id", context.trace)
            if context.call:
                line.setdefault("request_id", context.call)
        exception = clean.exc_text or (self.formatException(clean.exc_info) if clean.exc_info else "")
        if exception:
            line["exception"] = exception
        if clean.stack_info:
            line["stack"] = clean.stack_info
        return self._as_text(line) if self._readable else self._as_json(line)

    def _as_json(self, line: dict[str, object]) -> str:
        return msgspec.json.encode(_plain(line, depth=-1)).decode()

    def _as_text(self, line: dict[str, object]) -> str:
        event, level, logger, timestamp = (str(line.pop(key)) for key in _OWN_KEYS[:4])
        blocks = [str(line.pop(key)) for key in ("exception", "stack") if key in line]
        first = readable_line(timestamp, level, logger, event, line.items())
        if level in _COLOURS:
            first = f"{_COLOURS[level]}{first}\x1b[0m"
        rest = (printable(row) for block in blocks for row in block.splitlines())
        return "\n".join([first, *rest])


def _plain(value: object, *, depth: int = 0) -> object:
    """`value` as JSON has it. An object becomes its text: its fields may hold what its `repr` hides."""
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**63 else str(value)
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()  # a lone surrogate has no UTF-8
    if depth < DEEPEST and isinstance(value, Mapping):
        return {str(_plain(as_text(name))): _plain(item, depth=depth + 1) for name, item in value.items()}
    if depth < DEEPEST and isinstance(value, list | tuple | set | frozenset):
        return [_plain(item, depth=depth + 1) for item in value]
    return _plain(as_text(value))
