"""Which settings a running server cannot change: they are bound up with what lives as long as its process."""

from typing import Any, Final

from undercroft.settings.draft import DEFAULT, dotted, leaves
from undercroft.settings.locate import Place
from undercroft.settings.model import Settings
from undercroft.settings.sources import Loaded

FIXED: Final[tuple[Place, ...]] = (
    ("data_dir",),
    ("server", "host"),
    ("server", "port"),
    ("server", "workers"),
    ("server", "role"),
    ("server", "shutdown_grace_s"),
    ("server", "limits", "max_connections"),
    ("server", "limits", "max_head_bytes"),
    ("server", "limits", "max_header_fields"),
    ("server", "limits", "header_timeout_s"),
    ("server", "limits", "write_timeout_s"),
    ("database",),
    ("ledger",),
    ("local",),
    ("encryption_key",),
    ("redis",),
    ("events",),
    ("vectors",),
    ("responses", "background_at_once"),
    ("responses", "background_queue"),
    ("responses", "background_timeout_s"),
    ("jobs",),
    ("cache",),
    ("releases", "check_interval_s"),
    ("retention",),
)
"""Listening sockets and their limits, the processes, the data with what writes it, and the loaded models."""


def needs_restart(running: Settings, loaded: Loaded) -> list[str]:
    """A line for each setting that was changed and may not be; values are not shown, some are secret."""
    before, after = running.model_dump(), loaded.settings.model_dump()
    found = []
    for fixed in FIXED:
        was, now = dict(leaves(_at(before, fixed), fixed)), dict(leaves(_at(after, fixed), fixed))
        for place in sorted({*was, *now}, key=str):
            if was.get(place) != now.get(place):
                name = dotted(place)
                origin = loaded.provenance.get(name, DEFAULT)
                found.append(f"{origin}: {name} was changed, and that takes a restart")
    return found


def _at(tree: Any, place: Place) -> Any:
    for step in place:
        tree = tree[step]
    return tree
