"""The gateway: one call in, one metered answer out."""

import random

from undercroft.clock import Clock
from undercroft.gateway.call import Call
from undercroft.gateway.catalogue import Catalogue
from undercroft.gateway.pipeline import pipeline
from undercroft.gateway.stages.find import Find
from undercroft.gateway.stages.meter import Meter, Rates, Recorder
from undercroft.gateway.stages.retry import Retry
from undercroft.gateway.stages.route import Gauge, Route, provide
from undercroft.llm.provider import TokenCounter
from undercroft.llm.reply import Reply
from undercroft.llm.tokens import estimate_conversation
from undercroft.llm.types import ChatRequest


class Gateway:
    """Sends calls through the stages.

    `send` raises UndercroftError kinds. The reply's chunks must be read to the end or closed: the call is booked then.
    """

    def __init__(
        self, *, catalogue: Catalogue, recorder: Recorder, rates: Rates, gauge: Gauge, clock: Clock, rng: random.Random
    ) -> None:
        self.catalogue = catalogue
        self.meter = Meter(recorder=recorder, rates=rates, clock=clock)
        self._run = pipeline(
            [
                self.meter,  # sees everything, also what the stages below refuse
                Find(catalogue),
                Retry(clock=clock, rng=rng),  # outside Route, so that another attempt may go to another deployment
                Route(gauge, clock=clock),
                self.meter.opening,
            ],
            provide,
        )

    async def send(self, call: Call) -> Reply:
        return await self._run(call)

    async def count_tokens(self, request: ChatRequest) -> int:
        """How many tokens a conversation is: as a provider of its model counts them, else estimated. Books nothing."""
        model = self.catalogue.find(request.model, "chat")
        for deployment in model.deployments:
            if isinstance(deployment.client, TokenCounter):
                return await deployment.client.count_tokens(request)
        return estimate_conversation(request)
