"""Limits that processes share: each leases a slice of what is left, and spends from it without asking anyone.

What an owner has leased counts as spent until it says otherwise. So the sum of what everybody may spend never exceeds
the limit, and an owner that dies takes nothing along but its own slice: that stays frozen until somebody has found out,
from the dead process's spool, how much of it was spent.
"""

from typing import Final, Protocol

import msgspec

SHARE: Final = 8
"""An owner gets at most this part of its fair share at a time: what others need is not stuck with one that idles."""


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """One period of one limit. Its id is part of the key: nothing is ever reset in place."""

    organisation: str
    name: str
    """The limit, e.g. `budget:key_1`."""
    id: str
    """The period, e.g. `2026-08`."""
    ends_us: int
    """When nobody asks for it any more."""


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """What one owner has of a window, as the store last told it. An owner begins with an empty one."""

    window: Window
    owner: str
    """One life of one process; a name is never used again."""
    amount: int = 0
    """Everything leased and not returned, spent or not."""
    token: int = 0
    """Goes up with every answer to `lease` and `give_back`; who brings another than the store's changes nothing."""
    is_frozen: bool = False
    """Its owner let the lease run out: it has to ask for it again, and if it is dead somebody settles it."""
    taken: int = 0
    """What all had of the window when `lease` or `give_back` answered, this slice and what is settled included; other
    answers leave it 0."""


class SliceStore(Protocol):
    """Keeps who has leased how much of what. Raises Unavailable; what was asked may then have been done or not.

    An owner spends from a slice for `lease_s` after it began to ask for what it was last told about it, and no longer.
    """

    lease_s: float

    async def lease(self, held: Slice, requested: int, *, limit: int) -> Slice | None:
        """More of a window: `requested` or a share of what is left; nothing when less is left.

        Returns the slice as it now stands, its lease begun anew and frozen no more, or None when it was settled. When
        `held` is not what the store has (an answer was lost), that is put right and nothing else done.
        """
        ...

    async def give_back(self, held: Slice, unspent: int) -> Slice | None:
        """Less of a window, for others; answers as `lease` does.

        Whoever got no answer spends nothing until he has asked again, with either.
        """
        ...

    async def renew(self, owner: str) -> list[Slice]:
        """Begins the lease of everything `owner` has anew, and tells what that is: what is missing is lost to it."""
        ...

    async def freeze(self) -> list[Slice]:
        """Freezes what has run out; returns everything frozen. Of owners that are dead, find out what was spent, and
        `settle`."""
        ...

    async def settle(self, held: Slice, spent: int) -> bool:
        """Ends a slice, its owner's own or a frozen one: `spent` stays counted, the rest is free again.

        False, and nothing is changed, when it has been settled before, or frozen or asked for since it was told.
        """
        ...

    async def sharers(self) -> int:
        """How many owners have anything leased just now, or have renewed."""
        ...

    async def forget(self, before_us: int) -> int:
        """Drops the windows that ended before that moment; returns how many slices and sums that were."""
        ...


def slice_size(requested: int, *, left: int, owners: int) -> int:
    """How much an owner gets that needs `requested` now and shares what is `left` with others, itself included."""
    return min(max(requested, left // (SHARE * owners)), left) if 0 <= requested <= left else 0
