"""What one call of `configure_logging` does."""

import json
import logging
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import StringIO
from typing import Any

import pytest
import structlog

from undercroft.telemetry.logs import configure_logging, get_logger
from undercroft.telemetry.redaction import REPLACEMENT

SECRET = "canary-4f6Qz9-Wm2Lk7"
UVICORN = ("uvicorn", "uvicorn.error", "uvicorn.access")
TAMED = (*UVICORN, "alembic")


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Logging is one per process: what a test configures, it takes back."""
    monkeypatch.setenv("CANARY_API_KEY", SECRET)
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    levels = {name: logging.getLogger(name).level for name in TAMED}
    yield
    root.setLevel(level)
    root.handlers[:] = handlers
    for name, former in levels.items():
        logging.getLogger(name).setLevel(former)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def configured(**options: Any) -> StringIO:
    stream = StringIO()
    configure_logging(stream=stream, **options)
    return stream


def lines(stream: StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_info_shows_after_this_one_call_in_a_fresh_program() -> None:
    program = "import undercroft as u; u.configure_logging(); u.get_logger().info('started', port=8000)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    line = json.loads(done.stdout)
    assert done.stderr == ""
    assert line["timestamp"].endswith("Z")
    assert list(line) == ["event", "level", "logger", "timestamp", "port"]
    assert (line["event"], line["level"], line["logger"], line["port"]) == ("started", "info", "__main__", 8000)


def test_without_it_a_logger_of_ours_is_as_quiet_as_any_librarys() -> None:
    program = "import undercroft as u; u.get_logger('a').info('x'); u.get_logger('a').warning('y', key='z')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "y\n")


def test_structlog_is_not_imported_before_it_is_used() -> None:
    program = (
        "import sys, undercroft.telemetry.logs, undercroft.telemetry.requests; sys.exit('structlog' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_line_that_nobody_reads_imports_nothing() -> None:
    program = (
        "import sys, undercroft as u; u.configure_logging(); "
        "u.get_logger('a').debug('x'); sys.exit('structlog' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=False).returncode == 0


def test_lines_are_written_when_no_file_can_be_opened_any_more() -> None:
    """structlog is a file, and is read with the first line."""
    program = """
import os, undercroft as u
u.configure_logging()
held = []
try:
    while True: held.append(os.dup(1))
except OSError: pass
logger = u.get_logger('a')
logger.warning('full', count=len(held) > 0)
try: raise ValueError('bad')
except ValueError: logger.exception('failed')
for each in held: os.close(each)
logger.info('well')
"""
    limited = f"import os, resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)); exec({program!r})"
    done = subprocess.run([sys.executable, "-c", limited], capture_output=True, text=True, check=True)
    full, failed, well = [json.loads(line) for line in done.stdout.splitlines()]
    assert (full["event"], full["level"], full["count"]) == ("full", "warning", True)
    assert (failed["event"], failed["level"]) == ("failed", "error")
    assert "ValueError: bad" in failed["exception"]
    assert (well["event"], well["level"]) == ("well", "info")


def test_a_library_that_brings_structlog_along_later_writes_our_lines() -> None:
    program = (
        "import undercroft as u; u.configure_logging(); import structlog; structlog.get_logger('a').info('x', k=1)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    line = json.loads(done.stdout)
    assert (line["event"], line["level"], line["k"]) == ("x", "info", 1)


def test_a_second_call_replaces_the_first() -> None:
    first = configured()
    second = configured(level="warning")
    get_logger("a").info("quiet")
    get_logger("a").warning("loud")
    assert first.getvalue() == ""
    assert [line["event"] for line in lines(second)] == ["loud"]


def test_a_logger_made_before_the_configuration_follows_it() -> None:
    logger = get_logger("early")
    logger.info("nobody listens")
    stream = configured()
    logger.info("here")
    assert [line["event"] for line in lines(stream)] == ["here"]


def test_handlers_of_the_program_stay() -> None:
    own = logging.NullHandler()
    logging.getLogger().addHandler(own)
    configured()
    configured()
    assert own in logging.getLogger().handlers


def test_structlog_and_the_standard_library_come_out_alike() -> None:
    stream = configured()
    get_logger("a").info("done", count=1)
    structlog.get_logger("a").info("done", count=1)
    logging.getLogger("a").info("%s", "done", extra={"count": 1})
    found = lines(stream)
    for line in found:
        del line["timestamp"]
    assert found == [{"event": "done", "level": "info", "logger": "a", "count": 1}] * 3


def test_bound_and_context_values_are_on_the_line() -> None:
    stream = configured()
    structlog.contextvars.bind_contextvars(request_id="req_1")
    get_logger("a").bind(tenant="t").info("%d things", 3)
    [line] = lines(stream)
    assert (line["event"], line["tenant"], line["request_id"]) == ("3 things", "t", "req_1")


def test_any_name_may_be_a_field_and_none_hides_a_key() -> None:
    stream = configured()
    get_logger("a").info("x", name="n", args=(1,), msg="m", level="l", exception="e", **{"with space": 1})
    [line] = lines(stream)
    assert (line["name"], line["args"], line["msg"], line["level"], line["level_"]) == ("n", [1], "m", "info", "l")
    assert (line["exception_"], line["with space"]) == ("e", 1)


@dataclass
class Credentials:
    user: str
    code: str = field(repr=False)


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError(SECRET)


@pytest.mark.parametrize(
    "value",
    [
        object(),
        Broken(),
        "\ud800",
        {1: {"\ud800": object()}},
        {(1, 2): 3},
        2**80,
        float("nan"),
        b"\xff",
        Credentials("u", SECRET),
    ],
)
@pytest.mark.parametrize("format", ["json", "console"])
def test_whatever_is_logged_comes_out_as_one_line(value: object, format: Any) -> None:
    logging.getLogger().handlers.clear()  # pytest's own would keep a text that xdist cannot send
    stream = configured(format=format)
    get_logger("a").info("event \ud800", value=value)
    assert stream.getvalue().count("\n") == 1
    assert "event" in stream.getvalue()
    assert SECRET not in stream.getvalue()
    stream.getvalue().encode()


def test_a_terminal_gets_readable_lines_and_a_pipe_gets_json() -> None:
    terminal = Terminal()
    configure_logging(stream=terminal)
    get_logger("a.b").info("started", port=8000)
    logging.getLogger("a.b").error("failed")
    first, second = terminal.getvalue().splitlines()
    assert first.endswith(" info     a.b  started  port=8000")
    assert second.startswith("\x1b[31m")
    assert "error    a.b  failed" in second


def test_strangers_cannot_write_to_the_terminal_or_add_lines() -> None:
    terminal = Terminal()
    configure_logging(stream=terminal)
    get_logger("a").info("x\x1b[2J\nfake line", model="\x1b]0;title\x07\r\n")
    assert "\x1b" not in terminal.getvalue()
    assert terminal.getvalue().count("\n") == 1


def test_a_terminal_shows_exceptions_over_several_lines() -> None:
    terminal = Terminal()
    configure_logging(stream=terminal)
    try:
        raise ValueError("no\x1b[2J")
    except ValueError:
        get_logger("a").exception("failed")
    assert terminal.getvalue().splitlines()[-1] == "ValueError: no\\x1b[2J"


def test_exceptions_and_stacks_have_keys_of_their_own() -> None:
    stream = configured()
    try:
        raise ValueError("no")
    except ValueError as error:
        get_logger("a").exception("caught")
        structlog.get_logger("a").error("passed", exc_info=error)
        logging.getLogger("a").exception("standard")
    get_logger("a").info("stack", stack_info=True)
    for line in lines(stream)[:3]:
        assert line["exception"].startswith("Traceback")
        assert line["exception"].endswith("ValueError: no")
    assert lines(stream)[3]["stack"].startswith("Stack (most recent call last)")


def test_warnings_are_log_lines() -> None:
    stream = configured()
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        configure_logging(stream=stream)
        warnings.warn(f"careful {SECRET}", stacklevel=1)
    logging.captureWarnings(capture=False)
    [line] = lines(stream)
    assert line["logger"] == "py.warnings"
    assert SECRET not in stream.getvalue()


def test_uvicorns_complaints_come_through_once_and_its_access_lines_not_at_all() -> None:
    for name in UVICORN:
        logging.getLogger(name).addHandler(logging.StreamHandler(StringIO()))
    stream = configured()
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    logging.getLogger("uvicorn.access").info("GET /api/generate?prompt=private")
    assert [line["event"] for line in lines(stream)] == ["Invalid HTTP request received."]
    assert not any(logging.getLogger(name).handlers for name in UVICORN)


@pytest.mark.parametrize("format", ["json", "console"])
def test_a_secret_reaches_no_output_on_any_way(format: Any, capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger().handlers.clear()  # pytest's own would fail on the wrong number of arguments
    stream = configured(format=format, secrets=["another-secret-77"])
    ours, standard = get_logger("a"), logging.getLogger("b")
    try:
        try:
            raise KeyError(SECRET)
        except KeyError as cause:
            raise ExceptionGroup(SECRET, [ValueError(SECRET)]) from cause
    except ExceptionGroup as error:
        ours.exception(SECRET, error=error)
        standard.exception("failed: %s", error)
        ours.error("given", exc_info=error)
    ours.info(SECRET, key=SECRET, nested={"deep": [SECRET, Credentials(SECRET, SECRET)]}, authorization="Bearer x")
    ours.bind(**{SECRET: SECRET}).info("%s", SECRET, stack_info=True)
    standard.info("%s %r", SECRET, {"k": SECRET}, extra={"k": SECRET})
    standard.info("wrong number of arguments %s %s", SECRET)
    standard.info("another-secret-77")
    structlog.get_logger("c").info("x", k=SECRET)
    shown = stream.getvalue() + "".join(capsys.readouterr())
    assert SECRET not in shown
    assert "another-secret-77" not in shown
    assert shown.count(REPLACEMENT) >= 15


def test_a_line_that_cannot_be_written_does_not_spill_its_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    stream = configured()
    stream.close()
    logging.getLogger("a").info("%s", SECRET)
    assert capsys.readouterr().err == "A log line of a could not be written: ValueError\n"


def test_without_a_stream_it_follows_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(format="json")
    get_logger("a").info("one")
    assert json.loads(capsys.readouterr().out)["event"] == "one"


def test_threads_may_log_while_others_configure() -> None:
    stream = StringIO()
    threads = [threading.Thread(target=configure_logging, kwargs={"stream": stream}) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    get_logger("a").info("once")
    assert len(lines(stream)) == 1
