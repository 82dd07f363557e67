"""Delivery inside this process: whoever hands a job in wakes the crew beside it, and nothing polls for that.

Other processes on the same file see what was queued when they look next (`tending.LOOK_S`).
"""

from collections.abc import Callable, Sequence

from undercroft.jobs.queue import JobRef


class Inline:
    """A JobQueue without anything in between. `wake` is the crew's, where this process has one."""

    def __init__(self, wake: Callable[[], None] | None = None) -> None:
        self._wake = wake

    async def deliver(self, jobs: Sequence[JobRef], /) -> None:
        if jobs and self._wake is not None:
            self._wake()
