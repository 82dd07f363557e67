"""Events in a running server: what writes them, and the duty of telling them."""

import asyncio
import contextlib
import importlib.util
import random
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from undercroft.assembly.database import DatabaseLink
from undercroft.assembly.secrets import StoredSecrets
from undercroft.assembly.upstreams import tell_change
from undercroft.clock import Clock
from undercroft.egress.client import Client
from undercroft.egress.guard import Guard
from undercroft.errors import MissingExtra, Unavailable
from undercroft.events.types import EventType, Fact, UpstreamData
from undercroft.gateway.call import Deployment
from undercroft.gateway.state import Condition, Why
from undercroft.ids import Ids
from undercroft.settings.model import Settings
from undercroft.telemetry.logs import get_logger

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from undercroft.events.dispatch import Dispatcher, Sinks
    from undercroft.events.hooks import Hooks
    from undercroft.events.outbox import Outbox
    from undercroft.events.sink import Sink
    from undercroft.events.webhooks import Webhook

UPSTREAM: Final[dict[Condition, EventType]] = {
    "ok": "upstream.closed",
    "resting": "upstream.resting",
    "open": "upstream.opened",
    "unhealthy": "upstream.unhealthy",
}
WAITING: Final = 1000
"""Facts that wait for a database that is away; the oldest are forgotten."""
AGAIN_S: Final = 1.0
WAKE_S: Final = 0.02
DAY_US: Final = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Noted:
    """A fact that waits for the database; with a mark, whoever brings it first tells of it."""

    fact: Fact
    mark: str = ""
    until_us: int = 0


class EventDesk:
    """What tells of events, whatever the configuration becomes. Raises ConfigurationError where a subscriber's module
    cannot be imported, and MissingExtra."""

    def __init__(
        self, settings: Settings, *, link: DatabaseLink, ids: Ids, clock: Clock, is_frozen: bool = False
    ) -> None:
        if settings.redis.url is not None and importlib.util.find_spec("redis") is None:
            raise MissingExtra("REDIS_URL", extra="redis")
        if settings.events.modules:
            _import_subscribers(settings.events.modules)
        self._settings = settings
        self._is_frozen = is_frozen
        self._link = link
        self._ids = ids
        self._clock = clock
        self._holder = ids.new("holder_")
        self._guard = Guard(allow=settings.egress.allow)
        self._secrets = StoredSecrets(settings)
        self._facts: deque[Noted] = deque(maxlen=WAITING)
        self._noted = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._hooks: Hooks | None = None
        self._outbox: Outbox | None = None
        self._is_there = asyncio.Event()
        self._working: asyncio.Task[None] | None = None

    def configure(self, settings: Settings) -> None:
        """From now on these networks may be reached."""
        self._guard.allow(settings.egress.allow)

    async def hooks(self) -> "Hooks":
        """Raises Unavailable while the database is away."""
        await self._opened()
        self._link.database()
        if self._hooks is None:
            raise Unavailable("The server is shutting down.", code="interrupted")
        return self._hooks

    async def outbox(self) -> "Outbox":
        """For those who write events in transactions of their own. Raises Unavailable at the end."""
        await self._opened()
        if self._outbox is None:
            raise Unavailable("The server is shutting down.", code="interrupted")
        return self._outbox

    def upstream_changed(self, deployment: Deployment, condition: Condition, why: Why, seconds: float) -> None:
        """A deployment is left alone, or back. In any thread; the event is written beside the calls."""
        tell_change(deployment, condition, why, seconds)
        if condition in UPSTREAM:
            data = UpstreamData(id=deployment.id, provider=deployment.provider, why=why, rest_s=round(seconds, 3))
            self._note(Noted(Fact(UPSTREAM[condition], data)))

    def tell_once(self, fact: Fact, mark: str, until_us: int) -> None:
        """Something that other processes notice too: told by the first of them. In any thread; written beside what
        the caller does."""
        self._note(Noted(fact, mark, until_us))

    def _note(self, noted: "Noted") -> None:
        self._facts.append(noted)
        self._loop.call_soon_threadsafe(self._noted.set)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Tells events for as long as the block lasts. A process that is frozen between requests tells none, and opens
        what writes them when somebody wants to."""
        if not self._is_frozen:
            self._begin()
        try:
            yield
        finally:
            if self._working is None:
                self._close()
            else:
                self._working.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await self._working

    async def _opened(self) -> None:
        if self._is_frozen and self._working is None and not self._is_there.is_set():
            self._begin()
        await self._is_there.wait()

    def _begin(self) -> None:
        self._working = asyncio.create_task(self._run())
        self._working.add_done_callback(lambda _: self._close())

    def _close(self) -> None:
        self._hooks = self._outbox = None
        self._is_there.set()

    async def _run(self) -> None:
        await self._link.first_look()
        # Imported here, with SQLAlchemy, once the port has long been answering.
        from undercroft.events.dispatch import Dispatcher
        from undercroft.events.outbox import Outbox

        async with contextlib.AsyncExitStack() as stack:
            sinks = await self._sinks(stack)
            outbox = Outbox(self._clock, heard=partial(_is_heard, sinks))
            dispatcher = Dispatcher(
                self._link,
                holder=self._holder,
                sinks=sinks,
                outbox=outbox,
                disabled=partial(_audit_disabled, clock=self._clock),
                keep_us=self._settings.events.keep_days * DAY_US,
                clock=self._clock,
                rng=random.Random(),  # noqa: S311 - spreads attempts
                stamp=self._link.stamp,
            )
            outbox.appended = partial(self._wake, dispatcher)
            self._open(outbox, sinks)
            if self._is_frozen:  # what happens here is told by the next server or worker on this database
                await asyncio.Event().wait()
            async with asyncio.TaskGroup() as group:
                group.create_task(dispatcher.run())
                group.create_task(self._write(outbox))

    def _open(self, outbox: "Outbox", sinks: "Sinks") -> None:
        from undercroft.events.hooks import Hooks

        self._outbox = outbox
        self._hooks = Hooks(
            self._link,
            guard=self._guard,
            secrets=self._secrets,
            sink=sinks.webhook,
            ids=self._ids,
            clock=self._clock,
        )
        self._is_there.set()

    async def _sinks(self, stack: contextlib.AsyncExitStack) -> "Sinks":
        from undercroft.events.dispatch import Sinks
        from undercroft.events.sinks.function import FunctionSink
        from undercroft.events.sinks.redis_stream import RedisStreamSink
        from undercroft.events.subscribers import subscriptions_in

        settings = self._settings
        client = Client(limits=settings.egress, clock=self._clock, guard=self._guard)
        stack.push_async_callback(client.close)
        fixed: dict[str, tuple[Callable[[str], bool], Sink]] = {
            f"function:{each.name}": (each.wants, FunctionSink(each)) for each in subscriptions_in(())
        }
        if settings.redis.url is not None:
            stream = RedisStreamSink(settings.redis.url.get_secret_value(), length=settings.events.stream_length)
            stack.push_async_callback(stream.close)
            fixed["redis"] = (lambda _: True, stream)
        return Sinks(fixed, webhook_sinks(settings, client=client, secrets=self._secrets, clock=self._clock))

    async def _write(self, outbox: "Outbox") -> None:
        """Writes what was noted, for as long as the database takes it; what waits is written when it is back."""
        while True:
            await self._noted.wait()
            self._noted.clear()
            facts = tuple(self._facts)
            self._facts.clear()
            while not await self._written(outbox, facts):
                await self._clock.sleep(AGAIN_S)

    async def _written(self, outbox: "Outbox", facts: tuple[Noted, ...]) -> bool:
        def append(connection: "Connection") -> None:
            outbox.append(connection, *(each.fact for each in facts if not each.mark))
            for each in facts:
                if each.mark:
                    outbox.append_once(connection, each.fact, mark=each.mark, until_us=each.until_us)

        try:
            await self._link.write(append)
        except Unavailable as error:
            get_logger("undercroft.events").debug("events_not_written", reason=str(error))
            return False
        return True

    def _wake(self, dispatcher: "Dispatcher") -> None:
        """The change is about to be committed: it is looked for a moment later, or at the next turn."""
        self._loop.call_soon_threadsafe(self._loop.call_later, WAKE_S, dispatcher.wake)


def _is_heard(sinks: "Sinks", type: str) -> bool:
    """Whether some function, or the stream, wants events of this type: every process has the same ones."""
    return any(wants(type) for wants, _ in sinks.fixed.values())


def webhook_sinks(
    settings: Settings, *, client: Client, secrets: StoredSecrets, clock: Clock
) -> "Callable[[Webhook], Sink]":
    """What makes a webhook's sink, which posts through `client`."""
    from undercroft.events.sinks.webhook import WebhookSink

    timeout_s = settings.events.webhook_timeout_s
    return lambda webhook: WebhookSink(webhook, client=client, secrets=secrets, timeout_s=timeout_s, clock=clock)


def _audit_disabled(connection: "Connection", webhook: "Webhook", reason: str, *, clock: Clock) -> None:
    from undercroft.access.audit import Act, Origin, append

    act = Act(
        action="webhook.disable",
        subject=webhook.id,
        before={"enabled": True},
        after={"enabled": False, "reason": reason},
    )
    append(connection, act, origin=Origin(organisation=webhook.organisation, actor="undercroft"), now_us=clock.now_us())


def _import_subscribers(modules: tuple[str, ...]) -> None:
    from undercroft.events.subscribers import subscriptions_in

    here = str(Path.cwd())
    if here not in sys.path:  # the console script's path does not hold it
        sys.path.insert(0, here)
    subscriptions_in(modules)
