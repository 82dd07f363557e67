"""Errors that are logged become groups, or go to Sentry; either way without a secret, and without failing the work."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.sentry import Envelopes
from undercroft.assembly.error_reports import ErrorHandler, GroupedErrors, Reports, Sentry
from undercroft.assembly.kept_telemetry import MOST_ERRORS, KeptErrors
from undercroft.telemetry.redaction import Redactor

CANARY = "sk-canary-0123456789abcdefghijklmnopqrstuvwxyz"
KNOWN = "correct-horse-battery-staple"
REDACTOR = Redactor([KNOWN])


@contextmanager
def heard(reports: Reports, *others: logging.Handler) -> Iterator[logging.Logger]:
    """A logger whose only listeners these are, so that the standard library's last resort is asked without `others`.

    It propagates again afterwards: pytest puts handlers of its own on every logger that does not when a test begins.
    """
    handler = ErrorHandler(reports, REDACTOR)
    logger = logging.getLogger("tests.errors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logger, "propagate", False)
        patch.setattr(logger, "handlers", [handler, *others])
        yield logger
    reports.close()


def fail(secret: str) -> None:
    local = secret
    raise RuntimeError(f"the key {local} was refused")


def log_all(logger: logging.Logger) -> None:
    try:
        fail(CANARY)
    except RuntimeError:
        logger.exception("it failed with %s", KNOWN, extra={"header": ("authorization", CANARY)})
    logger.error("without an exception: %s", CANARY)
    logger.warning("not an error")


def test_errors_are_grouped_without_secrets() -> None:
    kept = KeptErrors()
    with heard(GroupedErrors(kept, lambda: 7)) as logger:
        log_all(logger)
        log_all(logger)
    found = kept.take()
    assert [each.kind for each in found] == ["RuntimeError", "without an exception: %s"] * 2
    assert len({each.fingerprint for each in found}) == 2
    assert found[0].place.endswith("test_error_reports.py:fail")
    assert "the key [REDACTED] was refused" in found[0].message
    assert "Traceback" in found[0].sample
    assert CANARY not in str(found)
    assert KNOWN not in str(found)


def test_more_errors_than_can_be_kept_are_counted() -> None:
    kept = KeptErrors()
    with heard(GroupedErrors(kept, lambda: 7)) as logger:
        for _ in range(MOST_ERRORS + 5):
            logger.error("again")
    assert kept.dropped == 5


class Failing:
    def report(self, record: logging.LogRecord, redactor: Redactor, /) -> None:
        raise OSError("no")

    def close(self) -> None: ...


def test_reports_that_fail_do_not_fail_the_work_and_show_no_secret(capfd: pytest.CaptureFixture[str]) -> None:
    with heard(Failing(), logging.NullHandler()) as logger:
        logger.error("goes on with %s", CANARY)
    said = capfd.readouterr().err
    assert said == "An error of tests.errors could not be reported: OSError\n"


def test_where_nobody_else_listens_warnings_and_errors_are_printed_without_secrets(
    capfd: pytest.CaptureFixture[str],
) -> None:
    kept = KeptErrors()
    with heard(GroupedErrors(kept, lambda: 7)) as logger:
        log_all(logger)
        logger.error("not a number: %d", CANARY)
        logger.info("nothing to worry about")
    said = capfd.readouterr().err
    first, *traceback, without, warning, broken = said.splitlines()
    assert first == "it failed with [REDACTED]"
    assert traceback[-1] == "RuntimeError: the key [REDACTED] was refused"
    assert [without, warning] == ["without an exception: [REDACTED]", "not an error"]
    assert broken.startswith("not a number: ")
    assert CANARY not in said
    assert KNOWN not in said
    assert len(kept.take()) == 3


def test_where_somebody_listens_nothing_more_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    with heard(GroupedErrors(KeptErrors(), lambda: 7), logging.NullHandler()) as logger:
        log_all(logger)
    assert capfd.readouterr().err == ""


def test_sentry_hears_the_error_scrubbed_and_without_local_variables() -> None:
    sentry = Envelopes()
    with sentry.listening() as dsn, heard(Sentry(dsn, lambda: REDACTOR, release="1")) as logger:
        log_all(logger)
    bodies = sentry.bodies
    events = [
        json.loads(line) for body in bodies for line in body.splitlines() if '"event_id"' in line and "level" in line
    ]
    raised = next(event for event in events if "exception" in event)
    assert raised["exception"]["values"][0]["type"] == "RuntimeError"
    assert len(events) == 2
    assert "vars" not in str(raised["exception"])
    assert CANARY not in "".join(bodies)
    assert KNOWN not in "".join(bodies)
