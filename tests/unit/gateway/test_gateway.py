"""A call through all stages over fakes: it is answered, retried, refused, and always booked exactly once."""

import asyncio

import pytest

from tests.support.gateway import Bench, Prompter, said
from undercroft.errors import (
    ClientClosed,
    ModelNotFound,
    Unavailable,
    UpstreamGarbled,
    UpstreamOverloaded,
    UpstreamRefused,
    UpstreamUnreachable,
)
from undercroft.llm.types import ChatRequest, Choice, Chunk, EmbeddingsRequest, Usage
from undercroft.record import CallOpened, CallRecord, Who


async def read(bench: Bench, **options: object) -> str:
    reply = await bench.gateway.send(bench.call(**options))  # type: ignore[arg-type]  # passed through
    return (await reply.read()).text()


async def moving(bench: Bench, work: "asyncio.Task[str]") -> str:
    """Lets `work` run while time passes."""
    for _ in range(200):
        if work.done():
            break
        await asyncio.sleep(0)
        bench.clock.advance(0.5)
    return await work


def test_an_answer_is_passed_on_and_booked_once() -> None:
    bench = Bench(Prompter(said("Hello", " you")))
    assert asyncio.run(read(bench)) == "Hello you"
    opened, ended = bench.recorder.records
    assert isinstance(opened, CallOpened)
    assert isinstance(ended, CallRecord)
    assert (ended.status, ended.error, ended.attempts, ended.model) == (200, "", 1, "chat")
    assert ended.usage == Usage(input=3, output=2)
    assert (ended.cost_nano, ended.price, ended.upstream_model) == (5, "flat", "upstream-1")
    assert bench.gauge.active == 0


def test_the_record_is_there_before_the_reader_sees_the_end() -> None:
    bench = Bench(Prompter(said("Hello")))

    async def scene() -> None:
        reply = await bench.gateway.send(bench.call())
        async for _ in reply.chunks:
            assert not bench.recorder.ended
        assert len(bench.recorder.ended) == 1

    asyncio.run(scene())


def test_a_failure_before_the_answer_is_retried_on_the_next_deployment() -> None:
    broken, sound = Prompter([UpstreamUnreachable("down")]), Prompter(said("Hello"))
    bench = Bench(broken, sound)

    async def scene() -> str:
        return await moving(bench, asyncio.create_task(read(bench)))

    assert asyncio.run(scene()) == "Hello"
    assert (len(broken.asked), len(sound.asked)) == (1, 1)
    (ended,) = bench.recorder.ended
    assert (ended.attempts, ended.deployment, ended.status) == (2, "chat/1", 200)
    assert bench.gauge.active == 0


def test_three_failures_end_the_call_with_the_last_one() -> None:
    provider = Prompter([UpstreamOverloaded("busy")])
    bench = Bench(provider)

    async def scene() -> None:
        with pytest.raises(UpstreamOverloaded):
            await moving(bench, asyncio.create_task(read(bench)))

    asyncio.run(scene())
    assert len(provider.asked) == 3
    (ended,) = bench.recorder.ended
    assert (ended.status, ended.error, ended.attempts, ended.cost_nano) == (503, "upstream_overloaded", 3, 0)


def test_a_refusal_is_not_retried() -> None:
    provider = Prompter([UpstreamRefused("no such voice", upstream_status=400)])
    bench = Bench(provider)
    with pytest.raises(UpstreamRefused):
        asyncio.run(read(bench))
    assert len(provider.asked) == 1


def test_a_retry_after_that_does_not_fit_the_calls_time_ends_it_at_once() -> None:
    provider = Prompter([UpstreamOverloaded("busy", retry_after_s=120)])
    bench = Bench(provider)
    with pytest.raises(UpstreamOverloaded):
        asyncio.run(read(bench, seconds=60.0))
    assert len(provider.asked) == 1


def test_a_stream_that_breaks_after_it_began_is_not_retried_and_its_tokens_are_booked() -> None:
    provider = Prompter([*said("four")[:1], UpstreamGarbled("cut")])
    bench = Bench(provider)
    with pytest.raises(UpstreamGarbled):
        asyncio.run(read(bench))
    assert len(provider.asked) == 1
    (ended,) = bench.recorder.ended
    assert (ended.status, ended.error, ended.usage_estimated) == (502, "upstream_invalid", True)
    assert ended.usage.output == 1
    assert ended.usage.input > 0
    assert bench.gauge.active == 0


def test_a_reader_that_leaves_closes_the_provider_and_is_booked_as_499() -> None:
    provider = Prompter(said("one", "two", "three"))
    bench = Bench(provider)

    async def scene() -> None:
        reply = await bench.gateway.send(bench.call())
        await anext(reply.chunks)
        await reply.chunks.aclose()

    asyncio.run(scene())
    assert provider.closed == 1
    (ended,) = bench.recorder.ended
    assert (ended.status, ended.error) == (499, "client_closed")
    assert ended.usage.output == 1
    assert bench.gauge.active == 0


def test_a_call_that_is_abandoned_is_booked_under_the_reason() -> None:
    provider = Prompter(said("one", "two"))
    bench = Bench(provider)

    async def scene() -> None:
        call = bench.call()
        reply = await bench.gateway.send(call)
        await anext(reply.chunks)
        call.trail.abandoned = ClientClosed("gone")
        with pytest.raises(asyncio.CancelledError):
            await reply.chunks.athrow(asyncio.CancelledError())

    asyncio.run(scene())
    assert bench.recorder.ended[0].status == 499


def test_an_unknown_model_is_refused_with_the_names_that_exist() -> None:
    bench = Bench(Prompter(said("Hello")))
    with pytest.raises(ModelNotFound) as refusal:
        asyncio.run(read(bench, model="chta"))
    assert "Did you mean 'chat'?" in refusal.value.message
    (ended,) = bench.recorder.ended
    assert (ended.status, ended.error, ended.model, ended.attempts) == (404, "model_not_found", "", 0)


def test_any_name_is_answered_where_the_operator_allows_it() -> None:
    provider = Prompter(said("Hello"))
    bench = Bench(provider, accept_any=True)

    async def scene() -> str:
        call = bench.call(model="gpt-99")
        reply = await bench.gateway.send(call)
        await reply.read()
        return call.trail.substituted_for

    assert asyncio.run(scene()) == "gpt-99"
    assert provider.asked[0].model == "chat"
    assert bench.recorder.ended[0].model == "chat"


def test_a_provider_is_not_asked_for_what_it_cannot_do() -> None:
    bench = Bench(Prompter(said("Hello")))

    async def scene() -> None:
        from msgspec.structs import replace

        call = replace(bench.call(), request=EmbeddingsRequest(model="chat", inputs=("text",)))
        await bench.gateway.send(call)

    with pytest.raises(Exception, match="does not do embeddings") as refusal:
        asyncio.run(scene())
    assert getattr(refusal.value, "status", None) == 400


def test_a_call_that_cannot_be_booked_does_not_reach_the_provider() -> None:
    provider = Prompter(said("Hello"))
    bench = Bench(provider)
    bench.recorder.refuse_with = Unavailable("disk full", code="ledger_unavailable")
    with pytest.raises(Unavailable):
        asyncio.run(read(bench))
    assert provider.asked == []


def test_an_answer_without_usage_is_estimated() -> None:
    bench = Bench(Prompter(said("12345678", usage=None)))
    asyncio.run(read(bench))
    (ended,) = bench.recorder.ended
    assert (ended.usage.output, ended.usage_estimated) == (2, True)


def test_a_cut_answer_whose_input_alone_was_told_has_its_output_estimated() -> None:
    began = Chunk(usage=Usage(input=70))
    spoke = Chunk(choices=(Choice(text="12345678"),))
    bench = Bench(Prompter([began, spoke, UpstreamGarbled("cut")]))
    with pytest.raises(UpstreamGarbled):
        asyncio.run(read(bench))
    (ended,) = bench.recorder.ended
    assert (ended.usage, ended.usage_estimated) == (Usage(input=70, output=2), True)


class Counting(Prompter):
    """Knows how many tokens a conversation is."""

    async def count_tokens(self, request: ChatRequest, /) -> int:
        return 42


def test_tokens_are_counted_by_whoever_can_and_else_estimated() -> None:
    async def counted(bench: Bench) -> int:
        request = bench.call().request
        assert isinstance(request, ChatRequest)
        return await bench.gateway.count_tokens(request, Who())

    counting = Bench(Prompter(said("Hello")), Counting(said("Hello")))
    assert asyncio.run(counted(counting)) == 42
    assert counting.recorder.records == [], "nothing is called, nothing is booked"
    assert 0 < asyncio.run(counted(Bench(Prompter(said("Hello"))))) < 20
