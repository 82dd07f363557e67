"""An answer that comes in one piece."""

from typing import Final

from undercroft.api.fast_path.going import WELL, Answer
from undercroft.errors import UndercroftError

MOST_HELD_BYTES: Final = 1024 * 1024
"""Larger answers are read in a task: they are few, and copying them once more does not show."""


class WholeAnswer(Answer):
    """Passed on when it is there to its last byte."""

    __slots__ = ()

    def begin(self) -> None:
        self._response.expect_whole(MOST_HELD_BYTES)
        super().begin()

    def _changed(self) -> None:
        response = self._response
        if not response.is_over:
            if response.overflows or response.status != WELL:
                self._leave()
            return
        if response.failure is not None or not self._is_well():
            self._leave()
            return
        body = response.taken()
        try:
            whole = self._started.way.decode_whole(body)
        except UndercroftError:
            response.put_back(body)
            self._leave()
            return
        self._answered(streamed=False)
        going, call = self._going, self._call
        unbooked = going.book_whole(call, whole)
        self._unhook()
        going.give(self._cycle, call, self._started.format, whole, unbooked)
        going.under_way.end()
