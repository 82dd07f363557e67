"""Events that differ from an earlier one in nothing but their text: seen by comparing bytes instead of reading JSON."""

import re
from typing import Final

from undercroft.llm.types import Choice, Chunk

_BEGINS: Final = b"data: "
_ENDS: Final = b"\n\n"
_CONTENT: Final = b'"content"'
_STRING: Final = re.compile(rb'[^"\\\x00-\x1f]*+')
"""A JSON string in which nothing is escaped, whatever stands around it."""


class Likeness:
    """What stands before and behind the text of such an event.

    Between an opening and a closing quote there may be any such string: what is around it means what it meant.
    """

    __slots__ = ("_head", "_tail")

    def __init__(self, head: bytes, tail: bytes) -> None:
        self._head = head
        self._tail = tail

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

    def characters_of(self, data: bytes, start: int, end: int) -> int | None:
        """How long the text of what stands from `start` to `end` is; None: that is another kind of event, or more than
        one."""
        first, last = start + len(self._head), end - len(self._tail)
        if last < first or not (data.startswith(self._head, start) and data.endswith(self._tail, last, end)):
            return None
        if _STRING.fullmatch(data, first, last) is None:
            return None
        if data.isascii():
            return last - first
        try:
            return len(data[first:last].decode())
        except UnicodeDecodeError:
            return None
