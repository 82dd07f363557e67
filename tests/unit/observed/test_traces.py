"""The latest traces are kept, by organisation, and read as they were written."""

from typing import Any

import pytest
from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import StaticPool

from undercroft.errors import NotFound
from undercroft.observed.traces import keep_spans, list_traces, prune_traces, spans_in
from undercroft.storage.schema import metadata, spans
from undercroft.telemetry.spans import Span


@pytest.fixture
def connection() -> Connection:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    metadata.create_all(engine, tables=[spans])
    return engine.connect()


def span(trace: int, number: int = 0, *, parent: str = "", error: str = "", organisation: str = "default") -> Span:
    return Span(
        trace=f"{trace:032x}",
        id=f"{number:016x}",
        parent=parent,
        name=f"span {number}",
        started_us=trace * 1000 + number,
        ended_us=trace * 1000 + 500,
        error=error,
        attributes={"undercroft.organisation": organisation, "tokens": 5, "share": 0.5, "streamed": True},
    )


def test_what_is_kept_is_what_was_there_and_twice_is_once(connection: Connection) -> None:
    made = [span(1), span(1, 1, parent=f"{0:016x}", error="timeout")]
    keep_spans(connection, made)
    keep_spans(connection, made)
    assert spans_in(connection, f"{1:032x}", organisation="default") == made
    (line,) = list_traces(connection, organisation="default", limit=10)
    assert (line.name, line.spans, line.errors, line.duration_us) == ("span 0", 2, 1, 500)


def test_the_latest_come_first_and_the_rest_goes(connection: Connection) -> None:
    keep_spans(connection, [span(number, step) for number in range(1, 301) for step in range(2)])
    prune_traces(connection, keep=100)
    found = list_traces(connection, organisation="default", limit=1000)
    assert [int(line.trace, 16) for line in found] == list(range(300, 200, -1))


def test_failed_and_slow_ones_are_found(connection: Connection) -> None:
    slow = Span(trace=f"{9:032x}", id="0" * 15 + "9", name="slow", started_us=0, ended_us=10**7)
    keep_spans(connection, [span(1), span(2, error="broken"), slow])

    def named(**asked: Any) -> list[int]:
        return [int(line.trace, 16) for line in list_traces(connection, organisation="default", limit=9, **asked)]

    assert named(failed=True) == [2]
    assert named(slower_us=10**6) == [9]


def test_another_organisations_traces_are_never_seen(connection: Connection) -> None:
    keep_spans(connection, [span(1, organisation="other")])
    assert list_traces(connection, organisation="default", limit=9) == []
    with pytest.raises(NotFound, match="no trace"):
        spans_in(connection, f"{1:032x}", organisation="default")
