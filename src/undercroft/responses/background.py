"""What runs background responses must do."""

from collections.abc import AsyncGenerator
from typing import Protocol

from undercroft.responses.types import Kept, Order, Told


class Answering(Protocol):
    """Makes an answer: events as they come, and at last how it came out, also where it failed.

    Raises nothing but what is a mistake of ours; closed, it stops the provider.
    """

    def __call__(self, order: Order, /) -> AsyncGenerator[Told, None]: ...


class Background(Protocol):
    """Answers orders whether or not anybody waits for them.

    An accepted order comes to an end: its response is `completed`, `incomplete`, `failed` or `cancelled` at last, also
    when the process that ran it is gone.
    """

    async def accept(self, order: Order, kept: Kept, /) -> None:
        """Returns once the response is stored, `queued`. Raises Unavailable when no more can be taken."""
        ...

    def follow(self, kept: Kept, /, *, after: int) -> AsyncGenerator[bytes, None]:
        """The events with a number past `after`, those to come included, up to the response's last."""
        ...

    async def cancel(self, kept: Kept, /) -> None:
        """Returns once the response is `cancelled`, or had ended before."""
        ...
