"""`/v1/vector_stores/{id}/files` and `/file_batches`: files are taken in, listed, labelled and taken out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from undercroft.api.exchange import Exchange
from undercroft.api.routing import Route
from undercroft.assembly import Undercroft
from undercroft.assembly.knowledge import KnowledgeOffice
from undercroft.record import Who
from undercroft.wire.openai import vector_stores as wire

if TYPE_CHECKING:
    from undercroft.vectors.knowledge.types import Batch, Counts, KnowledgeFile, Wish

PATH: Final = "/v1/vector_stores"
STORE: Final = f"{PATH}/{{vector_store_id}}"
FILES: Final = f"{STORE}/files"
FILE: Final = f"{FILES}/{{file_id}}"
BATCHES: Final = f"{STORE}/file_batches"
BATCH: Final = f"{BATCHES}/{{batch_id}}"
POLL_AFTER: Final = (b"openai-poll-after-ms", b"200")
"""How soon SDKs that wait look again."""
_encode = msgspec.json.Encoder().encode


async def wishes_of(files: Sequence[wire.FileAttach], who: Who, office: KnowledgeOffice) -> "list[Wish]":
    """Files as they are to be taken in. Raises NotFound for one that was not uploaded."""
    from undercroft.vectors.ingestion.types import Plan
    from undercroft.vectors.knowledge.types import Wish

    wishes = []
    for file in files:
        await office.demand_file(who, file.file_id)
        plan = None
        if isinstance(file.chunking_strategy, wire.StaticStrategy):
            static = file.chunking_strategy.static
            plan = Plan(strategy="tokens", size=static.max_chunk_size_tokens, overlap=static.chunk_overlap_tokens)
        wishes.append(Wish(file=file.file_id, attributes=file.attributes or {}, plan=plan))
    return wishes


def counted(counts: "Counts") -> wire.FileCounts:
    return wire.FileCounts(
        in_progress=counts.in_progress,
        completed=counts.completed,
        failed=counts.failed,
        cancelled=counts.cancelled,
        total=counts.total,
    )


class VectorStoreFiles:
    """The handlers, one a route."""

    def __init__(self, undercroft: Undercroft) -> None:
        self._office = undercroft.knowledge
        self._limits = undercroft.settings.server.limits

    async def _body(self, exchange: Exchange) -> bytes:
        return await exchange.body(limit=self._limits.max_body_bytes, timeout_s=self._limits.body_timeout_s)

    async def attach(self, exchange: Exchange) -> None:
        """Takes a file in. One that is there already is brought up to date."""
        asked = wire.decode_attach(await self._body(exchange))
        who, desk = exchange.caller.who, await self._office.desk()
        store = await desk.living(who, _store(exchange))
        await desk.attach(who, store, await wishes_of([asked], who, self._office))
        await _tell(exchange, await desk.file(who, store.id, asked.file_id))

    async def list_them(self, exchange: Exchange) -> None:
        """The files of a vector store, the latest first."""
        await self._list(exchange, batch=None)

    async def list_batch(self, exchange: Exchange) -> None:
        """The files of a batch, the latest first."""
        batch = exchange.path_values["batch_id"]
        desk = await self._office.desk()
        await desk.batch(exchange.caller.who, _store(exchange), batch)
        await self._list(exchange, batch=batch)

    async def _list(self, exchange: Exchange, *, batch: str | None) -> None:
        from undercroft.vectors.knowledge.types import Cursor

        asked = wire.decode_page(exchange.query)
        who, desk = exchange.caller.who, await self._office.desk()
        store = await desk.find(who, _store(exchange))
        cursor = Cursor(limit=asked.limit, order=asked.order, after=asked.after, before=asked.before)
        found = await desk.files(who, store.id, cursor, batch=batch, status=asked.filter)
        data = [_object(file) for file in found[: asked.limit]]
        page = wire.VectorStoreFileList(
            data=data,
            first_id=data[0].id if data else "",
            last_id=data[-1].id if data else "",
            has_more=len(found) > len(data),
        )
        await exchange.respond(_encode(page))

    async def show(self, exchange: Exchange) -> None:
        """A file of a vector store, and how far it is."""
        who, desk = exchange.caller.who, await self._office.desk()
        store = await desk.find(who, _store(exchange))
        await _tell(exchange, await desk.file(who, store.id, exchange.path_values["file_id"]))

    async def update(self, exchange: Exchange) -> None:
        """Gives a file other attributes; filters go by them once this has answered."""
        attributes = wire.decode_attributes(await self._body(exchange))
        who, desk = exchange.caller.who, await self._office.desk()
        store = await desk.living(who, _store(exchange))
        await _tell(exchange, await desk.relabel(who, store, exchange.path_values["file_id"], attributes))

    async def detach(self, exchange: Exchange) -> None:
        """Takes a file out of a vector store: nothing of it is found once this has answered."""
        who, desk, file = exchange.caller.who, await self._office.desk(), exchange.path_values["file_id"]
        await desk.detach(who, await desk.find(who, _store(exchange)), file)
        await exchange.respond(_encode(wire.VectorStoreFileDeleted(id=file)))

    async def content(self, exchange: Exchange) -> None:
        """A file as it was read: its chunks, in their order."""
        who, desk, file = exchange.caller.who, await self._office.desk(), exchange.path_values["file_id"]
        store = await desk.find(who, _store(exchange))
        await desk.file(who, store.id, file)
        finder = await self._office.finder()
        texts = [wire.FileText(text=text) for text in await finder.texts(store, file)]
        await exchange.respond(_encode(wire.VectorStoreFileContent(data=texts)))

    async def create_batch(self, exchange: Exchange) -> None:
        """Takes files in that are looked after together: each succeeds or fails alone."""
        files = wire.decode_batch(await self._body(exchange))
        who, desk = exchange.caller.who, await self._office.desk()
        store = await desk.living(who, _store(exchange))
        batch = await desk.attach_batch(who, store, await wishes_of(files, who, self._office))
        await _tell_batch(exchange, *await desk.batch(who, store.id, batch.id))

    async def show_batch(self, exchange: Exchange) -> None:
        """A batch, and how far its files are."""
        who, desk = exchange.caller.who, await self._office.desk()
        await _tell_batch(exchange, *await desk.batch(who, _store(exchange), exchange.path_values["batch_id"]))

    async def cancel_batch(self, exchange: Exchange) -> None:
        """What of a batch is not done will not be."""
        who, desk = exchange.caller.who, await self._office.desk()
        await _tell_batch(exchange, *await desk.cancel(who, _store(exchange), exchange.path_values["batch_id"]))


async def _tell(exchange: Exchange, file: "KnowledgeFile") -> None:
    headers = [POLL_AFTER] if file.status == "in_progress" else []
    await exchange.respond(_encode(_object(file)), headers=headers)


def _object(file: "KnowledgeFile") -> wire.VectorStoreFileObject:
    static = wire.StaticChunking(max_chunk_size_tokens=file.plan.size, chunk_overlap_tokens=file.plan.overlap)
    error = None
    if file.status == "failed":
        error = wire.FileError(code=file.error_code or "server_error", message=file.error)
    return wire.VectorStoreFileObject(
        id=file.id,
        created_at=file.created_us // 1_000_000,
        vector_store_id=file.store,
        usage_bytes=file.usage_bytes,
        status=file.status,
        last_error=error,
        chunking_strategy=wire.StaticStrategy(static=static),
        attributes=dict(file.attributes),
    )


async def _tell_batch(exchange: Exchange, batch: "Batch", counts: "Counts") -> None:
    status: wire.FileStatus = "completed"
    if batch.is_cancelled:
        status = "cancelled"
    elif counts.in_progress:
        status = "in_progress"
    elif counts.failed and counts.failed == counts.total:
        status = "failed"
    told = wire.VectorStoreFileBatchObject(
        id=batch.id,
        created_at=batch.created_us // 1_000_000,
        vector_store_id=batch.store,
        status=status,
        file_counts=counted(counts),
    )
    headers = [POLL_AFTER] if counts.in_progress else []
    await exchange.respond(_encode(told), headers=headers)


def _store(exchange: Exchange) -> str:
    return exchange.path_values["vector_store_id"]


def routes(undercroft: Undercroft) -> list[Route]:
    files = VectorStoreFiles(undercroft)
    return [
        Route("POST", FILES, "ai", files.attach),
        Route("GET", FILES, "ai", files.list_them),
        Route("GET", FILE, "ai", files.show),
        Route("POST", FILE, "ai", files.update),
        Route("DELETE", FILE, "ai", files.detach),
        Route("GET", f"{FILE}/content", "ai", files.content),
        Route("POST", BATCHES, "ai", files.create_batch),
        Route("GET", BATCH, "ai", files.show_batch),
        Route("POST", f"{BATCH}/cancel", "ai", files.cancel_batch),
        Route("GET", f"{BATCH}/files", "ai", files.list_batch),
    ]
