"""What does the work: a handler for each kind of job, and what a running one may say and ask."""

import asyncio
from collections.abc import Collection, Iterable
from typing import Any, Protocol

import msgspec

from undercroft.errors import InvalidRequest, UndercroftError
from undercroft.jobs.types import Job, Limits


class JobStopped(UndercroftError):
    """The job was cancelled, its time is up, or its process winds down: whoever runs it should come to an end."""

    code = "job_stopped"


class Handler(Protocol):
    """Does the jobs of one kind. Must bear that a job is run more than once: the process may die at any moment."""

    kind: str
    limits: Limits
    """Of its jobs, where they do not say otherwise."""

    def check(self, input: bytes, /) -> str:
        """Whether this can be an input, before the job is accepted: JSON bytes. Raises InvalidRequest.

        Returns the job's lane (`claims.py`): empty, or the name of what its jobs draw on, so that they can be parked
        together while that is away.
        """
        ...

    async def run(self, job: Job, context: "JobContext", /) -> bytes:
        """The result as JSON. What it raises decides whether the job is run again (`retry.failure_of`).

        Cancelled when the job is to stop: an upstream call must not outlive it.
        """
        ...


class JobContext:
    """What a running job may say of how far it has come, and see of whether it is still wanted.

    `progress` and `output` may be called from any thread.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.told: str | None = None
        """The latest progress, as JSON."""
        self.pieces: list[str] = []
        """The output so far, in pieces of JSON."""
        self.is_stopping = False
        self.is_over = False
        self._loop = asyncio.get_running_loop()
        self._changed: asyncio.Event | None = None
        """There where somebody waits: most jobs say nothing, and to nobody."""

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """How much is done, of how much."""
        said: dict[str, Any] = {"done": done}
        if total is not None:
            said["total"] = total
        if message:
            said["message"] = message
        self.told = _encode(said).decode()
        self._wake()

    def output(self, piece: object) -> None:
        """The next piece of the result: those who follow the job get it at once."""
        self.pieces.append(_encode(piece).decode())
        self._wake()

    def check(self) -> None:
        """Raises JobStopped when the job is to end: for functions that run in a thread, which nobody can interrupt."""
        if self.is_stopping:
            raise JobStopped("This job is to stop.")

    def stop(self) -> None:
        """Tells the job to end."""
        self.is_stopping = True

    def close(self) -> None:
        """Nothing more will be said: the run has ended."""
        self.is_over = True
        self._wake()

    def _wake(self) -> None:
        if (changed := self._changed) is not None:
            self._changed = None
            self._loop.call_soon_threadsafe(changed.set)

    async def more(self) -> None:
        """Returns when something was said."""
        if (changed := self._changed) is None:
            changed = self._changed = asyncio.Event()
        await changed.wait()


class Handlers:
    """All kinds of job that there are."""

    def __init__(self, handlers: Iterable[Handler] = ()) -> None:
        self._by_kind: dict[str, Handler] = {}
        for handler in handlers:
            self.add(handler)

    def add(self, handler: Handler) -> None:
        if handler.kind in self._by_kind:
            raise ValueError(f"There are two handlers for jobs of kind {handler.kind!r}.")
        self._by_kind[handler.kind] = handler

    @property
    def kinds(self) -> Collection[str]:
        return self._by_kind.keys()

    def find(self, kind: str) -> Handler:
        """Raises InvalidRequest for a kind that nobody does."""
        handler = self._by_kind.get(kind)
        if handler is None:
            raise InvalidRequest(
                f"There is no kind of job '{kind[:100]}'.",
                code="unknown_job_kind",
                param="kind",
                hint=f"There are: {', '.join(sorted(self.kinds))}.",
            )
        return handler


_encode = msgspec.json.Encoder().encode
