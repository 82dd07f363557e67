"""A gateway on virtual time, in front of providers that fail in every way, with callers who leave.

    simulate(seed, gateway_world)

Each deployment has a voice of its own: it says `a0 a1 a2 …`, and one that goes on with another's answer goes on
counting. So a caller's text shows who said what, and whether a word was lost or said twice.
"""

import asyncio
import itertools
import re
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final

from tests.support.gateway import CountingGauge, MemoryRecorder, model_of
from tests.support.simulation import SimulatedClock, SimulatedLoop
from undercroft.errors import (
    UndercroftError,
    UpstreamGarbled,
    UpstreamOverloaded,
    UpstreamRefused,
    UpstreamTimedOut,
    UpstreamUnreachable,
)
from undercroft.gateway.call import Call, Deployment, Model
from undercroft.gateway.catalogue import Catalogue, Defaults
from undercroft.gateway.gateway import Booking, Gateway, Watching
from undercroft.gateway.policy import MAX_ATTEMPTS, Policy
from undercroft.ledger.prices import Price
from undercroft.llm.reply import Reply
from undercroft.llm.types import ChatRequest, Choice, Chunk, Message
from undercroft.record import Usage, Who

WORDS: Final = 6
IDLE_S: Final = 15.0
CALLS: Final = 25
SLACK_S: Final = 0.5
"""Limits are kept to within ticks."""


class Violation(AssertionError):
    """Something that must never happen did."""


@dataclass
class Asked:
    """One attempt, as the provider saw it."""

    deployment: str
    at_s: float
    was_silent: bool = False
    first_word_s: float | None = None
    ended_s: float | None = None


@dataclass
class World:
    """What everybody in it can see."""

    loop: SimulatedLoop
    policy: Policy
    asked: dict[str, list[Asked]] = field(default_factory=dict)
    told: Counter[str] = field(default_factory=Counter)
    running: int = 0
    reported: int = 0
    """Tokens of the answers that providers finished, as they counted them."""


class Provider:
    """Answers, or does not, as the seed has it."""

    def __init__(self, world: World, voice: str, trouble: float) -> None:
        self.name = voice
        self._world = world
        self._voice = voice
        self._trouble = trouble

    async def send(self, request: ChatRequest, /) -> Reply:
        world, rng = self._world, self._world.loop.rng
        attempt = Asked(self._voice, world.loop.time())
        world.asked.setdefault(request.end_user, []).append(attempt)
        fate = "well" if rng.random() > self._trouble else rng.choice(FATES)
        world.told[fate] += 1
        world.running += 1
        is_streaming = False
        try:
            await asyncio.sleep(rng.uniform(0.01, 3.0))
            if request.messages[-1].role == "assistant" and self._voice == "r":
                raise UpstreamRefused("takes no beginning", upstream_status=400)
            if fate == "silent":
                attempt.was_silent = True
                await asyncio.sleep(1000)
            if fate in ERRORS:
                raise ERRORS[fate](rng.choice((None, None, 1.0, 30.0)))
            if request.stream:
                is_streaming = True
                return Reply(self._stream(request, attempt, fate))
            await asyncio.sleep(rng.uniform(0.01, 3.0))
            if fate != "well":
                raise UpstreamUnreachable("cut in the middle of a whole answer")
            world.reported += WORDS + 1
            return Reply(whole=Chunk(choices=(Choice(text=self._say(0), finish_reason="stop"),), usage=usage()))
        finally:
            if not is_streaming:
                world.running -= 1
                attempt.ended_s = world.loop.time()

    def _say(self, first: int) -> str:
        return "".join(f"{self._voice}{number} " for number in range(first, WORDS))

    async def _stream(self, request: ChatRequest, attempt: Asked, fate: str) -> AsyncGenerator[Chunk, None]:
        world, rng = self._world, self._world.loop.rng
        last = request.messages[-1]
        first = len(last.text().split()) if last.role == "assistant" else 0
        try:
            yield Chunk(choices=(Choice(role="assistant"),))
            break_at = rng.randrange(first, WORDS + 1) if fate != "well" else None
            for number in range(first, WORDS):
                await asyncio.sleep(rng.uniform(0.0, 1.0))
                if number == break_at:
                    await self._break(attempt, fate)
                attempt.first_word_s = attempt.first_word_s or world.loop.time()
                yield Chunk(
                    choices=(Choice(text=f"{' ' if number and number == first else ''}{self._voice}{number} "),)
                )
            if break_at == WORDS:
                await self._break(attempt, fate)
            world.reported += WORDS - first + 1
            yield Chunk(choices=(Choice(finish_reason="stop"),), usage=Usage(input=1, output=WORDS - first))
        finally:
            world.running -= 1
            attempt.ended_s = world.loop.time()

    async def _break(self, attempt: Asked, fate: str) -> None:
        if fate == "stall":
            attempt.was_silent = True
            await asyncio.sleep(IDLE_S)
            raise UpstreamTimedOut("silent in the middle")
        raise UpstreamGarbled("cut")


def usage() -> Usage:
    return Usage(input=1, output=WORDS)


ERRORS: Final[Mapping[str, Callable[[float | None], UndercroftError]]] = {
    "busy": lambda wait_s: UpstreamOverloaded("busy", retry_after_s=wait_s),
    "reset": lambda wait_s: UpstreamUnreachable("reset"),
    "garbled": lambda wait_s: UpstreamGarbled("a web page"),
    "refused": lambda wait_s: UpstreamRefused("no such voice", upstream_status=400),
    "no-key": lambda wait_s: UpstreamRefused("who are you?", upstream_status=401),
}
FATES: Final = [*ERRORS, "busy", "reset", "silent", "stall", "stall", "cut", "cut", "cut"]


class TokenRates:
    """A nano-dollar a token."""

    def cost(self, deployment: Deployment, usage: Usage, /, *, at_us: int, is_batch: bool = False) -> tuple[int, str]:
        return usage.total, "flat"

    def fixed(self, deployment: Deployment, /) -> Price | None:
        return None

    def most(
        self, deployment: Deployment, read: int, written: int, /, *, is_dear: bool, at_us: int, is_batch: bool = False
    ) -> int | None:
        return read + written


@dataclass
class Caller:
    """One call and what its caller got."""

    call: Call
    text: str = ""
    outcome: str = ""
    ended_s: float = 0.0


async def gateway_world(loop: SimulatedLoop) -> Counter[str]:
    """Plays one seed and checks what must hold; returns what happened."""
    rng, clock = loop.rng, SimulatedClock(loop)
    fallbacks = tuple(rng.sample(("second", "third"), rng.randrange(3)))
    world = World(
        loop,
        Policy(
            tries=rng.randint(1, 4),
            first_token_s=rng.choice((4.0, 8.0)),
            whole_s=8.0,
            total_s=rng.choice((None, None, 25.0)),
            on_cut=rng.choice(("error", "continue")),
            coalesce=rng.random() < 0.5,
            fallbacks=fallbacks,
        ),
    )
    trouble = rng.choice((0.1, 0.5, 0.9, 1.0))
    short = Policy(first_token_s=8.0, whole_s=8.0)
    models = [
        model_of(
            "chat",
            [Provider(world, voice, trouble) for voice in "abc"[: rng.randint(1, 3)]],
            policy=world.policy,
            rng=rng,
            clock=clock,
        ),
        model_of("second", [Provider(world, "s", trouble / 2)], rng=rng, clock=clock, policy=short),
        model_of("third", [Provider(world, "r", trouble / 2)], rng=rng, clock=clock, policy=short),
    ]
    recorder, gauge = MemoryRecorder(), CountingGauge()
    gateway = Gateway(
        Catalogue(models, defaults=Defaults(chat="chat", embeddings="chat", accept_any=False)),
        booking=Booking(recorder, TokenRates()),
        watching=Watching(gauge),
        clock=clock,
        rng=rng,
    )
    callers = []
    tasks = []
    for number in range(CALLS):
        await asyncio.sleep(rng.expovariate(2.0))
        caller = Caller(_call(clock, number, stream=rng.random() < 0.7, seconds=rng.choice((10.0, 60.0))))
        callers.append(caller)
        tasks.append(asyncio.create_task(_make(gateway, caller, loop, leaves=rng.random() < 0.15)))
    await asyncio.gather(*tasks)
    await asyncio.sleep(1.0)
    _check(world, callers)
    _check_rest(world, recorder, gauge, models)
    return world.told


def _call(clock: SimulatedClock, number: int, *, stream: bool, seconds: float) -> Call:
    name = f"req_{number}" if stream else f"whole_{number // 4}"  # those of four may share an answer
    request = ChatRequest(model="chat", messages=(Message(role="user", content="Hi"),), stream=stream, end_user=name)
    return Call(
        id=f"call_{number}", endpoint="/v1/chat/completions", who=Who(), request=request, started_us=clock.now_us(),
        started=clock.monotonic(), deadline=clock.monotonic() + seconds,
    )  # fmt: skip


async def _make(gateway: Gateway, caller: Caller, loop: SimulatedLoop, *, leaves: bool) -> None:
    """One caller: reads to the end, or leaves in the middle; the server ends the call at its deadline."""
    call = caller.call
    limit_s = loop.rng.uniform(0.1, 10.0) if leaves else call.deadline - call.started
    try:
        async with asyncio.timeout(limit_s):
            reply = await gateway.send(call)
            async with aclosing(reply.chunks) as chunks:
                async for chunk in chunks:
                    caller.text += chunk.text()
                    if any(choice.finish_reason for choice in chunk.choices):
                        caller.outcome = "finished"
        caller.outcome = "whole" if caller.outcome == "finished" else "unfinished"
    except TimeoutError:
        caller.outcome = "left"
    except UndercroftError as error:
        caller.outcome = "told twice" if caller.outcome == "finished" else f"error {error.code}"
    caller.ended_s = loop.time()


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise Violation(what)


def _check(world: World, callers: list[Caller]) -> None:
    for caller in callers:
        call, said = caller.call, re.findall(r"([a-z])(\d+)", caller.text)
        shown = f"{call.id}: {caller.outcome}, {caller.text!r}"
        world.told[caller.outcome.split(" ", maxsplit=1)[0]] += 1
        _require(caller.outcome not in ("unfinished", "told twice", ""), f"a broken answer ended cleanly: {shown}")
        _require([int(number) for _, number in said] == list(range(len(said))), f"words lost or doubled: {shown}")
        _require("  " not in caller.text, f"blanks doubled at a seam: {shown}")
        voices = [voice for voice, _ in said]
        switches = sum(before != after for before, after in itertools.pairwise(voices))
        world.told["seams"] += switches
        if world.policy.on_cut == "error":
            _require(switches == 0, f"two answers in one: {shown}")
        if caller.outcome == "whole":
            _require(len(said) == WORDS, f"a truncated answer passed for whole: {shown}")
        _require(caller.ended_s <= call.deadline + SLACK_S, f"outlived its deadline: {shown}")
        if world.policy.total_s is not None:
            _require(caller.ended_s <= call.started + world.policy.total_s + SLACK_S, f"outlived its model's: {shown}")
    for name, attempts in world.asked.items():
        if name.startswith("req_"):
            _check_attempts(name, attempts)


def _check_attempts(name: str, attempts: list[Asked]) -> None:
    names = [attempt.deployment for attempt in attempts]
    _require(len(attempts) <= MAX_ATTEMPTS, f"{name}: {len(attempts)} attempts: {names}")
    silent: set[str] = set()
    for attempt in attempts:
        _require(attempt.deployment not in silent, f"{name}: a silent one was asked again: {names}")
        if attempt.was_silent:
            silent.add(attempt.deployment)
        heard_s = attempt.first_word_s or attempt.ended_s
        _require(heard_s is not None and heard_s - attempt.at_s <= 8.0 + SLACK_S, f"{name}: waited too long for a word")


def _check_rest(world: World, recorder: MemoryRecorder, gauge: CountingGauge, models: list[Model]) -> None:
    """When everybody has gone, nothing is held, everything is booked, and no more than providers counted is charged."""
    _require(world.running == 0, f"{world.running} answers are still being given")
    _require(gauge.active == 0, f"the gauge stands at {gauge.active}")
    for model in models:
        active = [state.active for state in model.balancer._all]
        _require(not any(active), f"{model.name}: {active} calls held")
    booked = Counter(record.id for record in recorder.ended)
    _require(booked == Counter(f"call_{number}" for number in range(CALLS)), f"booked: {booked}")
    known = sum(record.usage.total for record in recorder.ended if not record.usage_estimated)
    _require(known <= world.reported, f"{known} tokens booked, {world.reported} reported")
    for record in recorder.ended:
        _require(record.cost_nano == record.usage.total, f"{record.id}: cost {record.cost_nano}, {record.usage}")
        _require(record.attempts <= MAX_ATTEMPTS, f"{record.id}: {record.attempts} attempts")
