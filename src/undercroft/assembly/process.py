"""The process that an installation lives in: where it listens, what it shares, where time and ids come from."""

from dataclasses import dataclass
from pathlib import Path

from undercroft.access.doors import Bind
from undercroft.clock import Clock
from undercroft.ids import Ids


@dataclass(frozen=True, slots=True)
class Shared:
    """What the workers of one server have in common."""

    metrics: Path
    """Folder in which each keeps its series; a scrape of any adds all up."""
    models: Path
    """Socket of the process that holds the bundled models."""
    control: Path
    """Socket on which the supervisor hands out the configuration."""


@dataclass(frozen=True, slots=True, eq=False)
class Process:
    """What no configuration changes."""

    bind: Bind
    clock: Clock
    ids: Ids
    shared: Shared | None
    log_calls: bool
    is_frozen: bool
    """Nothing runs between requests."""
