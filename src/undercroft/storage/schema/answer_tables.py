"""Answers that are kept: for their callers (chats/, responses/), and to be given again (cache/)."""

from sqlalchemy import BigInteger, Boolean, Column, Index, LargeBinary, Table, Text

from undercroft.storage.schema.base import Json, metadata

# Chat completions that their callers asked to be kept (chats/). Answers are text: they go out as they came in.
chat_completions = Table(
    "chat_completions",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("model", Text, nullable=False),
    Column("metadata", Json, nullable=False),
    Column("messages", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Column("call", Text),  # as the ledger knows it: `id` may be the provider's
    Index("chat_completions_call", "organisation", "call"),
    Index("chat_completions_created", "organisation", "created_us"),
    Index("chat_completions_expires", "expires_us"),
)

# Responses that callers may come back to (responses/). Bodies are text, not JSON: they go out as they came in.
responses = Table(
    "responses",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("team", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("background", Boolean, nullable=False),
    Column("relayed", Boolean, nullable=False),
    Column("previous", Text),
    Column("input", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Column("owner", Text, nullable=False),
    Column("lease_until_us", BigInteger, nullable=False),
    Column("call", Text),  # as the ledger knows it: `id` may be the provider's
    Index("responses_call", "organisation", "call"),
    Index("responses_expires", "expires_us"),
    Index("responses_owner", "owner"),
)

# The events of background responses that are streamed, some to a row.
response_events = Table(
    "response_events",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("response", Text, primary_key=True),
    Column("first", BigInteger, primary_key=True),
    Column("last", BigInteger, nullable=False),
    Column("frames", Text, nullable=False),
)

# Answers that may be given again (cache/stores/sql.py).
cache_entries = Table(
    "cache_entries",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("entry", LargeBinary, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Index("cache_entries_expiry", "expires_us"),
    Index("cache_entries_age", "created_us", "id"),
)
