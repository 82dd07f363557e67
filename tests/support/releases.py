"""A real database with what releases need, and short ways to fill it."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection

from tests.support.clock import ManualClock
from undercroft.events.outbox import Outbox
from undercroft.ids import Ids
from undercroft.ledger.entries import row_of
from undercroft.record import CallRecord, Who
from undercroft.releases.desk import ReleaseDesk
from undercroft.releases.types import Moved, Release
from undercroft.storage.engine import Database
from undercroft.storage.schema import calls
from undercroft.versions import repository as versions
from undercroft.versions.content import Content, Kind, ModelContent, Version

T = TypeVar("T")
ORGANISATION = "default"


class Shop:
    """Versions, releases and a ledger."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = clock = ManualClock()
        self.ids = Ids(clock)
        self.moved: list[Moved] = []
        self.audited: list[Moved] = []
        self.desk = ReleaseDesk(
            database,
            outbox=Outbox(clock),
            ids=self.ids,
            clock=clock,
            audit=lambda _, moved: self.audited.append(moved),
            moved=self.moved.append,
        )

    def read(self, work: Callable[[Connection], T]) -> T:
        return self.database.read_sync(work)

    def add(self, kind: Kind, name: str, content: Content, *labels: str) -> Version:
        """A version, a moment after the one before."""
        self.clock.advance(1)
        now_us = self.clock.now_us()
        add = partial(versions.add, kind=kind, name=name, content=content, organisation=ORGANISATION, now_us=now_us)
        version = self.database.write_sync(add)
        for label in labels:
            version = self.database.write_sync(
                partial(
                    versions.label,
                    kind=kind,
                    name=name,
                    label=label,
                    reference=version.digest,
                    organisation=ORGANISATION,
                    now_us=now_us,
                )
            )
        return version

    async def release(self, alias: str, target: str) -> Release:
        """A release of a model version that was just added."""
        version = self.add("model", alias, ModelContent(target=target))
        return await self.desk.create(alias, {"model": version.reference}, organisation=ORGANISATION)

    def book(self, release: str, count: int, *, failing: int = 0, **fields: object) -> list[str]:
        """Calls that a release has answered: as many, of which so many failed. Their ids."""
        made = []
        for number in range(count):
            failed = number < failing
            usual: dict[str, object] = {
                "endpoint": "/v1/chat/completions",
                "duration_us": 1000,
                "cost_nano": 10,
                "status": 502 if failed else 200,
                "error": "upstream_refused" if failed else "",
            }
            record = CallRecord(
                id=self.ids.new("req_"),
                started_us=self.clock.now_us(),
                who=Who(),
                model="chat",
                release=release,
                attempts=1,
                price="settings",
                **{**usual, **fields},  # type: ignore[arg-type]
            )
            made.append(record)
        if not made:
            return []
        rows = [row_of(record) for record in made]
        self.database.write_sync(lambda connection: connection.execute(calls.insert(), rows).rowcount)
        return [record.id for record in made]
