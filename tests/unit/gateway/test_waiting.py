"""Calls that wait for a place: in order, within limits, and without losing a place on the way."""

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

from tests.support.clock import ManualClock
from undercroft.gateway.balance import Balancer, Turn
from undercroft.gateway.breaker import BreakerPolicy
from undercroft.gateway.state import BAD, GOOD, Ask, Nobody, Terms, Verdict
from undercroft.gateway.waiting import Line

ONE = Terms(max_concurrency=1, max_waiting=2, max_wait_s=5.0)


class Scene:
    """A line before a few letters."""

    def __init__(self, *terms: Terms) -> None:
        self.clock = ManualClock()
        names = "abcdef"[: len(terms)]
        self.balancer = Balancer(
            names,
            terms=terms,
            breaker=BreakerPolicy(failures=2, calls=4, rest_s=10.0),
            rng=random.Random(1),
            monotonic=self.clock.monotonic,
        )
        self.line = Line(self.balancer, clock=self.clock)
        self.order: list[str] = []

    async def take(self, ask: Ask = Ask()) -> Turn[str]:  # noqa: B008 - frozen
        turn = await self.line.turn(ask)
        assert isinstance(turn, Turn), turn
        return turn

    async def come(self, name: str, ask: Ask = Ask()) -> "asyncio.Task[Turn[str] | Nobody]":  # noqa: B008 - frozen
        """A call that asks for a place; the order in which places are given is noted."""

        async def wait() -> Turn[str] | Nobody:
            turn = await self.line.turn(ask)
            self.order.append(name if isinstance(turn, Turn) else f"{name}: {turn.why}")
            return turn

        task = asyncio.create_task(wait())
        await settled()
        return task

    async def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        await settled()

    def end(self, turn: Turn[str], verdict: Verdict = GOOD) -> None:
        self.balancer.finished(turn, verdict)
        self.line.hand_out()


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def run(scene: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scene)


def test_places_are_given_in_the_order_of_arrival() -> None:
    async def story() -> None:
        scene = Scene(ONE)
        held = await scene.take()
        first = await scene.come("first")
        await scene.come("second")
        scene.end(held)
        await settled()
        turn = first.result()
        assert isinstance(turn, Turn)
        assert scene.order == ["first"]
        scene.end(turn)
        await settled()
        assert scene.order == ["first", "second"]
        assert scene.line.is_empty

    run(story())


def test_a_newcomer_does_not_overtake() -> None:
    async def story() -> None:
        scene = Scene(ONE)
        held = await scene.take()
        await scene.come("first")
        scene.balancer.finished(held)  # nobody has handed the place out yet
        await scene.come("newcomer")
        assert scene.order == ["first"]

    run(story())


def test_no_more_wait_than_may() -> None:
    async def story() -> None:
        scene = Scene(ONE)
        await scene.take()
        for name in ("first", "second", "third"):
            await scene.come(name)
        assert scene.order == ["third: full"]

    run(story())


def test_a_wait_ends_after_its_time_and_with_the_calls_deadline() -> None:
    async def story() -> None:
        scene = Scene(ONE)
        await scene.take()
        await scene.come("patient")
        await scene.come("in a hurry", Ask(deadline=scene.clock.monotonic() + 2))
        await scene.pass_time(2.0)
        assert scene.order == ["in a hurry: full"]
        await scene.pass_time(3.0)
        assert scene.order == ["in a hurry: full", "patient: full"]

    run(story())


def test_who_is_cancelled_while_waiting_leaves_the_line() -> None:
    async def story() -> None:
        scene = Scene(ONE)
        held = await scene.take()
        gone = await scene.come("gone")
        await scene.come("stays")
        gone.cancel()
        await settled()
        scene.end(held)
        await settled()
        assert scene.order == ["stays"]

    run(story())


def test_who_is_cancelled_as_its_place_comes_passes_it_on() -> None:
    async def story() -> None:
        scene = Scene(ONE)
        held = await scene.take()
        gone = await scene.come("gone")
        await scene.come("next")
        scene.end(held)  # the place is given to `gone`, which has not run yet …
        gone.cancel()  # … and never will
        await settled()
        assert gone.cancelled()
        assert scene.order == ["next"]
        assert scene.balancer.view()[0].active == 1

    run(story())


def test_who_is_cancelled_before_a_place_comes_does_not_get_it() -> None:
    async def story() -> None:
        scene = Scene(ONE)
        held = await scene.take()
        gone = await scene.come("gone")
        await scene.come("next")
        gone.cancel()  # it has not run yet
        scene.end(held)
        await settled()
        assert scene.order == ["next"]
        assert scene.balancer.view()[0].active == 1

    run(story())


def test_a_call_that_fits_elsewhere_is_not_held_up_by_one_that_does_not() -> None:
    async def story() -> None:
        scene = Scene(ONE, ONE)
        a, b = await scene.take(), await scene.take()
        await scene.come("only a", Ask(fits=(a.index,)))
        await scene.come("either")
        assert [scene.line.waiting_for(each.index) for each in (a, b)] == [2, 1]
        scene.end(b)
        await settled()
        assert scene.order == ["either"]

    run(story())


def test_a_pause_that_a_provider_asked_for_is_waited_out() -> None:
    async def story() -> None:
        scene = Scene(Terms())
        scene.end(await scene.take(), Verdict(ok=None, rest_s=7.0, why="rate_limited"))
        await scene.come("one", Ask(deadline=scene.clock.monotonic() + 60))
        await scene.come("two", Ask(deadline=scene.clock.monotonic() + 60))
        await scene.come("hurry", Ask(deadline=scene.clock.monotonic() + 3))
        assert scene.order == ["hurry: resting"]
        await scene.pass_time(6.9)
        assert scene.order == ["hurry: resting"]
        await scene.pass_time(0.1)
        assert scene.order == ["hurry: resting", "one", "two"]

    run(story())


def test_what_its_breaker_holds_back_is_not_waited_for() -> None:
    async def story() -> None:
        scene = Scene(ONE)
        scene.end(await scene.take(), BAD)
        held = await scene.take()
        await scene.come("waits")
        scene.end(held, BAD)
        await settled()
        await scene.come("late")
        assert scene.order == ["waits: open", "late: open"]
        assert scene.line.is_empty

    run(story())


def test_a_rest_that_begins_while_calls_wait_ends_their_wait_too() -> None:
    async def story() -> None:
        scene = Scene(ONE)
        held = await scene.take()
        await scene.come("waits", Ask(deadline=scene.clock.monotonic() + 60))
        scene.end(held, Verdict(ok=None, rest_s=3.0, why="rate_limited"))
        await settled()
        await scene.pass_time(3.0)
        assert scene.order == ["waits"]

    run(story())
