"""A call gets a deployment, keeps its place until the answer has ended, and what it met is remembered."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.clock import ManualClock
from tests.support.gateway import Bench, CountingGauge, Prompter, said
from undercroft.errors import InvalidRequest, NoDeployment, UpstreamError, UpstreamOverloaded, UpstreamUnreachable
from undercroft.gateway.balance import Balancer
from undercroft.gateway.breaker import BreakerPolicy
from undercroft.gateway.call import Call, Deployment, Model
from undercroft.gateway.filters import Offer, Wish
from undercroft.gateway.routing import Routing
from undercroft.gateway.stages.route import Route, has_other
from undercroft.gateway.state import Terms
from undercroft.gateway.waiting import Line
from undercroft.llm.reply import Reply
from undercroft.llm.types import Chunk

WHOLE = Chunk()
KINDS = frozenset({"chat"})


class Scene:
    """The stage alone, before deployments whose answers a test writes."""

    def __init__(self, *terms: Terms, offers: list[Offer] | None = None, waits: bool = True) -> None:
        self.clock = ManualClock()
        self.gauge = CountingGauge()
        self.route = Route(self.gauge, clock=self.clock)
        deployments = tuple(
            Deployment(id=f"chat/{place}", provider="p", upstream_model="u", client=Prompter(said("x")))
            for place in range(len(terms))
        )
        self.balancer = Balancer(
            deployments,
            terms=terms,
            breaker=BreakerPolicy(failures=4, calls=8, rest_s=10.0),
            rng=random.Random(1),
            monotonic=self.clock.monotonic,
        )
        routing = None
        if offers is not None:
            routing = Routing("chat", offers, ids=[each.id for each in deployments], weights=[1] * len(deployments))
        self.model = Model(
            name="chat",
            deployments=deployments,
            balancer=self.balancer,
            routing=routing,
            line=Line(self.balancer, clock=self.clock) if waits else None,
        )
        self.answers: dict[str, Exception | float] = {}
        self.asked: list[str] = []

    def call(self, **more: Any) -> Call:
        call = replace(Bench(Prompter(said("x"))).call(seconds=60.0), **more)
        call.trail.found = self.model
        return call

    async def proceed(self, call: Call) -> Reply:
        deployment = call.trail.deployment
        assert deployment is not None
        self.asked.append(deployment.id)
        answer = self.answers.get(deployment.id)
        if isinstance(answer, Exception):
            raise answer
        if answer is not None:
            self.clock.advance(answer)
        return Reply(whole=WHOLE)

    async def send(self, call: Call | None = None) -> Call:
        """One attempt, its answer not yet ended."""
        call = call or self.call()
        await self.route(call, self.proceed)
        return call

    async def fail(self, call: Call | None = None) -> Call:
        call = call or self.call()
        with pytest.raises(UpstreamError):
            await self.route(call, self.proceed)
        assert call.trail.deployment is not None
        call.trail.failed += (call.trail.deployment,)  # as Retry does
        return call

    @staticmethod
    def end(call: Call, error: BaseException | None = None) -> None:
        for release in call.trail.releases:
            release(error)
        call.trail.releases.clear()

    @property
    def active(self) -> list[int]:
        return [view.active for view in self.balancer.view()]


def story(scene: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        await scene()

    asyncio.run(run())


def test_a_place_is_held_until_the_answer_has_ended() -> None:
    async def told() -> None:
        scene = Scene(Terms(max_concurrency=1), Terms(max_concurrency=1))
        first, second = await scene.send(), await scene.send()
        assert (scene.asked, scene.active, scene.gauge.active) == (["chat/0", "chat/1"], [1, 1], 2)
        scene.end(first)
        scene.end(second, asyncio.CancelledError())
        assert (scene.active, scene.gauge.active) == ([0, 0], 0)

    story(told)


def test_another_attempt_goes_to_another_deployment_while_there_is_one() -> None:
    async def told() -> None:
        scene = Scene(Terms(), Terms(), Terms(priority=1))
        scene.answers = dict.fromkeys(("chat/0", "chat/1", "chat/2"), UpstreamUnreachable("down"))
        call = scene.call()
        for _ in range(4):
            await scene.fail(call)
        assert set(scene.asked[:2]) == {"chat/0", "chat/1"}
        assert scene.asked[2] == "chat/2"
        assert scene.asked[3] in ("chat/0", "chat/1")
        assert call.trail.attempts == 4

    story(told)


def test_it_is_known_whether_another_deployment_could_take_the_call_right_away() -> None:
    async def told() -> None:
        scene = Scene(Terms(), Terms())
        scene.answers = dict.fromkeys(("chat/0", "chat/1"), UpstreamUnreachable("down"))
        call = await scene.fail()
        assert has_other(call)
        await scene.fail(call)
        assert not has_other(call)
        alone = await Scene(Terms()).send()
        alone.trail.failed = alone.trail.found.deployments if alone.trail.found else ()
        assert not has_other(alone)

    story(told)


def test_a_deployment_that_asked_for_a_pause_is_left_alone_while_others_answer() -> None:
    async def told() -> None:
        scene = Scene(Terms(), Terms())
        scene.answers["chat/0"] = UpstreamOverloaded("slow down", retry_after_s=7.0)
        await scene.fail()
        scene.answers.clear()
        for _ in range(3):
            scene.end(await scene.send())
        scene.clock.advance(7.0)
        for _ in range(2):
            scene.end(await scene.send())
        assert scene.asked[:4] == ["chat/0", "chat/1", "chat/1", "chat/1"]
        assert set(scene.asked[4:]) == {"chat/0", "chat/1"}

    story(told)


def test_the_last_deployments_pause_is_waited_out_when_it_fits_the_calls_time() -> None:
    async def told() -> None:
        scene = Scene(Terms())
        scene.answers["chat/0"] = UpstreamOverloaded("slow down", retry_after_s=7.0)
        await scene.fail()
        scene.answers.clear()
        waiting = asyncio.create_task(scene.send())
        for _ in range(5):
            await asyncio.sleep(0)
        assert scene.asked == ["chat/0"]
        scene.clock.advance(7.0)
        await waiting
        assert scene.asked == ["chat/0", "chat/0"]

    story(told)


def test_a_pause_that_does_not_fit_is_told_with_its_length() -> None:
    async def told() -> None:
        scene = Scene(Terms())
        scene.answers["chat/0"] = UpstreamOverloaded("slow down", retry_after_s=90.0)
        await scene.fail()
        with pytest.raises(NoDeployment, match="asked for a pause") as refused:
            await scene.send()
        assert refused.value.retry_after_s == 90.0
        assert scene.asked == ["chat/0"]

    story(told)


def test_a_model_that_keeps_failing_is_refused_at_once_until_a_probe_gets_through() -> None:
    async def told() -> None:
        scene = Scene(Terms())
        scene.answers["chat/0"] = UpstreamUnreachable("down")
        for _ in range(4):
            await scene.fail()
        with pytest.raises(NoDeployment, match="failed too often") as refused:
            await scene.send()
        assert (refused.value.status, refused.value.retry_after_s) == (503, 10.0)
        assert len(scene.asked) == 4
        scene.clock.advance(10.0)
        scene.answers.clear()
        probe = await scene.send()
        with pytest.raises(NoDeployment):
            await scene.send()
        scene.end(probe)
        scene.end(await scene.send())
        assert len(scene.asked) == 6

    story(told)


def test_a_probe_whose_caller_leaves_makes_way_for_the_next() -> None:
    async def told() -> None:
        scene = Scene(Terms())
        scene.answers["chat/0"] = UpstreamUnreachable("down")
        for _ in range(4):
            await scene.fail()
        scene.clock.advance(10.0)
        scene.answers.clear()
        scene.end(await scene.send(), asyncio.CancelledError())
        scene.end(await scene.send())
        assert len(scene.asked) == 6

    story(told)


def test_a_call_waits_for_a_place_and_gets_it_when_an_answer_ends() -> None:
    async def told() -> None:
        scene = Scene(Terms(max_concurrency=1, max_waiting=1, max_wait_s=5.0))
        first = await scene.send()
        waiting = asyncio.create_task(scene.send())
        await asyncio.sleep(0)
        with pytest.raises(NoDeployment, match="all busy"):
            await scene.send()
        scene.end(first)
        await waiting
        assert scene.active == [1]

    story(told)


def test_a_model_without_a_line_refuses_at_once() -> None:
    async def told() -> None:
        scene = Scene(Terms(max_concurrency=1, max_waiting=9, max_wait_s=5.0), waits=False)
        await scene.send()
        with pytest.raises(NoDeployment):
            await scene.send()

    story(told)


def test_only_who_can_take_the_call_is_asked() -> None:
    async def told() -> None:
        offers = [Offer(kinds=KINDS, context_tokens=1), Offer(kinds=KINDS, region="eu")]
        scene = Scene(Terms(), Terms(), offers=offers)
        for _ in range(3):
            await scene.send()
        await scene.send(scene.call(wish=Wish(region="eu")))
        assert scene.asked == ["chat/1"] * 4
        with pytest.raises(InvalidRequest, match="no region 'us': there are eu"):
            await scene.send(scene.call(wish=Wish(region="us")))

    story(told)


def test_a_wish_is_not_ignored_where_no_deployment_says_where_it_is() -> None:
    async def told() -> None:
        scene = Scene(Terms())
        with pytest.raises(InvalidRequest, match="its deployments have no regions"):
            await scene.send(scene.call(wish=Wish(region="eu")))

    story(told)


def test_the_time_to_the_first_piece_is_measured_not_that_to_the_end() -> None:
    async def told() -> None:
        scene = Scene(Terms())
        scene.answers["chat/0"] = 0.25
        call = await scene.send()
        scene.clock.advance(30.0)
        scene.end(call)
        (view,) = scene.balancer.view()
        assert (view.whole_s, view.first_token_s) == (0.25, 0.0)

    story(told)
