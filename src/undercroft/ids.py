"""Ids that sort by time of making: `prefix_` + 48 bits of milliseconds + 80 random bits, in hex."""

import os
from collections.abc import Callable
from typing import Final

from undercroft.clock import Clock

RANDOM_BYTES: Final = 10
STOCK: Final = 256
"""Ids' worth of random bytes fetched at once: asking the system for each id takes 5 us."""


class Ids:
    """Makes ids. Clock and entropy come in, so that a simulated run repeats exactly. Not for several threads."""

    __slots__ = ("_clock", "_entropy", "_moment", "_shown", "_stock")

    def __init__(self, clock: Clock, *, entropy: Callable[[int], bytes] = os.urandom) -> None:
        self._clock = clock
        self._entropy = entropy
        self._stock: list[str] = []
        self._moment = -1
        self._shown = ""
        """The millisecond of the last id, and how it is written: under load there are many in one."""

    def new(self, prefix: str, /) -> str:
        """`ids.new("req_")` -> `req_` and 32 hex digits; `prefix` carries its own separator, as the wire wants it."""
        return self.at(prefix, self._clock.now_us())

    def at(self, prefix: str, now_us: int, /) -> str:
        """The same for a caller who knows what time it is."""
        stock = self._stock
        if not stock:
            fetched = self._entropy(STOCK * RANDOM_BYTES).hex()
            stock.extend(fetched[at : at + 2 * RANDOM_BYTES] for at in range(0, len(fetched), 2 * RANDOM_BYTES))
        moment = now_us // 1000
        if moment != self._moment:
            self._moment, self._shown = moment, f"{moment:012x}"
        return prefix + self._shown + stock.pop()
