"""Picks the vector store, and opens it when it is first needed."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_args

from undercroft.assembly.vector_metrics import VectorMetrics
from undercroft.clock import Clock
from undercroft.errors import ConfigurationError, MissingExtra, Unavailable
from undercroft.settings.model import Settings, VectorStoreName
from undercroft.telemetry.metrics import Metrics
from undercroft.telemetry.tracing import Tracing

if TYPE_CHECKING:
    from undercroft.vectors.store import VectorStore

STORES: Final = get_args(VectorStoreName)
PACKAGES: Final = {
    "numpy": "vectors",
    "usearch": "vectors",
    "qdrant_client": "qdrant",
    "qdrant_edge": "qdrant-edge",
    "weaviate": "weaviate",
    "pinecone": "pinecone",
}
"""What each optional package's extra is called."""


class Vectors:
    """The store that the settings name: one for the process, opened once."""

    def __init__(self, settings: Settings, *, metrics: Metrics, tracing: Tracing, clock: Clock) -> None:
        self._settings = settings
        self._metrics = VectorMetrics(metrics, tracing)
        self._clock = clock
        self._opening = asyncio.Lock()
        self._store: VectorStore | None = None
        self._is_closed = False

    async def store(self) -> "VectorStore":
        """Raises ConfigurationError (a package that is missing among its kinds) and Unavailable."""
        async with self._opening:
            if self._is_closed:
                raise Unavailable("The server is shutting down.", code="interrupted")
            if self._store is None:
                store = await asyncio.to_thread(open_store, self._settings, clock=self._clock)
                self._store = self._metrics.around(store, clock=self._clock)
            return self._store

    async def close(self) -> None:
        async with self._opening:
            self._is_closed = True
            if self._store is not None:
                await self._store.close()


def open_store(settings: Settings, *, clock: Clock, name: str | None = None, keeps_up: bool = True) -> "VectorStore":
    """The store that the settings name, or another of theirs by `name`; whoever opens it closes it.

    `keeps_up=False` is for programs that are over in a moment: an index is used as it is. Raises ConfigurationError.
    """
    name = name or settings.vectors.chosen
    try:
        match name:
            case "embedded":
                return _embedded(settings, clock, keeps_up=keeps_up)
            case "pgvector":
                return _pgvector(settings, clock)
            case "qdrant":
                return _qdrant(settings)
            case "qdrant_edge":
                return _qdrant_edge(settings.data_dir)
            case "weaviate":
                return _weaviate(settings)
            case "pinecone":
                return _pinecone(settings)
    except ImportError as error:
        extra = PACKAGES.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        raise MissingExtra(f"The vector store {name!r}", extra=extra) from error
    raise ConfigurationError(f"There is no vector store {name!r}.", hint=f"There are {', '.join(STORES)}.")


def _embedded(settings: Settings, clock: Clock, *, keeps_up: bool) -> "VectorStore":
    from undercroft.vectors.stores.embedded.store import EmbeddedStore

    vectors = settings.vectors
    is_durable = vectors.durability == "power"
    return EmbeddedStore(
        settings.data_dir, clock=clock, is_durable=is_durable, threads=vectors.threads, keeps_up=keeps_up
    )


def _pgvector(settings: Settings, clock: Clock) -> "VectorStore":
    from undercroft.storage.engine import open_database
    from undercroft.vectors.stores.pgvector.store import PgVectorStore

    url = settings.vectors.pgvector_url or (settings.database.url if settings.database.is_postgresql else None)
    if url is None:
        raise ConfigurationError("pgvector needs PostgreSQL.", hint="Set DATABASE_URL, or [vectors] pgvector_url.")
    pool_size = settings.database.pool_size
    database = open_database(url.get_secret_value(), data_dir=settings.data_dir, pool_size=pool_size, clock=clock)
    return PgVectorStore(database, owns_database=True)


def _qdrant(settings: Settings) -> "VectorStore":
    from undercroft.vectors.stores.qdrant.store import QdrantStore

    vectors = settings.vectors
    if not vectors.qdrant_url:
        raise ConfigurationError("Nothing says where Qdrant is.", hint="Set QDRANT_URL.")
    key = vectors.qdrant_api_key.get_secret_value() if vectors.qdrant_api_key else None
    return QdrantStore.connected(vectors.qdrant_url, api_key=key)


def _qdrant_edge(data_dir: Path) -> "VectorStore":
    from undercroft.vectors.stores.qdrant.store import QdrantStore

    return QdrantStore.in_process(data_dir / "qdrant")


def _weaviate(settings: Settings) -> "VectorStore":
    vectors = settings.vectors
    if not vectors.weaviate_url:
        raise ConfigurationError("Nothing says where Weaviate is.", hint="Set WEAVIATE_URL.")
    from undercroft.vectors.stores.weaviate import WeaviateStore

    key = vectors.weaviate_api_key.get_secret_value() if vectors.weaviate_api_key else None
    return WeaviateStore(vectors.weaviate_url, api_key=key, grpc_port=vectors.weaviate_grpc_port)


def _pinecone(settings: Settings) -> "VectorStore":
    vectors = settings.vectors
    if not vectors.pinecone_api_key:
        raise ConfigurationError("There is no key for Pinecone.", hint="Set PINECONE_API_KEY.")
    from undercroft.vectors.stores.pinecone import PineconeStore

    return PineconeStore(
        vectors.pinecone_api_key.get_secret_value(),
        cloud=vectors.pinecone_cloud,
        region=vectors.pinecone_region,
        host=vectors.pinecone_url,
    )
