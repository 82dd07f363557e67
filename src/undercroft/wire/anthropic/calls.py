"""Puts the pieces of several tool calls into an order in which one call ends before the next begins."""

import msgspec

from undercroft.llm.types import ToolCallDelta


class CallQueue:
    """Gives out each call's pieces as they come while it is its turn, and holds back those of the others.

    A call's turn ends when another begins and its own arguments are whole JSON, or when no more are to come.
    """

    __slots__ = ("_arguments", "_current", "_waiting")

    def __init__(self) -> None:
        self._current: int | None = None
        self._arguments = ""
        """Of the call whose turn it is."""
        self._waiting: dict[int, list[ToolCallDelta]] = {}

    def add(self, piece: ToolCallDelta) -> list[ToolCallDelta]:
        """The pieces that may go out now."""
        if self._current is None:
            self._current = piece.index
        if piece.index == self._current:
            self._arguments += piece.arguments
            return [piece]
        self._waiting.setdefault(piece.index, []).append(piece)
        if self._waiting.keys() == {piece.index} and is_whole(self._arguments):
            return self._next(piece.index)
        return []

    def rest(self) -> list[ToolCallDelta]:
        """What was held back, call by call."""
        return [piece for index in sorted(self._waiting) for piece in self._next(index)]

    def _next(self, index: int) -> list[ToolCallDelta]:
        pieces = self._waiting.pop(index)
        self._current = index
        self._arguments = "".join(piece.arguments for piece in pieces)
        return pieces


def is_whole(arguments: str) -> bool:
    """Whether nothing more can follow."""
    try:
        msgspec.json.decode(arguments)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return False
    return True
