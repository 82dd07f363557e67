"""Identical calls share one upstream call; everybody is booked, and one pays."""

import asyncio

import pytest
from msgspec.structs import replace

from tests.support.gateway import SHORT, Bench
from undercroft.errors import UpstreamRefused
from undercroft.gateway.call import Call, Trail
from undercroft.gateway.filters import Wish
from undercroft.gateway.policy import Policy
from undercroft.gateway.stages.coalesce import key_of
from undercroft.llm.reply import Reply
from undercroft.llm.types import ChatRequest, Choice, Chunk
from undercroft.record import Usage, Who

ANSWER = Chunk(choices=(Choice(text="Hello", finish_reason="stop"),), usage=SHORT, model="upstream-1")


class Gated:
    """A provider that answers when told to."""

    name = "gated"

    def __init__(self, error: Exception | None = None) -> None:
        self.asked = 0
        self.cancelled = 0
        self.may_answer = asyncio.Event()
        self._error = error

    async def send(self, request: ChatRequest, /) -> Reply:
        self.asked += 1
        try:
            await self.may_answer.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self._error is not None:
            raise self._error
        return Reply(whole=ANSWER)


class Scene:
    """Calls begun one after the other against one gated provider."""

    def __init__(self, error: Exception | None = None, policy: Policy | None = None) -> None:
        self.provider = Gated(error)
        self.bench = Bench(self.provider, policy=policy or Policy(coalesce=True))

    def call(self, number: int, said: str = "Hi") -> Call:
        return self.bench.call(stream=False, id=f"req_{number}", said=said)

    async def begin(self, *calls: Call) -> "list[asyncio.Task[str]]":
        tasks = [asyncio.create_task(self._ask(call)) for call in calls]
        await turns()
        return tasks

    async def _ask(self, call: Call) -> str:
        return (await (await self.bench.gateway.send(call)).read()).text()


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_one_upstream_call_answers_all_and_one_of_them_pays() -> None:
    async def story() -> None:
        scene = Scene()
        tasks = await scene.begin(*(scene.call(number) for number in range(5)))
        assert scene.provider.asked == 1
        scene.provider.may_answer.set()
        assert await asyncio.gather(*tasks) == ["Hello"] * 5
        ended = scene.bench.recorder.ended
        assert sorted(record.id for record in ended) == [f"req_{number}" for number in range(5)]
        assert sorted((record.cache, record.cost_nano, record.usage.total) for record in ended) == [
            ("", 5, 5),
            *[("coalesced", 0, 0)] * 4,
        ]
        assert {record.deployment for record in ended} == {"chat/0"}
        assert scene.bench.gauge.active == 0

    asyncio.run(story())


def test_a_failure_is_everybodys() -> None:
    async def story() -> None:
        scene = Scene(UpstreamRefused("no such voice", upstream_status=400))
        tasks = await scene.begin(*(scene.call(number) for number in range(3)))
        scene.provider.may_answer.set()
        told = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(error) for error in told] == [UpstreamRefused] * 3
        assert [record.status for record in scene.bench.recorder.ended] == [400] * 3
        assert scene.provider.asked == 1

    asyncio.run(story())


@pytest.mark.parametrize("leaves", [0, 1, 2])
def test_whoever_leaves_the_others_are_answered_and_one_of_them_pays(leaves: int) -> None:
    async def story() -> None:
        scene = Scene()
        tasks = await scene.begin(*(scene.call(number) for number in range(3)))
        tasks[leaves].cancel()
        await turns()
        assert not scene.provider.cancelled
        scene.provider.may_answer.set()
        told = await asyncio.gather(*tasks, return_exceptions=True)
        assert [answer for answer in told if isinstance(answer, str)] == ["Hello"] * 2
        costs = sorted(record.cost_nano for record in scene.bench.recorder.ended)
        assert costs == [0, 0, 5]
        assert scene.bench.gauge.active == 0

    asyncio.run(story())


def test_when_all_have_left_the_upstream_is_stopped_and_the_next_caller_begins_anew() -> None:
    async def story() -> None:
        scene = Scene()
        tasks = await scene.begin(scene.call(1), scene.call(2))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        (late,) = await scene.begin(scene.call(3))
        assert (scene.provider.asked, scene.provider.cancelled) == (2, 1)
        scene.provider.may_answer.set()
        assert await late == "Hello"
        assert scene.bench.gauge.active == 0

    asyncio.run(story())


def test_only_equal_calls_of_one_key_meet() -> None:
    async def story() -> None:
        scene = Scene()
        plain = scene.call(1)
        await scene.begin(
            plain,
            scene.call(2, said="Something else"),
            replace(plain, id="req_3", who=Who(key="k1")),
            replace(plain, id="req_4", who=Who(organisation="o2")),
            replace(plain, id="req_5", endpoint="/api/generate"),
        )
        assert scene.provider.asked == 5

    asyncio.run(story())


def test_callers_who_want_their_answer_from_different_places_do_not_meet() -> None:
    plain = Scene().call(1)
    assert key_of(plain) == key_of(replace(plain, id="req_2"))
    assert key_of(plain) != key_of(replace(plain, wish=Wish(region="eu")))


def test_callers_for_whom_answers_of_different_lengths_are_held_do_not_meet() -> None:
    plain = Scene().call(1)
    assert key_of(plain) != key_of(replace(plain, trail=Trail(most_output=50)))


def test_a_model_that_has_not_switched_it_on_shares_nothing() -> None:
    async def story() -> None:
        scene = Scene(policy=Policy())
        await scene.begin(scene.call(1), scene.call(2))
        assert scene.provider.asked == 2

    asyncio.run(story())


def test_nothing_used_is_counted_twice() -> None:
    async def story() -> None:
        scene = Scene()
        tasks = await scene.begin(*(scene.call(number) for number in range(4)))
        scene.provider.may_answer.set()
        await asyncio.gather(*tasks)
        total = sum(record.usage.total for record in scene.bench.recorder.ended)
        assert total == SHORT.total == Usage(input=3, output=2).total

    asyncio.run(story())
