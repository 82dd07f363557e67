"""The tables, the same on both databases: text ids, BIGINT nano-dollars and microseconds UTC, JSON as jsonb or text.

A file per subject; who uses them imports them from here. Organisation is part of every primary and unique key of what
belongs to a tenant; `spool_offsets`, `duties`, `error_groups` and `versions` belong to the installation. A change here
needs a migration beside it (a test compares the two).
"""

from undercroft.storage.schema.access_tables import (
    accounts,
    api_keys,
    audit,
    organisations,
    secrets,
    sessions,
    sign_in_failures,
    teams,
    users,
)
from undercroft.storage.schema.answer_tables import cache_entries, chat_completions, response_events, responses
from undercroft.storage.schema.base import Json, insert, metadata
from undercroft.storage.schema.event_tables import event_deliveries, event_marks, events, signing_secrets, webhooks
from undercroft.storage.schema.file_tables import batch_items, batches, blob_pieces, files
from undercroft.storage.schema.installation_tables import duties, versions
from undercroft.storage.schema.job_tables import job_attempts, job_links, job_outputs, jobs, schedules
from undercroft.storage.schema.ledger_tables import call_contents, calls, limits, slices, spool_offsets
from undercroft.storage.schema.observed_tables import error_groups, spans
from undercroft.storage.schema.release_tables import (
    content_labels,
    content_versions,
    feedback,
    release_aliases,
    release_moves,
    releases,
    rollouts,
)
from undercroft.storage.schema.vector_tables import (
    ingested_sources,
    vector_store_batches,
    vector_store_files,
    vector_stores,
)

__all__ = [
    "Json",
    "accounts",
    "api_keys",
    "audit",
    "batch_items",
    "batches",
    "blob_pieces",
    "cache_entries",
    "call_contents",
    "calls",
    "chat_completions",
    "content_labels",
    "content_versions",
    "duties",
    "error_groups",
    "event_deliveries",
    "event_marks",
    "events",
    "feedback",
    "files",
    "ingested_sources",
    "insert",
    "job_attempts",
    "job_links",
    "job_outputs",
    "jobs",
    "limits",
    "metadata",
    "organisations",
    "release_aliases",
    "release_moves",
    "releases",
    "response_events",
    "responses",
    "rollouts",
    "schedules",
    "secrets",
    "sessions",
    "sign_in_failures",
    "signing_secrets",
    "slices",
    "spans",
    "spool_offsets",
    "teams",
    "users",
    "vector_store_batches",
    "vector_store_files",
    "vector_stores",
    "versions",
    "webhooks",
]
