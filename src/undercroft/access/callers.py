"""Who came in."""

from typing import Final

import msgspec

from undercroft.access.roles import EVERYTHING, Rights
from undercroft.record import Who


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who came in, and what they may do."""

    who: Who
    rights: Rights
    actor: str = ""
    """Who it is in the audit log: `master key`, `key ID`, `user NAME`, `open door`."""
    maker: str = ""
    """What keys that it makes are bound to: `key:ID` or `user:ID`; empty for those that answer to nobody."""

    @property
    def permissions(self) -> frozenset[str]:
        return self.rights.permissions


OPERATOR: Final = Caller(who=Who(), rights=EVERYTHING, actor="master key")
LOCAL: Final = Caller(who=Who(), rights=EVERYTHING, actor="open door")
"""Everyone at the open door of a laptop: admin of organisation `default`, as the master key is."""

NOBODY: Final = Caller(who=Who(organisation="", team="", user=""), rights=Rights())
SCRAPER: Final = Caller(who=Who(), rights=Rights(permissions=frozenset({"scrape", "docs"})), actor="metrics token")
