"""Active health checks: asked at their interval, told when something changes."""

import asyncio
import random

from tests.support.clock import ManualClock
from undercroft.errors import Unavailable, UpstreamError, UpstreamUnreachable
from undercroft.gateway.checks import FAILURES_BEFORE_OUT, JITTER, Check

DOWN = UpstreamUnreachable("down")


class Patient:
    """Answers as its test says, the last answer again and again."""

    def __init__(self, *answers: Exception | None) -> None:
        self.answers = list(answers)
        self.asked = 0
        self.told: list[UpstreamError | None] = []
        self.clock = ManualClock()
        self.check = Check(self.ask, self.told.append, every_s=10.0, clock=self.clock, rng=random.Random(1))

    async def ask(self) -> None:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is not None:
            raise answer

    def look(self, times: int) -> list[UpstreamError | None]:
        async def story() -> None:
            for _ in range(times):
                await self.check.once()

        asyncio.run(story())
        return self.told


def test_what_does_not_change_is_not_told() -> None:
    assert Patient(None).look(5) == []


def test_failures_in_a_row_are_told_once_and_so_is_the_return() -> None:
    patient = Patient(*[DOWN] * (FAILURES_BEFORE_OUT + 3), None)
    assert patient.look(FAILURES_BEFORE_OUT + 6) == [DOWN, None]


def test_a_single_failure_may_be_chance() -> None:
    assert Patient(DOWN, None, DOWN, None).look(4) == []


def test_trouble_of_our_own_says_nothing() -> None:
    assert Patient(Unavailable("no file descriptors")).look(9) == []
    assert Patient(DOWN, Unavailable("no file descriptors"), DOWN).look(3) == [DOWN]


def test_it_asks_at_its_interval_give_or_take_a_little() -> None:
    patient = Patient(None)

    async def story() -> None:
        task = asyncio.create_task(patient.check.run())
        for _ in range(1000):
            for _ in range(3):
                await asyncio.sleep(0)
            patient.clock.advance(1.0)
        task.cancel()

    asyncio.run(story())
    assert 1000 / 10 / (1 + JITTER) - 15 <= patient.asked <= 1000 / 10 / (1 - JITTER)
