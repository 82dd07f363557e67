"""`[database]`, `[redis]`, `[files]` and `[vectors]`: where everything is kept."""

from typing import Literal

from pydantic import SecretStr

from undercroft.settings.section import Port, Positive, Section


class Database(Section):
    """Where everything relational lives."""

    url: SecretStr | None = None
    """`postgresql://…` or `sqlite:///path`; default (and `sqlite://`): SQLite in the data directory. (DATABASE_URL)"""
    pool_size: Positive = 8
    """PostgreSQL connections of one process."""

    @property
    def is_postgresql(self) -> bool:
        return self.url is not None and self.url.get_secret_value().startswith("postgres")


class Redis(Section):
    """Shared state across processes."""

    url: SecretStr | None = None
    """`redis://…`; takes the stream of events, cached answers and what processes share of limits. (REDIS_URL)"""


FileStore = Literal["directory", "database"]


class Files(Section):
    """Uploaded files, and those that batches leave."""

    max_bytes: Positive = 512_000_000
    """The largest file; a larger one is 413."""
    store: FileStore | None = None
    """Where their bytes are: `directory` (`files` in `data_dir`, which all processes must share) or `database`;
    default: the database with PostgreSQL, else the directory."""


VectorStoreName = Literal["embedded", "qdrant", "qdrant_edge", "pgvector", "weaviate", "pinecone"]


class Vectors(Section):
    """Vector collections."""

    store: VectorStoreName | None = None
    """Where collections live: embedded, qdrant, qdrant_edge (Qdrant's engine in this process), pgvector, weaviate or
    pinecone; default: qdrant where its address is set, else embedded."""
    embedding_model: str | None = None
    """What new vector stores embed their files with; default: the usual model for embeddings."""
    durability: Literal["process", "power"] = "process"
    """Store `embedded`: `process`: an acknowledged point survives kill -9. `power`: it is on disk first."""
    threads: Positive = 2
    """Store `embedded`: CPU threads that derive an index."""
    pgvector_url: SecretStr | None = None
    """Store `pgvector`: the PostgreSQL with that extension; default: as `url` of `[database]`."""
    qdrant_url: str | None = None
    """Qdrant server (QDRANT_URL)."""
    qdrant_api_key: SecretStr | None = None
    """Qdrant's key (QDRANT_API_KEY)."""
    weaviate_url: str | None = None
    """Weaviate server (WEAVIATE_URL)."""
    weaviate_api_key: SecretStr | None = None
    """Weaviate's key (WEAVIATE_API_KEY)."""
    weaviate_grpc_port: Port = 50051
    """Weaviate's port for gRPC, on the same host; Weaviate Cloud has its own."""
    pinecone_api_key: SecretStr | None = None
    """Pinecone's key (PINECONE_API_KEY)."""
    pinecone_url: str | None = None
    """Pinecone's control plane; default: Pinecone's own."""
    pinecone_cloud: str = "aws"
    """Cloud of new Pinecone indexes: aws, gcp or azure."""
    pinecone_region: str = "us-east-1"
    """Region of new Pinecone indexes."""

    @property
    def chosen(self) -> VectorStoreName:
        """The store, where the settings do not name it too."""
        return self.store or ("qdrant" if self.qdrant_url else "embedded")
