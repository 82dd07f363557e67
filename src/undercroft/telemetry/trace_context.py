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
        """`traceparent` of what is below it."""
        return header_of(self.trace, self.span, sampled=self.sampled)


def header_of(trace: str, span: str, *, sampled: bool) -> str:
    """`traceparent`, version 00."""
    return f"00-{trace}-{span}-01" if sampled else f"00-{trace}-{span}-00"


def read(traceparent: str) -> TraceContext | None:
    """None where there is none, or it is not what the standard says: then it is as if it were not there."""
    if not traceparent or len(traceparent) > 512:
        return None
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None or (traceparent.startswith("00-") and found["rest"]):
        return None
    return TraceContext(found["trace"], found["span"], bool(int(found["flags"], 16) & SAMPLED))


def for_later(traceparent: str, call: str) -> str:
    """What is kept with work that a request hands in, so that its log lines can name both; see `from_earlier`."""
    return f"{traceparent} {call}" if traceparent else ""


def from_earlier(kept: str) -> tuple[str, str]:
    """The `traceparent` that was kept with some work, and the id of the request; empty where there is none."""
    traceparent, _, call = kept.partition(" ")
    return traceparent, call


def trace_in(kept: str) -> str:
    """The trace of what was kept with some work; earlier versions kept the trace alone."""
    traceparent, _ = from_earlier(kept)
    context = read(traceparent)
    return context.trace if context is not None else traceparent if len(traceparent) == 32 else ""


current: Final[ContextVar[TraceContext | None]] = ContextVar("undercroft_trace", default=None)
"""The span that the work of this task is below: set around an attempt at a provider and around a job."""


@contextmanager
def under(kept: str) -> Iterator[None]:
    """What is done in the block is below the span that a `traceparent` names, and for the request kept with it."""
    traceparent, call = from_earlier(kept)
    context = read(traceparent)
    token = current.set(context._replace(call=call) if context is not None else None)
    try:
        yield
    finally:
        current.reset(token)


def is_sampled(trace: str, ratio: float) -> bool:
    """The same answer for the same trace in every process, by its last 56 bits, which are random."""
    return ratio >= 1 or int(trace[-14:], 16) < ratio * (1 << 56)
