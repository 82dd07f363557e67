"""What runs, what it is made of, and how good it is (releases/, versions/)."""

from sqlalchemy import BigInteger, Column, Float, Index, Integer, Table, Text, text

from undercroft.storage.schema.base import metadata

# Contents of models, prompts, retrieval and guardrails (versions/), by their address: written once, never changed.
content_versions = Table(
    "content_versions",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("content", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
)

content_labels = Table(
    "content_labels",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("label", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("moved_us", BigInteger, nullable=False),
)

# What an alias may run (releases/): a manifest by its address, and which one answers now.
releases = Table(
    "releases",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("alias", Text, nullable=False),
    Column("manifest", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
)

release_aliases = Table(
    "release_aliases",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("alias", Text, primary_key=True),
    Column("current", Text, nullable=False),
    Column("previous", Text, nullable=False),
    Column("changed_us", BigInteger, nullable=False),
)

# A release on its way: `plan` and `thresholds` are text that only releases/ reads. `revision` fences who moves it.
rollouts = Table(
    "rollouts",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("alias", Text, nullable=False),
    Column("stable", Text, nullable=False),
    Column("candidate", Text, nullable=False),
    Column("plan", Text, nullable=False),
    Column("thresholds", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("step", Integer, nullable=False),
    Column("step_us", BigInteger, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Index(
        "rollouts_open",
        *("organisation", "alias"),
        unique=True,
        postgresql_where=text("state IN ('running', 'paused')"),
        sqlite_where=text("state IN ('running', 'paused')"),
    ),
)

# Every move of every alias, with who made it and why: never changed.
release_moves = Table(
    "release_moves",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("alias", Text, nullable=False),
    Column("rollout", Text, nullable=False),
    Column("release", Text, nullable=False),
    Column("move", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Index("release_moves_alias", "organisation", "alias", "at_us"),
)

# What people, or checks, say of answers. `call` is the ledger's id of the call that made the answer.
feedback = Table(
    "feedback",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("response", Text, nullable=False),
    Column("call", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("score", Float),
    Column("label", Text, nullable=False),
    Column("comment", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Index("feedback_call", "organisation", "call"),
    Index("feedback_created", "organisation", "created_us"),
)
