"""W3C trace context: who a piece of work belongs to, as it travels in headers and with jobs."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, NamedTuple

_TRACEPARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?P<trace>(?!0{32})[0-9a-f]{32})-(?P<span>(?!0{16})[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})"
    r"(?P<rest>-.*)?"
)
SAMPLED: Final = 1


class TraceContext(NamedTuple):
    """A span that others may be below."""

    trace: str
    span: str
    sampled: bool
    call: str = ""
    """The id of the request, where there is one: log lines of what is done for it have it."""

    def header(self) -> str:
        """`traceparent`, version 00."""
        return f"00-{self.trace}-{self.span}-{'01' if self.sampled else '00'}"


def read(traceparent: str) -> TraceContext | None:
    """None where there is none, or it is not what the standard says: then it is as if it were not there."""
    if not traceparent or len(traceparent) > 512:
        return None
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None or (traceparent.startswith("00-") and found["rest"]):
        return None
    return TraceContext(found["trace"], found["span"], bool(int(found["flags"], 16) & SAMPLED))


def trace_in(kept: str) -> str:
    """The trace of a `traceparent` that was kept with some work; earlier versions kept the trace alone."""
    context = read(kept)
    return context.trace if context is not None else kept if len(kept) == 32 else ""


current: Final[ContextVar[TraceContext | None]] = ContextVar("undercroft_trace", default=None)
"""The span that the work of this task is below: set around an attempt at a provider and around a job."""


@contextmanager
def under(traceparent: str) -> Iterator[None]:
    """What is done in the block is below the span that a `traceparent` names."""
    token = current.set(read(traceparent))
    try:
        yield
    finally:
        current.reset(token)


def is_sampled(trace: str, ratio: float) -> bool:
    """The same answer for the same trace in every process, by its last 56 bits, which are random."""
    return ratio >= 1 or int(trace[-14:], 16) < ratio * (1 << 56)
