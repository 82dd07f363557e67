"""Errors that nobody caught come through the logs, in their form and without secrets."""

import json
import logging
import sys
import threading
from collections.abc import Iterator
from io import StringIO

import pytest

from undercroft.telemetry.logs import configure_logging
from undercroft.telemetry.uncaught import log_uncaught

SECRET = "sk-canary-0123456789abcdefghijklmnopqrstuvwxyz"


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[StringIO]:
    """What is logged; hooks and handlers are those of before afterwards."""
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = StringIO()
    configure_logging("info", "json", stream)
    log_uncaught()
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)


def fail() -> None:
    raise RuntimeError(f"no key {SECRET}")


def test_a_thread_that_fails_is_a_line_without_secrets(lines: StringIO) -> None:
    thread = threading.Thread(target=fail, name="helper")
    thread.start()
    thread.join()

    line = json.loads(lines.getvalue())
    assert (line["event"], line["level"], line["thread"]) == ("thread_failed", "error", "helper")
    assert "RuntimeError: no key [REDACTED]" in line["exception"]
    assert SECRET not in lines.getvalue()


def test_a_thread_that_leaves_is_no_error(lines: StringIO) -> None:
    thread = threading.Thread(target=sys.exit)
    thread.start()
    thread.join()

    assert lines.getvalue() == ""


def test_what_a_finalizer_raises_is_a_line_without_secrets(lines: StringIO) -> None:
    class Careless:
        def __del__(self) -> None:
            fail()

    Careless()

    line = json.loads(lines.getvalue())
    assert (line["event"], line["object"]) == ("exception_ignored", "function")
    assert "[REDACTED]" in line["exception"]
    assert SECRET not in lines.getvalue()
