"""Takes secrets out of whatever is written down: those that are known, and every string that looks like one."""

import base64
import copy
import json
import logging
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, quote_plus, unquote, urlsplit

from undercroft.telemetry.shapes import LABEL, SHAPES, Shape, beginning

REPLACEMENT: Final = "[REDACTED]"

SHORTEST_KNOWN: Final = 4
"""A shorter value is no secret but a placeholder, and replacing it would garble every line."""
SHORTEST_ANYWHERE: Final = 8
LONGEST_WORD: Final = 16
"""A shorter secret, or one that could be an ordinary word ("postgres"), is replaced only where it stands alone."""
DEEPEST: Final = 6
"""Containers nested deeper are written as text before they are searched; also the end of a cycle."""

_PLACEHOLDERS: Final = frozenset({"true", "false", "none", "null", "auto", "disabled", "enabled"})
_SECRET_NAME: Final = re.compile(
    r"(?!.*_(?:FILE|PATH|DIR|ID|NAME|URL|TTL)$)"
    r"(?:.*(?:SECRET|PASSWORD|PASSWD|CREDENTIAL)|(?:.*_)?(?:KEYS?|TOKEN|PASS|DSN)$)"
)
_PLAIN_RECORD: Final = frozenset(vars(logging.makeLogRecord({})))


def secrets_in(environment: Mapping[str, str]) -> Iterator[str]:
    """The values of variables whose names say that they are secret, and passwords inside addresses."""
    for name, value in environment.items():
        if _SECRET_NAME.match(name.upper()):
            yield value
            if "," in value:  # a list of keys: the first encrypts, all decrypt
                yield from (part.strip() for part in value.split(","))
        if "://" in value and "@" in value:
            yield from _passwords(value)


def _passwords(address: str) -> Iterator[str]:
    try:
        password = urlsplit(address).password
    except ValueError:  # not an address after all
        return
    if password:
        yield password
        yield unquote(password)


class Redactor:
    """Replaces secrets by `[REDACTED]`. Text without one comes back as the same object.

    A known secret is also found URL-encoded, escaped as JSON or Python do it, and anywhere inside base64.
    """

    def __init__(self, known: Iterable[str] = (), *, shapes: Iterable[Shape] = SHAPES) -> None:
        anywhere: set[str] = set()
        alone: set[str] = set()
        for secret in {secret.strip() for secret in known}:
            if len(secret) < SHORTEST_KNOWN or secret.lower() in _PLACEHOLDERS:
                continue
            stands_out = len(secret) >= SHORTEST_ANYWHERE and not (secret.isalpha() and len(secret) < LONGEST_WORD)
            (anywhere if stands_out else alone).update(_written(secret))
            if len(secret) >= SHORTEST_ANYWHERE:
                anywhere.update(_in_base64(secret))
        # Longest first, so that a secret that contains another one goes as a whole.
        self._anywhere = sorted(anywhere, key=len, reverse=True)
        self._shapes = tuple(shapes)
        words = "|".join(re.escape(word) for word in sorted(alone, key=len, reverse=True))
        self._alone = re.compile(rf"{beginning()}(?:{words})(?![A-Za-z0-9])") if words else None

    def text(self, text: str) -> str:
        """`text` without its secrets."""
        for secret in self._anywhere:
            if secret in text:
                text = text.replace(secret, REPLACEMENT)
        if self._alone is not None:
            text = self._alone.sub(REPLACEMENT, text)
        folded = _fold(text)
        for shape in self._shapes:
            # A substring test costs a tenth of a search by pattern.
            if shape.marker in (folded if shape.folded else text):
                hidden = shape.hide(text, folded, REPLACEMENT)
                if hidden is not text:
                    text, folded = hidden, _fold(hidden)
        return text

    def value(self, value: object, *, depth: int = 0) -> Any:
        """The same for anything that may be logged: a container with a secret is built anew, never changed in place.

        Other objects come back as they are unless their text holds a secret; then that text comes back without it.
        """
        if isinstance(value, str):
            return self.text(value)
        if value is None or isinstance(value, bool | int | float):
            return value
        if depth < DEEPEST and isinstance(value, Mapping):
            names = [self.value(name, depth=depth + 1) for name in value]
            fields = [self.field(name, item, depth=depth + 1) for name, item in value.items()]
            unchanged = _unchanged(names, value) and _unchanged(fields, value.values())
            return value if unchanged else dict(zip(names, fields, strict=True))
        if depth < DEEPEST and isinstance(value, tuple | list | set | frozenset):
            items = [self.value(item, depth=depth + 1) for item in value]
            if isinstance(value, tuple) and len(items) == 2:  # perhaps a header
                items[1] = self.field(value[0], value[1], depth=depth + 1)
            if _unchanged(items, value):
                return value
            return items if isinstance(value, list) else tuple(items) if isinstance(value, tuple) else set(items)
        for shown in (as_text(value), as_text(value, write=repr)):
            cleaned = self.text(shown)
            if cleaned != shown or depth >= DEEPEST:
                return cleaned
        return value

    def field(self, name: object, value: object, *, depth: int = 0) -> Any:
        """The same for a named value: what is called `password` is one, whatever it looks like."""
        label = name.decode("latin-1") if isinstance(name, bytes) else name
        if isinstance(label, str) and LABEL.search(label):
            if isinstance(value, str | bytes):
                return REPLACEMENT if value else value
            if isinstance(value, tuple | list) and depth < DEEPEST:
                return [self.field(name, item, depth=depth + 1) for item in value]
        return self.value(value, depth=depth)

    def event(self, _logger: object, _method: str, event: Mapping[str, Any]) -> dict[str, Any]:
        """A structlog processor; it goes before the renderer."""
        return {name: self.field(name, value) for name, value in event.items()}

    def record(self, record: logging.LogRecord) -> logging.LogRecord:
        """A copy of a log record without secrets in message, arguments, extra fields, exception and stack."""
        clean = copy.copy(record)
        clean.msg, clean.args = self._message(record)
        if record.exc_info:
            shown = record.exc_text or _formatted(record.exc_info)
            cleaned = self.text(shown)
            if cleaned != shown:
                clean.exc_text, clean.exc_info = cleaned, None  # or the next formatter writes the exception anew
        elif record.exc_text:
            clean.exc_text = self.text(record.exc_text)
        if record.stack_info:
            clean.stack_info = self.text(record.stack_info)
        for name, value in vars(record).items():
            if name not in _PLAIN_RECORD:
                setattr(clean, name, self.field(name, value))
        return clean

    def _message(self, record: logging.LogRecord) -> tuple[Any, Any]:
        """The new `msg` and `args`. Formatters such as uvicorn's take `args` apart, so they stay where possible."""
        try:
            shown = record.getMessage()
        except Exception:  # noqa: BLE001 - logging would print message and arguments, secrets and all, to stderr
            return self.text(f"{as_text(record.msg)} {as_text(record.args)}"), None
        if not record.args:
            return self.value(record.msg), record.args
        cleaned = self.text(shown)
        arguments = self.value(record.args)
        if cleaned == shown and arguments is record.args:
            return record.msg, record.args
        try:
            again = str(record.msg) % arguments
        except (TypeError, ValueError, LookupError):  # a number has become text, or a name has gone
            return cleaned, None
        return (record.msg, arguments) if self.text(again) == again else (cleaned, None)


class SensitiveFilter(logging.Filter):
    """Takes secrets out of log records. It belongs on handlers: a logger's filter does not see its children's records.

    Known secrets are read from the environment when the filter is made; more can be passed in. From Python 3.12 on only
    the handler it is on sees the redacted copy; before, later handlers see it too.
    """

    def __init__(self, name: str = "", *, known: Iterable[str] = ()) -> None:
        super().__init__(name)
        self.redactor = Redactor([*secrets_in(os.environ), *known])

    if sys.version_info >= (3, 12):

        def filter(self, record: logging.LogRecord) -> bool | logging.LogRecord:
            return self.redactor.record(record) if super().filter(record) else False

    else:

        def filter(self, record: logging.LogRecord) -> bool:
            if not super().filter(record):
                return False
            vars(record).update(vars(self.redactor.record(record)))
            return True


def _unchanged(new: Iterable[object], old: Iterable[object]) -> bool:
    return all(one is other for one, other in zip(new, old, strict=True))


def _fold(text: str) -> str:
    """Lower case, character by character: some letters outside ASCII become two."""
    lowered = text.lower()
    return lowered if len(lowered) == len(text) else "".join(c.lower() if c.isascii() else c for c in text)


def as_text(value: object, *, write: Callable[[object], str] = str) -> str:
    """`str(value)`, whatever happens."""
    try:
        return write(value)
    except Exception:  # noqa: BLE001 - a broken __str__ must not take the log line with it
        return f"<{type(value).__name__}>"


def _formatted(exc_info: Any) -> str:
    return "".join(traceback.format_exception(*exc_info)).rstrip("\n")


def _written(secret: str) -> set[str]:
    escaped = {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]}
    return {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), *escaped}


def _in_base64(secret: str) -> Iterator[str]:
    data = secret.encode("utf-8", "surrogatepass")
    for shift in range(3):  # base64 works in groups of three bytes; the secret may begin at any of them
        encoded = base64.b64encode(bytes(shift) + data).decode()
        core = encoded[-(-shift * 8 // 6) : (shift + len(data)) * 8 // 6]
        yield core
        yield core.replace("+", "-").replace("/", "_")
