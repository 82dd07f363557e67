"""The gateway: one call in, one metered answer out."""

import random
from collections.abc import Iterator

from undercroft.clock import Clock
from undercroft.gateway.attempt import Attempt
from undercroft.gateway.call import Call, Stage
from undercroft.gateway.catalogue import Catalogue
from undercroft.gateway.mirror import Mirror
from undercroft.gateway.pipeline import pipeline
from undercroft.gateway.stages.allow import Allow
from undercroft.gateway.stages.coalesce import Coalesce
from undercroft.gateway.stages.deadline import Deadline
from undercroft.gateway.stages.fallback import Fallback
from undercroft.gateway.stages.find import Find
from undercroft.gateway.stages.meter import Meter, Rates, Recorder
from undercroft.gateway.stages.release import Book, Empty, Release
from undercroft.gateway.stages.resume import Resume
from undercroft.gateway.stages.retry import Retry
from undercroft.gateway.stages.route import Gauge, Route
from undercroft.ids import Ids
from undercroft.llm.provider import TokenCounter
from undercroft.llm.reply import Reply
from undercroft.llm.tokens import estimate_conversation
from undercroft.llm.types import ChatRequest


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
        releases: Book | None = None,
        ids: Ids | None = None,
    ) -> None:
        """Without `allow` nothing is limited; without `releases` every name is that of a configured model."""
        self.catalogue = catalogue
        self.meter = Meter(recorder=recorder, rates=rates, clock=clock)
        self.mirror = Mirror(self.send, ids=ids or Ids(clock), clock=clock)
        self._releases = releases or Empty()
        stages: list[Stage] = [
            Find(catalogue),
            *([allow] if allow is not None else []),  # before all that spends, and what shares an answer
            *_wanted(catalogue, clock=clock),
            Retry(clock=clock, rng=rng),  # outside Route, so that another attempt may go to another deployment
            Route(gauge, clock=clock),
            self.meter.opening,
        ]
        last = Attempt().ask
        # The meter sees everything, also what the stages below refuse.
        self._plain = pipeline([self.meter, *stages], last)
        release = Release(self._releases, catalogue=catalogue, mirror=self.mirror)  # before Find: it names the model
        self._released = pipeline([self.meter, release, *stages], last)

    async def send(self, call: Call) -> Reply:
        if self._releases.is_empty and getattr(call.request, "prompt", None) is None:
            return await self._plain(call)  # where there are no releases, no call pays for them
        return await self._released(call)

    async def count_tokens(self, request: ChatRequest) -> int:
        """How many tokens a conversation is: as a provider of its model counts them, else estimated. Books nothing."""
        model = self.catalogue.find(request.model, "chat")
        for deployment in model.deployments:
            if isinstance(deployment.client, TokenCounter):
                return await deployment.client.count_tokens(request)
        return estimate_conversation(request)


def _wanted(catalogue: Catalogue, *, clock: Clock) -> Iterator[Stage]:
    """The stages that some model makes use of: what nobody has switched on is not on any call's way."""
    policies = catalogue.policies()
    if any(policy.total_s is not None for policy in policies):
        yield Deadline(clock=clock)  # of each caller, also of those who share an answer
    if any(policy.coalesce for policy in policies):
        yield Coalesce()
    if any(policy.on_cut == "continue" for policy in policies):
        yield Resume()  # outside Fallback, so that the rest may come from another model
    if any(policy.has_fallbacks for policy in policies):
        yield Fallback(catalogue, clock=clock)
