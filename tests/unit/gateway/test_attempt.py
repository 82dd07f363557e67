"""An attempt has begun when something was said, and ends when nothing is said for too long."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

import pytest

from tests.support.gateway import ROLE, Bench, said
from tests.support.moving import outcome
from tests.support.simulation import SimulatedClock, SimulatedLoop, simulate
from undercroft.errors import UpstreamTimedOut
from undercroft.gateway.attempt import begun
from undercroft.gateway.policy import Policy
from undercroft.llm.reply import Reply
from undercroft.llm.types import ChatRequest, Choice, Chunk, Usage

USAGE = Chunk(usage=Usage(input=1))


class Slow:
    """Waits before it answers, and before each piece."""

    name = "slow"

    def __init__(self, *, before_s: float = 0.0, pieces: Sequence[tuple[float, Chunk]] = ()) -> None:
        self._before_s = before_s
        self._pieces = pieces
        self.asked = 0
        self.running = 0

    async def send(self, request: ChatRequest, /) -> Reply:
        self.asked += 1
        self.running += 1
        try:
            await asyncio.sleep(self._before_s)
        except asyncio.CancelledError:
            self.running -= 1
            raise
        if not request.stream:
            self.running -= 1
            return Reply(whole=Chunk(choices=(Choice(text="done", finish_reason="stop"),)))
        return Reply(self._stream())

    async def _stream(self) -> AsyncGenerator[Chunk, None]:
        try:
            for pause_s, chunk in self._pieces:
                await asyncio.sleep(pause_s)
                yield chunk
        finally:
            self.running -= 1


WORDS = [step for step in said("Hello") if isinstance(step, Chunk)]


async def stream(*chunks: Chunk) -> AsyncGenerator[Chunk, None]:
    for chunk in chunks:
        yield chunk


@pytest.mark.parametrize(
    "chunks", [[], [ROLE], [ROLE, USAGE, *WORDS], WORDS, [USAGE, *WORDS, USAGE]], ids=lambda chunks: str(len(chunks))
)
def test_what_was_held_back_comes_first_and_nothing_is_lost(chunks: list[Chunk]) -> None:
    async def scene() -> list[Chunk]:
        return [chunk async for chunk in await begun(stream(*chunks))]

    assert asyncio.run(scene()) == chunks


def took(provider: Slow, policy: Policy, *, streamed: bool) -> tuple[object, float]:
    """What a call came to, and after how many virtual seconds."""

    async def world(loop: SimulatedLoop) -> tuple[object, float]:
        bench = Bench(provider, policy=policy, clock=SimulatedClock(loop), rng=loop.rng)
        told = await outcome(bench, stream=streamed)
        at_s = loop.time()
        await asyncio.sleep(1)
        assert (provider.running, bench.gauge.active) == (0, 0)
        return told, at_s

    return simulate(1, world).result


@pytest.mark.parametrize("pieces", [[], [(0.0, ROLE)], [(1.0, USAGE)] * 20])
def test_a_stream_without_a_first_word_is_given_up_and_not_asked_again(pieces: list[tuple[float, Chunk]]) -> None:
    provider = Slow(pieces=[*pieces, (100.0, WORDS[0])])
    told, at_s = took(provider, Policy(first_token_s=5.0), streamed=True)
    assert isinstance(told, UpstreamTimedOut)
    assert 5.0 <= at_s <= 5.3
    assert provider.asked == 1


def test_a_whole_answer_has_a_limit_of_its_own() -> None:
    told, at_s = took(Slow(before_s=50.0), Policy(first_token_s=1.0, whole_s=20.0), streamed=False)
    assert isinstance(told, UpstreamTimedOut)
    assert 20.0 <= at_s <= 20.3


def test_a_first_word_in_time_has_all_the_time_after_it() -> None:
    pieces = [(4.0, ROLE), (0.5, WORDS[0]), (60.0, WORDS[1])]
    told, _ = took(Slow(pieces=pieces), Policy(first_token_s=5.0), streamed=True)
    assert told == "Hello"


@pytest.mark.parametrize("pauses", [(1.0, 1.0, 9.0), (1.0, 20.0, 1.0), (20.0, 1.0, 1.0)])
def test_a_call_ends_when_its_models_total_time_is_up(pauses: tuple[float, float, float]) -> None:
    pieces = list(zip(pauses, [WORDS[0], WORDS[0], WORDS[1]], strict=True))
    told, at_s = took(Slow(pieces=pieces), Policy(total_s=10.0), streamed=True)
    assert isinstance(told, UpstreamTimedOut)
    assert told.code == "request_timeout"
    assert 10.0 <= at_s <= 10.2


def test_a_cancelled_caller_is_not_told_of_a_timeout() -> None:
    async def world(loop: SimulatedLoop) -> bool:
        provider = Slow(before_s=100.0)
        bench = Bench(provider, policy=Policy(first_token_s=5.0), clock=SimulatedClock(loop), rng=loop.rng)
        task = asyncio.create_task(outcome(bench))
        await asyncio.sleep(2.0)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled() and provider.running == 0

    assert simulate(1, world).result
