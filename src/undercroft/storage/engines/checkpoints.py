"""Brings what was committed from SQLite's log into its file, beside the thread that writes."""

import sqlite3
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from undercroft.telemetry.logs import get_logger

COMMITS: Final = 128
"""From one checkpoint to the next: about as often as SQLite's own thousand pages come together."""
BACKSTOP_PAGES: Final = 8_000
"""Where the log grows faster than it is emptied beside it, the writer empties it after all: 32 MB."""


class Checkpoints:
    """A checkpoint waits for the disk twice, for some ten milliseconds together. Made by whoever commits, as SQLite
    does by itself, every hundredth job waits for it, and all that come behind; made here, nobody does: it neither
    takes the writer's lock nor waits for readers, and leaves to the next one what it could not bring over."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        """`connect` opens a connection of our own, when there is something to do."""
        self._connect = connect
        self._connection: sqlite3.Connection | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="undercroft-checkpoint")
        self._commits = 0
        self._latest: Future[None] | None = None

    def committed(self) -> None:
        """A transaction was. Called by the one who writes; returns at once."""
        self._commits += 1
        if self._commits >= COMMITS and (self._latest is None or self._latest.done()):
            self._commits = 0
            self._latest = self._thread.submit(self._make)

    def close(self) -> None:
        """Finishes the one under way."""
        self._thread.shutdown()
        if self._connection is not None:
            self._connection.close()

    def _make(self) -> None:
        try:
            if self._connection is None:
                self._connection = self._connect()
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except sqlite3.Error as error:  # nothing is lost: the log has it, and the writer will hear of it
            get_logger("undercroft.database").debug("log_not_emptied", reason=str(error))
