"""Callers, deployments that fail in phases, and the real Route between them, on virtual time."""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field

from tests.support.gateway import CountingGauge, Prompter, said
from tests.support.simulation import SimulatedClock, SimulatedLoop
from undercroft.errors import ClientClosed, NoDeployment, UpstreamError, UpstreamOverloaded, UpstreamUnreachable
from undercroft.gateway.balance import Balancer, Turn
from undercroft.gateway.breaker import BreakerPolicy
from undercroft.gateway.call import Call, Deployment, Model
from undercroft.gateway.stages.route import Route
from undercroft.gateway.state import GOOD, Ask, Nobody, Terms, Verdict
from undercroft.gateway.waiting import Line
from undercroft.llm.reply import Reply
from undercroft.llm.types import ChatRequest, Chunk, Message
from undercroft.record import Who

LIMITS = (2, 3, 1)
CALLS = 150
TICK_S = 0.25
REQUEST = ChatRequest(model="chat", messages=(Message(role="user", content="Hello"),))
MAX_WAIT_S = 4.0
DEADLINE_S = 15.0
REST_S = 5.0
FAILING_S = 25.0
"""After this much virtual time the deployments are well for good."""


class Violation(AssertionError):
    """What must never happen has happened."""


@dataclass
class Upstream:
    """One deployment as the world sees it."""

    limit: int
    active: int = 0
    is_failing: bool = False


class Watched(Balancer[Deployment]):
    """Sees that what is not closed is asked by one probe at a time, and by nobody else."""

    probes = 0
    under_way: Counter[int]

    def take(self, ask: Ask = Ask()) -> Turn[Deployment] | Nobody:  # noqa: B008 - frozen
        is_open = [bool(state.breaker.open_until) for state in self._all]
        found = super().take(ask)
        if isinstance(found, Turn) and is_open[found.index]:
            if not found.probe or self.under_way[found.index]:
                raise Violation("asked while its breaker is open, or by two probes at once")
            self.under_way[found.index] += 1
            self.probes += 1
        return found

    def finished(
        self, turn: Turn[Deployment], verdict: Verdict = GOOD, *, waited_s: float | None = None, streamed: bool = False
    ) -> None:
        self.under_way[turn.index] -= bool(turn.probe)
        super().finished(turn, verdict, waited_s=waited_s, streamed=streamed)


@dataclass
class World:
    """The scene of one seed."""

    loop: SimulatedLoop
    told: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.rng = self.loop.rng
        self.clock = SimulatedClock(self.loop)
        self.gauge = CountingGauge()
        self.upstreams = [Upstream(limit) for limit in LIMITS]
        deployments = tuple(
            Deployment(id=f"chat/{place}", provider="p", upstream_model="u", client=Prompter(said("x")))
            for place in range(len(LIMITS))
        )
        terms = [
            Terms(priority=int(place == 2), max_concurrency=limit, max_waiting=5, max_wait_s=MAX_WAIT_S)
            for place, limit in enumerate(LIMITS)
        ]
        self.balancer = Watched(
            deployments,
            terms=terms,
            breaker=BreakerPolicy(failures=4, calls=8, rest_s=REST_S),
            rng=random.Random(1),
            monotonic=self.clock.monotonic,
        )
        self.balancer.under_way = Counter()
        self.line = Line(self.balancer, clock=self.clock)
        self.model = Model(name="chat", deployments=deployments, balancer=self.balancer, line=self.line)
        self.route = Route(self.gauge, clock=self.clock)

    async def pause(self, least: int, most: int) -> None:
        """Some ticks: many things happen at the same moment, in every order."""
        await asyncio.sleep(self.rng.randint(least, most) * TICK_S)

    async def upstream(self, call: Call) -> Reply:
        """Answers, fails, asks for a pause, or takes its time; notes how many it serves at once."""
        deployment = call.trail.deployment
        assert deployment is not None
        place = self.model.deployments.index(deployment)
        upstream, rng = self.upstreams[place], self.rng
        upstream.active += 1

        def left(_: BaseException | None) -> None:
            upstream.active -= 1

        call.trail.releases.insert(0, left)
        if upstream.active > upstream.limit:
            raise Violation(f"{upstream.active} calls at once, of {upstream.limit}")
        await self.pause(0, 4)
        if upstream.is_failing and rng.random() < 0.8:
            self.told["failures"] += 1
            if rng.random() < 0.2:
                raise UpstreamOverloaded("busy", retry_after_s=rng.randrange(1, 12) * TICK_S)
            raise UpstreamUnreachable("down")
        return Reply(whole=Chunk())

    async def caller(self, number: int) -> None:
        """One call: its answer takes a while, and some callers leave before that."""
        await self.pause(0, int(FAILING_S / TICK_S))
        patience_s = self.rng.choice([1, 2, 4, 8, 400, 400]) * TICK_S
        begun = self.clock.monotonic()
        attempt = asyncio.create_task(self.attempt())
        quitter = asyncio.create_task(self.quit(attempt, patience_s))
        try:
            await attempt
            self.told["answered"] += 1
        except asyncio.CancelledError:
            self.told["left"] += 1
        except UpstreamError:
            self.told["failed"] += 1
        except NoDeployment:
            self.told["refused"] += 1
        quitter.cancel()
        if self.clock.monotonic() - begun > DEADLINE_S + 10:
            raise Violation("a call outlived its deadline")

    async def quit(self, attempt: "asyncio.Task[None]", patience_s: float) -> None:
        """A task of its own, so that it may run between a place being given and its call hearing of it."""
        await asyncio.sleep(patience_s)
        attempt.cancel()

    async def attempt(self) -> None:
        call = Call(
            id="req",
            endpoint="/v1/chat/completions",
            who=Who(),
            request=REQUEST,
            started_us=self.clock.now_us(),
            started=self.clock.monotonic(),
            deadline=self.clock.monotonic() + DEADLINE_S,
        )
        call.trail.found = self.model
        error: BaseException | None = None
        try:
            await self.route(call, self.upstream)
            await self.pause(0, 8)
            if self.rng.random() < 0.1 and self.clock.monotonic() < FAILING_S:
                raise UpstreamUnreachable("cut")
        except BaseException as caught:
            error = ClientClosed("left") if isinstance(caught, asyncio.CancelledError) else caught
            raise
        finally:
            for release in call.trail.releases:
                release(error)

    async def weather(self) -> None:
        """Deployments fail in phases."""
        while self.clock.monotonic() < FAILING_S:
            for upstream in self.upstreams:
                upstream.is_failing = self.rng.random() < 0.5
            await self.pause(8, 32)
        for upstream in self.upstreams:
            upstream.is_failing = False


async def routing_world(loop: SimulatedLoop) -> Counter[str]:
    """Plays one seed; what happened, by kind. Raises Violation."""
    world = World(loop)
    weather = asyncio.create_task(world.weather())
    await asyncio.gather(*(world.caller(number) for number in range(CALLS)))
    await weather
    views = world.balancer.view()
    if any(view.active for view in views) or world.gauge.active or any(each.active for each in world.upstreams):
        raise Violation("a place was never given back")
    if not world.line.is_empty:
        raise Violation("somebody waits although nobody is served")
    await asyncio.sleep(REST_S)
    for place in range(len(LIMITS)):  # all are well now: each takes a call again
        await _comes_back(world, place)
    world.told["probes"] = world.balancer.probes
    return world.told


async def _comes_back(world: World, place: int) -> None:
    try:
        async with asyncio.timeout(60):
            await world.attempt()
    except (UpstreamError, NoDeployment, TimeoutError) as error:
        raise Violation(f"all are well, and call {place} does not get through: {error}") from error
