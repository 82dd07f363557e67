"""What is in vector collections (vectors/)."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, Table, Text

from undercroft.storage.schema.base import Json, metadata

# What was ingested into vector collections (vectors/ingestion/): of a source's points, those of its `generation` are
# seen. `writing` is the one in the making, `litter` those to be deleted.
ingested_sources = Table(
    "ingested_sources",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("collection", Text, primary_key=True),
    Column("namespace", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("generation", Text, nullable=False),
    Column("writing", Text, nullable=False),
    Column("litter", Json, nullable=False),
    Column("digest", Text, nullable=False),
    Column("chunks", BigInteger, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("text_bytes", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    Index("ingested_sources_generation", "generation"),
)

# OpenAI's vector stores (vectors/knowledge/), a namespace of a collection each, and the files in them.
vector_stores = Table(
    "vector_stores",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("metadata", Json, nullable=False),
    Column("model", Text, nullable=False),
    Column("collection", Text, nullable=False),
    Column("expires_days", Integer),
    Column("expires_us", BigInteger),
    Column("active_us", BigInteger, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("is_gone", Boolean, nullable=False),
    Index("vector_stores_created", "organisation", "created_us"),
    Index("vector_stores_expires", "expires_us"),
)

vector_store_files = Table(
    "vector_store_files",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("vector_store", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("batch", Text, nullable=False),
    Column("job", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("error_code", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("attributes", Json, nullable=False),
    Column("strategy", Text, nullable=False),
    Column("size_tokens", Integer, nullable=False),
    Column("overlap_tokens", Integer, nullable=False),
    Column("usage_bytes", BigInteger, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Index("vector_store_files_batch", "organisation", "batch"),
)

vector_store_batches = Table(
    "vector_store_batches",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("vector_store", Text, nullable=False),
    Column("cancelled", Boolean, nullable=False),
    Column("created_us", BigInteger, nullable=False),
)
