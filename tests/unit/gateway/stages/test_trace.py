"""Stages and attempts leave spans below the call's; what goes to a provider is below its attempt."""

import asyncio

from msgspec.structs import replace

from tests.support.clock import ManualClock
from tests.support.gateway import Bench, Prompter, said
from tests.support.tracing import MadeSpans, tracing
from undercroft.errors import UpstreamOverloaded
from undercroft.llm.reply import Reply
from undercroft.llm.types import ChatRequest
from undercroft.telemetry.spans import Span
from undercroft.telemetry.trace_context import TraceContext, current, read


class Listening(Prompter):
    """Remembers below which span it was asked."""

    asked_below: TraceContext | None = None

    async def send(self, request: ChatRequest, /) -> Reply:
        self.asked_below = current.get()
        return await super().send(request)


def spans_of_a_call(*providers: object, stream: bool = True) -> list[Span]:
    sink, clock = MadeSpans(), ManualClock()
    traces = tracing(sink, clock)
    bench = Bench(*providers, clock=clock, tracing=traces)

    async def run() -> None:
        reply = await bench.gateway.send(bench.call(stream=stream))
        await reply.read()

    asyncio.run(run())
    traces.ended(bench.recorder.ended)
    return sink.spans


def test_every_stage_and_attempt_is_below_the_call_in_their_order() -> None:
    provider = Listening(said("Hello", " you"))
    spans = {span.name: span for span in spans_of_a_call(provider)}
    assert list(spans) == [
        "POST /v1/chat/completions",
        "stage find",
        "stage retry",
        "stage route",
        "attempt upstream-1",
    ]
    call, *below = spans.values()
    attempt = below[-1]
    assert {span.parent for span in below} == {call.id}
    assert provider.asked_below == TraceContext(call.trace, attempt.id, sampled=True, call="req_1")
    assert current.get() is None


CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_where_nothing_is_traced_the_provider_is_told_of_the_callers_span() -> None:
    provider, plain = Listening(said("Hello")), Listening(said("Hello"))

    async def run() -> None:
        for asked, traceparent in ((provider, CALLER), (plain, "")):
            bench = Bench(asked)
            reply = await bench.gateway.send(replace(bench.call(), traceparent=traceparent))
            assert current.get() is None
            await reply.read()

    asyncio.run(run())
    assert (provider.asked_below, plain.asked_below) == (read(CALLER), None)


def test_a_failed_attempt_and_its_successor_are_two_spans() -> None:
    made = spans_of_a_call(Prompter([UpstreamOverloaded("no")]), Prompter(said("Hello")), stream=False)
    attempts = [span for span in made if span.kind == "client"]
    assert {span.error for span in attempts} == {"", "upstream_overloaded"}
