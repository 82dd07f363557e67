"""Calls that wait until an endpoint can take them: first come, first served."""

import asyncio
import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from undercroft.clock import Clock
from undercroft.gateway.balance import Balancer, Turn
from undercroft.gateway.state import SILENT, Ask, Nobody

Item = TypeVar("Item", bound=Hashable)


@dataclass(slots=True, eq=False)
class _Waiter(Generic[Item]):
    ask: Ask
    limit: float
    """When it gives up."""
    nobody: Nobody
    """What it was last told."""
    told: "asyncio.Future[Turn[Item] | Nobody]"


class Line(Generic[Item]):
    """Those who wait for one balancer's items, on one event loop. Whoever gives a place back calls `hand_out`.

    A freed place goes to the longest waiting call that it fits, before anybody who comes later can take it.
    """

    def __init__(self, balancer: Balancer[Item], *, clock: Clock) -> None:
        self._balancer = balancer
        self._clock = clock
        self._waiters: list[_Waiter[Item]] = []
        self._alarm: asyncio.Task[None] | None = None
        self._alarm_at = math.inf

    @property
    def is_empty(self) -> bool:
        return not self._waiters

    def waiting_for(self, index: int) -> int:
        """How many calls might go to this item."""
        return sum(1 for each in self._waiters if each.ask.fits is None or index in each.ask.fits)

    async def turn(self, ask: Ask) -> Turn[Item] | Nobody:
        """A turn, at once or within the time that the call and the items allow; else why there was none."""
        if self._waiters:
            self.hand_out()
        found = self._balancer.take(ask)
        if isinstance(found, Turn):
            return found
        limit = give_up_at(found, ask, now=self._clock.monotonic())
        if limit is None or (found.why == "full" and self._waiting_for_places() >= found.may_wait):
            return found
        waiter = _Waiter(ask, limit, found, asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        self._set_alarm()
        try:
            return await waiter.told
        except BaseException:
            if waiter.told.done() and not waiter.told.cancelled():
                given = waiter.told.result()  # it came together with the end of the call
                if isinstance(given, Turn):
                    self.give_back(given)
            raise
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            self._set_alarm()

    def give_back(self, turn: Turn[Item]) -> None:
        """Returns a place that was not used."""
        self._balancer.finished(turn, SILENT)
        self.hand_out()

    def hand_out(self) -> None:
        """Gives what places there are to those who wait, and sends away those who wait in vain."""
        now = self._clock.monotonic()
        known: dict[object, Nobody] = {}
        for waiter in tuple(self._waiters):
            if waiter.told.done():  # its call is being cancelled
                continue
            same = (waiter.ask.fits, waiter.ask.tried)
            found = known.get(same) or self._balancer.take(waiter.ask)
            if isinstance(found, Nobody):
                known[same] = waiter.nobody = found
                if found.why != "open" and now < waiter.limit:
                    continue
            self._waiters.remove(waiter)
            waiter.told.set_result(found)
        self._set_alarm()

    def _waiting_for_places(self) -> int:
        return sum(1 for each in self._waiters if each.nobody.why == "full")

    def _set_alarm(self) -> None:
        """One timer for all: for the first that gives up, or that time alone may help."""
        first = min((min(each.limit, each.nobody.again_at) for each in self._waiters), default=math.inf)
        if first == self._alarm_at:
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = first
        self._alarm = None if first == math.inf else asyncio.get_running_loop().create_task(self._ring(first))

    async def _ring(self, moment: float) -> None:
        await self._clock.sleep(max(0.0, moment - self._clock.monotonic()))
        self._alarm, self._alarm_at = None, math.inf
        self.hand_out()


def give_up_at(nobody: Nobody, ask: Ask, *, now: float) -> float | None:
    """Until when a call waits; None: not at all."""
    if nobody.why == "open":
        return None
    if nobody.why == "full":
        return min(ask.deadline, now + nobody.wait_s)
    return ask.deadline if nobody.again_at < ask.deadline else None
