"""What is asked twice is answered once, for its own organisation, and only when it was whole."""

import asyncio
from collections.abc import Sequence

import msgspec
import pytest
from msgspec.structs import replace

from tests.support.clock import ManualClock
from tests.support.gateway import SHORT, Bench, FlatRates, Prompter, Step, said
from undercroft.cache.control import Control, control_of
from undercroft.cache.entry import Entry
from undercroft.cache.key import Keys
from undercroft.cache.similar import Similar
from undercroft.cache.store import CacheStore
from undercroft.cache.stores.memory import MemoryCache
from undercroft.errors import Unavailable, UpstreamGarbled, UpstreamTimedOut
from undercroft.gateway.call import Call
from undercroft.gateway.policy import Policy
from undercroft.gateway.stages.cache import Cache
from undercroft.llm.types import ChatRequest, Choice, Chunk, Tool
from undercroft.record import CallRecord

ANSWER: list[Step] = [Chunk(choices=(Choice(text="Hello", finish_reason="stop"),), usage=SHORT, model="upstream-1")]


class Away:
    """A store that nobody can reach."""

    async def get(self, organisation: str, id: str, /) -> Entry | None:
        raise Unavailable("The store is away.")

    async def put(self, organisation: str, id: str, entry: Entry, /) -> None:
        raise Unavailable("The store is away.")

    async def remove(self, organisation: str, id: str, /) -> bool:
        raise Unavailable("The store is away.")

    async def close(self) -> None:
        """Nothing was opened."""


async def alike(texts: Sequence[str]) -> list[list[float]]:
    return [[1.0] for _ in texts]


class Scene:
    """A gateway with a cache, in front of a provider that plays scripts."""

    def __init__(
        self,
        *scripts: list[Step],
        policy: Policy | None = None,
        store: CacheStore | None = None,
        others: dict[str, object] | None = None,
        semantic: bool = False,
        room: int = 10_000,
    ) -> None:
        self.provider = Prompter(*scripts)
        clock = self.clock = ManualClock()
        self.store = store or MemoryCache(max_entries=100, max_bytes=10**6, clock=clock)
        cache = Cache(
            self.store,
            keys=Keys(b"secret"),
            rates=FlatRates(),
            ttl_us=60_000_000,
            max_entry_bytes=room,
            clock=clock,
            similar=Similar(alike, threshold=0.9, max_questions=9, clock=clock) if semantic else None,
        )
        self.bench = Bench(self.provider, policy=policy or Policy(cache=True), others=others, clock=clock, cache=cache)
        self.number = 0

    def call(self, said: str = "Hi you", *, stream: bool = False, control: str = "", tenant: str = "default") -> Call:
        self.number += 1
        call = self.bench.call(id=f"req_{self.number}", said=said, stream=stream)
        return replace(call, cache=control_of(control) if control else None, who=replace(call.who, organisation=tenant))

    async def ask(
        self, said: str = "Hi you", *, stream: bool = False, control: str = "", tenant: str = "default"
    ) -> CallRecord:
        return await self.send(self.call(said, stream=stream, control=control, tenant=tenant))

    async def send(self, call: Call) -> CallRecord:
        """Reads the answer to its end; how the call was booked."""
        reply = await self.bench.gateway.send(call)
        self.pieces = [chunk async for chunk in reply.chunks]
        return self.bench.recorder.ended[-1]

    @property
    def text(self) -> str:
        return "".join(chunk.text() for chunk in self.pieces)

    @property
    def asked(self) -> int:
        """How often the provider was."""
        return len(self.provider.asked)


def test_the_second_call_is_a_hit_that_costs_nothing_and_says_what_it_saved() -> None:
    async def story() -> None:
        scene = Scene(ANSWER)
        first = await scene.ask()
        assert (first.cache, first.cost_nano, first.saved_nano, first.attempts) == ("miss", 5, 0, 1)
        call = scene.call()
        second = await scene.send(call)
        assert (second.cache, second.cost_nano, second.saved_nano, second.attempts) == ("hit", 0, 5, 0)
        assert (second.usage.total, second.status, second.upstream_model) == (0, 200, "upstream-1")
        assert scene.text == "Hello"
        assert scene.asked == 1
        assert await scene.store.get("default", call.trail.cache_id) is not None

    asyncio.run(story())


def test_a_stream_is_replayed_as_the_stream_it_was() -> None:
    async def story() -> None:
        scene = Scene(said("One ", "two ", "three"))
        await scene.ask(stream=True)
        first = scene.pieces
        record = await scene.ask(stream=True)
        assert scene.pieces == first
        assert len(first) == 4
        assert (record.cache, record.streamed, scene.asked) == ("hit", True, 1)

    asyncio.run(story())


def test_no_tenant_gets_anothers_answer() -> None:
    async def story() -> None:
        scene = Scene(ANSWER)
        await scene.ask(tenant="one")
        assert (await scene.ask(tenant="two")).cache == "miss"
        assert scene.asked == 2

    asyncio.run(story())


@pytest.mark.parametrize(
    "broken",
    [
        [*said("One ", "two")[:2], UpstreamGarbled("cut")],
        said("One ", "two")[:2],
        [Chunk(choices=(Choice(text="x", finish_reason="content_filter"),))],
        [UpstreamTimedOut("no answer")],
    ],
    ids=["an error after two words", "no end", "a filter", "nothing"],
)
@pytest.mark.parametrize("stream", [False, True])
def test_only_complete_answers_are_kept(broken: list[Step], stream: bool) -> None:
    async def story() -> None:
        scene = Scene(broken, policy=Policy(cache=True, tries=1))
        for _ in range(2):
            try:
                record = await scene.ask(stream=stream)
            except (UpstreamGarbled, UpstreamTimedOut):
                record = scene.bench.recorder.ended[-1]
            assert record.cache == "miss"
        assert scene.asked == 2

    asyncio.run(story())


@pytest.mark.parametrize("words", range(1, 5))
def test_a_caller_who_leaves_after_any_word_leaves_nothing_behind(words: int) -> None:
    async def story() -> None:
        scene = Scene(said("One ", "two ", "three"))
        reply = await scene.bench.gateway.send(scene.call(stream=True))
        for _ in range(words):
            await anext(reply.chunks)
        await reply.chunks.aclose()
        assert scene.provider.closed == 1
        assert (await scene.ask(stream=True)).cache == "miss"

    asyncio.run(story())


def test_an_answer_of_a_fallback_is_not_taken_for_the_models_own() -> None:
    async def story() -> None:
        spare = Prompter(ANSWER)
        policy = Policy(cache=True, tries=1, fallbacks=("spare",))
        scene = Scene([UpstreamTimedOut("away")], ANSWER, policy=policy, others={"spare": spare})
        assert (await scene.ask()).steps[0].error == "upstream_timeout"
        assert len(spare.asked) == 1
        assert (await scene.ask()).cache == "miss"
        assert (await scene.ask()).cache == "hit"
        assert scene.asked == 2

    asyncio.run(story())


def test_callers_who_miss_at_the_same_time_share_one_upstream_call() -> None:
    async def story() -> None:
        scene = Scene(ANSWER)
        replies = await asyncio.gather(*(scene.bench.gateway.send(scene.call()) for _ in range(5)))
        assert {(await reply.read()).text() for reply in replies} == {"Hello"}
        assert scene.asked == 1
        assert sorted(record.cache for record in scene.bench.recorder.ended) == ["coalesced"] * 4 + ["miss"]
        assert (await scene.ask()).cache == "hit"

    asyncio.run(story())


def test_a_call_takes_part_when_it_asks_to_and_not_otherwise() -> None:
    async def story() -> None:
        scene = Scene(ANSWER, policy=Policy(cache=False))
        assert [(await scene.ask()).cache for _ in range(2)] == ["", ""]
        assert [(await scene.ask(control="use")).cache for _ in range(2)] == ["miss", "hit"]
        assert (await scene.ask()).cache == ""

    asyncio.run(story())


def test_the_directives_do_what_they_say() -> None:
    async def story() -> None:
        scene = Scene(ANSWER)
        assert (await scene.ask(control="no-store")).cache == "miss"
        assert (await scene.ask(control="ttl=10")).cache == "miss"
        assert (await scene.ask(control="no-cache")).cache == "miss"
        assert (await scene.ask()).cache == "hit"
        scene.clock.advance(20)
        assert (await scene.ask(control="max-age=10")).cache == "miss"
        scene.clock.advance(61)
        assert (await scene.ask(control="ttl=10")).cache == "miss"
        scene.clock.advance(11)
        assert (await scene.ask()).cache == "miss"

    asyncio.run(story())


def test_an_answer_that_is_too_long_is_not_kept() -> None:
    async def story() -> None:
        for stream in (False, True):
            scene = Scene(said("One ", "two ", "three"), room=100)
            assert [(await scene.ask(stream=stream)).cache for _ in range(2)] == ["miss", "miss"]
            assert scene.text == "One two three"

    asyncio.run(story())


def test_a_store_that_is_away_is_a_miss() -> None:
    async def story() -> None:
        for stream in (False, True):
            scene = Scene(ANSWER, store=Away(), semantic=True)
            assert [(await scene.ask(stream=stream)).cache for _ in range(2)] == ["miss", "miss"]
            assert scene.text == "Hello"

    asyncio.run(story())


def test_what_a_providers_own_tool_does_is_never_repeated() -> None:
    async def story() -> None:
        scene = Scene(ANSWER)
        for _ in range(2):
            call = scene.call()
            assert isinstance(call.request, ChatRequest)
            searching = msgspec.structs.replace(call.request, tools=(Tool(name="web_search", type="hosted"),))
            assert (await scene.send(replace(call, request=searching))).cache == ""
        assert scene.asked == 2

    asyncio.run(story())


def test_the_same_question_in_other_words_is_answered_unless_the_caller_wants_the_exact_one() -> None:
    async def story() -> None:
        scene = Scene(ANSWER, semantic=True)
        await scene.ask("What is the capital of France?")
        record = await scene.ask("Please tell me the capital of France")
        assert (record.cache, record.cost_nano, record.saved_nano) == ("semantic", 0, 5)
        assert (await scene.ask("Tell me the capital of France", control="exact")).cache == "miss"
        assert (await scene.ask("What is the capital of Finland?")).cache == "miss"
        assert (await scene.ask("Please tell me the capital of France", tenant="other")).cache == "miss"

    asyncio.run(story())


def test_a_removed_answer_is_not_found_by_other_words_either() -> None:
    async def story() -> None:
        scene = Scene(ANSWER, semantic=True)
        first = scene.call("What is the capital of France?")
        await scene.send(first)
        assert await scene.store.remove("default", first.trail.cache_id)
        assert (await scene.ask("Tell me the capital of France")).cache == "miss"
        assert scene.asked == 2

    asyncio.run(story())


def test_no_control_is_the_usual_one() -> None:
    assert Control() == control_of("")
