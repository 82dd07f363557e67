"""Delivery through Celery: a message is a hint that carries ids, and workers claim in the database.

So the broker may lose, double or hold back whatever it likes: workers also look by themselves (`tending.LOOK_S`), and
whose turn it is the database says, however old the messages are.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, Protocol, TypeVar

from undercroft.clock import Clock
from undercroft.errors import Unavailable
from undercroft.jobs.queue import JobRef
from undercroft.jobs.queues.pace import Pace
from undercroft.telemetry.logs import get_logger

P = ParamSpec("P")
T = TypeVar("T")
Address = tuple[str, str]
"""Organisation and id of a job."""

IDS_A_MESSAGE: Final = 16
"""Celery takes half a millisecond for a message, whatever is in it."""
DEEPEST: Final = 200
"""Messages that may wait for workers; past that all of them are busy and find their next job in the database."""
MOST_WAITING: Final = 16 * DEEPEST
LOOK_S: Final = 0.1
"""How often the broker is asked how deep a queue is."""
PAUSE_S: Final = 1.0
"""After a broker that was away, and between two looks at whether it still knows us."""


class Broker(Protocol):
    """As much of Celery as is needed. Each method blocks, for some seconds at most, and raises Unavailable."""

    def send(self, queue: str, jobs: Sequence[Address], /) -> int | None:
        """How deep the queue is now, if the broker says so."""
        ...

    def depth(self, queue: str, /) -> int:
        """How many messages nobody has taken yet."""
        ...

    def knows_us(self) -> bool:
        """Whether what was left there is still there; leaves it again if not."""
        ...


class Celery:
    """A JobQueue over a broker. One job travels at once; those that come while it is sent share the next message."""

    def __init__(self, broker: Broker, *, wake: Callable[[], None] | None, clock: Clock) -> None:
        """`wake` is the crew's, where this process has one."""
        self._broker = broker
        self._wake = wake
        self._clock = clock
        self._waiting: dict[str, deque[Address]] = {}
        self._depths: dict[str, tuple[int, float]] = {}
        """Of each queue, and when it was asked for."""
        self._pace = Pace()
        self._some = asyncio.Event()
        self._full = asyncio.Event()
        """There are ids for a full message."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="undercroft-broker")

    async def deliver(self, jobs: Sequence[JobRef], /) -> None:
        if jobs and self._wake is not None:
            self._wake()
        for job in jobs:
            # What falls out at the other end nobody misses: there are workers to find it, or none at all.
            waiting = self._waiting.setdefault(job.queue, deque(maxlen=MOST_WAITING))
            waiting.append((job.organisation, job.id))
            self._pace.came(self._clock.monotonic())
            if len(waiting) >= IDS_A_MESSAGE:
                self._full.set()
        self._some.set()

    def close(self) -> None:
        """Sends nothing more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def watch(self, lost: Callable[[], None]) -> None:
        """Calls `lost` whenever the broker turns out to have forgotten what it had."""
        logger = get_logger("undercroft.jobs")
        is_first = True
        while True:
            try:
                if not await self._ask(self._broker.knows_us):
                    if not is_first:
                        logger.warning("broker_lost_its_messages")
                    lost()
                is_first = False
            except Unavailable as error:
                logger.debug("broker_unavailable", reason=str(error))
            await self._clock.sleep(PAUSE_S)

    async def run(self) -> None:
        """Sends until it is cancelled."""
        is_more = False
        while True:
            await self._some.wait()
            has_waited = not is_more and await self._keep_pace()
            self._some.clear()
            for queue, waiting in list(self._waiting.items()):
                try:
                    await self._send_some(queue, waiting, has_waited=has_waited)
                except Unavailable as error:
                    get_logger("undercroft.jobs").debug("jobs_not_announced", reason=str(error))
                    await self._clock.sleep(PAUSE_S)
            is_more = any(self._waiting.values())
            if is_more:
                self._some.set()

    async def _keep_pace(self) -> bool:
        """Whether it had to wait."""
        rest_s = self._pace.rest_s(self._clock.monotonic())
        if rest_s <= 0 or any(len(waiting) >= IDS_A_MESSAGE for waiting in self._waiting.values()):
            return False
        self._full.clear()
        waits = asyncio.ensure_future(self._clock.sleep(rest_s)), asyncio.ensure_future(self._full.wait())
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
        return True

    async def _send_some(self, queue: str, waiting: deque[Address], *, has_waited: bool) -> None:
        if not waiting:
            return
        if await self._depth(queue) >= DEEPEST:
            waiting.clear()
            return
        taken = [waiting.popleft() for _ in range(min(len(waiting), IDS_A_MESSAGE))]
        self._pace.sent(self._clock.monotonic(), has_waited=has_waited, count=len(taken))
        try:
            said = await self._ask(self._broker.send, queue, taken)
        except Unavailable:
            waiting.extendleft(reversed(taken))
            raise
        depth, asked = self._depths[queue]
        self._depths[queue] = (depth + 1, asked) if said is None else (said, self._clock.monotonic())

    async def _depth(self, queue: str) -> int:
        depth, asked = self._depths.get(queue, (0, -LOOK_S))
        now = self._clock.monotonic()
        if now - asked >= LOOK_S:
            depth = await self._ask(self._broker.depth, queue)
            self._depths[queue] = (depth, now)
        return depth

    async def _ask(self, function: Callable[P, T], /, *arguments: P.args, **named: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: function(*arguments, **named))
