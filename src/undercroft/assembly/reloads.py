"""Which configuration is in force, what is still under way under it, and what became of those that were to follow."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from undercroft.clock import Clock
from undercroft.errors import Conflict
from undercroft.telemetry.metrics import Metrics

Reload = Callable[[], Awaitable[None]]
"""Reads the configuration again and puts it in force. Raises ConfigurationRefused and Conflict."""


class UnderWay:
    """Counts the requests that were begun under one configuration: it is over when the last of them is."""

    __slots__ = ("_emptied", "count")

    def __init__(self) -> None:
        self.count = 0
        self._emptied: asyncio.Event | None = None

    def begin(self) -> None:
        self.count += 1

    def end(self) -> None:
        self.count -= 1
        if self._emptied is not None and not self.count:
            self._emptied.set()

    async def over(self) -> None:
        """Returns when nothing is under way; to be asked once no more can begin."""
        self._emptied = asyncio.Event()
        if self.count:
            await self._emptied.wait()


@dataclass(frozen=True, slots=True)
class Refusal:
    """A configuration that was not put in force."""

    at_us: int
    reason: str


class Reloads:
    """The configuration's number and age in this process, and why the last attempt to replace it failed, if it did."""

    def __init__(self, *, generation: int, metrics: Metrics, clock: Clock) -> None:
        self.generation = generation
        """1 is what the server was started with."""
        self.loaded_us = clock.now_us()
        self.refusal: Refusal | None = None
        self._clock = clock
        self._counter = metrics.counter(
            "ai_config_reloads_total",
            "Configurations that were read again, by outcome: applied or refused. Each process counts.",
            ("outcome",),
        )

    def applied(self, generation: int) -> None:
        """Another one is in force."""
        self.generation, self.loaded_us, self.refusal = generation, self._clock.now_us(), None
        self._counter.labels("applied").add()

    def refused(self, reason: str) -> None:
        """The one in force stays."""
        self.refusal = Refusal(self._clock.now_us(), reason)
        self._counter.labels("refused").add()


async def nothing_to_read() -> None:
    """What asking for another configuration comes to where there is no file of it."""
    raise Conflict(
        "This server's settings were given by the program that runs it; there is no file to read again.",
        hint="Restart that program.",
    )
