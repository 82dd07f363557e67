"""The tables, the same on both databases: text ids, BIGINT nano-dollars and microseconds UTC, JSON as jsonb or text.

Organisation is part of every primary and unique key of what belongs to a tenant; `spool_offsets`, `duties`,
`error_groups` and `versions` belong to the installation. A change here needs a migration beside it (a test compares
the two).
"""

from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Dialect,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import TypeDecorator, TypeEngine


class Json(TypeDecorator[Any]):
    """JSON as `jsonb` on PostgreSQL and as text on SQLite, where a column of type JSON would make `5` a number."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.JSONB())
        return dialect.type_descriptor(Text())

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        if value is None or dialect.name == "postgresql":
            return value
        return msgspec.json.encode(value).decode()

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        if value is None or dialect.name == "postgresql":
            return value
        return msgspec.json.decode(value)


def insert(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An INSERT of this database's dialect: the generic one has no ON CONFLICT, these two have the same."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


metadata = MetaData()

organisations = Table(
    "organisations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
)

teams = Table(
    "teams",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    ForeignKeyConstraint(["organisation"], ["organisations.id"], name="teams_organisation_fkey"),
)

users = Table(
    "users",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("team", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    ForeignKeyConstraint(["organisation", "team"], ["teams.organisation", "teams.id"], name="users_team_fkey"),
)

# `user` alone is a trap in PostgreSQL: `SELECT user FROM calls` answers with the session's user. Hence `user_id`.

api_keys = Table(
    "api_keys",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("team", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("permissions", Json, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger),
    Column("revoked_us", BigInteger),
    Column("models", Json),
    Column("tags", Json),
    Column("former_hash", LargeBinary),
    Column("former_until_us", BigInteger),
    Column("networks", Json),
    Column("routes", Json),
    Column("maker", Text),
    ForeignKeyConstraint(["organisation", "team"], ["teams.organisation", "teams.id"], name="api_keys_team_fkey"),
    ForeignKeyConstraint(["organisation", "user_id"], ["users.organisation", "users.id"], name="api_keys_user_fkey"),
)

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
    Column("refused", Boolean, nullable=False, server_default=text("false")),
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

# Who does which housekeeping duty, and until when (storage/duties.py).
duties = Table(
    "duties",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("lease_until_us", BigInteger, nullable=False),
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

# Work that is accepted now and done later (jobs/): the row is the job, whatever delivers it. No foreign keys: a job
# goes on when what it was made from is gone. Leases are on the store's clock (jobs/statements.py), the rest is UTC.
jobs = Table(
    "jobs",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("team", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("rank", Integer, nullable=False),
    Column("lane", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("input", Text, nullable=False),
    Column("token", Text, nullable=False),
    Column("worker", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("runs", Integer, nullable=False),
    Column("crashes", Integer, nullable=False),
    Column("max_attempts", Integer, nullable=False),
    Column("missing", Integer, nullable=False),
    Column("awaited", Boolean, nullable=False),
    Column("cancel_requested", Boolean, nullable=False),
    Column("run_at_us", BigInteger, nullable=False),
    Column("lifetime_us", BigInteger, nullable=False),
    Column("deadline_us", BigInteger, nullable=False),
    Column("soft_timeout_us", BigInteger, nullable=False),
    Column("timeout_us", BigInteger, nullable=False),
    Column("lease_until_us", BigInteger, nullable=False),
    Column("delivered_us", BigInteger, nullable=False),
    Column("idempotency_key", Text),
    Column("fingerprint", Text, nullable=False),
    Column("unique_key", Text),
    Column("webhook", Text, nullable=False),
    Column("schedule", Text, nullable=False),
    Column("trace", Text, nullable=False),
    Column("progress", Text),
    Column("result", Text),
    Column("error", Text),
    Column("created_us", BigInteger, nullable=False),
    Column("started_us", BigInteger, nullable=False),
    Column("finished_us", BigInteger, nullable=False),
)
_only = {name: text(f"state = '{name}'") for name in ("queued", "delayed", "held", "running")}


def _partial(name: str, *columns: str, where: Any, unique: bool = False) -> None:
    """An index over those jobs alone that are looked for by it: what has ended, most of all, is in none."""
    Index(name, *(jobs.c[column] for column in columns), unique=unique, sqlite_where=where, postgresql_where=where)


_partial("jobs_queued", "queue", "organisation", "rank", "run_at_us", where=_only["queued"])
_partial("jobs_delayed", "run_at_us", where=_only["delayed"])
_partial("jobs_held", "organisation", "lane", "rank", "run_at_us", where=_only["held"])
_partial("jobs_running", "worker", where=_only["running"])
_partial("jobs_finished", "state", "finished_us", where=text("finished_us > 0"))
_partial("jobs_idempotency", "organisation", "idempotency_key", where=text("idempotency_key IS NOT NULL"), unique=True)
_partial("jobs_unique", "organisation", "unique_key", where=text("unique_key IS NOT NULL"), unique=True)

# Every run of a job that did not succeed: the row itself tells of the last one.
job_attempts = Table(
    "job_attempts",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("job", Text, primary_key=True),
    Column("run", Integer, primary_key=True),
    Column("worker", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("error", Text),
    Column("started_us", BigInteger, nullable=False),
    Column("ended_us", BigInteger, nullable=False),
)

# Which job waits for which (`awaited` says of a job that there is such a row).
job_links = Table(
    "job_links",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("parent", Text, primary_key=True),
    Column("job", Text, primary_key=True),
)

# What running jobs have said so far, some pieces to a row.
job_outputs = Table(
    "job_outputs",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("job", Text, primary_key=True),
    Column("first", BigInteger, primary_key=True),
    Column("last", BigInteger, nullable=False),
    Column("pieces", Text, nullable=False),
)

# When each periodic job is due next: moved by whoever fires it, once a tick (jobs/schedules.py).
schedules = Table(
    "schedules",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("definition", Text, nullable=False),
    Column("next_us", BigInteger, nullable=False),
    Column("fired_us", BigInteger, nullable=False),
    Column("job", Text, nullable=False),
)

# What happened (events/), in the order of `number`. Data is text: it goes out as it came in.
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
    Index("events_number", "number"),
    Index("events_at", "at_us"),
    Index("events_unspread", "number", postgresql_where=text("NOT spread"), sqlite_where=text("NOT spread")),
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

# Secrets that the settings name as `secret:NAME`: Fernet tokens, never text.
secrets = Table(
    "secrets",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("token", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("changed_us", BigInteger, nullable=False),
)

# People who sign in with a password; `password` is an Argon2id hash in PHC form.
accounts = Table(
    "accounts",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("role", Text, nullable=False),
    Column("password", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("disabled_us", BigInteger),
    ForeignKeyConstraint(["organisation", "user_id"], ["users.organisation", "users.id"], name="accounts_user_fkey"),
)

# Who is signed in, by the hash of the cookie.
sessions = Table(
    "sessions",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("organisation", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Index("sessions_expires", "expires_us"),
)

# Failed sign-ins by account and by address, for all processes together.
sign_in_failures = Table(
    "sign_in_failures",
    metadata,
    Column("bucket", Text, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("until_us", BigInteger, nullable=False),
    Column("forget_us", BigInteger, nullable=False),
)

# Every act of management, chained by hash. Triggers refuse UPDATE and DELETE (the migration has them).
audit = Table(
    "audit",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("organisation", Text, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("request", Text, nullable=False),
    Column("details", Text, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Index("audit_organisation", "organisation", "number"),
)

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

# Counters that processes poll to learn that something they hold in memory has changed (storage/versions.py).
versions = Table(
    "versions",
    metadata,
    Column("name", Text, primary_key=True),
    Column("counter", BigInteger, nullable=False),
)

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
