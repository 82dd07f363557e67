"""What is sent to a broker, and what is not."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import pytest

from tests.support.clock import ManualClock
from undercroft.errors import Unavailable
from undercroft.jobs.queues.celery import DEEPEST, IDS_A_MESSAGE, MOST_WAITING, Address, Celery
from undercroft.jobs.queues.pace import PACE_S


@dataclass(frozen=True)
class Ref:
    id: str
    organisation: str = "default"
    queue: str = "default"


class KeptBroker:
    """Remembers what it was sent."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, list[Address]]] = []
        self.is_away = False
        self.is_empty = False
        self.waiting = 0
        self.says_depth = False
        self.calls = 0

    def send(self, queue: str, jobs: Sequence[Address], /) -> int | None:
        self._reach()
        self.messages.append((queue, list(jobs)))
        return self.waiting if self.says_depth else None

    def depth(self, queue: str, /) -> int:
        self._reach()
        return self.waiting

    def knows_us(self) -> bool:
        self._reach()
        was_empty, self.is_empty = self.is_empty, False
        return not was_empty

    def _reach(self) -> None:
        self.calls += 1
        if self.is_away:
            raise Unavailable("The broker cannot be reached.")

    @property
    def ids(self) -> list[str]:
        return [named for _, jobs in self.messages for _, named in jobs]


@asynccontextmanager
async def running(queue: Celery) -> AsyncIterator[None]:
    task = asyncio.create_task(queue.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        queue.close()


def refs(count: int, *, queue: str = "default") -> list[Ref]:
    return [Ref(f"{queue}-{number}", queue=queue) for number in range(count)]


async def until(reached: Callable[[], bool]) -> None:
    """The broker is spoken to in a thread."""
    async with asyncio.timeout(30):
        while not reached():  # noqa: ASYNC110 - a thread sets no event of a loop's
            await asyncio.sleep(0.001)


async def settled(broker: KeptBroker, count: int) -> None:
    await until(lambda: len(broker.ids) >= count)


def test_a_job_alone_travels_alone() -> None:
    async def main() -> None:
        broker = KeptBroker()
        clock = ManualClock()
        queue = Celery(broker, wake=None, clock=clock)
        async with running(queue):
            await queue.deliver([Ref("job_1")])
            await settled(broker, 1)
            clock.advance(PACE_S)
            await queue.deliver([Ref("job_2")])
            await settled(broker, 2)
        assert broker.messages == [("default", [("default", "job_1")]), ("default", [("default", "job_2")])]

    asyncio.run(main())


def test_jobs_that_come_one_upon_the_other_share_a_message_and_a_full_one_waits_for_nobody() -> None:
    async def main() -> None:
        broker = KeptBroker()
        clock = ManualClock()
        queue = Celery(broker, wake=None, clock=clock)
        async with running(queue):
            await queue.deliver(refs(IDS_A_MESSAGE))
            await settled(broker, IDS_A_MESSAGE)
            for number in (2, 3):
                await queue.deliver([Ref(f"job_{number}")])
                await until(lambda: clock.is_awaited)
            assert len(broker.messages) == 1
            clock.advance(PACE_S)
            await settled(broker, IDS_A_MESSAGE + 2)
            await queue.deliver([Ref("job_4")])
            await until(lambda: clock.is_awaited)
            await queue.deliver(refs(IDS_A_MESSAGE - 1))  # and the one that waited
            await settled(broker, 2 * IDS_A_MESSAGE + 2)
        assert [len(jobs) for _, jobs in broker.messages] == [IDS_A_MESSAGE, 2, IDS_A_MESSAGE]

    asyncio.run(main())


def test_a_backlog_travels_in_messages_of_sixteen_and_in_order() -> None:
    async def main() -> None:
        broker = KeptBroker()
        queue = Celery(broker, wake=None, clock=ManualClock())
        async with running(queue):
            await queue.deliver(refs(40))
            await settled(broker, 40)
        assert [len(jobs) for _, jobs in broker.messages] == [IDS_A_MESSAGE, IDS_A_MESSAGE, 8]
        assert broker.ids == [each.id for each in refs(40)]

    asyncio.run(main())


def test_each_queue_has_its_own_messages_and_none_waits_for_another() -> None:
    async def main() -> None:
        broker = KeptBroker()
        queue = Celery(broker, wake=None, clock=ManualClock())
        async with running(queue):
            await queue.deliver([*refs(40), *refs(2, queue="nightly")])
            await settled(broker, 42)
        assert broker.messages[1] == ("nightly", [("default", "nightly-0"), ("default", "nightly-1")])

    asyncio.run(main())


def test_a_broker_that_is_deep_enough_is_sent_no_more() -> None:
    async def main() -> None:
        broker = KeptBroker()
        broker.waiting = DEEPEST
        clock = ManualClock()
        queue = Celery(broker, wake=None, clock=clock)
        async with running(queue):
            await queue.deliver(refs(3))
            await until(lambda: broker.calls == 1)
            assert broker.messages == []
            broker.waiting = 0
            clock.advance(1)
            await queue.deliver([Ref("later")])
            await settled(broker, 1)
        assert broker.ids == ["later"]

    asyncio.run(main())


def test_a_broker_that_says_how_deep_it_is_need_not_be_asked() -> None:
    async def main() -> None:
        broker = KeptBroker()
        broker.says_depth = True
        clock = ManualClock()
        queue = Celery(broker, wake=None, clock=clock)
        async with running(queue):
            await queue.deliver([Ref("job_1")])
            await settled(broker, 1)
            broker.waiting = DEEPEST
            await queue.deliver(refs(IDS_A_MESSAGE))
            await settled(broker, 1 + IDS_A_MESSAGE)
            await queue.deliver(refs(IDS_A_MESSAGE))
            await until(lambda: not queue._waiting["default"])
        assert broker.calls == 3, "once, before the first message"
        assert len(broker.messages) == 2, "what came behind it is left to whoever looks"

    asyncio.run(main())


def test_what_a_broker_did_not_take_is_sent_when_it_is_back_and_the_oldest_of_too_many_is_let_go() -> None:
    async def main() -> None:
        broker = KeptBroker()
        broker.is_away = True
        clock = ManualClock()
        queue = Celery(broker, wake=None, clock=clock)
        async with running(queue):
            await queue.deliver(refs(MOST_WAITING + 5))
            await until(lambda: broker.calls == 1 and clock.is_awaited)
            broker.is_away = False
            clock.advance(2)
            await settled(broker, MOST_WAITING)
        assert set(broker.ids) == {each.id for each in refs(MOST_WAITING + 5)[5:]}

    asyncio.run(main())


def test_a_crew_in_the_same_process_is_woken_at_once() -> None:
    async def main() -> None:
        woken: list[bool] = []
        queue = Celery(KeptBroker(), wake=lambda: woken.append(True), clock=ManualClock())
        await queue.deliver([Ref("job_1")])
        await queue.deliver([])
        queue.close()
        assert woken == [True]

    asyncio.run(main())


@pytest.mark.parametrize("away", [False, True])
def test_a_broker_that_forgot_everything_is_noticed(away: bool) -> None:
    async def main() -> None:
        broker = KeptBroker()
        clock = ManualClock()
        queue = Celery(broker, wake=None, clock=clock)
        lost: list[bool] = []
        watching = asyncio.create_task(queue.watch(lambda: lost.append(True)))

        async def look() -> None:
            before = broker.calls
            clock.advance(1.1)
            await until(lambda: broker.calls > before and clock.is_awaited)

        await until(lambda: broker.calls == 1 and clock.is_awaited)
        assert not lost
        broker.is_away = away
        await look()
        broker.is_away, broker.is_empty = False, True
        await look()
        await look()
        assert lost == [True]
        watching.cancel()
        queue.close()

    asyncio.run(main())
