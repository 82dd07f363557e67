"""A store of slices in memory, whose answers can be lost and whose owners can be taken for dead."""

from collections.abc import Callable

from msgspec.structs import replace

from undercroft.errors import Unavailable
from undercroft.ledger.slices import Slice, Window, slice_size

Place = tuple[str, str]


class MemorySlices:
    """As a SliceStore. `is_away` refuses everything; `loses_answers` does what it is asked and does not say so."""

    lease_s = 10.0

    def __init__(self) -> None:
        self.is_away = False
        self.loses_answers = False
        self.settled: dict[str, int] = {}
        self.asked = 0
        """How often anybody has asked for more."""
        self.forgotten_before_us = 0
        self._held: dict[Place, Slice] = {}
        self._token = 0

    async def lease(self, held: Slice, requested: int, *, limit: int) -> Slice | None:
        self.asked += 1
        others = sum(1 for place in self._held if place[0] == held.window.name and place[1] != held.owner)
        left = limit - self._taken(held.window)
        return self._change(held, lambda: held.amount + slice_size(requested, left=left, owners=others + 1))

    async def give_back(self, held: Slice, unspent: int) -> Slice | None:
        return self._change(held, lambda: held.amount - unspent)

    async def renew(self, owner: str) -> list[Slice]:
        self._answer()
        return [each for each in self._held.values() if each.owner == owner and not each.is_frozen]

    async def freeze(self) -> list[Slice]:
        self._answer()
        return [each for each in self._held.values() if each.is_frozen]

    async def settle(self, held: Slice, spent: int) -> bool:
        self._answer()
        if self._held.pop((held.window.name, held.owner), None) is None:
            return False
        self.settled[held.window.name] = self.settled.get(held.window.name, 0) + spent
        return True

    async def sharers(self) -> int:
        self._answer()
        return len({each.owner for each in self._held.values() if not each.is_frozen})

    async def forget(self, before_us: int) -> int:
        self.forgotten_before_us = before_us
        return 0

    def leave_behind(self, window: Window, amount: int, *, owner: str) -> None:
        """What a process that died had leased."""
        self._token += 1
        dead = Slice(window=window, owner=owner, amount=amount, token=self._token, is_frozen=True)
        self._held[window.name, owner] = dead

    def out(self, name: str) -> int:
        """What is leased of a window just now."""
        return sum(each.amount for each in self._held.values() if each.window.name == name)

    def _change(self, held: Slice, to: Callable[[], int]) -> Slice | None:
        if self.is_away:
            raise Unavailable("The store is away.")
        there = self._held.get((held.window.name, held.owner))
        if there is None and held.token:
            return None
        amount = to() if there is None or there.token == held.token else there.amount
        self._token += 1
        fresh = replace(held, amount=amount, token=self._token, is_frozen=False)
        self._held[held.window.name, held.owner] = fresh
        if self.loses_answers:
            raise Unavailable("The answer was lost.")
        return replace(fresh, taken=self._taken(held.window))

    def _answer(self) -> None:
        if self.is_away:
            raise Unavailable("The store is away.")

    def _taken(self, window: Window) -> int:
        return self.settled.get(window.name, 0) + self.out(window.name)
