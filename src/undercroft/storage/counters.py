"""Names of the counters in `versions`: what is held in memory is read again when its counter has moved."""

from typing import Final

KEYS: Final = "keys"
"""Keys, their limits, and accounts."""
SECRETS: Final = "secrets"
RELEASES: Final = "releases"
"""Versions, their labels, releases, and what aliases run."""
