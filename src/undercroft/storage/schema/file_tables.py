"""Files (files/), and the batches that are made from them (batches/)."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, Table, Text, text

from undercroft.storage.schema.base import Json, metadata

# Uploaded files and those that batches leave (files/), without their bytes. `state`: receiving, stored, leaving.
files = Table(
    "files",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("team", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("filename", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Index("files_created", "organisation", "created_us"),
    Index("files_expires", "expires_us", postgresql_where=text("expires_us > 0"), sqlite_where=text("expires_us > 0")),
)

# The bytes of files where the database keeps them, in pieces (files/blobs/database.py).
blob_pieces = Table(
    "blob_pieces",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("data", LargeBinary, nullable=False),
)

# Many calls as one order (batches/), and its lines. `active`: something is still to be done about it.
batches = Table(
    "batches",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("team", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("ending", Text, nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("input_file", Text, nullable=False),
    Column("output_file", Text, nullable=False),
    Column("error_file", Text, nullable=False),
    Column("metadata", Json, nullable=False),
    Column("output_expires_s", BigInteger, nullable=False),
    Column("model", Text, nullable=False),
    Column("total", Integer, nullable=False),
    Column("fed", Integer, nullable=False),
    Column("completed", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("usage", Json, nullable=False),
    Column("errors", Json, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Column("in_progress_us", BigInteger, nullable=False),
    Column("finalizing_us", BigInteger, nullable=False),
    Column("cancelling_us", BigInteger, nullable=False),
    Column("ended_us", BigInteger, nullable=False),
    Index("batches_created", "organisation", "created_us"),
    Index("batches_active", "created_us", postgresql_where=text("active"), sqlite_where=text("active")),
)

batch_items = Table(
    "batch_items",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("batch", Text, primary_key=True),
    Column("line", Integer, primary_key=True),
    Column("job", Text, nullable=False),
    Column("custom_id", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Column("usage", Json, nullable=False),
    Index("batch_items_outcome", "organisation", "batch", "outcome"),
)
