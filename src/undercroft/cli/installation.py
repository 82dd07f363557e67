"""The installation that a command works on: its settings and its database."""

import getpass
import os
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from undercroft.access.audit import Origin
from undercroft.cli.output import Output
from undercroft.clock import SystemClock
from undercroft.errors import Unavailable
from undercroft.settings.model import Settings
from undercroft.settings.sources import load
from undercroft.storage.engine import Database, open_database


def read_settings(options: Namespace, out: Output) -> Settings:
    """The settings as `--config` and this shell give them; warnings are noted."""
    loaded = load(config=options.config, environment=os.environ, directory=Path.cwd())
    for warning in loaded.warnings:
        out.note(warning)
    return loaded.settings


def at_the_keyboard(organisation: str = "default") -> Origin:
    """Who acts in the audit log when a command does."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        name = str(os.getuid())
    return Origin(organisation=organisation, actor=f"command line, {name}")


@contextmanager
def ready_database(settings: Settings, *, otherwise: str) -> Iterator[Database]:
    """The database, for as long as the block lasts. An SQLite file that is not there yet is made.

    Raises Unavailable, which begins with `otherwise`, when it is away or has not this version's tables.
    """
    url = settings.database.url
    database = open_database(
        url.get_secret_value() if url else None, data_dir=settings.data_dir, pool_size=1, clock=SystemClock()
    )
    try:
        state = database.state_sync()
        if not state.is_ready:
            raise Unavailable(f"{otherwise}: {state.reason}")
        yield database
    finally:
        database.close()
