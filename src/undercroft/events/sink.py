"""What it takes to be told of events."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from undercroft.events.retry import Patience
from undercroft.events.types import Event


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt to tell went."""

    ok: bool
    status: int = 0
    """The HTTP status, where there is one."""
    error: str = ""
    """In words that may be shown to whoever manages the sink."""
    retry_after_s: float | None = None
    is_gone: bool = False
    """The receiver says that it wants no more, ever."""


class Sink(Protocol):
    """Somebody who is told. Raises nothing but what is a mistake of ours.

    Telling may happen again after it went well (the process died before that was written down): what is sent carries
    the event's id, so that the receiver can tell.
    """

    @property
    def patience(self) -> Patience: ...

    @property
    def at_once(self) -> int:
        """How many attempts may be under way. Two of them never tell of the same subject."""
        ...

    @property
    def batch(self) -> int:
        """How many events one attempt takes, in their order; with more than 1 `at_once` is 1."""
        ...

    async def send(self, events: Sequence[Event], /) -> Outcome:
        """Tells all of them, or none as far as is known."""
        ...
