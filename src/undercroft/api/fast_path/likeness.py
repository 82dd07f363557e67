"""Events that differ from an earlier one in nothing but their text: seen by comparing bytes instead of reading JSON."""

import re
from typing import Final

from undercroft.llm.types import Choice, Chunk

_BEGINS: Final = b"data: "
_ENDS: Final = b"\n\n"
_CONTENT: Final = b'"content"'
_MOST_DIGITS: Final = 6
"""Of the line that tells how long a chunk is."""
_MOST_REMEMBERED: Final = 64
"""Lengths: words are short."""
_STRING: Final = re.compile(rb'[^"\\\x00-\x1f]*+')
"""A JSON string in which nothing is escaped, whatever stands around it."""


class Likeness:
    """What stands before and behind the text of such an event, which is alone in a chunk of a body.

    Between an opening and a closing quote there may be any such string: what is around it means what it meant.
    """

    __slots__ = ("_beginnings", "_end", "_head")

    def __init__(self, head: bytes, tail: bytes) -> None:
        self._head = head
        self._end = tail + b"\r\n"
        self._beginnings: dict[int, bytes] = {}
        """What stands before the text of a chunk, by the chunk's length: its first line tells that too."""

    @classmethod
    def of(cls, chunk: Chunk) -> "Likeness | None":
        """That of an event that says a text and nothing else; None where it cannot be told where its text stands."""
        payload = chunk.source
        if payload is None or chunk.usage is not None or len(chunk.choices) != 1:
            return None
        choice = chunk.choices[0]
        if choice != Choice(index=choice.index, role=choice.role, text=choice.text):
            return None
        text = choice.text.encode()
        start = payload.find(b':"%b"' % text, payload.find(_CONTENT)) + 2
        is_plain = b"\\" not in payload and b"\n" not in payload and payload.count(_CONTENT) == 1
        if not text or not is_plain or start != payload.find(_CONTENT) + len(_CONTENT) + 2:
            return None
        return cls(_BEGINS + payload[:start], payload[start + len(text) :] + _ENDS)

    def characters_of(self, chunk: bytes) -> int | None:
        """How long the text of such an event is, where the whole of that chunk is written as everybody does; None: it
        is another kind of event, or more than one, or less."""
        size = len(chunk)
        beginning = self._beginnings.get(size) or self._beginning(size)
        if not (beginning and chunk.startswith(beginning) and chunk.endswith(self._end)):
            return None
        first, last = len(beginning), size - len(self._end)
        if _STRING.fullmatch(chunk, first, last) is None:
            return None
        if chunk.isascii():
            return last - first
        try:
            return len(chunk[first:last].decode())
        except UnicodeDecodeError:
            return None

    def _beginning(self, size: int) -> bytes:
        """Empty where no chunk is so long."""
        for digits in range(1, _MOST_DIGITS + 1):
            line = b"%x\r\n" % max(size - digits - 4, 0)
            if len(line) == digits + 2:
                beginning = line + self._head
                if len(self._beginnings) < _MOST_REMEMBERED:
                    self._beginnings[size] = beginning
                return beginning
        return b""
