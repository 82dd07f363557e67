"""What one turn of the event loop has to send goes out at its end.

A write wakes whoever waits for it. Sent one by one, between the calls of a turn, nearly each of them wakes a peer that
had just gone to sleep again, which on a busy machine costs more than the write itself; sent one after the other they
find it awake.
"""

import asyncio
from collections import deque
from typing import Final, Protocol
from weakref import WeakKeyDictionary

MOST_HELD: Final = 64
"""So many go out at once, before the turn's end: nobody waits for more than the calls of as many others."""


class Sender(Protocol):
    """Holds something that is to be sent."""

    def send_held(self) -> None:
        """Sends it, unless it is sent already or its connection is closing."""
        ...


class Turn:
    """The turn of one loop that is under way. Call it from the loop's thread."""

    __slots__ = ("senders",)

    def __init__(self) -> None:
        self.senders: deque[Sender] = deque()
        """Who holds something, in the order in which they came."""

    def add(self, sender: Sender) -> None:
        """It is told to send before the loop waits for anything again."""
        senders = self.senders
        if not senders:
            asyncio.get_running_loop().call_soon(self.send)
        senders.append(sender)
        if len(senders) >= MOST_HELD:
            self.send()

    def send(self) -> None:
        """Now: for what is about to take its time, or goes out at once."""
        senders = self.senders
        while senders:
            sender = senders.popleft()
            try:
                sender.send_held()
            except Exception as error:  # noqa: BLE001 - none of the others is to wait for it, nor the caller to hear of it
                told = {"message": "a message could not be sent", "exception": error, "protocol": sender}
                asyncio.get_running_loop().call_exception_handler(told)


_turns: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, Turn]] = WeakKeyDictionary()


def turn_of(loop: asyncio.AbstractEventLoop) -> Turn:
    """The one that all who send on a loop share."""
    turn = _turns.get(loop)
    if turn is None:
        turn = _turns[loop] = Turn()
    return turn
