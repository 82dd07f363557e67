"""Ids that sort by time of making: `prefix_` + 48 bits of milliseconds + 80 random bits, in hex."""

import os
from collections.abc import Callable

from undercroft.clock import Clock


class Ids:
    """Makes ids. Clock and entropy come in, so that a simulated run repeats exactly."""

    __slots__ = ("_clock", "_entropy")

    def __init__(self, clock: Clock, *, entropy: Callable[[int], bytes] = os.urandom) -> None:
        self._clock = clock
        self._entropy = entropy

    def new(self, prefix: str, /) -> str:
        """`ids.new("req_")` -> `req_` and 32 hex digits; `prefix` carries its own separator, as the wire wants it."""
        return f"{prefix}{self._clock.now_us() // 1000:012x}{self._entropy(10).hex()}"
