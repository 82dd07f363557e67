"""One call on its way through the stages."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from undercroft.errors import UndercroftError
from undercroft.gateway.balance import Balancer
from undercroft.llm.reply import Reply
from undercroft.llm.types import ChatRequest, CompletionRequest, Request
from undercroft.record import Usage, Who

Kind = Literal["chat", "completions", "embeddings"]


def kind_of(request: Request) -> Kind:
    """Which Protocol of `llm/provider.py` a request needs."""
    if isinstance(request, ChatRequest):
        return "chat"
    return "completions" if isinstance(request, CompletionRequest) else "embeddings"


@dataclass(frozen=True, slots=True, eq=False)
class Deployment:
    """One place that can answer for a public model: a provider object with the names to book it under."""

    id: str
    """`model/0`: stable across restarts while the configuration stays."""
    provider: str
    upstream_model: str
    client: object
    """A ChatProvider, CompletionProvider and/or EmbeddingProvider."""
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Model:
    """A public name and the deployments behind it."""

    name: str
    deployments: tuple[Deployment, ...]
    balancer: Balancer[Deployment]
    notes: Mapping[str, object] = field(default_factory=dict)
    """What else `/v1/models` says of it: quality, context_length."""

    @property
    def owner(self) -> str:
        """`owned_by` on the wire."""
        return self.deployments[0].provider


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
    cost_nano: int = 0
    """Known once the call has ended."""
    produced_characters: int = 0
    """What an answer without usage is estimated by."""
    abandoned: UndercroftError | None = None
    """Why the call's task was cancelled from outside: the caller left, or its time is up."""
    releases: list[Callable[[bool], None]] = field(default_factory=list)
    """Run by the meter when the answer has ended, with whether it went well: slots, gauges, connections counted."""


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
    model: Model | None = None
    trail: Trail = field(default_factory=Trail)

    @property
    def answered_by(self) -> str:
        """The model to name in the answer: what the provider says it used, else the public name."""
        return self.trail.upstream_model or self.trail.model


Handler = Callable[[Call], Awaitable[Reply]]


class Stage(Protocol):
    """The whole story of one concern: gets the call and `proceed`, returns the reply or raises."""

    async def __call__(self, call: Call, proceed: Handler, /) -> Reply: ...
