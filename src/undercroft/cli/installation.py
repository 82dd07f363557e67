"""The installation that a command works on: its settings and its database."""

import getpass
import os
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from undercroft.access.audit import Act, Origin, append
from undercroft.cli.output import Output
from undercroft.clock import SystemClock
from undercroft.errors import Unavailable
from undercroft.settings.model import Settings
from undercroft.settings.secret_store import OpenStored
from undercroft.settings.sources import load
from undercroft.storage.engine import Database, open_database


def read_settings(options: Namespace, out: Output, *, stored: OpenStored | None = None) -> Settings:
    """The settings as `--config` and this shell give them; warnings are noted. `stored` is as `load` has it: for
    commands that speak to services whose keys may be in the encrypted store."""
    loaded = load(config=options.config, environment=os.environ, directory=Path.cwd(), stored=stored)
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


def note(database: Database, act: Act) -> None:
    """Writes down what a command has changed, once it has. What is changed in a transaction of the command's own is
    written down in that (`audited`)."""
    entry = partial(append, act=act, origin=at_the_keyboard(), now_us=SystemClock().now_us())
    database.write_sync(entry)


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
