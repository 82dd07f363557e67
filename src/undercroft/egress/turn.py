"""What one turn of the event loop has to send goes out at its end.

A write wakes whoever waits for it. Sent one by one, between the calls of a turn, nearly each of them wakes a peer that
had just gone to sleep again, which on a busy machine costs more than the write itself; sent one after the other they
find it awake.
"""

import asyncio
from collections import deque
from typing import Final, Protocol

MOST_HELD: Final = 64
"""So many go out at once, before the turn's end: nobody waits for more than the calls of as many others."""


class Sender(Protocol):
    """Holds something that is to be sent."""

    def send_held(self) -> None:
        """Sends it, unless it is sent already or its connection is closing."""
        ...


class Turn:
    """The senders of the turn under way. Call it from the event loop's thread."""

    __slots__ = ("_senders",)

    def __init__(self) -> None:
        self._senders: deque[Sender] = deque()

    def add(self, sender: Sender) -> None:
        """It is told to send before the loop waits for anything again."""
        senders = self._senders
        if not senders:
            asyncio.get_running_loop().call_soon(self._send)
        senders.append(sender)
        if len(senders) >= MOST_HELD:
            self._send()

    def _send(self) -> None:
        senders = self._senders
        while senders:
            sender = senders.popleft()
            try:
                sender.send_held()
            except Exception as error:  # noqa: BLE001 - none of the others is to wait for it, nor the caller to hear of it
                told = {"message": "a message could not be sent", "exception": error, "protocol": sender}
                asyncio.get_running_loop().call_exception_handler(told)
