"""What a call holds of its limits, and how it comes to hold more."""

from collections.abc import Awaitable, Callable
from typing import Final

from undercroft.ledger.allowances import Hold, Need
from undercroft.ledger.limits import Ask, Counting, asked


class Wanted:
    """The most that a call can use of what counts it, as long as its answer has no more than so many tokens."""

    __slots__ = ("ask", "counted", "tokens")

    def __init__(self, counted: Counting, tokens: int, ask: Ask) -> None:
        self.counted = counted
        self.tokens = tokens
        self.ask = ask

    def needs(self) -> list[Need]:
        """What has to be held."""
        amounts = asked(self.ask)
        return [(limit, window, amounts[limit.measure]) for limit, window in self.counted.windows]

    def needs_beyond(self, held: Ask) -> list[Need]:
        """What has to be held besides, of limits that a longer answer uses more of."""
        more = Ask(tokens=self.ask.tokens - held.tokens, spend_nano=self.ask.spend_nano - held.spend_nano)
        amounts = asked(more)
        return [(limit, window, amounts[limit.measure]) for limit, window in self.counted.windows if limit.grows]


class Holding:
    """The stake of a call that is counted."""

    __slots__ = ("_grow", "_hold", "_wanted", "grows")

    def __init__(self, hold: Hold, wanted: Wanted, grow: Callable[[Wanted], Awaitable[Wanted]], *, grows: bool) -> None:
        """`grow` holds more than what was wanted before, and says what that is."""
        self._hold = hold
        self._wanted = wanted
        self._grow = grow
        self.grows = grows

    @property
    def tokens(self) -> int:
        return self._wanted.tokens

    async def grow(self) -> int:
        self._wanted = await self._grow(self._wanted)
        return self._wanted.tokens

    def drop(self) -> None:
        self._hold.drop()


class Nothing:
    """The stake of a call that nothing counts."""

    tokens: Final = 0
    grows: Final = False

    async def grow(self) -> int:
        """It does not."""
        return 0

    def drop(self) -> None:
        """There is nothing to give back."""


NOTHING: Final = Nothing()
