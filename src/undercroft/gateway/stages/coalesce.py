"""Lets identical calls that are under way at the same time share one upstream call."""

import asyncio
from collections.abc import Awaitable
from typing import Final

import msgspec
from msgspec.structs import replace

from undercroft.gateway.call import Call, Handler, Trail
from undercroft.gateway.filters import Wish
from undercroft.llm.reply import Reply
from undercroft.llm.types import Chunk

COALESCED: Final = "coalesced"

Key = tuple[str, str, str, str, bytes, Wish | None, int | None]


def key_of(call: Call) -> Key:
    """Equal for calls that may share an answer: one key's callers who ask for the same, byte for byte, and may
    be answered at the same length."""
    request = call.request
    asked = msgspec.msgpack.encode(request) if request.source is None else request.source.body
    return (call.who.organisation, call.who.key, call.endpoint, request.model, asked, call.wish, call.trail.most_output)


class Shared:
    """One upstream call and those who wait for it."""

    __slots__ = ("is_paid", "key", "task", "trail", "waiting")

    def __init__(self, key: Key, trail: Trail) -> None:
        self.key = key
        self.trail = trail
        self.waiting = 0
        self.is_paid = False
        self.task: asyncio.Task[Chunk]


class Coalesce:
    """Whole answers of models with `coalesce = true`, and all that the cache may keep; only calls of the same
    organisation and key meet.

    The upstream call runs in a task of its own, so that nobody's leaving ends it for the others; it ends when the last
    one has left. The first who is told its outcome is booked with what it cost, the others with nothing. A failure is
    everybody's.
    """

    def __init__(self) -> None:
        self._under_way: dict[Key, Shared] = {}

    def __call__(self, call: Call, proceed: Handler, /) -> Awaitable[Reply]:
        trail = call.trail
        model = trail.found
        assert model is not None, "Find stands before Coalesce"
        if call.request.stream or not (model.policy.coalesce or trail.cache_id):
            return proceed(call)
        return self._share(call, proceed)

    async def _share(self, call: Call, proceed: Handler) -> Reply:
        key = key_of(call)
        shared = self._under_way.get(key) or self._begin(key, call, proceed)
        trail = call.trail
        shared.waiting += 1
        try:
            whole = await asyncio.shield(shared.task)
        finally:
            self._leave(shared, trail)
        return Reply(whole=whole, dropped=trail.dropped)

    def _begin(self, key: Key, call: Call, proceed: Handler) -> Shared:
        own = call.trail
        trail = Trail(found=own.found, substituted_for=own.substituted_for, most_output=own.most_output)
        shared = self._under_way[key] = Shared(key, trail)

        async def ask() -> Chunk:
            try:
                return await (await proceed(replace(call, trail=trail))).read()
            finally:
                self._forget(shared)

        shared.task = asyncio.get_running_loop().create_task(ask())
        return shared

    def _leave(self, shared: Shared, trail: Trail) -> None:
        """One of the waiting was told the outcome, or waits no longer."""
        shared.waiting -= 1
        if shared.task.done():
            _take_over(trail, shared)
        elif not shared.waiting:
            self._forget(shared)  # at once: a task that is being cancelled is no longer to be joined
            shared.task.cancel()

    def _forget(self, shared: Shared) -> None:
        if self._under_way.get(shared.key) is shared:
            del self._under_way[shared.key]


def _take_over(trail: Trail, shared: Shared) -> None:
    """What happened to the shared call happened to this one; what it holds and has used goes to the one who pays."""
    source = shared.trail
    trail.found, trail.asked, trail.deployment = source.found, source.asked, source.deployment
    trail.dropped, trail.upstream_model, trail.limits = source.dropped, source.upstream_model, source.limits
    if shared.is_paid:
        trail.cache = COALESCED
        return
    shared.is_paid = True
    trail.attempts, trail.usage, trail.steps = source.attempts, source.usage, source.steps
    trail.chosen = source.chosen
    trail.releases += source.releases
