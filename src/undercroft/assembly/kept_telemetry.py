"""Keeps the latest traces and the kinds of error in the database, where nobody else takes them."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Final

from undercroft.assembly.beside import alongside
from undercroft.assembly.database import DatabaseLink
from undercroft.clock import Clock, beat
from undercroft.errors import Unavailable
from undercroft.telemetry.spans import Span

if TYPE_CHECKING:
    from undercroft.observed.errors import Occurrence

EVERY_S: Final = 1.0
PRUNE_EVERY: Final = 10
"""Passes between two looks at what is too much."""
MOST_TRACES: Final = 50
"""Kept of those of one pass: the latest. Writing all of them down would cost more than answering them."""
MOST_ERRORS: Final = 200
LAST_S: Final = 2.0

Make = Callable[[], Sequence[Span]]


class KeptSpans:
    """A sink that keeps the latest. What newer ones push out would not have been kept for long: it is not missed."""

    dropped = 0
    most_at_once: Final = MOST_TRACES

    def __init__(self) -> None:
        self._waiting: deque[Make] = deque(maxlen=MOST_TRACES)

    def offer(self, make: Make, count: int, /) -> None:
        self._waiting.append(make)

    def take(self) -> list[Span]:
        """What has come since."""
        made, self._waiting = self._waiting, deque(maxlen=MOST_TRACES)
        return [span for make in made for span in make()]


class KeptErrors:
    """Errors that wait to be counted. May be told from any thread."""

    def __init__(self) -> None:
        self._waiting: deque[Occurrence] = deque()
        self.dropped = 0

    def offer(self, occurrence: "Occurrence") -> None:
        if len(self._waiting) < MOST_ERRORS:
            self._waiting.append(occurrence)
        else:
            self.dropped += 1

    def take(self) -> "list[Occurrence]":
        """What has come since."""
        return [self._waiting.popleft() for _ in range(len(self._waiting))]


@contextlib.asynccontextmanager
async def keeping(
    link: DatabaseLink,
    spans: KeptSpans | None,
    errors: KeptErrors | None,
    *,
    traces_kept: int,
    errors_kept: int,
    clock: Clock,
) -> AsyncIterator[None]:
    """Writes once a second, beside the block, and once more at its end. While the database is away nothing is kept."""

    async def write(prune: bool) -> None:
        made = spans.take() if spans is not None else []
        found = errors.take() if errors is not None else []
        if not made and not found:
            return
        link.database()  # while it is being opened, a thread imports SQLAlchemy: two at once get half of it
        from sqlalchemy import Connection

        from undercroft.observed import errors as groups
        from undercroft.observed import traces

        def work(connection: Connection) -> None:
            traces.keep_spans(connection, made)
            groups.note_errors(connection, found)
            if prune:
                traces.prune_traces(connection, keep=traces_kept)
                groups.prune_errors(connection, keep=errors_kept)

        await link.aside.write(work)

    async def run() -> None:
        await link.first_look()
        passes = 0
        while True:
            await beat(clock, EVERY_S)
            passes += 1
            with contextlib.suppress(Unavailable):  # /health and the log say so; calls do not wait for this
                await write(prune=not passes % PRUNE_EVERY)

    try:
        async with alongside(run(), raises=False):
            yield
    finally:
        with contextlib.suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(LAST_S):
                await write(prune=True)
