"""What the processes of an installation tell each other (storage/)."""

from sqlalchemy import BigInteger, Column, Table, Text

from undercroft.storage.schema.base import metadata

# Who does which housekeeping duty, and until when (storage/duties.py).
duties = Table(
    "duties",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("lease_until_us", BigInteger, nullable=False),
)

# Counters that processes poll to learn that something they hold in memory has changed (storage/versions.py).
versions = Table(
    "versions",
    metadata,
    Column("name", Text, primary_key=True),
    Column("counter", BigInteger, nullable=False),
)
