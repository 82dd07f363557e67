"""What brings jobs to workers."""

from collections.abc import Sequence
from typing import Protocol


class JobRef(Protocol):
    """As much of a job as delivery needs: never its input."""

    @property
    def organisation(self) -> str: ...
    @property
    def id(self) -> str: ...
    @property
    def queue(self) -> str: ...


class JobQueue(Protocol):
    """Delivers ids. The row is the job; a lost or doubled delivery costs time, never work.

    Called after the rows were committed. Never raises for a broker that is away: the reconciler finds what was not
    delivered.
    """

    async def deliver(self, jobs: Sequence[JobRef], /) -> None:
        """Lets some worker know that these wait, each in its queue. Jobs whose time has not come are not delivered
        before it has."""
        ...
