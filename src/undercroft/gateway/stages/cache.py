"""Gives an answer again that was given before, and keeps those that may be given again."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from typing import Any, Final, Literal

from msgspec.structs import replace

from undercroft.cache.control import USUAL, Control
from undercroft.cache.entry import Entry, is_complete, size_of
from undercroft.cache.key import Keys, Place
from undercroft.cache.shelf import Shelf
from undercroft.cache.similar import Question, Similar, question_of
from undercroft.cache.store import CacheStore, NearStore
from undercroft.clock import Clock
from undercroft.errors import Unavailable
from undercroft.gateway.call import Call, Handler, Model
from undercroft.gateway.stages.meter import Rates
from undercroft.llm.reply import ChunkStream, Reply
from undercroft.llm.types import ChatRequest, Chunk
from undercroft.record import Usage, Who
from undercroft.telemetry.logs import get_logger

HIT: Final = "hit"
SEMANTIC: Final = "semantic"


class Cache:
    """Outside all that asks a provider, inside what refuses: a hit is a call that its caller may make.

    A store that is away is a miss. Only answers of the model that was asked for are kept, and only complete ones.
    """

    def __init__(
        self,
        store: CacheStore,
        *,
        keys: Keys,
        rates: Rates,
        ttl_us: int,
        max_entry_bytes: int,
        clock: Clock,
        similar: Similar | None = None,
    ) -> None:
        self._store = store
        self._near = store if isinstance(store, NearStore) else None
        self._keys = keys
        self._rates = rates
        self._ttl_us = ttl_us
        self._max_entry_bytes = max_entry_bytes
        self._clock = clock
        self._similar = similar
        self._described: dict[str, tuple[Model, str]] = {}
        self._trouble = ""

    def __call__(self, call: Call, proceed: Handler, /) -> Awaitable[Reply]:
        model, control = call.trail.found, call.cache
        assert model is not None, "Find stands before Cache"
        if not (model.policy.cache or (control is not None and control.use)) or not may_repeat(call):
            return proceed(call)
        return self._answer(call, model, control or USUAL, proceed)

    def at_once(self, call: Call) -> Chunk | None:
        """A whole answer that need not be waited for, to a caller who has not said anything of the cache; None, and
        nothing is done, where there is none."""
        model = call.trail.found
        assert model is not None, "Find stands before Cache"
        if self._near is None or call.request.stream or not may_repeat(call):
            return None
        own = self._keys.id_of(call.request, self._place(call, model))
        entry = self._near.look(call.who.organisation, own)
        return None if entry is None else _again(call, own, entry, HIT).whole

    def shelf_of(self, model: Model, who: Who, *, endpoint: str) -> Shelf | None:
        """Where to look as `at_once` does, for one caller's calls of a model; None where nothing is at hand."""
        return None if self._near is None else Shelf(self._near, self._keys, self._usual_place(model, who, endpoint))

    async def _answer(self, call: Call, model: Model, control: Control, proceed: Handler) -> Reply:
        trail = call.trail
        own = trail.cache_id = self._keys.id_of(call.request, self._place(call, model))
        question = self._question(call, model, control)
        if control.reads:
            entry = await self._read(call, own, control)
            if entry is not None:
                return _again(call, own, entry, HIT)
            if question is not None and (found := await self._alike(call, question, control)) is not None:
                return _again(call, *found, SEMANTIC)
        reply = await proceed(call)
        if not control.writes:
            return reply
        if call.request.stream:
            watched = Watched(reply.chunks, self._max_entry_bytes, lambda chunks: self._keep(call, chunks, question))
            return Reply(watched, dropped=reply.dropped, has_begun=reply.has_begun, limits=reply.limits)
        whole = await reply.read()
        if size_of(whole) <= self._max_entry_bytes:
            await self._keep(call, (whole,), question)
        return Reply(whole=whole, dropped=reply.dropped, limits=reply.limits)

    def _place(self, call: Call, model: Model) -> Place:
        place, wish = self._usual_place(model, call.who, call.endpoint), call.wish
        return place if wish is None else replace(place, wish=(*sorted(wish.tags), f"region={wish.region}"))

    def _usual_place(self, model: Model, who: Who, endpoint: str) -> Place:
        """That of calls whose callers say nothing of where they are answered."""
        return Place(organisation=who.organisation, endpoint=endpoint, answers=self._description(model))

    def _description(self, model: Model) -> str:
        known = self._described.get(model.name)
        if known is None or known[0] is not model:
            behind = sorted({f"{each.provider}:{each.upstream_model}" for each in model.deployments})
            known = self._described[model.name] = (model, "\n".join([model.name, *behind]))
        return known[1]

    def _question(self, call: Call, model: Model, control: Control) -> Question | None:
        request = call.request
        if self._similar is None or control.is_exact or not isinstance(request, ChatRequest):
            return None
        parted = question_of(request)
        if parted is None:
            return None
        around, text = parted
        return Question(self._keys.around_of(around, request.source, self._place(call, model)), text)

    async def _read(self, call: Call, id: str, control: Control) -> Entry | None:
        try:
            entry = await self._store.get(call.who.organisation, id)
        except Unavailable as error:
            self._tell(error.message)
            return None
        if entry is None or control.max_age_s is None:
            return entry
        is_young = call.started_us - entry.created_us <= control.max_age_s * 1_000_000
        return entry if is_young else None

    async def _alike(self, call: Call, question: Question, control: Control) -> tuple[str, Entry] | None:
        assert self._similar is not None, "there is a question"
        try:
            nearest = await self._similar.find(question)
        except Unavailable as error:
            self._tell(error.message)
            return None
        if nearest is None:
            return None
        entry = await self._read(call, nearest, control)
        if entry is None:
            self._similar.forget(question, nearest)
            return None
        return nearest, entry

    async def _keep(self, call: Call, chunks: tuple[Chunk, ...], question: Question | None) -> None:
        trail = call.trail
        by_another = trail.cache or trail.asked is not None or trail.parts
        if by_another or trail.deployment is None or not is_complete(call.request, chunks):
            return
        usage = next((chunk.usage for chunk in reversed(chunks) if chunk.usage is not None), Usage())
        cost_nano, _ = self._rates.cost(trail.deployment, usage, at_us=call.started_us, is_batch=bool(call.batch))
        now_us = self._clock.now_us()
        ttl_us = self._ttl_us
        if call.cache is not None and call.cache.ttl_s is not None:
            ttl_us = min(ttl_us, call.cache.ttl_s * 1_000_000)
        entry = Entry(
            chunks=chunks,
            model=trail.model,
            deployment=trail.deployment.id,
            cost_nano=cost_nano,
            created_us=now_us,
            expires_us=now_us + ttl_us,
            dropped=trail.dropped,
        )
        try:
            await self._store.put(call.who.organisation, trail.cache_id, entry)
        except Unavailable as error:
            self._tell(error.message)
            return
        self._tell("")
        if question is not None and self._similar is not None:
            self._similar.add(question, trail.cache_id, expires_us=entry.expires_us)

    def _tell(self, trouble: str) -> None:
        """Once for each change: a store that is away costs a miss a call, and not a line."""
        if bool(trouble) != bool(self._trouble):
            logger = get_logger("undercroft.cache")
            if trouble:
                logger.warning("cache_unavailable", reason=trouble)
            else:
                logger.info("cache_ready")
        self._trouble = trouble


def may_repeat(call: Call) -> bool:
    """Whether an answer could be given twice: what a provider's own tools look up or do is not repeated."""
    request = call.request
    if not isinstance(request, ChatRequest) or not request.tools:
        return True
    return all(tool.type != "hosted" for tool in request.tools)


def _again(call: Call, id: str, entry: Entry, how: Literal["hit", "semantic"]) -> Reply:
    trail = call.trail
    trail.cache, trail.cache_id, trail.saved_nano, trail.dropped = how, id, entry.cost_nano, entry.dropped
    if call.request.stream:
        return Reply(Replayed(entry.chunks), dropped=entry.dropped, has_begun=True)
    return Reply(whole=entry.chunks[0], dropped=entry.dropped)


class Replayed(ChunkStream):
    """A stream that was kept, piece by piece as it came."""

    __slots__ = ("_left",)

    def __init__(self, chunks: tuple[Chunk, ...]) -> None:
        self._left = list(reversed(chunks))

    async def __anext__(self) -> Chunk:
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop()

    async def aclose(self) -> None:
        self._left.clear()


class Watched(ChunkStream):
    """A stream that is passed on and remembered; `keep` gets it when it has come to its end, and never otherwise."""

    __slots__ = ("_chunks", "_keep", "_room", "_seen")

    def __init__(
        self,
        chunks: AsyncGenerator[Chunk, None],
        room: int,
        keep: Callable[[tuple[Chunk, ...]], Coroutine[Any, Any, None]],
    ) -> None:
        self._chunks = chunks
        self._room = room
        self._keep = keep
        self._seen: list[Chunk] = []

    async def __anext__(self) -> Chunk:
        try:
            chunk = await self._chunks.__anext__()
        except StopAsyncIteration:
            if self._room >= 0 and self._seen:
                seen, self._seen = tuple(self._seen), []
                await self._keep(seen)
            raise
        if self._room >= 0:
            self._room -= size_of(chunk)
            self._seen.append(chunk)
            if self._room < 0:
                self._seen.clear()
        return chunk

    async def aclose(self) -> None:
        self._seen.clear()
        await self._chunks.aclose()
