"""The process that an installation lives in: where it listens, what it shares, where time and ids come from."""

from pathlib import Path

import msgspec

from undercroft.access.doors import Bind
from undercroft.clock import Clock
from undercroft.ids import Ids


class Shared(msgspec.Struct, frozen=True):
    """What the workers of one server have in common."""

    metrics: Path
    """Folder in which each keeps its series; a scrape of any adds all up."""
    models: Path
    """Socket of the process that holds the bundled models."""
    control: Path
    """Socket on which the supervisor hands out the configuration."""


class Process(msgspec.Struct, frozen=True, eq=False):
    """What no configuration changes."""

    bind: Bind
    clock: Clock
    ids: Ids
    shared: Shared | None
    log_calls: bool
    is_frozen: bool
    """Nothing runs between requests."""
