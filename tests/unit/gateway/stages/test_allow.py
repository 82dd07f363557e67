"""Limits at the gateway: who may go on, what a call holds, and what it is told."""

import asyncio
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from tests.support.clock import ManualClock
from tests.support.gateway import Bench, FlatRates, Prompter, said
from tests.support.memory_slices import MemorySlices
from undercroft.errors import BudgetSpent, NotAllowed, RateLimited, UpstreamUnreachable
from undercroft.gateway.call import Call, Deployment, Trail
from undercroft.gateway.gateway import Booking, Checks, Gateway, Watching
from undercroft.gateway.most import likely_input, may_cost_more, most_input, most_output
from undercroft.gateway.policy import USUAL, Policy
from undercroft.gateway.stages.allow import Allow, UnknownPrice, headers_of
from undercroft.ledger.allowances import Allowances
from undercroft.ledger.limit_book import LimitBook
from undercroft.ledger.limits import NEVER_US, Limit, Measure
from undercroft.ledger.prices import Price
from undercroft.llm.reply import Reply
from undercroft.llm.types import (
    ChatRequest,
    Choice,
    Chunk,
    CompletionRequest,
    EmbeddingsRequest,
    Message,
    Sampling,
    Source,
)
from undercroft.providers.scripted import Scripted
from undercroft.record import Usage, Who

KEY = Who(key="k1")
CUT = UpstreamUnreachable("cut")


class NoPrice:
    """Nobody knows what anything costs."""

    def cost(self, deployment: Deployment, usage: Usage, /, *, at_us: int, is_batch: bool = False) -> tuple[int, str]:
        return 0, ""

    def fixed(self, deployment: Deployment, /) -> Price | None:
        return None

    def most(
        self, deployment: Deployment, read: int, written: int, /, *, is_dear: bool, at_us: int, is_batch: bool = False
    ) -> int | None:
        return None


class Limited(Bench):
    """A gateway whose callers are limited."""

    def __init__(
        self,
        *limits: Limit,
        may_call: Sequence[str] = ("chat",),
        rates: FlatRates | NoPrice | None = None,
        unknown_price: UnknownPrice = "allow",
        script: str = "one two three",
        policy: Policy = USUAL,
        provider: object | None = None,
    ) -> None:
        super().__init__(provider or Scripted(script, clock=ManualClock()), policy=policy)
        self.store = MemorySlices()
        book = LimitBook()
        book.follow(limits)
        self.allowances = Allowances(self.store, owner="me", clock=self.clock, spent_by=_nobody_died)
        catalogue = self.gateway.catalogue
        allow = Allow(
            book,
            self.allowances,
            catalogue=catalogue,
            rates=rates or FlatRates(),
            may_call=lambda _, model: model in may_call,
            usual_output=50,
            unknown_price=unknown_price,
        )
        self.gateway = Gateway(
            catalogue,
            booking=Booking(self.recorder, FlatRates()),
            watching=Watching(self.gauge),
            clock=self.clock,
            rng=self.rng,
            checks=Checks(allow=allow),
        )

    async def send(self, call: Call | None = None, *, who: Who = KEY) -> Call:
        call = replace(call or self.call(stream=False), who=who)
        reply = await self.gateway.send(call)
        async for _ in reply.chunks:
            pass
        return call

    async def spent(self, measure: str) -> int:
        await self.allowances.close()
        return sum(amount for name, amount in self.store.settled.items() if name.startswith(measure))


async def _nobody_died(_: object) -> int | None:
    return None


def limit(**changes: object) -> Limit:
    return replace(Limit(scope="key", measure="requests", amount=2, period="minute"), **changes)


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_uses_up_what_its_usage_says_and_not_what_was_held(stream: bool) -> None:
    async def scenario() -> None:
        bench = Limited(limit(measure="tokens", amount=10_000), limit(measure="spend", amount=10_000))
        call = await bench.send(bench.call(stream=stream))
        (record,) = bench.recorder.ended
        assert await bench.spent("tokens") == record.usage.total > 0
        assert bench.store.settled[limit(measure="spend").window(KEY, call.started_us).name] == record.cost_nano

    asyncio.run(scenario())


def test_a_stream_that_its_caller_leaves_is_settled() -> None:
    async def scenario() -> None:
        bench = Limited(limit(measure="concurrent", amount=1, period="total"), limit(measure="spend", amount=9_999))
        call = replace(bench.call(stream=True), who=KEY)
        reply = await bench.gateway.send(call)
        await anext(reply.chunks)
        with pytest.raises(RateLimited):
            await bench.send()
        await reply.chunks.aclose()
        assert await bench.spent("spend") == bench.recorder.ended[-1].cost_nano

    asyncio.run(scenario())


def test_who_is_refused_is_booked_and_nothing_is_asked_of_a_provider() -> None:
    async def scenario() -> None:
        bench = Limited(limit())
        await bench.send()
        await bench.send()
        with pytest.raises(RateLimited):
            await bench.send()
        assert [(record.status, record.attempts) for record in bench.recorder.ended] == [(200, 1), (200, 1), (429, 0)]
        await bench.send(who=Who(key="k2"))

    asyncio.run(scenario())


def test_no_call_begins_that_could_go_over_its_budget() -> None:
    async def scenario() -> None:
        bench = Limited(limit(measure="spend", amount=120))
        call = bench.call(stream=False)
        wide = replace(call, request=replace(call.request, sampling=Sampling(max_tokens=200)))
        with pytest.raises(BudgetSpent):
            await bench.send(wide)
        await bench.send(replace(call, request=replace(call.request, sampling=Sampling(max_tokens=20))))

    asyncio.run(scenario())


def test_a_model_without_a_price_is_refused_to_who_has_a_budget_where_that_is_wanted() -> None:
    async def scenario() -> None:
        budget = limit(measure="spend", amount=10)
        with pytest.raises(NotAllowed, match="price of 'chat' is not known"):
            await Limited(budget, rates=NoPrice(), unknown_price="deny").send()
        await Limited(budget, rates=NoPrice(), unknown_price="allow").send()
        await Limited(limit(), rates=NoPrice(), unknown_price="deny").send()

    asyncio.run(scenario())


def test_a_key_calls_the_models_it_may_call() -> None:
    async def scenario() -> None:
        bench = Limited(may_call=())
        with pytest.raises(NotAllowed, match="may not call the model 'chat'"):
            await bench.send()
        await bench.send(who=Who())

    asyncio.run(scenario())


def test_the_answer_says_what_is_left_of_the_tightest_limit() -> None:
    async def scenario() -> None:
        bench = Limited(limit(amount=9), limit(amount=4, period="hour"))
        call = await bench.send()
        assert dict(call.trail.own_limits) == {
            b"x-ratelimit-limit-requests": b"4",
            b"x-ratelimit-remaining-requests": b"3",
            b"x-ratelimit-reset-requests": b"3600s",
        }

    asyncio.run(scenario())


def test_who_is_refused_is_told_what_is_left_too() -> None:
    async def scenario() -> None:
        bench = Limited(limit(amount=1), limit(measure="tokens", amount=1000))
        await bench.send()
        call = bench.call(stream=False)
        with pytest.raises(RateLimited):
            await bench.send(call)
        told = dict(call.trail.own_limits)
        assert told[b"x-ratelimit-remaining-requests"] == b"0"
        assert told[b"x-ratelimit-reset-requests"] == b"60s"
        assert 0 < int(told[b"x-ratelimit-remaining-tokens"]) < 1000

    asyncio.run(scenario())


def test_a_limit_that_never_renews_has_no_reset() -> None:
    told = dict(headers_of([(limit(period="total"), 1, NEVER_US)], now_us=ManualClock().now_us()))
    assert b"x-ratelimit-reset-requests" not in told


def test_the_most_that_may_be_written_counts_every_choice_and_prompt() -> None:
    chat = ChatRequest(model="m", messages=(), sampling=Sampling(max_tokens=10, n=3))
    assert most_output(chat, usual=50) == 30
    assert most_output(CompletionRequest(model="m", prompts=("a", "b")), usual=50) == 100
    assert most_output(CompletionRequest(model="m", prompts=("a", "b"), best_of=3), usual=50) == 300
    assert most_output(EmbeddingsRequest(model="m", inputs=("a",)), usual=50) == 0


def test_the_most_that_may_be_read_is_no_less_than_the_requests_bytes_and_an_image_has_room() -> None:
    body = '{"messages":[{"role":"user","content":"日本語"}]}'.encode()
    request = ChatRequest(
        model="m", messages=(Message(role="user", content="日本語"),), source=Source("openai.chat", body)
    )
    assert most_input(request, likely=likely_input(request)) >= len("日本語".encode())
    assert most_input(request, likely=likely_input(request)) >= len(body)


def test_audio_and_an_hour_in_the_cache_are_held_for_at_their_own_price() -> None:
    assert may_cost_more(b'{"cache_control": {"type": "ephemeral", "ttl": "1h"}}')
    assert may_cost_more(b'{"type": "input_audio"}')
    assert not may_cost_more(b'{"cache_control": {"type": "ephemeral", "ttl": "5m"}, "content": "for 1h"}')


def test_a_stream_that_outgrows_what_was_held_for_it_holds_more() -> None:
    async def scenario() -> None:
        bench = Limited(limit(measure="tokens", amount=10_000), script="words " * 400)
        await bench.send(bench.call(stream=True))
        (record,) = bench.recorder.ended
        assert (record.status, record.usage.output) == (200, 401)
        assert await bench.spent("tokens") == record.usage.total

    asyncio.run(scenario())


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_is_no_longer_than_what_is_held_of_a_budget_for_it(*, stream: bool) -> None:
    async def scenario() -> None:
        bench = Limited(limit(measure="spend", amount=10_000), script="words " * 400)
        call = bench.call(stream=stream)
        await bench.send(call)
        assert isinstance(call.request, ChatRequest)
        await bench.send(replace(call, request=replace(call.request, sampling=Sampling(n=2)), trail=Trail()))
        records = bench.recorder.ended
        assert [record.usage.output for record in records] == [50, 100]
        assert all(record.cost_nano <= record.held_nano for record in records)

    asyncio.run(scenario())


def test_callers_who_share_an_answer_get_none_that_is_longer_than_what_is_held_for_it() -> None:
    async def scenario() -> None:
        bench = Limited(limit(measure="spend", amount=10_000), script="words " * 400, policy=Policy(coalesce=True))
        await bench.send()
        (record,) = bench.recorder.ended
        assert record.usage.output == 50
        assert record.cost_nano <= record.held_nano

    asyncio.run(scenario())


class Completer:
    """A server that writes on until it is told to end."""

    name = "completer"

    def __init__(self) -> None:
        self.ends: list[int | None] = []

    async def complete(self, request: CompletionRequest, /) -> Reply:
        self.ends.append(request.sampling.max_tokens)
        usage = Usage(input=2, output=(request.sampling.max_tokens or 400) * (request.best_of or 1) * 2)
        choices = tuple(Choice(index=index, text="x", finish_reason="length") for index in range(2))
        return Reply(whole=Chunk(choices=choices, usage=usage))


@pytest.mark.parametrize(("measure", "end"), [("spend", 16), ("tokens", None)])
def test_a_completion_under_a_budget_ends_where_openai_says_it_does(measure: Measure, end: int | None) -> None:
    async def scenario() -> None:
        provider = Completer()
        bench = Limited(limit(measure=measure, amount=10_000), provider=provider)
        asked = CompletionRequest(model="chat", prompts=("a", "b"))
        await bench.send(replace(bench.call(stream=False), request=asked))
        await bench.send(replace(bench.call(stream=False), request=replace(asked, best_of=3), trail=Trail()))
        assert provider.ends == [end, end]
        assert measure == "tokens" or all(each.cost_nano <= each.held_nano < 130 for each in bench.recorder.ended)

    asyncio.run(scenario())


def test_an_answer_that_is_cut_again_and_again_costs_no_more_than_is_held_for_it() -> None:
    async def scenario() -> None:
        piece = said("x" * 4 * 12)[:-1]
        provider = Prompter([*piece, CUT], [*piece, CUT], [*piece, CUT], [*piece, CUT])
        bench = Limited(limit(measure="spend", amount=10_000), provider=provider, policy=Policy(on_cut="continue"))
        with pytest.raises(UpstreamUnreachable):
            await bench.send(bench.call(stream=True))
        assert [each.sampling.max_tokens for each in provider.asked] == [50, 38, 26, 14]
        (record,) = bench.recorder.ended
        assert (record.attempts, record.usage.output) == (4, 48)
        assert record.cost_nano <= record.held_nano

    asyncio.run(scenario())


def test_who_has_no_budget_gets_the_whole_of_it() -> None:
    async def scenario() -> None:
        bench = Limited(limit(measure="tokens", amount=10_000), script="words " * 400)
        await bench.send(bench.call(stream=False))
        (record,) = bench.recorder.ended
        assert record.usage.output == 401

    asyncio.run(scenario())


def test_a_stream_that_outgrows_its_limit_is_cut_and_booked_and_holds_nothing_any_more() -> None:
    async def scenario() -> None:
        bench = Limited(limit(measure="tokens", amount=150), script="words " * 400)
        with pytest.raises(RateLimited):
            await bench.send(bench.call(stream=True))
        (record,) = bench.recorder.ended
        assert record.status == 429
        assert 0 < record.usage.output < 150
        assert bench.gauge.active == 0
        assert await bench.spent("tokens") == record.usage.total <= 150

    asyncio.run(scenario())


def test_a_stream_that_keeps_to_its_max_tokens_asks_for_no_more() -> None:
    async def scenario() -> None:
        bench = Limited(limit(measure="spend", amount=10_000), script="words " * 400)
        call = bench.call(stream=True)
        assert isinstance(call.request, ChatRequest)
        short = replace(call.request, sampling=Sampling(max_tokens=20))
        await bench.send(replace(call, request=short))
        (record,) = bench.recorder.ended
        assert record.usage.output == 20
        assert record.held_nano < 50

    asyncio.run(scenario())
