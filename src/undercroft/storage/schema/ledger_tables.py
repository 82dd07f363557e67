"""What was used, and what may be (ledger/)."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, Table, Text, text

from undercroft.storage.schema.base import Json, metadata

# What an organisation, a team, a user or a key may use (ledger/limits.py). An empty model means all together.
limits = Table(
    "limits",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("scope", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("measure", Text, primary_key=True),
    Column("period", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("amount", BigInteger, nullable=False),
    Column("created_us", BigInteger, nullable=False),
)

# The ledger: one row a call, the columns of record.CallRecord with `who` and `usage` laid flat, and the spool that it
# came through, which names one life of one process. No foreign keys: what was used stays booked when its user is gone,
# and a row must never be refused.
calls = Table(
    "calls",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("started_us", BigInteger, nullable=False),
    Column("duration_us", BigInteger, nullable=False),
    Column("team", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("deployment", Text, nullable=False),
    Column("upstream_model", Text, nullable=False),
    Column("release", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("error", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("first_token_us", BigInteger, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cache_read_tokens", BigInteger, nullable=False),
    Column("cache_write_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    Column("usage_estimated", Boolean, nullable=False),
    Column("cost_nano", BigInteger, nullable=False),
    Column("price", Text, nullable=False),
    Column("cache", Text, nullable=False),
    Column("streamed", Boolean, nullable=False),
    Column("trace", Text, nullable=False),
    Column("end_user", Text, nullable=False),
    Column("tags", Json, nullable=False),
    Column("format", Integer, nullable=False),
    Column("spool", Text),
    Column("saved_nano", BigInteger),
    Column("held_nano", BigInteger),
    Column("steps", Json),
    Column("audio_input_tokens", BigInteger),
    Column("audio_output_tokens", BigInteger),
    Column("cache_write_long_tokens", BigInteger),
    Column("refused", Boolean, nullable=False, server_default=text("false")),
    Column("chosen", Text),
    Column("because", Text),
    Index(
        "calls_release_started",
        *("organisation", "release", "started_us"),
        postgresql_where=text("release <> ''"),
        sqlite_where=text("release <> ''"),
    ),
    Index("calls_started", "organisation", "started_us"),
    Index("calls_key_started", "organisation", "key", "started_us"),
)

# What was asked and answered, where somebody wanted that kept (ledger/contents.py).
call_contents = Table(
    "call_contents",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("request", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Index("call_contents_expires", "expires_us"),
)

# How far each spool is in `calls`: moved in the transaction that inserts the rows, so nothing is shipped twice.
spool_offsets = Table(
    "spool_offsets",
    metadata,
    Column("spool", Text, primary_key=True),
    Column("segment", BigInteger, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
)

# What each process has leased of each limit's window (ledger/slices.py). A window's row without an owner is its sum.
slices = Table(
    "slices",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("period", Text, primary_key=True),
    Column("owner", Text, primary_key=True),
    Column("amount", BigInteger, nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("lease_until_us", BigInteger, nullable=False),
    Column("frozen", Boolean, nullable=False),
    Column("ends_us", BigInteger, nullable=False),
    Index("slices_owner", "owner"),
)
