"""Errors that nobody caught, as log lines: Python itself would print them, secrets and all, past every redaction."""

import sys
import threading

from undercroft.telemetry.logs import get_logger


def log_uncaught() -> None:
    """From now on, in this process. For processes of ours alone: a user's program may have its own way."""
    threading.excepthook = _thread_failed
    sys.unraisablehook = _not_raised


def _thread_failed(failed: threading.ExceptHookArgs, /) -> None:
    if failed.exc_type is SystemExit:
        return
    name = failed.thread.name if failed.thread is not None else ""
    get_logger("undercroft.process").error("thread_failed", thread=name, exc_info=failed.exc_value or True)


def _not_raised(failed: "sys.UnraisableHookArgs", /) -> None:
    """In a finalizer, say, which has no caller to raise to."""
    where = failed.err_msg or "Exception ignored in"
    found = type(failed.object).__name__ if failed.object is not None else ""
    get_logger("undercroft.process").error(
        "exception_ignored", where=where, object=found, exc_info=failed.exc_value or True
    )
