"""What tests of events share: a world with a database, a clock that is moved by hand, and receivers that misbehave."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import Row, select

from tests.support.clock import ManualClock
from undercroft.events import repository, signing, webhooks
from undercroft.events.dispatch import Dispatcher, Sinks, Transactions
from undercroft.events.outbox import Outbox
from undercroft.events.repository import DeliveryView, Place
from undercroft.events.retry import FUNCTION, Patience
from undercroft.events.sink import Outcome, Sink
from undercroft.events.types import Event, Fact, JobData
from undercroft.events.webhooks import Webhook
from undercroft.storage.engine import Database
from undercroft.storage.schema import event_deliveries, events
from undercroft.storage.stamp import Stamp, always_another

DAY_S = 86_400.0
GOOD = Outcome(ok=True, status=200)
BAD = Outcome(ok=False, status=500, error="answered 500")


class Receiver:
    """A sink that answers what `answers` says, and keeps what it took."""

    def __init__(self, *, patience: Patience = FUNCTION, at_once: int = 8, batch: int = 1) -> None:
        self.patience = patience
        self.at_once = at_once
        self.batch = batch
        self.attempts: list[Event] = []
        self.got: list[Event] = []
        self.answer: Callable[[Event], Outcome] = lambda _: GOOD

    async def send(self, told: Sequence[Event], /) -> Outcome:
        self.attempts += told
        outcomes = [self.answer(event) for event in told]
        outcome = next((each for each in outcomes if not each.ok), GOOD)
        if outcome.ok:
            self.got += told
        return outcome

    @property
    def subjects(self) -> list[str]:
        return [event.subject for event in self.got]


@dataclass
class World:
    """A dispatcher over a database, with one receiver for everything and one for all webhooks."""

    database: Database
    clock: ManualClock = field(default_factory=ManualClock)
    receiver: Receiver = field(default_factory=Receiver)
    hooked: Receiver = field(default_factory=Receiver)
    keep_us: int = 7 * 86_400_000_000
    disabled: list[tuple[str, str]] = field(default_factory=list)
    """Webhooks that were switched off, and why."""

    def __post_init__(self) -> None:
        self.outbox = Outbox(self.clock)

    def dispatcher(
        self, holder: str = "one", *, through: Transactions | None = None, stamp: Stamp = always_another
    ) -> Dispatcher:
        fixed: dict[str, tuple[Callable[[str], bool], Sink]] = {"function:all": (lambda _: True, self.receiver)}
        return Dispatcher(
            through or self.database,
            holder=holder,
            sinks=Sinks(fixed, lambda _: self.hooked),
            outbox=self.outbox,
            disabled=lambda _, webhook, reason: self.disabled.append((webhook.id, reason)),
            keep_us=self.keep_us,
            clock=self.clock,
            rng=random.Random(1),
            stamp=stamp,
        )

    def tell(
        self, *subjects: str, type: Any = "job.succeeded", organisation: str = "default", address: str = ""
    ) -> list[Event]:
        facts = [Fact(type, JobData(id=subject, kind="chat"), organisation, address) for subject in subjects]
        return self.database.write_sync(lambda connection: self.outbox.append(connection, *facts))

    def hook(self, id: str = "wh_1", *types: str, organisation: str = "default") -> Webhook:
        made = Webhook(
            id=id,
            organisation=organisation,
            url="https://hook.example/",
            types=types or ("job.*",),
            secret="sealed",
            created_us=self.clock.now_us(),
        )
        assert self.database.write_sync(partial(webhooks.add, webhook=made))
        return made

    def sign(self, *, organisation: str = "default") -> None:
        """Makes the secret that posts to named addresses are signed under."""
        put = partial(signing.put, secret="sealed", organisation=organisation, now_us=0, is_first=True)
        self.database.write_sync(put)

    def addressed(self, subject: str, *, organisation: str = "default") -> list[DeliveryView]:
        find = partial(repository.addressed, organisation=organisation, subject=subject, prefix=webhooks.ADDRESS)
        return self.database.read_sync(find)

    def webhook(self, id: str = "wh_1", *, organisation: str = "default") -> Webhook:
        found = self.database.read_sync(partial(webhooks.find, organisation=organisation, id=id))
        assert found is not None
        return found

    def history(self, sink: str = "function:all", *, organisation: str = "default") -> list[DeliveryView]:
        place = Place(organisation, sink)
        return self.database.read_sync(partial(repository.history, place=place, limit=1000))

    def states(self, sink: str = "function:all") -> dict[str, str]:
        return {each.subject: each.state for each in self.history(sink)}

    def stored(self) -> "list[Row[Any]]":
        return self.database.read_sync(lambda c: list(c.execute(select(events).order_by(events.c.number))))

    def delivery_count(self) -> int:
        return len(self.database.read_sync(lambda c: list(c.execute(select(event_deliveries)))))
