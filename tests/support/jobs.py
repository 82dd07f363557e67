"""Jobs as tests want them."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection

from undercroft.jobs import claims, endings, repository
from undercroft.jobs.claims import Claim
from undercroft.jobs.effects import JobEvent
from undercroft.jobs.endings import Ended, Settled
from undercroft.jobs.statements import Moment
from undercroft.jobs.types import Accepted, Job, JobSpec, Outcome, Succeeded
from undercroft.record import Who
from undercroft.storage.engine import Database

LEASE_US = 30_000_000


class KeptEffects:
    """Remembers what happened."""

    def __init__(self) -> None:
        self.events: list[JobEvent] = []

    def append(self, connection: Connection, events: Sequence[JobEvent], /) -> None:
        self.events += events

    @property
    def names(self) -> list[str]:
        return [event.name for event in self.events]


def spec(id: str = "job_1", *, organisation: str = "default", **fields: Any) -> JobSpec:
    plain: dict[str, Any] = {"kind": "echo", "input": b'{"n":1}'}
    return JobSpec(id=id, who=Who(organisation=organisation), **plain | fields)


class JobRows:
    """The works of `jobs/` on a database, with clocks that a test moves."""

    def __init__(self, database: Database, now_us: int) -> None:
        self.database = database
        self.effects = KeptEffects()
        self.moment = Moment(now_us, 1_000_000_000)
        self.claims = 0

    def pass_(self, seconds: float) -> None:
        """SQLite's time; PostgreSQL has its own."""
        step_us = round(seconds * 1_000_000)
        self.moment = Moment(self.moment.wall_us + step_us, self.moment.steady_us + step_us)

    def accept(self, id: str = "job_1", **fields: Any) -> Accepted:
        asked = spec(id, **fields)
        return self.database.write_sync(
            lambda connection: repository.accept(connection, asked, moment=self.moment, effects=self.effects)
        )

    def claim(self, limit: int = 10, *, lease_us: int = LEASE_US, worker: str = "me", **fields: Any) -> list[Job]:
        self.claims += 1
        asked = Claim(
            worker=worker,
            token=f"token-{self.claims}",
            lease_us=lease_us,
            limit=limit,
            **{"queues": ("default",)} | fields,
        )
        return self.database.write_sync(lambda connection: claims.claim(connection, asked, moment=self.moment))

    def claim_named(self, ids: Sequence[tuple[str, str]]) -> list[Job]:
        self.claims += 1
        asked = Claim(worker="me", token=f"token-{self.claims}", lease_us=LEASE_US, limit=0, queues=("default",))
        return self.database.write_sync(
            lambda connection: claims.claim_named(connection, asked, ids, moment=self.moment)
        )

    def settle(self, job: Job, outcome: Outcome | None = None) -> Settled:
        ended = [Ended(job, outcome or Succeeded(b'"done"'))]
        return self.database.write_sync(
            lambda connection: endings.settle(connection, ended, moment=self.moment, effects=self.effects)
        )

    def reap(self) -> Settled:
        return self.database.write_sync(
            lambda connection: endings.reap(connection, moment=self.moment, effects=self.effects)
        )

    def promote(self) -> list[Job]:
        return self.database.write_sync(lambda connection: claims.promote(connection, moment=self.moment))

    def cancel(self, id: str) -> Job | None:
        return self.database.write_sync(
            lambda connection: repository.ask_cancel(
                connection, organisation="default", id=id, moment=self.moment, effects=self.effects
            )
        )

    def retry(self, id: str) -> Job | None:
        return self.database.write_sync(
            lambda connection: repository.retry(
                connection, organisation="default", id=id, moment=self.moment, effects=self.effects
            )
        )

    def find(self, id: str = "job_1", *, organisation: str = "default") -> Job:
        found = self.database.read_sync(
            lambda connection: repository.find(connection, organisation=organisation, id=id)
        )
        assert found is not None
        return found

    def sql(self, statement: str) -> None:
        self.database.write_sync(lambda connection: connection.exec_driver_sql(statement))


def row(**fields: Any) -> Job:
    """A job of which only some fields matter."""
    plain = {field.name: _PLAIN[field.type] for field in msgspec.structs.fields(Job) if field.type in _PLAIN}
    return Job(**plain | {"state": "queued", "kind": "echo", "max_attempts": 4} | fields)


_PLAIN: Final[dict[Any, Any]] = {str: "", int: 0, bool: False, str | None: None}


def changed(job: Job, **fields: Any) -> Job:
    return msgspec.structs.replace(job, **fields)
