"""Takes a file in: read, cut, embedded where a chunk is new, and shown in one step in place of what it was before."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from functools import partial
from typing import Final

import msgspec
from sqlalchemy import Connection

from undercroft.clock import Clock
from undercroft.errors import Conflict, InvalidRequest
from undercroft.ids import Ids
from undercroft.vectors.filters import And, Eq, Filter
from undercroft.vectors.ingestion import repository
from undercroft.vectors.ingestion.chunking import chunks_of
from undercroft.vectors.ingestion.embedding import Model
from undercroft.vectors.ingestion.reader import read
from undercroft.vectors.ingestion.remove import Remover, Transactions
from undercroft.vectors.ingestion.types import (
    DIGEST,
    GENERATION,
    NAME,
    NUMBER,
    PAGE,
    RESERVED,
    SOURCE,
    TITLE,
    Chunk,
    Ingested,
    Place,
    Plan,
    Source,
    Unreadable,
)
from undercroft.vectors.store import VectorStore
from undercroft.vectors.types import Metadata, Point, Value, Vector

AT_ONCE: Final = 64
"""Chunks that are embedded and stored together."""
MOST_CHUNKS: Final = 200_000
"""Of one file."""
PAGE_POINTS: Final = 500


class Superseded(Conflict):
    """Somebody else takes the same source in, and began later: theirs counts."""

    code = "ingestion_superseded"


Progress = Callable[[int, int], None]
"""Hears how many chunks are done, of how many."""
Beside = Callable[[Connection, Ingested], None]
"""What else is written in the transaction that shows the file. May raise Superseded, and nothing is shown."""


def _quiet(done: int, total: int, /) -> None:
    """Nobody wants to know."""


def _alone(connection: Connection, ingested: Ingested, /) -> None:
    """Nothing else is written."""


class Ingestor:
    """Takes files into one store with one model. Whatever dies at whatever moment: a file is seen as it was before or
    as it is afterwards."""

    def __init__(self, database: Transactions, store: VectorStore, model: Model, *, ids: Ids, clock: Clock) -> None:
        self._database = database
        self._remover = Remover(database, store)
        self._store = store
        self._model = model
        self._ids = ids
        self._clock = clock

    async def ingest(
        self, place: Place, source: Source, plan: Plan, *, progress: Progress = _quiet, beside: Beside = _alone
    ) -> Ingested:
        """Raises Unreadable, InvalidRequest for metadata, Superseded, and what the store and the model raise."""
        _check_attributes(source.attributes)
        digest = _digest_of(source, plan, self._model.name)
        known = await self._database.read(partial(repository.find, place=place, source=source.id))
        if known is not None and known.digest == digest and known.generation and not known.writing:
            return await self._unchanged(place, known, beside)
        document = await read(source.name, source.content)
        chunks = await asyncio.to_thread(chunks_of, document, plan, self._model.tokens)
        if len(chunks) > MOST_CHUNKS:
            raise Unreadable(f"The file makes {len(chunks)} chunks; {MOST_CHUNKS} are taken.", hint="Split it.")
        generation = self._ids.new("gen_")
        now_us = self._clock.now_us()
        await self._database.write(
            partial(repository.begin, place=place, source=source.id, writing=generation, now_us=now_us)
        )
        embedded = await self._store_chunks(place, source, generation, chunks, progress)
        ingested = Ingested(
            source=source.id,
            chunks=len(chunks),
            tokens=sum(chunk.tokens for chunk in chunks),
            embedded=embedded,
            text_bytes=sum(len(chunk.text.encode()) for chunk in chunks),
        )
        await self._publish(place, ingested, generation, digest, beside)
        return ingested

    async def relabel(
        self, place: Place, source: str, attributes: Metadata, *, beside: Callable[[Connection], None]
    ) -> None:
        """Gives all chunks of a source other attributes, in one step. `beside` writes where there are none, too."""
        _check_attributes(attributes)
        known = await self._database.read(partial(repository.find, place=place, source=source))
        if known is None or not known.generation:
            await self._database.write(beside)
            return
        generation, now_us = self._ids.new("gen_"), self._clock.now_us()
        await self._database.write(
            partial(repository.begin, place=place, source=source, writing=generation, now_us=now_us)
        )
        where = And((Eq(SOURCE, source), Eq(GENERATION, known.generation)))
        async for points in self._pages(place, where):
            fresh = [_relabelled(point, generation, attributes) for point in points]
            await self._store.upsert(place.collection, fresh, namespace=place.namespace)
        told = Ingested(
            source=source, chunks=known.chunks, tokens=known.tokens, embedded=0, text_bytes=known.text_bytes
        )
        # The next time it is taken in it is read again: what it was made with is not what it says now.
        await self._publish(place, told, generation, "", lambda connection, _: beside(connection))

    async def _unchanged(self, place: Place, known: repository.Known, beside: Beside) -> Ingested:
        ingested = Ingested(
            source=known.source,
            chunks=known.chunks,
            tokens=known.tokens,
            embedded=0,
            text_bytes=known.text_bytes,
            is_unchanged=True,
        )
        await self._database.write(lambda connection: beside(connection, ingested))
        if known.litter:
            await self._remover.clean(place, known.source, known.litter)
        return ingested

    async def _store_chunks(
        self, place: Place, source: Source, generation: str, chunks: Sequence[Chunk], progress: Progress
    ) -> int:
        """Stores the chunks, unseen. Returns how many had to be embedded."""
        digests = [_chunk_digest(chunk, self._model.name) for chunk in chunks]
        there = await self._vectors_of(place, source.id, frozenset(digests))
        embedded = 0
        for start in range(0, len(chunks), AT_ONCE):
            some = range(start, min(start + AT_ONCE, len(chunks)))
            fresh = list(dict.fromkeys(digests[number] for number in some if digests[number] not in there))
            texts = {digests[number]: chunks[number].embedded for number in some}
            if fresh:
                made = await self._model.embed([texts[digest] for digest in fresh])
                there.update(zip(fresh, made, strict=True))
                embedded += len(fresh)
            points = [
                Point(
                    id=f"{generation}:{number}",
                    vector=there[digests[number]],
                    text=chunks[number].text,
                    metadata=_metadata(source, generation, chunks[number], digests[number], number),
                )
                for number in some
            ]
            await self._store.upsert(place.collection, points, namespace=place.namespace)
            progress(some.stop, len(chunks))
        return embedded

    async def _vectors_of(self, place: Place, source: str, digests: frozenset[str]) -> "dict[str, Vector[float]]":
        """Vectors that chunks of this source have got before, those of an ingestion that died among them."""
        found: dict[str, Vector[float]] = {}
        async for points in self._pages(place, Eq(SOURCE, source)):
            for point in points:
                digest = point.metadata.get(DIGEST)
                if isinstance(digest, str) and digest in digests:
                    found[digest] = point.vector
        return found

    async def _pages(self, place: Place, where: Filter) -> AsyncGenerator[list[Point], None]:
        after: str | None = None
        while True:
            page = await self._store.scroll(
                place.collection, where=where, namespace=place.namespace, after=after, limit=PAGE_POINTS
            )
            yield page.points
            if page.next is None:
                return
            after = page.next

    async def _publish(self, place: Place, ingested: Ingested, generation: str, digest: str, beside: Beside) -> None:
        fresh = repository.Published(
            generation=generation,
            digest=digest,
            chunks=ingested.chunks,
            tokens=ingested.tokens,
            text_bytes=ingested.text_bytes,
        )
        now_us = self._clock.now_us()

        def publish(connection: Connection) -> list[str] | None:
            litter = repository.publish(connection, place, ingested.source, fresh, now_us=now_us)
            if litter is not None:
                beside(connection, ingested)
            return litter

        try:
            litter = await self._database.write(publish)
        except Superseded:
            litter = None
        if litter is None:
            await self._remover.delete_points(place, ingested.source, [generation])
            raise Superseded(f"{ingested.source!r} was taken in again, or removed, meanwhile.")
        await self._remover.clean(place, ingested.source, litter)


def _metadata(source: Source, generation: str, chunk: Chunk, digest: str, number: int) -> Metadata:
    told: dict[str, Value] = {
        **source.attributes,
        SOURCE: source.id,
        NAME: source.name,
        GENERATION: generation,
        DIGEST: digest,
        NUMBER: number,
    }
    if chunk.title:
        told[TITLE] = chunk.title
    if chunk.page is not None:
        told[PAGE] = chunk.page
    return told


def _relabelled(point: Point, generation: str, attributes: Metadata) -> Point:
    own = {name: value for name, value in point.metadata.items() if name in RESERVED}
    number = point.id.rpartition(":")[2]
    metadata = {**attributes, **own, GENERATION: generation}
    return msgspec.structs.replace(point, id=f"{generation}:{number}", metadata=metadata)


def _check_attributes(attributes: Mapping[str, object]) -> None:
    for name in attributes:
        if name in RESERVED:
            raise InvalidRequest(f"The attribute {name!r} is undercroft's own.", param=f"attributes.{name}")


def _digest_of(source: Source, plan: Plan, model: str) -> str:
    """Equal when the same would come of it."""
    terms = msgspec.json.encode([source.name, source.attributes, plan, model], order="sorted")
    return hashlib.blake2b(terms + b"\0" + source.content, digest_size=16).hexdigest()


def _chunk_digest(chunk: Chunk, model: str) -> str:
    return hashlib.blake2b(f"{model}\0{chunk.embedded}".encode(), digest_size=16).hexdigest()
