"""The connections to one origin: kept open, at most so many, handed out to whoever waits longest."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from undercroft.egress.connection import Connection
from undercroft.errors import Unavailable


class Pool:
    """Newest connection first, so that the surplus of a busy minute grows old and is closed."""

    def __init__(
        self,
        *,
        name: str,
        dial: Callable[["Pool", float | None], Awaitable[Connection]],
        forget: Callable[[Connection], None],
        max_connections: int,
        max_waiting: int,
    ) -> None:
        self._name = name
        self._dial = dial
        self._forget = forget
        self._max_connections = max_connections
        self._max_waiting = max_waiting
        self._idle: list[Connection] = []
        self._taken = 0
        """Places in use: connections, idle ones too, and attempts to make one."""
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        """Each gets a free connection, or None for the place of one that closed."""

    @property
    def has_idle(self) -> bool:
        """Whether `take` would return one."""
        return bool(self._idle)

    def take(self) -> Connection | None:
        """An open connection that nobody uses."""
        return self._idle.pop() if self._idle else None

    async def acquire(self, *, wait_s: float, connect_s: float | None = None) -> Connection:
        """A new connection, made within `connect_s`, or at the limit the first that becomes free."""
        if self._taken < self._max_connections:
            self._taken += 1
        else:
            freed = await self._next_free(wait_s)
            if freed is not None:
                return freed
        try:
            return await self._dial(self, connect_s)
        except BaseException:
            self._place_freed()
            raise

    def released(self, connection: Connection) -> None:
        if not (self._waiting and self._give(connection)):
            self._idle.append(connection)

    def lost(self, connection: Connection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)
        self._forget(connection)
        self._place_freed()

    async def _next_free(self, wait_s: float) -> Connection | None:
        if len(self._waiting) >= self._max_waiting:
            raise Unavailable(
                f"All {self._max_connections} connections to {self._name} are busy and {self._max_waiting} calls wait.",
                hint="[egress] max_connections and max_waiting set the limits.",
                retry_after_s=1.0,
            )
        turn: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(wait_s):
                return await turn
        except BaseException as error:
            if not turn.done() or turn.cancelled():
                self._waiting.remove(turn)
            elif (freed := turn.result()) is not None:  # it came in the very moment the caller left
                self.released(freed)
            else:
                self._place_freed()
            if isinstance(error, TimeoutError):
                raise Unavailable(
                    f"No connection to {self._name} became free within {wait_s:g} s.", retry_after_s=1.0
                ) from None
            raise

    def _place_freed(self) -> None:
        if not self._give(None):
            self._taken -= 1

    def _give(self, freed: Connection | None) -> bool:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(freed)
                return True
        return False
