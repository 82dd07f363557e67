"""Small real implementations of what the gateway needs around it."""

import random
from collections.abc import AsyncGenerator, Mapping, Sequence

from tests.support.clock import ManualClock
from undercroft.clock import Clock
from undercroft.gateway.balance import Balancer
from undercroft.gateway.call import Call, Deployment, Model, Stage
from undercroft.gateway.catalogue import Catalogue, Defaults
from undercroft.gateway.gateway import Booking, Checks, Gateway, Watching
from undercroft.gateway.policy import USUAL, Policy
from undercroft.gateway.stages.cache import Cache
from undercroft.gateway.stages.content import KeepContent
from undercroft.gateway.waiting import Line
from undercroft.ledger.prices import Price
from undercroft.llm.reply import Reply
from undercroft.llm.types import ChatRequest, Choice, Chunk, Message, Usage
from undercroft.record import CallRecord, SpoolRecord, Who
from undercroft.telemetry.tracing import Tracing

Step = Chunk | Exception
SHORT = Usage(input=3, output=2)
ROLE = Chunk(choices=(Choice(role="assistant"),))
"""How a stream begins: nothing has been said yet."""


def said(*words: str, usage: Usage | None = SHORT) -> list[Step]:
    """A stream that says these words, one chunk each, and ends as it should."""
    chunks: list[Step] = [Chunk(choices=(Choice(text=word),)) for word in words]
    return [*chunks, Chunk(choices=(Choice(finish_reason="stop"),), usage=usage, model="upstream-1")]


class Prompter:
    """A chat provider that plays one script after another; an error in first place is raised before the answer."""

    name = "prompter"

    def __init__(self, *scripts: Sequence[Step]) -> None:
        self._scripts = list(scripts)
        self.asked: list[ChatRequest] = []
        self.closed = 0

    async def send(self, request: ChatRequest, /) -> Reply:
        self.asked.append(request)
        script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
        if script and isinstance(script[0], Exception):
            raise script[0]
        return Reply(self._play(script))

    async def _play(self, script: Sequence[Step]) -> AsyncGenerator[Chunk, None]:
        try:
            for step in script:
                if isinstance(step, Exception):
                    raise step
                yield step
        finally:
            self.closed += 1


class MemoryRecorder:
    """Keeps records in a list; refuses them when told to."""

    def __init__(self) -> None:
        self.records: list[SpoolRecord] = []
        self.refuse_with: Exception | None = None

    def append(self, record: SpoolRecord, /) -> None:
        if self.refuse_with is not None:
            raise self.refuse_with
        self.records.append(record)

    async def durable(self) -> None:
        """A list is as safe as it gets."""

    @property
    def ended(self) -> list[CallRecord]:
        return [record for record in self.records if isinstance(record, CallRecord)]


class FlatRates:
    """A nano-dollar a token."""

    def cost(self, deployment: Deployment, usage: Usage, /, *, at_us: int, is_batch: bool = False) -> tuple[int, str]:
        return usage.total, "flat"

    def fixed(self, deployment: Deployment, /) -> Price | None:
        return None

    def most(
        self, deployment: Deployment, read: int, written: int, /, *, is_dear: bool, at_us: int, is_batch: bool = False
    ) -> int | None:
        return read + written


class CountingGauge:
    """How many calls are with a provider."""

    def __init__(self) -> None:
        self.active = 0

    def at(self, endpoint: str, model: str, provider: str, /) -> "CountingGauge":
        return self

    def add(self, count: int = 1, /) -> None:
        self.active += count


def model_of(
    name: str, clients: Sequence[object], *, policy: Policy = USUAL, rng: random.Random, clock: Clock
) -> Model:
    """A public model with a deployment for each client."""
    deployments = tuple(
        Deployment(id=f"{name}/{place}", provider="prompter", upstream_model="upstream-1", client=client)
        for place, client in enumerate(clients)
    )
    balancer = Balancer(deployments, rng=rng, monotonic=clock.monotonic)
    line = Line(balancer, clock=clock)
    return Model(name=name, deployments=deployments, balancer=balancer, policy=policy, line=line)


class Bench:
    """A gateway over fakes. Each provider stands behind the model `chat`, in order; each of `others` behind the model
    of its name."""

    def __init__(
        self,
        *clients: object,
        accept_any: bool = False,
        policy: Policy = USUAL,
        others: Mapping[str, object] | None = None,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        cache: Cache | None = None,
        tracing: Tracing | None = None,
        guard: Stage | None = None,
        content: KeepContent | None = None,
        tag_names: Sequence[str] = (),
    ) -> None:
        self.clock = ManualClock()
        self.recorder = MemoryRecorder()
        self.gauge = CountingGauge()
        self._clock = clock or self.clock
        rng = self.rng = rng or random.Random(1)
        self.model = model_of("chat", clients, policy=policy, rng=rng, clock=self._clock)
        models = [
            self.model,
            *(model_of(name, [client], rng=rng, clock=self._clock) for name, client in (others or {}).items()),
        ]
        self.gateway = Gateway(
            Catalogue(models, defaults=Defaults(chat="chat", embeddings="chat", accept_any=accept_any)),
            booking=Booking(self.recorder, FlatRates(), tag_names),
            watching=Watching(self.gauge, tracing, content),
            clock=self._clock,
            rng=rng,
            checks=Checks(guard, cache=cache),
        )

    def call(
        self,
        *,
        model: str = "chat",
        stream: bool = True,
        seconds: float = 60.0,
        id: str = "req_1",
        said: str = "Hi you",
    ) -> Call:
        clock = self._clock
        return Call(
            id=id,
            endpoint="/v1/chat/completions",
            who=Who(),
            request=ChatRequest(model=model, messages=(Message(role="user", content=said),), stream=stream),
            started_us=clock.now_us(),
            started=clock.monotonic(),
            deadline=clock.monotonic() + seconds,
        )
