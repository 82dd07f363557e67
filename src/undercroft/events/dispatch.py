"""Brings events from the outbox to whoever wants them: at least once, and of one subject in their order.

One process at a time does it, under a lease that every transaction of it renews and checks. What a dead or paused
process was telling is told again by the next one, under the same id.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from sqlalchemy import Connection

from undercroft.clock import Clock, beat
from undercroft.errors import Unavailable
from undercroft.events import repository, signing, webhooks
from undercroft.events.outbox import Outbox
from undercroft.events.repository import Delivery, Place
from undercroft.events.retry import next_delay_s
from undercroft.events.sink import Outcome, Sink
from undercroft.events.types import Event, Fact, WebhookData, matches
from undercroft.events.webhooks import Webhook
from undercroft.storage.duties import release, try_hold
from undercroft.storage.stamp import Stamp, always_another
from undercroft.telemetry.logs import get_logger

T = TypeVar("T")

DUTY: Final = "events"
LEASE_S: Final = 6.0
POLL_S: Final = 1.0
"""How often an idle process looks whether there is something to tell, which only reads."""
PACE_S: Final = 0.05
"""From one turn to the next when only new events ask for it: of thousands a second, many are spread at once."""
SWEEP_S: Final = 600.0
GRACE_S: Final = 3.0
"""How long attempts that are under way may take to end when the server stops."""
ABSENT_US: Final = 600_000_000
"""How long events wait for a function that is not there before it is looked for again."""
ADDRESSED_AT_ONCE: Final = 64
"""Attempts at addresses that were named in passing, of which there may be any number."""
UNSIGNED: Final = "the secret that signs it is gone"
DISABLED_AFTER_US: Final = 2 * 86_400_000_000
"""A webhook is switched off when an event was given up and nothing has gone well for so long."""


class Transactions(Protocol):
    """The database, as far as this needs it: each work runs in one transaction; raises Unavailable."""

    async def read(self, work: Callable[[Connection], T], /) -> T: ...

    async def write(self, work: Callable[[Connection], T], /) -> T: ...


@dataclass(frozen=True, slots=True)
class Sinks:
    """Everybody who can be told in this process."""

    fixed: Mapping[str, tuple[Callable[[str], bool], Sink]]
    """By name, with the types that they want to hear of: functions and the stream."""
    webhook: Callable[[Webhook], Sink]


class DutyLost(Exception):
    """Another process has the duty."""


class Dispatcher:
    """The duty of telling. Any number of processes may run one."""

    def __init__(
        self,
        database: Transactions,
        *,
        holder: str,
        sinks: Sinks,
        outbox: Outbox,
        disabled: Callable[[Connection, Webhook, str], None],
        keep_us: int,
        clock: Clock,
        rng: random.Random,
        stamp: Stamp = always_another,
    ) -> None:
        """`holder` names one life of one process; events are deleted after `keep_us`. `disabled` is told which webhook
        was switched off and why, in the transaction that does it."""
        self._database = database
        self._holder = holder
        self._sinks = sinks
        self._outbox = outbox
        self._disabled = disabled
        self._keep_us = keep_us
        self._clock = clock
        self._rng = rng
        self._stamp = stamp
        self._idle: object = None
        """The stamp at which nobody waited for anything, now or later."""
        self._telling: dict[asyncio.Task[None], list[Delivery]] = {}
        self._fresh = asyncio.Event()
        """There are new events."""
        self._ended = asyncio.Event()
        """There is room for another attempt."""
        self._turned = -PACE_S
        self._holds = False
        self._swept: float | None = None
        self._trouble = ""

    def wake(self) -> None:
        """There may be something to tell. In the loop's own thread."""
        self._fresh.set()

    async def run(self) -> None:
        """Until cancelled; then what is being told has a moment to end, and the duty is free for the next one."""
        try:
            while True:
                pause_s = await self._look()
                await self._wait(pause_s)
        finally:
            if self._telling:
                await asyncio.wait(tuple(self._telling), timeout=GRACE_S)
            left = tuple(self._telling)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
            await self._let_go()

    async def tell_due(self) -> int:
        """Tells everything that is due now, and returns when that is done; how many attempts it took."""
        count = 0
        while (begun := await self._take_turn()) or self._telling:
            count += begun
            await asyncio.gather(*self._telling)
        return count

    async def _look(self) -> float:
        """One turn; seconds until the next."""
        try:
            await self._take_turn()
            await self._sweep()
            self._trouble = ""
        except DutyLost:
            self._holds = False
            return LEASE_S / 3
        except Unavailable as error:
            self._say(str(error))
            return POLL_S
        except Exception as error:  # noqa: BLE001 - the outermost edge of this task: nobody else would tell
            self._say(f"{type(error).__name__}: {error}", error=error)
            return POLL_S
        return POLL_S

    def _say(self, trouble: str, *, error: Exception | None = None) -> None:
        """Once for each trouble."""
        if trouble != self._trouble:
            self._trouble = trouble
            logger = get_logger("undercroft.events")
            if error is None:
                logger.debug("events_wait", reason=trouble)
            else:
                logger.error("events_wait", reason=trouble, exc_info=error)

    async def _wait(self, pause_s: float) -> None:
        """Until something may be there to tell, an attempt has ended, or the time is over."""
        sleep = beat(self._clock, POLL_S) if pause_s == POLL_S else self._clock.sleep(pause_s)
        await self._first_of(sleep, self._fresh, self._ended)
        rest_s = self._turned + PACE_S - self._clock.monotonic()
        if rest_s > 0 and not self._ended.is_set():
            await self._first_of(self._clock.sleep(rest_s), self._ended)
        self._fresh.clear()
        self._ended.clear()

    async def _first_of(self, sleep: Coroutine[Any, Any, None], *events: asyncio.Event) -> None:
        waiting: list[asyncio.Future[Any]] = [asyncio.ensure_future(sleep)]
        waiting += [asyncio.ensure_future(event.wait()) for event in events]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()

    async def _take_turn(self) -> int:
        """Spreads what is new and begins to tell what is due; how many attempts it began."""
        self._turned = self._clock.monotonic()
        stamp = await self._stamp()
        if stamp == self._idle and not self._telling:
            return 0
        has_work, is_waiting, self._outbox.has_webhooks = await self._database.read(self._survey)
        self._idle = None if has_work or is_waiting else stamp
        if not has_work and not self._telling:
            await self._let_go()
            return 0
        while await self._held(self._spread) == repository.SPREAD_AT_ONCE:
            pass
        due = await self._database.read(partial(repository.places_due, now_us=self._clock.now_us()))
        self._rng.shuffle(due)  # where there is not room for all, none is always the last
        return sum([await self._begin(place) for place in due])

    def _survey(self, connection: Connection) -> tuple[bool, bool, bool]:
        """Whether there is something to tell, or will be, and whether any webhook might want to hear of what comes."""
        has_work = repository.has_work(connection, now_us=self._clock.now_us())
        return has_work, repository.are_pending(connection), webhooks.are_any(connection)

    async def _held(self, work: Callable[[Connection], T]) -> T:
        """Runs `work` while the duty is ours. Raises DutyLost, with nothing changed."""

        def fenced(connection: Connection) -> T:
            now_us = self._clock.now_us()
            if not try_hold(connection, DUTY, holder=self._holder, now_us=now_us, lease_us=round(LEASE_S * 1_000_000)):
                raise DutyLost
            return work(connection)

        result = await self._database.write(fenced)
        self._holds = True
        return result

    def _spread(self, connection: Connection) -> int:
        listening = webhooks.enabled(connection)

        def sinks_of(event: Event) -> Iterable[str]:
            for name, (wants, _) in self._sinks.fixed.items():
                if wants(event.type):
                    yield name
            for webhook in listening:
                if webhook.organisation == event.organisation and matches(webhook.types, event.type):
                    yield webhook.sink
            if event.address:
                yield webhooks.address_sink(event.address)

        return repository.spread(connection, sinks_of, now_us=self._clock.now_us())

    async def _begin(self, place: Place) -> int:
        """Begins attempts for one sink, as many as it may have; how many."""
        found = await self._sink(place)
        if found is None:
            return 0
        sink, webhook = found
        under_way = {each.event.id for told in self._telling.values() for each in told if each.place == place}
        attempts = sum(told[0].place == place for told in self._telling.values())
        room = sink.at_once - attempts
        if place.sink.startswith(webhooks.ADDRESS):
            of_all = sum(told[0].place.sink.startswith(webhooks.ADDRESS) for told in self._telling.values())
            room = min(room, ADDRESSED_AT_ONCE - of_all)
        if room <= 0:
            return 0
        now_us = self._clock.now_us()
        if sink.batch > 1:
            read = partial(repository.batch, place=place, limit=sink.batch, now_us=now_us)
            batches = [told] if (told := await self._database.read(read)) else []
        else:
            read = partial(repository.turns, place=place, limit=room + len(under_way), now_us=now_us)
            batches = [[each] for each in await self._database.read(read) if each.event.id not in under_way][:room]
        for told in batches:
            task = asyncio.create_task(self._tell(sink, told, webhook))
            self._telling[task] = told
            task.add_done_callback(self._told)
        return len(batches)

    async def _sink(self, place: Place) -> tuple[Sink, Webhook | None] | None:
        if place.sink in self._sinks.fixed:
            return self._sinks.fixed[place.sink][1], None
        if place.sink.startswith(webhooks.ADDRESS):
            return await self._address(place)
        if not place.sink.startswith(webhooks.SINK):
            # A function that is not there any more, or not yet again: its events wait until they are forgotten.
            put_off = partial(repository.put_off, place=place, delay_us=ABSENT_US)
            await self._held(partial(put_off, now_us=self._clock.now_us()))
            return None
        find = partial(webhooks.find, organisation=place.organisation, id=place.sink.removeprefix(webhooks.SINK))
        webhook = await self._database.read(find)
        if webhook is None or not webhook.enabled:
            await self._held(partial(repository.give_up, place=place, error=webhooks.DISABLED))
            return None
        return self._sinks.webhook(webhook), webhook

    async def _address(self, place: Place) -> tuple[Sink, None] | None:
        secret = await self._database.read(partial(signing.sealed, organisation=place.organisation))
        if secret is None:
            await self._held(partial(repository.give_up, place=place, error=UNSIGNED))
            return None
        own = Webhook(id="", organisation=place.organisation, url="", types=(), secret=secret, created_us=0)
        return self._sinks.webhook(own), None

    def _told(self, task: "asyncio.Task[None]") -> None:
        told = self._telling.pop(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            get_logger("undercroft.events").error("attempt_not_noted", event_id=told[0].event.id, exc_info=error)
        self._ended.set()

    async def _tell(self, sink: Sink, told: Sequence[Delivery], webhook: Webhook | None) -> None:
        try:
            outcome = await sink.send([each.event for each in told])
        except Exception as error:  # noqa: BLE001 - the outermost edge of an attempt: a mistake of ours
            get_logger("undercroft.events").error("attempt_failed", event_id=told[0].event.id, exc_info=error)
            outcome = Outcome(ok=False, error="internal error")
        delay_s = None
        if not outcome.ok:
            delay_s = next_delay_s(
                sink.patience, told[0].attempts + 1, retry_after_s=outcome.retry_after_s, rng=self._rng
            )
        try:
            await self._held(partial(self._end, told=told, outcome=outcome, delay_s=delay_s, webhook=webhook))
        except (DutyLost, Unavailable) as error:
            # Nobody knows of this attempt: it is made again, under the same id.
            get_logger("undercroft.events").debug("attempt_not_noted", event_id=told[0].event.id, reason=repr(error))

    def _end(
        self,
        connection: Connection,
        told: Sequence[Delivery],
        outcome: Outcome,
        delay_s: float | None,
        webhook: Webhook | None,
    ) -> None:
        now_us = self._clock.now_us()
        state = "delivered" if outcome.ok else "failed" if delay_s is None or outcome.is_gone else "pending"
        repository.end(
            connection,
            told,
            state=state,
            now_us=now_us,
            delay_us=round((delay_s or 0.0) * 1_000_000),
            status=outcome.status,
            error=outcome.error,
        )
        if webhook is not None:
            self._judge(connection, webhook, outcome, is_given_up=state == "failed")

    def _judge(self, connection: Connection, webhook: Webhook, outcome: Outcome, *, is_given_up: bool) -> None:
        """Switches a webhook off that has failed for long enough, and writes that down as an event."""
        current = webhooks.find(connection, organisation=webhook.organisation, id=webhook.id)
        if current is None or not current.enabled:
            return
        now_us = repository.moment(connection, self._clock.now_us())
        failing_us = webhooks.note_attempt(connection, current, ok=outcome.ok, now_us=now_us)
        if outcome.is_gone:
            reason = "its receiver answered 410: it wants no more"
        elif is_given_up and failing_us and now_us - failing_us >= DISABLED_AFTER_US:
            days = (now_us - failing_us) / 86_400_000_000
            reason = f"nothing could be delivered for {days:.1f} days; at last: {outcome.error}"
        else:
            return
        webhooks.disable(connection, current, reason=reason)
        self._disabled(connection, current, reason)
        data = WebhookData(id=webhook.id, url=webhook.url, reason=reason)
        self._outbox.append(connection, Fact("webhook.disabled", data, organisation=webhook.organisation))

    async def _sweep(self) -> None:
        """Now and then deletes what is too old to be replayed."""
        now = self._clock.monotonic()
        if self._swept is not None and now - self._swept < SWEEP_S:
            return
        self._swept = now
        before_us = self._clock.now_us() - self._keep_us
        while await self._database.write(partial(repository.forget, before_us=before_us)):
            pass
        await self._database.write(partial(repository.forget_marks, before_us=self._clock.now_us()))

    async def _let_go(self) -> None:
        if not self._holds:
            return
        self._holds = False
        try:
            await self._database.write(partial(release, name=DUTY, holder=self._holder))
        except Unavailable as error:  # then the lease runs out
            get_logger("undercroft.events").debug("duty_not_released", reason=str(error))
