"""Trace contexts are read as the standard says, and anything else is as if it were not there."""

import pytest

from undercroft.telemetry.trace_context import (
    TraceContext,
    current,
    for_later,
    from_earlier,
    is_sampled,
    read,
    trace_in,
    under,
)

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_what_is_written_is_read_again() -> None:
    for sampled in (True, False):
        context = TraceContext(TRACE, SPAN, sampled)
        assert read(context.header()) == context


@pytest.mark.parametrize(
    "header",
    [
        "",
        "nonsense",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-extra",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-01\r\nx: y",
        f"01-{TRACE}-{SPAN}-01-" + "x" * 600,
    ],
)
def test_a_broken_header_is_ignored(header: str) -> None:
    assert read(header) is None


def test_a_later_version_may_say_more() -> None:
    assert read(f"01-{TRACE}-{SPAN}-03-more") == TraceContext(TRACE, SPAN, sampled=True)


def test_whether_a_trace_is_kept_depends_on_its_id_alone() -> None:
    ids = [f"{number * 0x9E3779B97F4A7C15 % 2**128:032x}" for number in range(1, 4001)]
    assert not any(is_sampled(trace, 0) for trace in ids)
    assert all(is_sampled(trace, 1) for trace in ids)
    assert 0.2 < sum(is_sampled(trace, 0.25) for trace in ids) / len(ids) < 0.3
    assert all(is_sampled(trace, 0.5) for trace in ids if is_sampled(trace, 0.25))


def test_the_trace_of_what_was_kept_by_this_version_or_an_earlier_one() -> None:
    assert trace_in(f"00-{TRACE}-{SPAN}-01") == TRACE
    assert trace_in(TRACE) == TRACE
    assert trace_in("") == ""


def test_what_is_kept_with_work_names_its_request_too() -> None:
    header = f"00-{TRACE}-{SPAN}-01"
    kept = for_later(header, "req_1")

    assert from_earlier(kept) == (header, "req_1")
    assert from_earlier(header) == (header, "")
    assert trace_in(kept) == TRACE
    assert for_later("", "req_1") == ""
    with under(kept):
        assert current.get() == TraceContext(TRACE, SPAN, sampled=True, call="req_1")
    assert current.get() is None
