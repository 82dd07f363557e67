"""What happened, and who is to hear of it (events/)."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, Table, Text, text

from undercroft.storage.schema.base import Json, metadata

# What happened (events/), in the order of `number`. Data is text: it goes out as it came in. `address`: where it is
# posted besides.
_ADDRESSED = text("address IS NOT NULL")
events = Table(
    "events",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("type", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("data", Text, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("spread", Boolean, nullable=False),
    Column("address", Text),
    Index("events_number", "number"),
    Index("events_at", "at_us"),
    Index("events_unspread", "number", postgresql_where=text("NOT spread"), sqlite_where=text("NOT spread")),
    Index("events_addressed", "organisation", "subject", postgresql_where=_ADDRESSED, sqlite_where=_ADDRESSED),
)

# Who is to hear of an event, and how far that is. `sink` is `webhook:ID`, `function:NAME` or `redis`.
_PENDING = text("state = 'pending'")
event_deliveries = Table(
    "event_deliveries",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("event", Text, primary_key=True),
    Column("sink", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("subject", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_us", BigInteger, nullable=False),
    Column("ended_us", BigInteger, nullable=False),
    Column("status", Integer, nullable=False),
    Column("error", Text, nullable=False),
    Index(
        "event_deliveries_turn",
        *("organisation", "sink", "subject", "number"),
        postgresql_where=_PENDING,
        sqlite_where=_PENDING,
    ),
    Index("event_deliveries_due", "due_us", postgresql_where=_PENDING, sqlite_where=_PENDING),
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("url", Text, nullable=False),
    Column("types", Json, nullable=False),
    Column("description", Text, nullable=False),
    Column("secret", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("failing_us", BigInteger, nullable=False),
    Column("created_us", BigInteger, nullable=False),
)

# What is posted to addresses that somebody named in passing is signed under (events/signing.py).
signing_secrets = Table(
    "signing_secrets",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("purpose", Text, primary_key=True),
    Column("secret", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
)

# What is told once, however many processes notice it (events/outbox.py).
event_marks = Table(
    "event_marks",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("mark", Text, primary_key=True),
    Column("until_us", BigInteger, nullable=False),
    Index("event_marks_until", "until_us"),
)
