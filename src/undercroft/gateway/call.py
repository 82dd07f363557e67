"""One call on its way through the stages."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from undercroft.llm.reply import Reply
from undercroft.llm.types import Request
from undercroft.record import Usage, Who


@dataclass(frozen=True, slots=True)
class Deployment:
    """One place that can answer for a public model: a provider object with the names to book it under."""

    id: str
    """`model/0`: stable across restarts while the configuration stays."""
    provider: str
    upstream_model: str
    client: object
    """A ChatProvider, CompletionProvider and/or EmbeddingProvider."""
    weight: int = 1


@dataclass(slots=True)
class Trail:
    """What happened to a call so far: written by the stages, read by the meter when the call ends."""

    model: str = ""
    """The public model that was found."""
    substituted_for: str = ""
    deployment: Deployment | None = None
    """The last one tried."""
    attempts: int = 0
    first_chunk_at: float = 0.0
    upstream_model: str = ""
    usage: Usage | None = None
    produced: int = 0
    """Characters of output passed on: what an interrupted call is estimated by."""


@dataclass(frozen=True, slots=True)
class Call:
    """The value that travels. A stage passes on a changed copy (`replace(call, …)`)."""

    id: str
    endpoint: str
    who: Who
    request: Request
    started_us: int
    started: float
    """Monotonic seconds, as is `deadline`."""
    deadline: float
    trace: str = ""
    target: Deployment | None = None
    trail: Trail = field(default_factory=Trail)


Handler = Callable[[Call], Awaitable[Reply]]


class Stage(Protocol):
    """The whole story of one concern: gets the call and `proceed`, returns the reply or raises."""

    async def __call__(self, call: Call, proceed: Handler, /) -> Reply: ...
