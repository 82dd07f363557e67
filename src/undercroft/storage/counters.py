"""Names of the counters in `versions`: what is held in memory is read again when its counter has moved."""

from typing import Final

KEYS: Final = "keys"
"""Keys, their limits, and accounts."""
SECRETS: Final = "secrets"
RELEASES: Final = "releases"
"""Versions, their labels, releases, and what aliases run."""

OLDEST_CODE: Final = "schema:oldest-code"
"""No counter, but kept among them: the oldest schema whose code can go on beside this database."""
