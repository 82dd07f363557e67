"""Books the call: a record when it starts upstream, and exactly one when it has ended, however it ended."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import lru_cache
from typing import Protocol

from msgspec.structs import replace

from undercroft.clock import Clock
from undercroft.errors import ClientClosed, LimitReached, NoDeployment, UndercroftError
from undercroft.gateway.call import Call, Deployment, Handler, Trail
from undercroft.gateway.spending import added, without
from undercroft.gateway.tagging import picked
from undercroft.ledger.prices import Price
from undercroft.llm.reply import Reply
from undercroft.llm.tokens import estimate_input, estimate_text
from undercroft.llm.types import Chunk
from undercroft.record import CallOpened, CallProgressed, CallRecord, SpoolRecord, Usage, Who
from undercroft.telemetry.redaction import Redactor

PROGRESS_EVERY_CHUNKS = 256


class Recorder(Protocol):
    """Keeps records safe (before it returns) and tells everyone who lives off them."""

    def append(self, record: SpoolRecord, /) -> None:
        """Raises Unavailable when the record cannot be kept: then the call must not go on."""
        ...

    async def durable(self) -> None:
        """Returns when what was appended is as safe as was promised."""
        ...


class Rates(Protocol):
    """What a deployment's tokens cost."""

    def cost(self, deployment: Deployment, usage: Usage, /, *, at_us: int, is_batch: bool = False) -> tuple[int, str]:
        """Nano-dollars of a call that started at `at_us`, and the price's source; (0, "") when it is unknown.

        `is_batch`: it is a line of a batch, for which some deployments have a price of its own."""
        ...

    def fixed(self, deployment: Deployment, /) -> Price | None:
        """The price of a deployment's calls (but for batches) that holds at any time; None where it has to be asked
        for by the moment."""
        ...

    def most(
        self, deployment: Deployment, read: int, written: int, /, *, is_dear: bool, at_us: int, is_batch: bool = False
    ) -> int | None:
        """Nano-dollars of so many tokens at most, whatever kind of token they turn out to be; None where the price is
        unknown."""
        ...


class Meter:
    """Outermost of the stages, so that refusals, retries and cut streams are all booked in one place.

    The closing record is written before the generator ends, hence before the last byte of the answer leaves.
    """

    def __init__(self, *, recorder: Recorder, rates: Rates, clock: Clock, tag_names: Sequence[str] = ()) -> None:
        """`tag_names`: which of a request's own labels are booked as tags."""
        self._tag_names = tag_names
        self.recorder = recorder
        self.rates = rates
        self._clock = clock

    async def __call__(self, call: Call, proceed: Handler, /) -> Reply:
        try:
            reply = await proceed(call)
            if call.request.stream:
                return Reply(self._metered(call, reply.chunks))
            whole = await reply.read()
            self.take_whole(call, whole)
        except BaseException as error:
            self.close(call, error)
            if isinstance(error, Exception):  # what is cancelled, or not read on, has nobody who waits
                await self.recorder.durable()
            raise
        self.close(call, None)
        await self.recorder.durable()
        return Reply(whole=whole)

    def take_whole(self, call: Call, whole: Chunk) -> None:
        """A whole answer is there."""
        call.trail.first_chunk_at = self._clock.monotonic()
        note(call.trail, whole)

    def take(self, call: Call, chunk: Chunk, number: int) -> None:
        """A stream's chunk is there; they are numbered from 1."""
        trail = call.trail
        if number == 1:
            trail.first_chunk_at = self._clock.monotonic()
        note(trail, chunk)
        if not number % PROGRESS_EVERY_CHUNKS:
            self.recorder.append(CallProgressed(id=call.id, output=_produced(trail)))

    def take_text(self, call: Call, characters: int, number: int) -> None:
        """The same of a chunk that is like the one before it, but for so many characters of text."""
        trail = call.trail
        trail.produced_characters += characters
        if not number % PROGRESS_EVERY_CHUNKS:
            self.recorder.append(CallProgressed(id=call.id, output=_produced(trail)))

    async def opening(self, call: Call, proceed: Handler, /) -> Reply:
        """The innermost stage: from here on tokens may be spent, so a crash must find a trace of the call."""
        begun = call.trail.begun
        if begun is None or begun.response is None:
            self.open(call)
        return await proceed(call)

    def open(self, call: Call) -> None:
        """Raises Unavailable when no trace can be left: then nothing may be sent."""
        deployment = call.trail.deployment
        self.recorder.append(
            CallOpened(
                id=call.id,
                started_us=call.started_us,
                who=call.who,
                endpoint=call.endpoint,
                model=call.trail.model,
                provider=deployment.provider if deployment else "",
                deployment=deployment.id if deployment else "",
                estimated_input=estimate_input(call.request),
                release=call.trail.release,
                tags=self._tags(call),
            )
        )

    async def _metered(self, call: Call, chunks: AsyncGenerator[Chunk, None]) -> AsyncGenerator[Chunk, None]:
        count = 0
        try:
            async with aclosing(chunks):
                async for chunk in chunks:
                    count += 1
                    self.take(call, chunk, count)
                    yield chunk
        except BaseException as error:
            self.close(call, error)
            if isinstance(error, Exception):  # what is cancelled, or not read on, has nobody who waits
                await self.recorder.durable()
            raise
        self.close(call, None)
        await self.recorder.durable()

    def close(self, call: Call, error: BaseException | None) -> None:
        """Books the call's end, once. Raises Unavailable when the record could not be written now: it is kept."""
        trail = call.trail
        cause = trail.abandoned or error
        for release in trail.releases:
            release(cause)
        trail.releases.clear()
        deployment = trail.deployment
        if trail.cache:
            usage, estimated, cost_nano, price = Usage(), False, 0, ""
        elif trail.parts:
            usage, estimated, cost_nano, price = self._in_parts(call)
        else:
            usage, estimated = usage_of(call, answered=error is None)
            cost_nano, price = self._cost(call, deployment, usage) if deployment else (0, "")
        trail.cost_nano = cost_nano
        if not trail.cache:  # else the answer still tells what it took when it was made
            trail.usage = usage
        if trail.settle is not None:
            trail.settle(tokens=usage.total, cost_nano=cost_nano)
        status, code = outcome(cause)
        self.recorder.append(
            CallRecord(
                id=call.id,
                started_us=call.started_us,
                duration_us=round((self._clock.monotonic() - call.started) * 1_000_000),
                who=call.who,
                endpoint=call.endpoint,
                model=trail.model,
                provider=deployment.provider if deployment else "",
                deployment=deployment.id if deployment else "",
                upstream_model=trail.upstream_model,
                release=trail.release,
                status=status,
                error=code,
                attempts=trail.attempts,
                first_token_us=round((trail.first_chunk_at - call.started) * 1_000_000) if trail.first_chunk_at else 0,
                usage=usage,
                usage_estimated=estimated,
                cost_nano=cost_nano,
                price=price,
                cache=trail.cache or ("miss" if trail.cache_id else ""),
                streamed=call.request.stream,
                trace=call.trace,
                end_user=_clean(call.request.end_user) if call.request.end_user else "",
                tags=self._tags(call),
                saved_nano=trail.saved_nano,
                held_nano=trail.held_nano,
                steps=trail.steps,
                refused=trail.refused,
                chosen="\n".join(trail.chosen) if any(trail.chosen) else "",
                because=_reason(cause),
            )
        )

    def _tags(self, call: Call) -> dict[str, str]:
        tags = call.tags
        if self._tag_names:
            tags = {**picked(getattr(call.request, "metadata", None), self._tag_names), **tags}
        if call.batch:
            tags = {**tags, "batch": call.batch}
        return {name: _clean(value) for name, value in tags.items()} if tags else tags

    def _cost(self, call: Call, deployment: Deployment, usage: Usage) -> tuple[int, str]:
        return self.rates.cost(deployment, usage, at_us=call.started_us, is_batch=bool(call.batch))

    def _in_parts(self, call: Call) -> tuple[Usage, bool, int, str]:
        """An answer that several deployments gave a part of: each part at its own price."""
        trail = call.trail
        assert trail.deployment is not None, "there are parts"
        told, estimated = usage_of(call, answered=True)
        earlier = [part.usage for part in trail.parts]
        last = told if estimated else without(told, earlier)
        if not last.output:  # cut again before the provider told what it had written
            last = replace(last, output=estimate_text(trail.produced_characters))
        costs = [
            self._cost(call, deployment, usage)
            for deployment, usage in (
                *((part.deployment, part.usage) for part in trail.parts),
                (trail.deployment, last),
            )
        ]
        return added([*earlier, last]), True, sum(cost for cost, _ in costs), costs[-1][1]

    def refused(
        self, *, call_id: str, started_us: int, started: float, who: Who, endpoint: str, error: BaseException
    ) -> None:
        """Books a call that was turned away before it became one: no key, a bad body."""
        status, code = outcome(error)
        self.recorder.append(
            CallRecord(
                id=call_id,
                started_us=started_us,
                duration_us=round((self._clock.monotonic() - started) * 1_000_000),
                who=who,
                endpoint=endpoint,
                model="",
                status=status,
                error=code,
            )
        )


@lru_cache(4096)
def _clean(label: str) -> str:
    """What a caller wrote there by mistake, a key say, is in no book, line or span."""
    return Redactor().text(label)


def note(trail: Trail, chunk: Chunk) -> None:
    """Takes from a chunk what the record wants."""
    if chunk.usage is not None:
        trail.usage = chunk.usage
    if chunk.model:
        trail.upstream_model = chunk.model
    for choice in chunk.choices:
        trail.produced_characters += len(choice.text) + len(choice.reasoning)
        if choice.refusal or choice.finish_reason == "content_filter":
            trail.refused = True
        for tool_call in choice.tool_calls:
            trail.produced_characters += len(tool_call.arguments)


def _produced(trail: Trail) -> int:
    if trail.usage and trail.usage.output:
        return trail.usage.output
    return estimate_text(trail.produced_characters) + sum(part.usage.output for part in trail.parts)


def usage_of(call: Call, *, answered: bool) -> tuple[Usage, bool]:
    """The provider's own count; else ours, for what was sent and passed on. Nothing sent costs nothing."""
    trail = call.trail
    if trail.usage is not None:
        if answered or trail.usage.output or not trail.produced_characters:
            return trail.usage, False
        # Cut after the provider told what it had read, and before it told what it had written.
        return replace(trail.usage, output=estimate_text(trail.produced_characters)), True
    if not answered and not trail.first_chunk_at:
        return Usage(), False
    return Usage(input=estimate_input(call.request), output=estimate_text(trail.produced_characters)), True


def _reason(error: BaseException | None) -> str:
    """What we say of what we refuse ourselves. It names limits, models and deployments, and nothing of the call."""
    return error.message if isinstance(error, LimitReached | NoDeployment) else ""


def outcome(error: BaseException | None) -> tuple[int, str]:
    """HTTP status and error code to book."""
    if error is None:
        return 200, ""
    if isinstance(error, UndercroftError):
        return error.status, error.code
    if isinstance(error, GeneratorExit | asyncio.CancelledError):
        return ClientClosed.status, ClientClosed.code
    return 500, "internal_error"
