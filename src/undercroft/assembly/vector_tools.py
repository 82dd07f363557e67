"""What `undercroft vectors` works with: any of the stores by name, the bundled embedder, machines and their prices."""

from collections.abc import Sequence
from decimal import Decimal
from importlib import import_module
from typing import TYPE_CHECKING, Final

from undercroft.clock import Clock
from undercroft.errors import ConfigurationError, InvalidRequest, MissingExtra, UndercroftError
from undercroft.llm.types import EmbeddingsRequest
from undercroft.settings.model import Settings

if TYPE_CHECKING:
    from undercroft.vectors.compare import FindMachine, Machine
    from undercroft.vectors.store import VectorStore
    from undercroft.vectors.types import Vector

STORES: Final = ("embedded", "pgvector", "weaviate", "pinecone")
PACKAGES: Final = {
    "numpy": "vectors",
    "usearch": "vectors",
    "psycopg": "pgvector",
    "weaviate": "weaviate",
    "pinecone": "pinecone",
}
"""What each optional package's extra is called."""
EMBEDDED_AT_ONCE: Final = 64


def open_store(settings: Settings, *, clock: Clock, name: str) -> "VectorStore":
    """The store of this name, as the settings describe it. Raises InvalidRequest, ConfigurationError, MissingExtra."""
    if name not in STORES:
        raise InvalidRequest(f"There is no vector store {name!r}; there are {', '.join(STORES)}.")
    try:
        match name:
            case "embedded":
                return _embedded(settings, clock)
            case "pgvector":
                return _pgvector(settings, clock)
            case "weaviate":
                return _weaviate(settings)
            case _:
                return _pinecone(settings)
    except ImportError as error:
        extra = PACKAGES.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        raise MissingExtra(f"The vector store {name!r}", extra=extra) from error


def _embedded(settings: Settings, clock: Clock) -> "VectorStore":
    from undercroft.vectors.stores.embedded.store import EmbeddedStore

    return EmbeddedStore(settings.data_dir, clock=clock)


def _pgvector(settings: Settings, clock: Clock) -> "VectorStore":
    from undercroft.storage.engine import open_database
    from undercroft.vectors.stores.pgvector.store import PgVectorStore

    url = settings.database.url
    if url is None or not settings.database.is_postgresql:
        raise ConfigurationError("pgvector needs PostgreSQL.", hint="Set DATABASE_URL.")
    database = open_database(
        url.get_secret_value(), data_dir=settings.data_dir, pool_size=settings.database.pool_size, clock=clock
    )
    return PgVectorStore(database, owns_database=True)


def _weaviate(settings: Settings) -> "VectorStore":
    from undercroft.vectors.stores.weaviate import WeaviateStore

    vectors = settings.vectors
    if not vectors.weaviate_url:
        raise ConfigurationError("Nothing says where Weaviate is.", hint="Set WEAVIATE_URL.")
    key = vectors.weaviate_api_key.get_secret_value() if vectors.weaviate_api_key else None
    return WeaviateStore(vectors.weaviate_url, api_key=key, grpc_port=vectors.weaviate_grpc_port)


def _pinecone(settings: Settings) -> "VectorStore":
    from undercroft.vectors.stores.pinecone import PineconeStore

    vectors = settings.vectors
    if not vectors.pinecone_api_key:
        raise ConfigurationError("There is no key for Pinecone.", hint="Set PINECONE_API_KEY.")
    return PineconeStore(
        vectors.pinecone_api_key.get_secret_value(),
        cloud=vectors.pinecone_cloud,
        region=vectors.pinecone_region,
        host=vectors.pinecone_url,
    )


class Embedder:
    """The bundled embedding model, loaded when it is first needed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def embed(self, texts: Sequence[str]) -> "list[Vector[float]]":
        """A vector for each text. Raises ConfigurationError when the model is not installed."""
        from undercroft.providers.local import weights
        from undercroft.providers.local.embedder import LocalEmbedder
        from undercroft.vectors.types import vector_of

        found = weights.locate(self._settings.local.models_dir, self._settings.data_dir)
        if found is None:
            raise ConfigurationError(
                "Texts need the bundled embedding model, and it is not installed.", hint="Type: undercroft models pull"
            )
        model = LocalEmbedder(found.embedder, found.tokenizer)
        try:
            made: list[Vector[float]] = []
            for start in range(0, len(texts), EMBEDDED_AT_ONCE):
                some = tuple(texts[start : start + EMBEDDED_AT_ONCE])
                reply = await model.embed(EmbeddingsRequest(model="local-embedding", inputs=some))
                assert reply.whole is not None
                made += [vector_of(vector) for vector in reply.whole.vectors]
            return made
        finally:
            await model.close()


def machines(provider: str, region: str | None) -> "FindMachine":
    """Finds the cheapest machine of a cloud. Raises InvalidRequest for an unknown cloud or region."""
    from undercroft.vectors.compare import Machine

    try:
        instances = import_module("undercroft.planning.instances")
    except ModuleNotFoundError:
        # Without the planner nothing is known of machines: they stay unknown.
        return lambda _vcpu, _memory_gib: None
    instances.instances(provider, region)

    def find(vcpu: float, memory_gib: float) -> "Machine | None":
        needs = instances.Needs(vcpu=vcpu, memory_gib=memory_gib, takes_burstable=False)
        try:
            best = instances.cheapest(needs, provider, region)
        except UndercroftError:
            return None
        one = best.instance
        return Machine(
            one.name, one.vcpu, one.memory_gib, Decimal(str(round(best.usd_month, 2))), best.source, best.as_of
        )

    return find
