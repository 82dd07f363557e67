"""What else is written in the transaction that moves a job: whoever tells the world of it is told there."""

from collections.abc import Sequence
from typing import Final, Literal, Protocol

import msgspec
from sqlalchemy import Connection

from undercroft.jobs.types import Job, Status

EventName = Literal["job.queued", "job.running", "job.waiting", "job.succeeded", "job.dead", "job.cancelled"]


class JobEvent(msgspec.Struct, frozen=True):
    """Something happened to a job that others may want to know of."""

    name: EventName
    job: Job
    """As it is from now on."""


def reached(job: Job) -> JobEvent:
    """That a job has the status that it has now."""
    return JobEvent(_NAMES[job.status], job)


_NAMES: Final[dict[Status, EventName]] = {
    "queued": "job.queued",
    "running": "job.running",
    "waiting": "job.waiting",
    "succeeded": "job.succeeded",
    "dead": "job.dead",
    "cancelled": "job.cancelled",
}


class Effects(Protocol):
    """Keeps events. They are there exactly when what they tell of is: all of it is one transaction."""

    def append(self, connection: Connection, events: Sequence[JobEvent], /) -> None: ...


class NoEffects:
    """Where nobody wants to know."""

    def append(self, connection: Connection, events: Sequence[JobEvent], /) -> None:
        """Nothing."""


class Gathered:
    """Events of one transaction, written at once at its end."""

    def __init__(self) -> None:
        self._events: list[JobEvent] = []

    def append(self, connection: Connection, events: Sequence[JobEvent], /) -> None:
        self._events += events

    def write(self, connection: Connection, effects: Effects) -> None:
        if self._events:
            effects.append(connection, self._events)
