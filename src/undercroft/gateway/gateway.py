"""The gateway: one call in, one metered answer out."""

import random
from collections.abc import Iterator, Sequence
from functools import partial

import msgspec
from msgspec.structs import replace

from undercroft.clock import Clock
from undercroft.gateway.attempt import Attempt
from undercroft.gateway.call import Call, Handler, Model, Stage, kind_of
from undercroft.gateway.catalogue import Catalogue
from undercroft.gateway.mirror import Mirror
from undercroft.gateway.pipeline import pipeline
from undercroft.gateway.stages.allow import Allow
from undercroft.gateway.stages.cache import Cache
from undercroft.gateway.stages.coalesce import Coalesce
from undercroft.gateway.stages.content import KeepContent, NoteRequest
from undercroft.gateway.stages.deadline import Deadline
from undercroft.gateway.stages.fallback import Fallback
from undercroft.gateway.stages.find import Find
from undercroft.gateway.stages.meter import Meter, Rates, Recorder
from undercroft.gateway.stages.release import Book, Empty, Release
from undercroft.gateway.stages.resume import Resume
from undercroft.gateway.stages.retry import Retry
from undercroft.gateway.stages.route import Gauge, Route
from undercroft.gateway.stages.trace import Noted, Trace, TraceAttempt
from undercroft.ids import Ids
from undercroft.llm.provider import TokenCounter
from undercroft.llm.reply import Reply
from undercroft.llm.tokens import estimate_conversation
from undercroft.llm.types import ChatRequest, Request
from undercroft.record import Who
from undercroft.telemetry.trace_context import under
from undercroft.telemetry.tracing import Tracing
from undercroft.versions.pinned import Pinned


class Booking(msgspec.Struct, frozen=True, eq=False):
    """What calls are booked by: see Meter."""

    recorder: Recorder
    rates: Rates
    tag_names: Sequence[str] = ()


class Checks(msgspec.Struct, frozen=True, eq=False):
    """What may end a call before a provider is asked. Where one is None, nothing is looked at, limited, or answered
    twice."""

    guard: Stage | None = None
    allow: Allow | None = None
    cache: Cache | None = None


class Watching(msgspec.Struct, frozen=True, eq=False):
    """What sees calls go by. Without `tracing` none is traced, without `content` nothing that is said is kept."""

    gauge: Gauge
    tracing: Tracing | None = None
    content: KeepContent | None = None


class Releases(msgspec.Struct, frozen=True, eq=False):
    """What answers for names that are no configured model's; by itself there is none."""

    book: Book = Empty()
    stages: Sequence[Stage] = ()
    """Do what else releases pin, once the model is found."""
    sample: Stage | None = None
    """Sees what they answer."""
    ids: Ids | None = None
    """Of the copies of calls that go to a candidate; default: of the gateway's clock."""


class Gateway:
    """Sends calls through the stages.

    `send` raises UndercroftError kinds. The reply's chunks must be read to the end or closed: the call is booked then.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        booking: Booking,
        watching: Watching,
        clock: Clock,
        rng: random.Random,
        checks: Checks = Checks(),  # noqa: B008 - frozen
        releases: Releases = Releases(),  # noqa: B008 - frozen
    ) -> None:
        self.catalogue = catalogue
        self.meter = Meter(recorder=booking.recorder, rates=booking.rates, clock=clock, tag_names=booking.tag_names)
        self.mirror = Mirror(self.send, ids=releases.ids or Ids(clock), clock=clock)
        self._releases = releases.book
        tracing = watching.tracing
        self._is_traced = tracing is not None and tracing.is_on
        self.tracing = tracing if self._is_traced else None
        self.allow = checks.allow
        self.retry = Retry(clock=clock, rng=rng)
        self.route = Route(watching.gauge, clock=clock)
        self._release = Release(self._releases, catalogue=catalogue, mirror=self.mirror)

        order = partial(self._order, watching=watching, clock=clock)
        unasked = checks if any(policy.cache for policy in catalogue.policies()) else replace(checks, cache=None)
        self.cache = unasked.cache
        self.plain_stages = tuple(order(unasked, None))
        """Those of a call of which nobody has asked for anything more, outermost first. The fast path goes past the
        ones that it knows to let such a call through."""
        self._plain = self._pipeline(order(unasked, None))
        self._plain_asking_cache = self._pipeline(order(checks, None))
        self._released = self._pipeline(order(unasked, releases))
        self._released_asking_cache = self._pipeline(order(checks, releases))

    def _order(self, checks: Checks, releases: Releases | None, *, watching: Watching, clock: Clock) -> list[Stage]:
        """All stages of a call, outermost first. Without `releases` it is one that no release can answer."""
        guard, allow, cache, content = checks.guard, checks.allow, checks.cache, watching.content
        sample = None if releases is None else releases.sample
        return [
            self.meter,  # sees everything, also what the stages below refuse
            *([content] if content is not None else []),  # outside the guard: an answer is kept as it was seen
            *([sample] if sample is not None else []),  # sees what callers see
            *([self._release] if releases is not None else []),  # before Find: it names the model
            Find(self.catalogue),
            *([guard] if guard is not None else []),  # what it refuses is neither held nor shared
            *(releases.stages if releases is not None else []),  # before Allow: what they add is held too
            *([NoteRequest()] if content is not None else []),  # inside the guards: so is what was let through
            *([allow] if allow is not None else []),  # before all that spends, and what shares an answer
            *([cache] if cache is not None else []),  # inside Allow: a hit is for who may call
            *_wanted(self.catalogue, clock=clock, caches=cache is not None),
            self.retry,  # outside Route, so that another attempt may go to another deployment
            self.route,
            self.meter.opening,
        ]

    def _pipeline(self, stages: list[Stage]) -> Handler:
        return pipeline(stages if self.tracing is None else _traced(stages, self.tracing), Attempt().ask)

    def is_released(self, name: str) -> bool:
        """Whether a release may answer under a name."""
        return not self._releases.is_empty and self._releases.is_named(name)

    async def send(self, call: Call) -> Reply:
        if call.trail.begun is not None:  # it is plain, and its trace has begun
            return await self._plain(call)
        if call.traceparent and not self._is_traced:
            with under(call.traceparent):  # we leave no span, and the provider's is below the caller's
                return await self._way(call)(call)
        return await self._way(call)(call)

    def _way(self, call: Call) -> Handler:
        """Where there are no releases, and where no model has a cache, no call pays for them."""
        if self._releases.is_empty and getattr(call.request, "prompt", None) is None:
            return self._plain if call.cache is None else self._plain_asking_cache
        return self._released if call.cache is None else self._released_asking_cache

    def ways(self, request: Request, who: Who) -> list[tuple[Model, Pinned | None]]:
        """The models that may answer now, each with the release that it would answer for. Raises ModelNotFound."""
        kind = kind_of(request)
        pinned = [] if self._releases.is_empty else self._release.may_answer(request, who)
        if not pinned:
            return [(self.catalogue.find(request.model, kind), None)]
        return [(self.catalogue.find(each.target, kind), each) for each in pinned]

    def lane(self, request: Request) -> str:
        """The name under which calls wait together when nobody answers them, whoever they are from: the model's, or
        that of a release. Raises ModelNotFound."""
        if request.model and self._releases.is_named(request.model):
            return request.model
        return self.catalogue.find(request.model, kind_of(request)).name

    async def count_tokens(self, request: ChatRequest, who: Who) -> int:
        """How many tokens a conversation is: as a provider of its model counts them, else estimated. Books nothing.
        What a release would add is not counted."""
        model, _ = self.ways(request, who)[0]
        for deployment in model.deployments:
            if isinstance(deployment.client, TokenCounter):
                return await deployment.client.count_tokens(request)
        return estimate_conversation(request)


def _traced(stages: list[Stage], tracing: Tracing) -> list[Stage]:
    """The same stages, each of which but the meter leaves a step in the call's trace."""
    meter, *between, opening = stages
    noted = [Noted(stage, type(stage).__name__.lower(), tracing) for stage in between]
    return [Trace(tracing), meter, *noted, opening, TraceAttempt(tracing)]


def _wanted(catalogue: Catalogue, *, clock: Clock, caches: bool) -> Iterator[Stage]:
    """The stages that some model makes use of: what nobody has switched on is not on any call's way."""
    policies = catalogue.policies()
    if any(policy.total_s is not None for policy in policies):
        yield Deadline(clock=clock)  # of each caller, also of those who share an answer
    if caches or any(policy.coalesce for policy in policies):
        yield Coalesce()  # inside Cache: of those who miss at the same time one asks
    if any(policy.on_cut == "continue" for policy in policies):
        yield Resume()  # outside Fallback, so that the rest may come from another model
    if any(policy.has_fallbacks for policy in policies):
        yield Fallback(catalogue, clock=clock)
