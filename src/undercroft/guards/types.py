"""What a guard looks for, and what it says it has found."""

from collections.abc import Sequence
from typing import Final, Literal, Protocol

import msgspec

Action = Literal["block", "mask", "flag"]
"""`block` refuses the call, `mask` replaces what was found, `flag` only says so."""

Side = Literal["input", "output"]

MASK: Final = "[{}]"
"""What stands where something was masked: `[email]`."""


class Find(msgspec.Struct, frozen=True):
    """A stretch of a text, and what it is: `email`, `card`, the name of a list of terms."""

    start: int
    end: int
    what: str


class Check(Protocol):
    """Looks at texts. It keeps nothing of them between calls."""

    longest: int
    """The most characters that one find can have: so many of a stream are looked at together. 0: whole texts only."""

    def find(self, text: str, /) -> Sequence[Find]:
        """What is in a text, in its order, without overlaps. Takes time in proportion to the text's length."""
        ...
