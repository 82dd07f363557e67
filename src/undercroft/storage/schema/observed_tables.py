"""What was seen (observed/)."""

from sqlalchemy import BigInteger, Column, Table, Text

from undercroft.storage.schema.base import Json, metadata

# The latest traces, where no collector takes them (observed/traces.py).
spans = Table(
    "spans",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("trace", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("parent", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("started_us", BigInteger, nullable=False),
    Column("ended_us", BigInteger, nullable=False),
    Column("error", Text, nullable=False),
    Column("attributes", Json, nullable=False),
)

# What went wrong, in any organisation: the same error in the same place is one row (observed/errors.py).
error_groups = Table(
    "error_groups",
    metadata,
    Column("fingerprint", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("place", Text, nullable=False),
    Column("sample", Text, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("first_us", BigInteger, nullable=False),
    Column("last_us", BigInteger, nullable=False),
)
