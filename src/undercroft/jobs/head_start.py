"""Runs begin when their claim's rows are there, while its COMMIT is still on its way.

What begins so is in doubt for a moment: nobody else can have the rows until the transaction is over, and if that fails,
the run is broken off and its token counts for nothing.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import copy_context

from undercroft.jobs.types import Job


class HeadStart:
    """Of the runs of one claim."""

    def __init__(self, begin: Callable[[Sequence[Job]], None]) -> None:
        """`begin` is called once at most, on this loop and in this context."""
        self._begin = begin
        self._loop = asyncio.get_running_loop()
        self._context = copy_context()
        self._is_over = False
        self.begun: frozenset[tuple[str, str]] = frozenset()
        """Those that have begun, by job and token: all of the claim, or none."""

    def give(self, jobs: Sequence[Job]) -> None:
        """These are the rows. Called in the middle of the transaction, in any thread."""
        with suppress(RuntimeError):  # the loop is closed: nothing begins here any more
            self._loop.call_soon_threadsafe(self._take, jobs, context=self._context)

    def end(self) -> None:
        """The transaction is over, as far as anybody waits for it: what has not begun by now gets no head start."""
        self._is_over = True

    def _take(self, jobs: Sequence[Job]) -> None:
        if not self._is_over:
            self.begun = frozenset((job.id, job.token) for job in jobs)
            self._begin(jobs)
