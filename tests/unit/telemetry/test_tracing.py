"""Which calls are traced, and what their spans say."""

from typing import Any

import msgspec
import pytest

from tests.support.clock import ManualClock
from tests.support.tracing import MadeSpans, tracing
from undercroft.errors import UpstreamOverloaded
from undercroft.record import CallRecord, Usage, Who
from undercroft.telemetry.spans import Course
from undercroft.telemetry.trace_context import TraceContext, current, read

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def record(clock: ManualClock, **fields: Any) -> CallRecord:
    plain = CallRecord(
        id="req_1",
        started_us=clock.now_us(),
        duration_us=2_000_000,
        who=Who(team="blue"),
        endpoint="/v1/chat/completions",
        model="chat",
        provider="azure",
        deployment="chat/0",
        upstream_model="gpt-x-2026",
        attempts=2,
        first_token_us=400_000,
        usage=Usage(input=10, output=5, cache_read=4, reasoning=2),
        cost_nano=1_500_000,
    )
    return msgspec.structs.replace(plain, **fields)


def test_a_call_has_a_span_with_its_attempts_below_in_the_callers_trace() -> None:
    clock, sink = ManualClock(), MadeSpans()
    traced = tracing(sink, clock)
    began_us = clock.now_us()
    traced.begin("req_1", traceparent=f"00-{TRACE}-{SPAN}-01", began=clock.monotonic())
    traced.came_to("req_1", "allow")
    clock.advance(0.1)
    first_try = traced.attempt("req_1", provider="azure", model="gpt-x", deployment="chat/0")
    assert first_try is not None
    clock.advance(0.2)
    traced.failed(first_try[0], UpstreamOverloaded("no"))
    second_try = traced.attempt("req_1", provider="azure", model="gpt-x", deployment="chat/1")
    assert second_try is not None
    traced.ended([record(clock, started_us=began_us)])
    call, stage, first, second = sink.spans
    assert (stage.name, stage.parent, stage.ended_us - stage.started_us) == ("stage allow", call.id, 100_000)
    assert second_try[1] == TraceContext(TRACE, second.id, sampled=True, call="req_1")
    assert {span.trace for span in sink.spans} == {TRACE}
    assert (call.parent, call.kind, call.name) == (SPAN, "server", "POST /v1/chat/completions")
    assert {first.parent, second.parent} == {call.id}
    assert (first.started_us - began_us, first.ended_us - began_us) == (100_000, 300_000)
    assert (second.started_us - began_us, second.ended_us) == (300_000, call.ended_us)
    assert (first.error, second.error, call.error) == ("upstream_overloaded", "", "")
    assert second.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "azure.ai.openai",
        "gen_ai.request.model": "gpt-x",
        "gen_ai.response.model": "gpt-x-2026",
        "gen_ai.response.time_to_first_chunk": 0.4,
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "gen_ai.usage.reasoning.output_tokens": 2,
        "undercroft.deployment": "chat/1",
    }
    assert "gen_ai.usage.input_tokens" not in first.attributes
    assert call.attributes["undercroft.cost.usd"] == "0.0015"
    assert call.attributes["undercroft.team"] == "blue"


def test_a_call_s_span_names_the_release_that_answered() -> None:
    clock, sink = ManualClock(), MadeSpans()
    traced = tracing(sink, clock)
    for number, release in enumerate(("rel_1", "")):
        traced.begin(f"req_{number}", traceparent="", began=clock.monotonic())
        traced.ended([record(clock, id=f"req_{number}", release=release)])

    assert [span.attributes.get("undercroft.release") for span in sink.spans] == ["rel_1", None]


def test_what_is_not_sampled_is_kept_when_it_failed_or_was_slow() -> None:
    clock, sink = ManualClock(), MadeSpans()
    traced = tracing(sink, clock, ratio=0)
    refused, failed, slow = {"status": 404, "error": "not_found"}, {"status": 503, "error": "unavailable"}, 10**7
    endings: list[dict[str, Any]] = [{}, refused, failed, {"duration_us": slow}]
    for number, fields in enumerate(endings):
        call = f"req_{number}"
        traced.begin(call, traceparent="", began=clock.monotonic())
        traced.ended([record(clock, id=call, **fields)])
    assert [span.attributes["undercroft.request.id"] for span in sink.spans] == ["req_2", "req_3"]


def test_of_what_a_sink_would_throw_away_no_course_is_made() -> None:
    class Sketched:
        is_sampled = True

        def __init__(self, number: int) -> None:
            self.number = number

        def course(self) -> Course:
            made.append(self.number)
            return Course(TRACE, f"{self.number:016x}", "", is_sampled=True, began=0.0)

    made: list[int] = []
    clock, sink = ManualClock(), MadeSpans(most_at_once=2)
    traced = tracing(sink, clock)
    for number in range(5):
        traced.sketch(f"req_{number}", Sketched(number))
    traced.ended([record(clock, id=f"req_{number}") for number in range(5)])
    assert (made, len(sink.spans)) == ([3, 4], 2)


def test_the_caller_decides_whether_its_trace_is_kept() -> None:
    clock, sink = ManualClock(), MadeSpans()
    traced = tracing(sink, clock, ratio=0)
    traced.begin("req_1", traceparent=f"00-{TRACE}-{SPAN}-01", began=clock.monotonic())
    traced.ended([record(clock)])
    assert len(sink.spans) == 1
    always = tracing(sink, clock, ratio=1)
    always.begin("req_1", traceparent=f"00-{TRACE}-{SPAN}-00", began=clock.monotonic())
    always.ended([record(clock)])
    assert len(sink.spans) == 1


def test_a_call_that_was_refused_before_it_became_one_has_a_span_too() -> None:
    clock, sink = ManualClock(), MadeSpans()
    tracing(sink, clock).ended([record(clock, status=401, error="invalid_api_key", attempts=0, first_token_us=0)])
    (span,) = sink.spans
    assert (span.error, span.attributes["error.type"]) == ("", "invalid_api_key"), "a caller's mistake is no fault"


def test_work_around_a_block_is_below_its_caller_and_passes_itself_on() -> None:
    clock, sink = ManualClock(), MadeSpans()
    traced = tracing(sink, clock)
    handed = traced.handed_in(f"00-{TRACE}-{SPAN}-01", "POST /api/v1/jobs")
    with traced.around(handed, "job chat", "consumer", {"a": 1}, call="req_1") as below:
        clock.advance(2)
        inside = current.get()
        assert inside is not None
        assert inside.header() == below
        assert inside.call == "req_1"
        with traced.around("", "search texts", "client", {}):
            clock.advance(1)
            assert getattr(current.get(), "call", "") == "req_1", "it is still for that request"
    assert current.get() is None
    producer, search, job = sink.spans
    assert {span.trace for span in sink.spans} == {TRACE}
    assert (producer.parent, job.parent, search.parent) == (SPAN, producer.id, job.id)
    assert read(below) == TraceContext(TRACE, job.id, sampled=True)
    assert (search.ended_us - search.started_us, job.ended_us - job.started_us) == (1_000_000, 3_000_000)


def test_work_that_fails_is_kept_with_the_errors_code_and_never_its_message() -> None:
    clock, sink = ManualClock(), MadeSpans()
    traced = tracing(sink, clock, ratio=0)
    with pytest.raises(UpstreamOverloaded), traced.around("", "job chat", "consumer", {}):
        raise UpstreamOverloaded("a secret may stand in here")
    (span,) = sink.spans
    assert (span.error, span.attributes) == ("upstream_overloaded", {"error.type": "upstream_overloaded"})


def test_without_a_sink_nothing_is_noted_and_a_job_keeps_what_its_caller_said() -> None:
    traced = tracing(None, ManualClock())
    assert not traced.is_on
    header = f"00-{TRACE}-{SPAN}-01"
    assert traced.handed_in(header, "x") == header
    assert traced.handed_in("broken", "x") == ""
    with traced.around(header, "x", "consumer", {}, call="req_1") as below:
        assert below == header
        assert current.get() == TraceContext(TRACE, SPAN, sampled=True, call="req_1"), "for its log lines"
        with traced.around("", "y", "client", {}):
            assert current.get() is not None
    assert current.get() is None


def test_stages_that_were_passed_at_one_moment_have_spans_like_any_other() -> None:
    clock, sink = ManualClock(), MadeSpans()
    traced = tracing(sink, clock)
    course = traced.course("", began=clock.monotonic())
    course.passed, course.passed_at = ("find", "retry"), clock.monotonic()
    traced.follow("req_1", course)
    attempt, context = traced.attempt_of(course, "req_1", "azure", "gpt-x", "chat/0")
    traced.ended([record(clock)])
    call, *below = sink.spans
    assert [span.name for span in below] == ["stage find", "stage retry", "attempt gpt-x"]
    assert len({span.id for span in sink.spans}) == 4
    assert context == TraceContext(call.trace, attempt.id, sampled=True, call="req_1")
    assert read(course.header()) == TraceContext(call.trace, call.id, sampled=True)
