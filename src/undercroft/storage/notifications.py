"""PostgreSQL's LISTEN and NOTIFY: a word from one process to all that listen, and lost where nobody does."""

from collections.abc import Callable, Collection
from typing import Any, Final

from sqlalchemy import Connection
from sqlalchemy.engine import make_url

from undercroft.clock import Clock
from undercroft.telemetry.logs import get_logger

FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 1.0
"""Between tries while the server is away."""


def notify(connection: Connection, channel: str, words: Collection[str]) -> None:
    """Says each word when the transaction commits. A work for `Database.write`."""
    connection.exec_driver_sql(
        "SELECT pg_notify(%(channel)s, word) FROM unnest(CAST(%(words)s AS text[])) AS said (word)",
        {"channel": channel, "words": list(words)},
    )


async def listen(url: str, channel: str, heard: Callable[[str], None], *, clock: Clock) -> None:
    """Calls `heard` with each word said, on a connection of its own, until it is cancelled.

    Also called with the empty word whenever it begins to listen: what was said before, nobody knows. `channel` is a
    name of ours, plain letters and underscores.
    """
    import psycopg  # with the rest of PostgreSQL an extra

    from undercroft.storage.engines.postgresql import CONNECTION

    address = make_url(url)
    options: dict[str, Any] = {name: value for name, value in CONNECTION.items() if name not in address.query}
    conninfo = address.set(drivername="postgresql").render_as_string(hide_password=False)
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            session = await psycopg.AsyncConnection.connect(conninfo, autocommit=True, **options)
            async with session:
                await session.execute(f"LISTEN {channel}".encode())
                pause_s = FIRST_PAUSE_S
                heard("")
                async for word in session.notifies():
                    heard(word.payload)
        except psycopg.Error as error:
            get_logger("undercroft.database").debug("not_listening", channel=channel, reason=str(error))
        await clock.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
