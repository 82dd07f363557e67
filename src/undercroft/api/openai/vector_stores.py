"""`/v1/vector_stores`: made, listed, changed, deleted, searched. Their files: `vector_store_files.py`."""

from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import UNSET

from undercroft.api.calls import trace_of
from undercroft.api.exchange import Exchange
from undercroft.api.openai import vector_store_files
from undercroft.api.openai.vector_store_files import PATH, POLL_AFTER, STORE, counted, wishes_of
from undercroft.api.routing import Route
from undercroft.assembly import Undercroft
from undercroft.assembly.knowledge import Caller
from undercroft.telemetry.spans import Attribute
from undercroft.wire.openai import vector_stores as wire

if TYPE_CHECKING:
    from undercroft.vectors.knowledge.types import Counts, Knowledge, Question

SEARCH: Final = f"{STORE}/search"
_encode = msgspec.json.Encoder().encode


class VectorStores:
    """The handlers, one a route."""

    def __init__(self, undercroft: Undercroft) -> None:
        self._office = undercroft.knowledge
        self._tracing = undercroft.telemetry.tracing
        self._clock = undercroft.clock
        self._server = undercroft.settings.server

    async def _body(self, exchange: Exchange) -> bytes:
        limits = self._server.limits
        return await exchange.body(limit=limits.max_body_bytes, timeout_s=limits.body_timeout_s)

    async def create(self, exchange: Exchange) -> None:
        """Makes a vector store, and takes files into it."""
        asked = wire.decode_create(await self._body(exchange))
        who, desk = exchange.caller.who, await self._office.desk()
        files = [
            wire.FileAttach(file_id=file, chunking_strategy=asked.chunking_strategy)
            for file in dict.fromkeys(asked.file_ids or ())
        ]
        wishes = await wishes_of(files, who, self._office)
        made = await desk.create(
            who,
            name=asked.name or "",
            description=asked.description or "",
            metadata=asked.metadata or {},
            days=asked.expires_after.days if asked.expires_after else None,
        )
        if wishes:
            await desk.attach(who, made, wishes)
        await self._tell(exchange, made)

    async def list_them(self, exchange: Exchange) -> None:
        """The organisation's vector stores, the latest first."""
        from undercroft.vectors.knowledge.types import Cursor

        asked = wire.decode_page(exchange.query)
        who, desk = exchange.caller.who, await self._office.desk()
        cursor = Cursor(limit=asked.limit, order=asked.order, after=asked.after, before=asked.before)
        found = await desk.page(who, cursor)
        shown = found[: asked.limit]
        counts = await desk.counts(who, [each.id for each in shown]) if shown else {}
        data = [self._object(each, counts[each.id]) for each in shown]
        page = wire.VectorStoreList(
            data=data,
            first_id=data[0].id if data else "",
            last_id=data[-1].id if data else "",
            has_more=len(found) > len(shown),
        )
        await exchange.respond(_encode(page))

    async def show(self, exchange: Exchange) -> None:
        """A vector store, and how far its files are."""
        desk = await self._office.desk()
        await self._tell(exchange, await desk.find(exchange.caller.who, _id(exchange)))

    async def update(self, exchange: Exchange) -> None:
        """Gives a vector store another name, other labels or another time to expire."""
        asked = wire.decode_update(await self._body(exchange))
        changes: dict[str, Any] = {}
        if asked.name is not UNSET:
            changes["name"] = asked.name or ""
        if asked.metadata is not UNSET:
            changes["metadata"] = asked.metadata or {}
        if asked.expires_after is not UNSET:
            changes["expires_days"] = asked.expires_after.days if asked.expires_after else None
        desk = await self._office.desk()
        await self._tell(exchange, await desk.change(exchange.caller.who, _id(exchange), changes))

    async def delete(self, exchange: Exchange) -> None:
        """Deletes a vector store with all that is in it. The files themselves stay."""
        desk = await self._office.desk()
        await desk.delete(exchange.caller.who, _id(exchange))
        await exchange.respond(_encode(wire.VectorStoreDeleted(id=_id(exchange))))

    async def search(self, exchange: Exchange) -> None:
        """The passages of a vector store that have the most to do with what was asked."""
        asked = wire.decode_search(await self._body(exchange))
        question = question_of(asked)
        who, desk = exchange.caller.who, await self._office.desk()
        store = await desk.living(who, _id(exchange))
        finder = await self._office.finder()
        traceparent, _ = trace_of(exchange)
        said: dict[str, Attribute] = {"undercroft.vector_store": store.id, "undercroft.request.id": exchange.id}
        with self._tracing.around(traceparent, "search vector store", "internal", said) as below:
            caller = Caller(who, SEARCH, exchange.id, below, self._server.request_timeout_s)
            model = await self._office.models.model_for(store.model, caller)
            exchange.booked = True  # by the call of the embedding model
            found = await finder.search(store, question, model)
        results = [
            wire.SearchResult(
                file_id=passage.file,
                filename=passage.filename,
                score=passage.score,
                attributes=dict(passage.attributes),  # type: ignore[arg-type]  # files have no lists among them
                content=[wire.SearchText(text=passage.text)],
            )
            for passage in found
        ]
        await exchange.respond(_encode(wire.SearchResults(search_query=asked.texts, data=results)))

    async def _tell(self, exchange: Exchange, store: "Knowledge") -> None:
        desk = await self._office.desk()
        counts = (await desk.counts(exchange.caller.who, [store.id]))[store.id]
        headers = [POLL_AFTER] if counts.in_progress else []
        await exchange.respond(_encode(self._object(store, counts)), headers=headers)

    def _object(self, store: "Knowledge", counts: "Counts") -> wire.VectorStoreObject:
        is_expired = store.is_expired(self._clock.now_us())
        days = store.expires_days
        return wire.VectorStoreObject(
            id=store.id,
            created_at=store.created_us // 1_000_000,
            name=store.name,
            description=store.description,
            usage_bytes=counts.usage_bytes,
            file_counts=counted(counts),
            status="expired" if is_expired else "in_progress" if counts.in_progress else "completed",
            expires_after=UNSET if days is None else wire.ExpiresAfter(anchor="last_active_at", days=days),
            expires_at=None if store.expires_us is None else store.expires_us // 1_000_000,
            last_active_at=store.active_us // 1_000_000,
            metadata=store.metadata,
        )


def question_of(asked: wire.SearchBody) -> "Question":
    """Raises InvalidFilter."""
    from undercroft.vectors.filters import parse
    from undercroft.vectors.knowledge.types import Question

    ranking = asked.ranking_options or wire.RankingOptions()
    return Question(
        texts=asked.texts,
        limit=asked.max_num_results,
        where=None if asked.filters is None else parse(asked.filters, param="filters"),
        threshold=ranking.score_threshold,
        by_words=ranking.ranker != "none",
    )


def _id(exchange: Exchange) -> str:
    return exchange.path_values["vector_store_id"]


def routes(undercroft: Undercroft) -> list[Route]:
    stores = VectorStores(undercroft)
    return [
        Route("POST", PATH, "ai", stores.create),
        Route("GET", PATH, "ai", stores.list_them),
        Route("GET", STORE, "ai", stores.show),
        Route("POST", STORE, "ai", stores.update),
        Route("DELETE", STORE, "ai", stores.delete),
        Route("POST", SEARCH, "ai", stores.search, metered=True),
        *vector_store_files.routes(undercroft),
    ]
