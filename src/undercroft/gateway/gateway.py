"""The gateway: one call in, one metered answer out."""

import random
from collections.abc import Iterator, Sequence

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


class Gateway:
    """Sends calls through the stages.

    `send` raises UndercroftError kinds. The reply's chunks must be read to the end or closed: the call is booked then.
    """

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        recorder: Recorder,
        rates: Rates,
        gauge: Gauge,
        clock: Clock,
        rng: random.Random,
        allow: Allow | None = None,
        cache: Cache | None = None,
        tracing: Tracing | None = None,
        guard: Stage | None = None,
        releases: Book | None = None,
        of_releases: Sequence[Stage] = (),
        sample: Stage | None = None,
        ids: Ids | None = None,
        content: KeepContent | None = None,
        tag_names: Sequence[str] = (),
    ) -> None:
        """Without `allow` nothing is limited, without `cache` nothing is answered twice, without `tracing` no call is
        traced, without `guard` nothing is looked at, without `releases` every name is that of a configured model,
        without `content` nothing that is said is kept. `of_releases` do what else releases pin, once the model is
        found; `sample` sees what they answer. `tag_names`: see Meter."""
        self.catalogue = catalogue
        self.meter = Meter(recorder=recorder, rates=rates, clock=clock, tag_names=tag_names)
        self.mirror = Mirror(self.send, ids=ids or Ids(clock), clock=clock)
        self._releases = releases or Empty()
        self._is_traced = tracing is not None and tracing.is_on
        self.tracing = tracing if self._is_traced else None
        self.allow = allow
        self.retry = Retry(clock=clock, rng=rng)
        self.route = Route(gauge, clock=clock)
        self._release = Release(self._releases, catalogue=catalogue, mirror=self.mirror)

        def stages_of(cache: Cache | None, release: Release | None) -> list[Stage]:
            return [
                self.meter,  # sees everything, also what the stages below refuse
                *([content] if content is not None else []),  # outside the guard: an answer is kept as it was seen
                *([sample] if release is not None and sample is not None else []),  # sees what callers see
                *([release] if release is not None else []),  # before Find: it names the model
                Find(catalogue),
                *([guard] if guard is not None else []),  # what it refuses is neither held nor shared
                *(of_releases if release is not None else []),  # before Allow: what they add is held too
                *([NoteRequest()] if content is not None else []),  # inside the guards: so is what was let through
                *([allow] if allow is not None else []),  # before all that spends, and what shares an answer
                *([cache] if cache is not None else []),  # inside Allow: a hit is for who may call
                *_wanted(catalogue, clock=clock, caches=cache is not None),
                self.retry,  # outside Route, so that another attempt may go to another deployment
                self.route,
                self.meter.opening,
            ]

        def way(cache: Cache | None, release: Release | None) -> Handler:
            stages = stages_of(cache, release)
            return pipeline(stages if self.tracing is None else _traced(stages, self.tracing), Attempt().ask)

        unasked = cache if any(policy.cache for policy in catalogue.policies()) else None
        self.cache = unasked
        self.plain_stages = tuple(stages_of(unasked, None))
        """Those of a call of which nobody has asked for anything more, outermost first. The fast path goes past the
        ones that it knows to let such a call through."""
        self._plain, self._plain_asking_cache = way(unasked, None), way(cache, None)
        self._released, self._released_asking_cache = way(unasked, self._release), way(cache, self._release)

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
