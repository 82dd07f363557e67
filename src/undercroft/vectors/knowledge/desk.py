"""Vector stores and their files, by the organisation they belong to: made, filled, changed, deleted."""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Protocol, TypeVar

import msgspec
from sqlalchemy import Connection

from undercroft.clock import Clock
from undercroft.errors import InvalidRequest
from undercroft.ids import Ids
from undercroft.jobs.desk import Desk as JobDesk
from undercroft.jobs.desk import Wanted
from undercroft.jobs.types import Job
from undercroft.record import Who
from undercroft.vectors.errors import CollectionNotFound
from undercroft.vectors.ingestion import repository as sources
from undercroft.vectors.ingestion.embedding import Model
from undercroft.vectors.ingestion.ingest import Ingestor
from undercroft.vectors.ingestion.remove import Remover, Transactions
from undercroft.vectors.ingestion.types import RESERVED, Plan
from undercroft.vectors.knowledge import file_rows, repository
from undercroft.vectors.knowledge.types import (
    BATCH,
    DAY_US,
    JOB,
    STORE,
    Batch,
    Counts,
    Cursor,
    FileStatus,
    Knowledge,
    KnowledgeFile,
    StoreExpired,
    Wish,
    unknown_batch,
    unknown_file,
    unknown_store,
)
from undercroft.vectors.store import VectorStore
from undercroft.vectors.types import CollectionSpec

T = TypeVar("T")

MOST_FILES: Final = 10_000
"""Of one vector store, as OpenAI has it."""


class Models(Protocol):
    """The embedding models that there are."""

    def usual(self) -> str:
        """The name of the one that new vector stores get."""
        ...

    async def model(self, name: str, who: Who, /) -> Model:
        """Its calls are booked to `who`. Raises ModelNotFound."""
        ...


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """The input of a job that takes a file in."""

    vector_store_id: str
    file_id: str
    model: str


class KnowledgeDesk:
    """One organisation never sees another's. Raises Unavailable while the database or the vector store is away."""

    def __init__(
        self, database: Transactions, store: VectorStore, *, jobs: JobDesk, models: Models, ids: Ids, clock: Clock
    ) -> None:
        self._database = database
        self._store = store
        self._jobs = jobs
        self._models = models
        self._ids = ids
        self._clock = clock
        self._remover = Remover(database, store)

    async def create(
        self, who: Who, *, name: str = "", description: str = "", metadata: Mapping[str, str], days: int | None = None
    ) -> Knowledge:
        """An empty vector store for the model that is usual now."""
        now_us, usual = self._clock.now_us(), self._models.usual()
        made = Knowledge(
            organisation=who.organisation,
            id=self._ids.new(STORE),
            name=name,
            description=description,
            metadata=dict(metadata),
            model=usual,
            collection=collection_of(usual),
            expires_days=days,
            expires_us=None if days is None else now_us + days * DAY_US,
            active_us=now_us,
            created_us=now_us,
        )
        await self._make_collection(made, who)
        await self._database.write(partial(repository.make, made=made))
        return made

    async def _make_collection(self, made: Knowledge, who: Who) -> None:
        try:
            await self._store.describe(made.collection)
        except CollectionNotFound:
            model = await self._models.model(made.model, who)
            (probe,) = await model.embed(["How long is a vector?"])
            await self._store.create(CollectionSpec(name=made.collection, dimension=len(probe)))

    async def find(self, who: Who, id: str) -> Knowledge:
        """Raises NotFound."""
        found = await self._database.read(partial(repository.find, organisation=who.organisation, id=id))
        if found is None:
            raise unknown_store(id)
        return found

    async def living(self, who: Who, id: str) -> Knowledge:
        """The same for one that is to be used. Raises NotFound and StoreExpired."""
        found = await self.find(who, id)
        if found.is_expired(self._clock.now_us()):
            raise StoreExpired(f"The vector store '{id}' has expired.", param="vector_store_id", hint="Make a new one.")
        return found

    async def page(self, who: Who, cursor: Cursor) -> list[Knowledge]:
        """One more than asked for, where there is. Raises InvalidRequest."""
        page = partial(repository.listed, cursor=cursor, organisation=who.organisation)
        return _known(await self._database.read(page), cursor)

    async def change(self, who: Who, id: str, changes: Mapping[str, Any]) -> Knowledge:
        """Of name, metadata and expires_days those that are given. Raises NotFound and StoreExpired."""
        found, now_us = await self.living(who, id), self._clock.now_us()
        changed = msgspec.structs.replace(found, **changes, active_us=now_us)
        days = changed.expires_days
        changed = msgspec.structs.replace(changed, expires_us=None if days is None else now_us + days * DAY_US)
        await self._database.write(partial(repository.change, changed=changed))
        return changed

    async def delete(self, who: Who, id: str) -> None:
        """Raises NotFound."""
        found = await self.find(who, id)

        def leave(connection: Connection) -> bool:
            sources.forget(connection, found.place)
            return repository.leave(connection, organisation=found.organisation, id=id)

        if not await self._database.write(leave):
            raise unknown_store(id)
        await self._drop(found)

    async def _drop(self, gone: Knowledge) -> None:
        await self._store.delete_where(gone.collection, None, namespace=gone.id)
        await self._database.write(partial(repository.forget, organisation=gone.organisation, id=gone.id))

    async def counts(self, who: Who, stores: Sequence[str]) -> dict[str, Counts]:
        """Of the files of several vector stores."""
        return await self._database.read(partial(file_rows.counts, organisation=who.organisation, stores=stores))

    async def attach(self, who: Who, store: Knowledge, wishes: Sequence[Wish], *, batch: Batch | None = None) -> None:
        """Takes files in, each by a job of its own: the jobs are there when this returns. Raises InvalidRequest."""
        model = await self._models.model(store.model, who)
        usual = usual_plan(model)
        for wish in wishes:
            _check_attributes(wish.attributes)
        there = (await self.counts(who, [store.id]))[store.id].total
        if there + len(wishes) > MOST_FILES:
            raise InvalidRequest(f"A vector store takes at most {MOST_FILES} files.", param="file_ids")
        now_us = self._clock.now_us()

        def put(connection: Connection, jobs: Sequence[Job]) -> None:
            if batch is not None:
                file_rows.make_batch(connection, batch, organisation=who.organisation)
            for wish, job in zip(wishes, jobs, strict=True):
                file = KnowledgeFile(
                    store=store.id, id=wish.file, batch=batch.id if batch else "", job=job.id, status="in_progress",
                    error_code="", error="", attributes=dict(wish.attributes), plan=wish.plan or usual, usage_bytes=0,
                    created_us=now_us,
                )  # fmt: skip
                file_rows.put(connection, file, organisation=who.organisation)
            repository.touch(connection, store, now_us=now_us)

        orders = [Order(vector_store_id=store.id, file_id=wish.file, model=store.model) for wish in wishes]
        await self._jobs.accept_with(who, [Wanted(kind=JOB, input=_encode(order)) for order in orders], put)

    async def attach_batch(self, who: Who, store: Knowledge, wishes: Sequence[Wish]) -> Batch:
        """The same for files that are looked after together."""
        now_us = self._clock.now_us()
        batch = Batch(id=self._ids.new(BATCH), store=store.id, is_cancelled=False, created_us=now_us)
        await self.attach(who, store, wishes, batch=batch)
        return batch

    async def file(self, who: Who, store: str, id: str) -> KnowledgeFile:
        """Raises NotFound."""
        find = partial(file_rows.find, organisation=who.organisation, store=store, id=id)
        found = await self._database.read(find)
        if found is None:
            raise unknown_file(id)
        return found

    async def files(
        self, who: Who, store: str, cursor: Cursor, *, batch: str | None = None, status: FileStatus | None = None
    ) -> list[KnowledgeFile]:
        """One more than asked for, where there is. Raises InvalidRequest."""
        page = partial(file_rows.listed, cursor=cursor, organisation=who.organisation, store=store)
        return _known(await self._database.read(partial(page, batch=batch, status=status)), cursor)

    async def relabel(self, who: Who, store: Knowledge, id: str, attributes: Mapping[str, Any]) -> KnowledgeFile:
        """Gives a file other attributes: filters go by them when this returns. Raises NotFound and InvalidRequest."""
        _check_attributes(attributes)
        found = await self.file(who, store.id, id)
        if found.status == "in_progress":
            raise InvalidRequest(
                "The file is still being taken in.", param="file_id", hint="Wait until it is completed."
            )
        model = await self._models.model(store.model, who)
        ingestor = Ingestor(self._database, self._store, model, ids=self._ids, clock=self._clock)
        relabel = partial(
            file_rows.relabel, attributes=attributes, organisation=who.organisation, store=store.id, id=id
        )
        await ingestor.relabel(store.place, id, attributes, beside=relabel)
        return msgspec.structs.replace(found, attributes=dict(attributes))

    async def detach(self, who: Who, store: Knowledge, id: str) -> None:
        """Takes a file out: nothing of it is found when this returns. Raises NotFound."""
        found = await self.file(who, store.id, id)

        def leave(connection: Connection) -> None:
            file_rows.remove(connection, organisation=who.organisation, store=store.id, id=id)

        if not await self._remover.remove(store.place, id, beside=leave):
            await self._database.write(leave)
        if found.status == "in_progress":
            await self._jobs.cancel(who, found.job)

    async def batch(self, who: Who, store: str, id: str) -> tuple[Batch, Counts]:
        """Raises NotFound."""

        def look(connection: Connection) -> tuple[Batch | None, Counts]:
            organisation = who.organisation
            found = file_rows.find_batch(connection, organisation=organisation, store=store, id=id)
            return found, file_rows.batch_counts(connection, organisation=organisation, batch=id)

        found, counts = await self._database.read(look)
        if found is None:
            raise unknown_batch(id)
        return found, counts

    async def cancel(self, who: Who, store: str, id: str) -> tuple[Batch, Counts]:
        """What of a batch is not done will not be. Raises NotFound."""
        await self.batch(who, store, id)
        for job in await self._database.write(partial(file_rows.cancel, organisation=who.organisation, batch=id)):
            await self._jobs.cancel(who, job)
        return await self.batch(who, store, id)

    async def sweep(self) -> int:
        """Empties what has expired, and ends deletions that broke off. How many vector stores that were."""
        now_us = self._clock.now_us()
        expired = await self._database.read(partial(repository.expired, now_us=now_us))
        for store in expired:
            await self._store.delete_where(store.collection, None, namespace=store.id)
            await self._database.write(partial(_clear, store=store))
        leaving = await self._database.read(repository.leaving)
        for store in leaving:
            await self._drop(store)
        return len(expired) + len(leaving)


def _clear(connection: Connection, *, store: Knowledge) -> None:
    sources.forget(connection, store.place)
    repository.clear(connection, organisation=store.organisation, id=store.id)


def collection_of(model: str) -> str:
    """The collection of all vector stores of a model: names are not the same where models are not."""
    readable = re.sub(r"[^A-Za-z0-9]+", "-", model).strip("-")[:40]
    return f"files-{readable}-{hashlib.blake2b(model.encode(), digest_size=4).hexdigest()}"


def usual_plan(model: Model) -> Plan:
    """What `auto` means: by structure, as long as suits the model."""
    return Plan(strategy="structure", size=model.best, overlap=model.best // 8)


def _check_attributes(attributes: Mapping[str, object]) -> None:
    for name in attributes:
        if name in RESERVED:
            raise InvalidRequest(f"The attribute '{name}' is undercroft's own.", param=f"attributes.{name}")


def _known(found: list[T] | None, cursor: Cursor) -> list[T]:
    if found is None:
        name = "after" if cursor.after is not None else "before"
        raise InvalidRequest(f"Invalid '{name}': nothing here has that id.", code="invalid_value", param=name)
    return found


_encode: Callable[[object], bytes] = msgspec.json.Encoder().encode
