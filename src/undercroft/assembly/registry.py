"""The database, and what of it is held in memory: keys, what they may use, stored secrets."""

import msgspec

from undercroft.access.keys import KeyRing
from undercroft.assembly.access import AccessDesk
from undercroft.assembly.database import DatabaseLink
from undercroft.assembly.process import Process
from undercroft.ledger.limit_book import LimitBook
from undercroft.settings.model import Settings


class Registry(msgspec.Struct, frozen=True, eq=False):
    """Kept current by `link`, while that is running."""

    link: DatabaseLink
    keys: KeyRing
    limits: LimitBook
    access: AccessDesk


def registry_of(settings: Settings, process: Process) -> Registry:
    """Empty until the database has been looked at. Raises ConfigurationError for an encryption key that is none."""
    keys, limits = KeyRing(), LimitBook()
    access = AccessDesk(settings, clock=process.clock)
    link = DatabaseLink(settings, keys=keys, limits=limits, clock=process.clock, vault=access.vault)
    access.use(link)
    return Registry(link, keys, limits, access)
