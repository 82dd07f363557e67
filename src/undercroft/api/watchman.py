"""Who ends connections that dawdle, and what all connections of a server share."""

import weakref
from typing import Final, Protocol

from undercroft.api.cycle import Headers
from undercroft.api.guard import MAX_FIELDS, MAX_HEAD_BYTES
from undercroft.clock import Clock
from undercroft.ids import Ids

SWEEP_S: Final = 1.0


class Swept(Protocol):
    """A connection."""

    def sweep(self, now: float, /) -> None:
        """Ends itself if it has waited for too long."""
        ...


class Watchman:
    """Ends connections that dawdle over a head, do not read their answer, or have been idle for too long.

    One sweep a second over all of them; a timer for every request would cost more than the guard itself.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        ids: Ids,
        header_timeout_s: float,
        write_timeout_s: float,
        keep_alive_s: float,
        max_connections: int,
        max_head_bytes: int = MAX_HEAD_BYTES,
        max_fields: int = MAX_FIELDS,
    ) -> None:
        self.max_head_bytes = max_head_bytes
        self.max_fields = max_fields
        self.clock = clock
        self.ids = ids
        self.max_connections = max_connections
        self.header_timeout_s = header_timeout_s
        self.write_timeout_s = write_timeout_s
        self.keep_alive_s = keep_alive_s
        self._watched: weakref.WeakSet[Swept] = weakref.WeakSet()
        self.default_fields: Headers = ()
        self.beginning = b""
        """Of every answer that is well: the status line, and those fields. uvicorn makes new ones once a second."""

    def write_defaults(self, fields: Headers) -> None:
        """These fields begin every answer's head from now on."""
        lines = (b"%b: %b\r\n" % field for field in fields)
        self.default_fields, self.beginning = fields, b"HTTP/1.1 200 OK\r\n" + b"".join(lines)

    def watch(self, connection: Swept) -> None:
        self._watched.add(connection)

    async def run(self) -> None:
        """Sweeps until cancelled."""
        while True:
            await self.clock.sleep(SWEEP_S)
            now = self.clock.monotonic()
            for connection in tuple(self._watched):
                connection.sweep(now)
