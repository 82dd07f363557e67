"""The gateway: one call in, one metered answer out."""

import random
from collections.abc import Iterator

from undercroft.clock import Clock
from undercroft.gateway.attempt import Attempt
from undercroft.gateway.call import Call, Handler, Stage
from undercroft.gateway.catalogue import Catalogue
from undercroft.gateway.pipeline import pipeline
from undercroft.gateway.stages.allow import Allow
from undercroft.gateway.stages.cache import Cache
from undercroft.gateway.stages.coalesce import Coalesce
from undercroft.gateway.stages.deadline import Deadline
from undercroft.gateway.stages.fallback import Fallback
from undercroft.gateway.stages.find import Find
from undercroft.gateway.stages.meter import Meter, Rates, Recorder
from undercroft.gateway.stages.resume import Resume
from undercroft.gateway.stages.retry import Retry
from undercroft.gateway.stages.route import Gauge, Route
from undercroft.gateway.stages.trace import Noted, Trace, TraceAttempt
from undercroft.llm.provider import TokenCounter
from undercroft.llm.reply import Reply
from undercroft.llm.tokens import estimate_conversation
from undercroft.llm.types import ChatRequest
from undercroft.telemetry.tracing import Tracing


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
    ) -> None:
        """Without `allow` nothing is limited, without `cache` nothing is answered twice, without `tracing` no call is
        traced, and without `guard` nothing is looked at."""
        self.catalogue = catalogue
        self.meter = Meter(recorder=recorder, rates=rates, clock=clock)
        retry = Retry(clock=clock, rng=rng)

        def run(cache: Cache | None) -> Handler:
            stages: list[Stage] = [
                self.meter,  # sees everything, also what the stages below refuse
                Find(catalogue),
                *([guard] if guard is not None else []),  # what it refuses is neither held nor shared
                *([allow] if allow is not None else []),  # before all that spends, and what shares an answer
                *([cache] if cache is not None else []),  # inside Allow: a hit is for who may call
                *_wanted(catalogue, clock=clock, caches=cache is not None),
                retry,  # outside Route, so that another attempt may go to another deployment
                Route(gauge, clock=clock),
                self.meter.opening,
            ]
            if tracing is not None and tracing.is_on:
                stages = _traced(stages, tracing)
            return pipeline(stages, Attempt().ask)

        self._asking_cache = run(cache)
        caches_unasked = any(policy.cache for policy in catalogue.policies())
        self._run = self._asking_cache if caches_unasked or cache is None else run(None)
        """Of calls that say nothing of the cache: where no model has one, it is not on their way."""

    async def send(self, call: Call) -> Reply:
        return await (self._run(call) if call.cache is None else self._asking_cache(call))

    async def count_tokens(self, request: ChatRequest) -> int:
        """How many tokens a conversation is: as a provider of its model counts them, else estimated. Books nothing."""
        model = self.catalogue.find(request.model, "chat")
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
