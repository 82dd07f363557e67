"""Tracing as tests want it."""

import random
import sys
from collections.abc import Callable, Sequence

from undercroft.clock import Clock
from undercroft.telemetry.spans import Span
from undercroft.telemetry.tracing import Sink, Tracing


class MadeSpans:
    """A sink that makes spans at once."""

    dropped = 0

    def __init__(self, most_at_once: int = sys.maxsize) -> None:
        self.most_at_once = most_at_once
        self.spans: list[Span] = []

    def offer(self, make: Callable[[], Sequence[Span]], count: int, /) -> None:
        made = make()
        assert len(made) == count
        self.spans += made


def tracing(sink: Sink | None, clock: Clock, *, ratio: float = 1.0) -> Tracing:
    """Slow is what takes ten seconds."""
    return Tracing(sink, ratio=ratio, slow_s=10, clock=clock, rng=random.Random(7))


def untraced(clock: Clock) -> Tracing:
    return tracing(None, clock)
