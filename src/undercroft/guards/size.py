"""Texts that are longer than an operator wants to pay for."""

from collections.abc import Sequence

from undercroft.guards.types import Find


class TooLong:
    """A Check for texts of more than so many characters: what is over is found."""

    longest = 0

    def __init__(self, max_characters: int) -> None:
        self._most = max_characters

    def find(self, text: str, /) -> Sequence[Find]:
        return [Find(self._most, len(text), "size")] if len(text) > self._most else ()
