"""The job that takes a file into a vector store. It may run more than once, and bears it."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Protocol

import msgspec
from sqlalchemy import Connection

from undercroft.errors import InvalidRequest, NotFound
from undercroft.files.types import StoredFile
from undercroft.jobs.handlers import JobContext
from undercroft.jobs.types import Job, Limits
from undercroft.vectors.ingestion.ingest import Ingestor, Superseded
from undercroft.vectors.ingestion.reader import MOST_BYTES
from undercroft.vectors.ingestion.remove import Transactions
from undercroft.vectors.ingestion.types import Ingested, Source, Unreadable, UnsupportedFormat
from undercroft.vectors.knowledge import file_rows, repository
from undercroft.vectors.knowledge.desk import Order
from undercroft.vectors.knowledge.types import JOB, ErrorCode, Knowledge, KnowledgeFile
from undercroft.wire.body import read


class Contents(Protocol):
    """The files that were uploaded (`files/cabinet.py`)."""

    async def find(self, organisation: str, id: str) -> StoredFile:
        """Raises NotFound."""
        ...

    def content(self, file: StoredFile) -> AsyncGenerator[bytes, None]: ...


class Tools(msgspec.Struct, frozen=True):
    """What a run works with."""

    database: Transactions
    contents: Contents
    ingestor: Ingestor


class IngestHandler:
    """Reads the file, takes it in, and says in the file's row how that came out."""

    kind = JOB

    def __init__(self, tools: "Callable[[Job, str], Awaitable[Tools]]", limits: Limits) -> None:
        """`tools` gives what the job of a model works with. Raises Unavailable."""
        self.limits = limits
        self._tools = tools

    def check(self, input: bytes, /) -> str:
        """The lane is the embedding model."""
        return f"model:{read(_orders, input).model}"

    async def run(self, job: Job, context: JobContext, /) -> bytes:
        order = _orders.decode(job.input)
        tools = await self._tools(job, order.model)
        find = partial(_found, organisation=job.organisation, order=order)
        store, file = await tools.database.read(find)
        if store is None or file is None or file.job != job.id or file.status != "in_progress":
            return _encode({"status": "superseded"})
        try:
            source = await _source(tools.contents, job.organisation, file)
            ingested = await tools.ingestor.ingest(
                store.place,
                source,
                file.plan,
                progress=lambda done, total: context.progress(done, total, "chunks"),
                beside=partial(_completed, job=job, order=order),
            )
        except Superseded:
            return _encode({"status": "superseded"})
        except InvalidRequest as error:
            # Nothing of it will ever be read: only this file fails, and its row says why.
            fail = partial(file_rows.fail, organisation=job.organisation, store=order.vector_store_id, id=order.file_id)
            await tools.database.write(partial(fail, job=job.id, code=_code(error), reason=str(error)))
            raise
        return _encode({"status": "completed", **msgspec.structs.asdict(ingested)})


def _found(connection: Connection, *, organisation: str, order: Order) -> tuple[Knowledge | None, KnowledgeFile | None]:
    store = repository.find(connection, organisation=organisation, id=order.vector_store_id)
    file = file_rows.find(connection, organisation=organisation, store=order.vector_store_id, id=order.file_id)
    return store, file


def _completed(connection: Connection, ingested: Ingested, *, job: Job, order: Order) -> None:
    done = file_rows.complete(
        connection,
        organisation=job.organisation,
        store=order.vector_store_id,
        id=order.file_id,
        job=job.id,
        ingested=ingested,
    )
    if not done:
        raise Superseded("The file was taken out, or taken in anew, meanwhile.")


async def _source(contents: Contents, organisation: str, file: KnowledgeFile) -> Source:
    try:
        stored = await contents.find(organisation, file.id)
        if stored.size_bytes > MOST_BYTES:
            raise Unreadable(f"The file has {stored.size_bytes} bytes; {MOST_BYTES} are read.", hint="Split it.")
        content = bytearray()
        async with aclosing(contents.content(stored)) as pieces:
            async for piece in pieces:
                content += piece
    except NotFound as error:
        raise Unreadable("The file is no longer there.") from error
    return Source(id=file.id, name=stored.filename, content=bytes(content), attributes=file.attributes)


def _code(error: InvalidRequest) -> ErrorCode:
    return "unsupported_file" if isinstance(error, UnsupportedFormat) else "invalid_file"


_orders = msgspec.json.Decoder(Order)
_encode = msgspec.json.Encoder().encode
