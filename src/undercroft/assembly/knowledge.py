"""What the vector store routes work with: OpenAI's vector stores over the store and models that the settings name."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from undercroft.assembly.beside import alongside
from undercroft.assembly.bundled import LOCAL_EMBEDDING
from undercroft.assembly.database import DatabaseLink
from undercroft.assembly.embedding import model_named
from undercroft.assembly.files import FileOffice
from undercroft.assembly.vectors import Vectors
from undercroft.clock import Clock
from undercroft.errors import InvalidRequest, Unavailable
from undercroft.gateway.call import Call, Trail
from undercroft.ids import Ids
from undercroft.jobs.handlers import JobContext
from undercroft.jobs.types import Job, Limits
from undercroft.llm.types import EmbeddingsRequest
from undercroft.record import Who
from undercroft.settings.model import Settings
from undercroft.telemetry.logs import get_logger
from undercroft.telemetry.trace_context import trace_in

if TYPE_CHECKING:
    from undercroft.assembly.jobs import JobOffice
    from undercroft.vectors.ingestion.embedding import Model
    from undercroft.vectors.ingestion.types import Place
    from undercroft.vectors.knowledge.desk import KnowledgeDesk
    from undercroft.vectors.knowledge.finding import Finder
    from undercroft.vectors.knowledge.handler import IngestHandler, Tools
    from undercroft.vectors.search import Found, Request
    from undercroft.vectors.types import Vector

ENDPOINT: Final = "/v1/vector_stores"
KIND: Final = "ingest"
TIMEOUT_US: Final = 4 * 3600 * 1_000_000
"""Of one run, at least: a large file is many calls of the model."""
SWEEP_S: Final = 60.0
DUTY: Final = "vector-stores-retention"
LEASE_US: Final = 300_000_000


@dataclass(frozen=True, slots=True)
class Caller:
    """For whom a model is asked: where the call is booked, and how long it may take."""

    who: Who
    endpoint: str = ENDPOINT
    id: str = ""
    """The request's; empty: the call gets one of its own."""
    traceparent: str = ""
    """What its calls are below; empty: a trace of their own."""
    seconds: float = 600.0
    alias: str = ""
    """The name that was called, where a release asks: who may call that one need not be allowed the model."""
    release: str = ""


class EmbeddingModels:
    """Embedding models through the gateway of the configuration in force."""

    def __init__(self, settings: Settings, *, jobs: "JobOffice", ids: Ids, clock: Clock) -> None:
        self._settings = settings
        self._jobs = jobs
        self._ids = ids
        self._clock = clock

    def usual(self) -> str:
        """The name of the one that new vector stores get."""
        gateway = self._jobs.gateway()
        return gateway.catalogue.find(self._settings.vectors.embedding_model or "", "embeddings").name

    async def model(self, name: str, who: Who, /) -> "Model":
        """Its calls are booked to `who`. Raises ModelNotFound."""
        return await self.model_for(name, Caller(who))

    async def model_for(self, name: str, caller: Caller) -> "Model":
        """Raises ModelNotFound."""
        found = self._jobs.gateway().catalogue.find(name, "embeddings")
        is_bundled = all(each.provider == "local_embedding" for each in found.deployments) or name == LOCAL_EMBEDDING

        async def embed(texts: Sequence[str], /) -> "list[Vector[float]]":
            return await self._embed(name, caller, texts)

        return await asyncio.to_thread(model_named, name, embed, settings=self._settings, is_bundled=is_bundled)

    async def _embed(self, name: str, caller: Caller, texts: Sequence[str]) -> "list[Vector[float]]":
        from undercroft.vectors.types import vector_of

        started = self._clock.monotonic()
        call = Call(
            id=caller.id or self._ids.new("req_"),
            endpoint=caller.endpoint,
            who=caller.who,
            request=EmbeddingsRequest(model=name, inputs=tuple(texts)),
            started_us=self._clock.now_us(),
            started=started,
            deadline=started + caller.seconds,
            trace=trace_in(caller.traceparent),
            traceparent=caller.traceparent,
            trail=Trail(alias=caller.alias, release=caller.release),
        )
        under_way = self._jobs.begin()
        try:
            reply = await self._jobs.gateway().send(call)
            return [vector_of(vector) for vector in (await reply.read()).vectors]
        finally:
            under_way.end()


class KnowledgeOffice:
    """Vector stores of this process, whatever the configuration becomes."""

    def __init__(
        self,
        settings: Settings,
        *,
        link: DatabaseLink,
        vectors: Vectors,
        files: FileOffice,
        jobs: "JobOffice",
        limits: Limits,
        ids: Ids,
        clock: Clock,
    ) -> None:
        self.models = EmbeddingModels(settings, jobs=jobs, ids=ids, clock=clock)
        self._link = link
        self._vectors = vectors
        self._files = files
        self._jobs = jobs
        self._ids = ids
        self._clock = clock
        self._holder = ids.new("holder_")
        jobs.handlers.add(_Ingesting(self, limits))

    async def desk(self) -> "KnowledgeDesk":
        """Raises Unavailable while the database or the vector store is away, ConfigurationError without its package."""
        from undercroft.vectors.knowledge.desk import KnowledgeDesk

        jobs = await self._jobs.desk()
        store = await self._vectors.store()
        return KnowledgeDesk(self._link, store, jobs=jobs, models=self.models, ids=self._ids, clock=self._clock)

    async def finder(self) -> "Finder":
        """Raises Unavailable and ConfigurationError."""
        from undercroft.vectors.knowledge.finding import Finder

        return Finder(self._link, await self._vectors.store(), clock=self._clock)

    async def passages(self, place: "Place", request: "Request") -> "list[Found]":
        """What is seen of a collection. Raises Unavailable, CollectionNotFound and InvalidQuery."""
        from undercroft.vectors.ingestion import visible

        return await visible.search(await self._vectors.store(), self._link, place, request)

    async def demand_file(self, who: Who, id: str) -> None:
        """Raises NotFound for a file that was not uploaded."""
        cabinet = await self._files.cabinet()
        await cabinet.find(who.organisation, id)

    async def tools(self, job: Job, model: str) -> "Tools":
        """What a job of this model works with. Raises Unavailable, ModelNotFound and ConfigurationError."""
        from undercroft.vectors.ingestion.ingest import Ingestor
        from undercroft.vectors.knowledge.handler import Tools

        store = await self._vectors.store()
        found = await self.models.model_for(model, Caller(job.who, traceparent=job.trace))
        ingestor = Ingestor(self._link, store, found, ids=self._ids, clock=self._clock)
        return Tools(self._link, await self._files.cabinet(), ingestor)

    @contextlib.asynccontextmanager
    async def running(self, *, is_frozen: bool = False) -> AsyncIterator[None]:
        """Empties what has expired for as long as the block lasts."""
        if is_frozen:
            yield
            return
        async with alongside(self._run()):
            yield

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(SWEEP_S)
            try:
                await self._sweep()
            except (Unavailable, InvalidRequest) as error:
                get_logger("undercroft.vectors").warning("vector_stores_not_swept", reason=str(error))

    async def _sweep(self) -> None:
        if not self._link.ready:
            return
        now_us = self._clock.now_us()
        if await self._link.has_duty(DUTY, holder=self._holder, lease_us=LEASE_US):
            # Where there are none, neither the vector store nor its packages need to be there.
            from undercroft.vectors.knowledge import repository

            if await self._link.read(lambda connection: repository.has_work(connection, now_us=now_us)):
                desk = await self.desk()
                await desk.sweep()


class _Ingesting:
    """The handler, whose code is loaded with the first job."""

    kind = KIND

    def __init__(self, office: KnowledgeOffice, limits: Limits) -> None:
        self.limits = msgspec.structs.replace(limits, timeout_us=max(limits.timeout_us, TIMEOUT_US))
        self._office = office

    def check(self, input: bytes, /) -> str:
        return self._handler().check(input)

    async def run(self, job: Job, context: JobContext, /) -> bytes:
        return await self._handler().run(job, context)

    def _handler(self) -> "IngestHandler":
        from undercroft.vectors.knowledge.handler import IngestHandler

        return IngestHandler(self._office.tools, self.limits)
