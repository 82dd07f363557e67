"""One call on its way through the stages."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol, runtime_checkable

import msgspec

from undercroft.cache.control import Control
from undercroft.egress.client import Passage
from undercroft.egress.response import Response
from undercroft.errors import InvalidRequest, UndercroftError
from undercroft.gateway.balance import Balancer, Turn
from undercroft.gateway.course import is_silence
from undercroft.gateway.filters import Wish
from undercroft.gateway.policy import USUAL, Policy
from undercroft.gateway.routing import Routing
from undercroft.gateway.waiting import Line
from undercroft.llm.provider import (
    ChatProvider,
    CheckableProvider,
    CompletionProvider,
    EmbeddingProvider,
    ModerationProvider,
    ResponsesProvider,
)
from undercroft.llm.reply import Reply
from undercroft.llm.types import ChatRequest, Chunk, CompletionRequest, EmbeddingsRequest, ModerationRequest, Request
from undercroft.record import Step, Usage, Who
from undercroft.telemetry.spans import Attempt
from undercroft.versions.pinned import Pinned

Kind = Literal["chat", "completions", "embeddings", "moderations"]


def kind_of(request: Request) -> Kind:
    """Which Protocol of `llm/provider.py` a request needs."""
    return _KINDS[type(request)]


_KINDS: Final[Mapping[type, Kind]] = {
    ChatRequest: "chat",
    CompletionRequest: "completions",
    EmbeddingsRequest: "embeddings",
    ModerationRequest: "moderations",
}


class Reading(Protocol):
    """Makes chunks of a stream's events."""

    @property
    def is_complete(self) -> bool:
        """The stream may stop here, though the event that ends it has not come."""
        ...

    def read(self, event: bytes, /) -> Chunk | None:
        """An event's chunk; None for the one that ends the stream. Raises UpstreamError kinds."""
        ...


@runtime_checkable
class DirectProvider(Protocol):
    """A ChatProvider whose calls can be sent from outside a task, and gone on with inside one: for the fast path."""

    def is_ready(self) -> bool:
        """Whether `begin` can send at once."""
        ...

    def begin(self, request: ChatRequest, traceparent: str, /) -> tuple[Response, tuple[str, ...]]:
        """Sends, below the span that is named, if one is, and leaves the answer to whoever calls; with what it was not
        asked for, as `Reply.dropped` has it. Raises InvalidRequest."""
        ...

    def go_on(self, request: ChatRequest, begun: Response | None, /) -> Awaitable[Reply]:
        """The rest of `send` after `begin`."""
        ...

    def reading(self, request: ChatRequest, /) -> Reading: ...

    def decode_whole(self, body: bytes, /) -> Chunk: ...

    def limits_of(self, response: Response, /) -> tuple[tuple[bytes, bytes], ...]: ...


@runtime_checkable
class PassingProvider(DirectProvider, Protocol):
    """One that speaks OpenAI's format, so that what is plain may pass as it is."""

    def passage(self) -> Passage | None:
        """The way of chat requests, once there is one; None too where they have to be adapted."""
        ...

    def renamed(self, body: bytes, model: str, /) -> bytes:
        """A request for a whole answer that names a model, as `begin` would send it; what names the right one already
        is left as it came."""
        ...


class Deployment:
    """One place that can answer for a public model: a provider object with the names to book it under.

    `id` is `model/0`: stable across restarts while the configuration stays.
    """

    __slots__ = (
        "_doors", "check", "client", "direct", "id", "provider", "shown", "speaks_responses", "upstream_model",
        "weight",
    )  # fmt: skip

    def __init__(self, *, id: str, provider: str, upstream_model: str, client: object, weight: int = 1) -> None:
        self.id = id
        self.provider = provider
        self.upstream_model = upstream_model
        self.weight = weight
        self.client = client
        self.shown = id.encode("ascii", "backslashreplace").translate(None, b"\r\n\0")
        """As answers name it in a header."""
        self.speaks_responses = isinstance(client, ResponsesProvider) and client.speaks_responses
        """Requests of OpenAI's Responses reach it in their own format."""
        self.direct = client if isinstance(client, DirectProvider) else None
        """The client, where the fast path may use it."""
        self._doors = _doors(client)
        self.check = client.check if isinstance(client, CheckableProvider) else None
        """How it is, asked without spending a token; None: its provider cannot be asked."""

    @property
    def kinds(self) -> frozenset[Kind]:
        """The kinds of call that its provider does at all."""
        return frozenset(_KINDS[request] for request in self._doors)

    def does(self, kind: Kind) -> bool:
        """Whether its provider takes calls of this kind."""
        return any(_KINDS[asked] == kind for asked in self._doors)

    def go_on(self, request: Request, begun: Response) -> Awaitable[Reply]:
        """Waits for the answer to what the fast path has sent."""
        assert self.direct is not None and isinstance(request, ChatRequest)  # noqa: PT018 - what the fast path takes
        return self.direct.go_on(request, begun)

    async def ask(self, request: Request) -> Reply:
        """Sends a request to the provider; what the provider cannot do is the caller's mistake (400)."""
        door = self._doors.get(type(request))
        if door is None:
            raise InvalidRequest(
                f"The model '{request.model}' does not do {kind_of(request)}.",
                code="unsupported_operation",
                param="model",
            )
        return await door(request)


def _doors(client: object) -> Mapping[type, Callable[[Any], Awaitable[Reply]]]:
    """What a provider can do, found out once: asking a runtime Protocol takes 5 us."""
    doors: dict[type, Callable[[Any], Awaitable[Reply]]] = {}
    if isinstance(client, ChatProvider):
        doors[ChatRequest] = client.send
    if isinstance(client, CompletionProvider):
        doors[CompletionRequest] = client.complete
    if isinstance(client, EmbeddingProvider):
        doors[EmbeddingsRequest] = client.embed
    if isinstance(client, ModerationProvider):
        doors[ModerationRequest] = client.moderate
    return doors


@dataclass(frozen=True, slots=True)
class Model:
    """A public name and the deployments behind it."""

    name: str
    deployments: tuple[Deployment, ...]
    balancer: Balancer[Deployment]
    notes: Mapping[str, object] = field(default_factory=dict)
    """What else `/v1/models` says of it: quality, context_length."""
    policy: Policy = USUAL
    routing: Routing | None = None
    """What has to be known of a call to choose; None: any deployment takes any call."""
    line: Line[Deployment] | None = None
    """Where calls wait for a deployment; None: they do not."""

    def does(self, kind: Kind) -> bool:
        """Whether any of its deployments takes calls of this kind."""
        return any(deployment.does(kind) for deployment in self.deployments)

    @property
    def owner(self) -> str:
        """`owned_by` on the wire."""
        return self.deployments[0].provider


class Part(msgspec.Struct, frozen=True):
    """What was spent on a piece of an answer that another deployment has gone on with."""

    deployment: Deployment
    usage: Usage


class Stake(Protocol):
    """What a call holds of its limits (`stages/allow.py`)."""

    @property
    def tokens(self) -> int:
        """As many may be written before more has to be held."""
        ...

    @property
    def grows(self) -> bool:
        """Whether the answer may become longer than that."""
        ...

    async def grow(self) -> int:
        """Holds more; for how many tokens in all that is. Raises as holding does."""
        ...

    def drop(self) -> None:
        """There was no call after all."""
        ...


class Begun(msgspec.Struct, frozen=True):
    """A first attempt that the fast path has made and leaves to the stages: they go on where it stands."""

    turn: Turn[Deployment]
    at: float
    """Monotonic seconds."""
    response: Response | None
    """None: it has only its place, and nothing was sent."""
    stake: Stake
    noted: Attempt | None
    """The attempt, as its trace has it."""


class Trail(msgspec.Struct):
    """What happened to a call so far: written by the stages, read by the meter when the call ends."""

    found: Model | None = None
    """What the request's name was found to mean, or the fallback that is asked instead."""
    asked: Model | None = None
    """The model that was asked for, where a fallback is asked instead."""
    substituted_for: str = ""
    release: str = ""
    """What answers: a release's id, or `name@address` of a version that was asked for by itself."""
    alias: str = ""
    """The name that the release stands behind: what the caller must be allowed to call."""
    refused: bool = False
    """The model, or its provider's filter, would not answer."""
    dropped: tuple[str, ...] = ()
    """What the deployment that answers was not asked for, because it cannot do it."""
    limits: tuple[tuple[bytes, bytes], ...] = ()
    """What its provider says of its rate limits."""
    own_limits: tuple[tuple[bytes, bytes], ...] = ()
    """What we say of the caller's: these count for it."""
    begun: Begun | None = None
    """Set until the stages have come to the attempt that is under way already."""
    settle: Callable[..., None] | None = None
    """Called by the meter with `tokens` and `cost_nano` when the call has ended: gives back what it held too much."""
    deployment: Deployment | None = None
    """The last one tried."""
    chosen: tuple[str, ...] = ()
    """How each attempt's deployment was chosen; empty texts where there was nothing to choose."""
    failed: tuple[Deployment, ...] = ()
    """Those that failed in this call: the next attempt goes to another one, as long as there is one."""
    given_up: tuple[Deployment, ...] = ()
    """Those of them that are not asked again: they said nothing for too long, or broke off twice."""
    parts: tuple[Part, ...] = ()
    """Earlier pieces of an answer that was cut and gone on with."""
    keeps_content: bool = False
    """What is asked and answered is kept."""
    let_through: Request | None = None
    """What was asked, as guards have let it through; only where contents are kept."""
    guarded: tuple[str, ...] = ()
    """What guards have found in it so far: rule and kind, as `privacy:email`."""
    cache: str = ""
    """Where the answer came from, if not from a provider for this call alone: `coalesced`, `hit`, `semantic`."""
    cache_id: str = ""
    """The cached answer that was given, or, without one, under which this call's answer will be found."""
    saved_nano: int = 0
    most_output: int | None = None
    """So many tokens at most are asked of a provider for each choice, where the caller has set no end: no more is held
    for it."""
    held_nano: int = 0
    """What is held of budgets until it has ended."""
    steps: tuple[Step, ...] = ()
    """Attempts that failed."""
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
    releases: list[Callable[[BaseException | None], None]] = []
    """Run by the meter when the answer has ended, with what ended it too early: slots, gauges, connections counted."""

    @property
    def model(self) -> str:
        """The public name of the model that was asked for; empty before it is found."""
        model = self.asked or self.found
        return model.name if model else ""

    @property
    def fallback(self) -> str:
        """The public name of the fallback that is asked instead; empty without one."""
        return self.found.name if self.asked and self.found else ""

    def note_failure(self, error: BaseException) -> None:
        """The deployment that was tried last did not do."""
        if self.deployment is not None:
            self.failed += (self.deployment,)
            self.steps += (Step(self.deployment.id, error.code if isinstance(error, UndercroftError) else ""),)
            if is_silence(error):
                self.given_up += (self.deployment,)


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """The value that travels. A stage passes on a changed copy (`msgspec.structs.replace(call, …)`)."""

    id: str
    endpoint: str
    who: Who
    request: Request
    started_us: int
    started: float
    """Monotonic seconds, as is `deadline`."""
    deadline: float
    trace: str = ""
    batch: str = ""
    """The batch that it is a line of: booked at the batch price where there is one."""
    traceparent: str = ""
    """Of the span that the call is below (W3C trace context); empty: of none."""
    wish: Wish | None = None
    """What the caller said about the place where it is to be answered."""
    cache: Control | None = None
    """What the caller said of the cache."""
    tags: dict[str, str] = {}
    """What the caller says it is for: usage can be told by them."""
    content: str = ""
    """What the caller said of keeping what is asked and answered: `keep`, `none` or nothing."""
    pinned: Pinned | None = None
    """The release that answers, whole: what was moved since is no matter of this call."""
    trail: Trail = msgspec.field(default_factory=Trail)

    @property
    def answered_by(self) -> str:
        """The model to name in the answer: what the provider says it used, else the public name."""
        return self.trail.upstream_model or self.trail.fallback or self.trail.model


Handler = Callable[[Call], Awaitable[Reply]]


class Stage(Protocol):
    """The whole story of one concern: gets the call and `proceed`, returns the reply or raises."""

    def __call__(self, call: Call, proceed: Handler, /) -> Awaitable[Reply]: ...
