"""The tables, the same on both databases: text ids, BIGINT nano-dollars and microseconds UTC, JSON as jsonb or text.

A file per subject; who uses them imports them from here, and each file is loaded for the first of its tables: few
processes need all of them. Organisation is part of every primary and unique key of what belongs to a tenant;
`spool_offsets`, `duties`, `error_groups` and `versions` belong to the installation. A change here needs a migration
beside it (a test compares the two).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from undercroft.storage.schema.base import Json as Json
from undercroft.storage.schema.base import insert as insert

if TYPE_CHECKING:
    from undercroft.storage.schema.access_tables import accounts as accounts
    from undercroft.storage.schema.access_tables import api_keys as api_keys
    from undercroft.storage.schema.access_tables import audit as audit
    from undercroft.storage.schema.access_tables import organisations as organisations
    from undercroft.storage.schema.access_tables import secrets as secrets
    from undercroft.storage.schema.access_tables import sessions as sessions
    from undercroft.storage.schema.access_tables import sign_in_failures as sign_in_failures
    from undercroft.storage.schema.access_tables import teams as teams
    from undercroft.storage.schema.access_tables import users as users
    from undercroft.storage.schema.answer_tables import cache_entries as cache_entries
    from undercroft.storage.schema.answer_tables import chat_completions as chat_completions
    from undercroft.storage.schema.answer_tables import response_events as response_events
    from undercroft.storage.schema.answer_tables import responses as responses
    from undercroft.storage.schema.base import metadata as metadata
    from undercroft.storage.schema.event_tables import event_deliveries as event_deliveries
    from undercroft.storage.schema.event_tables import event_marks as event_marks
    from undercroft.storage.schema.event_tables import events as events
    from undercroft.storage.schema.event_tables import signing_secrets as signing_secrets
    from undercroft.storage.schema.event_tables import webhooks as webhooks
    from undercroft.storage.schema.file_tables import batch_items as batch_items
    from undercroft.storage.schema.file_tables import batches as batches
    from undercroft.storage.schema.file_tables import blob_pieces as blob_pieces
    from undercroft.storage.schema.file_tables import files as files
    from undercroft.storage.schema.installation_tables import duties as duties
    from undercroft.storage.schema.installation_tables import versions as versions
    from undercroft.storage.schema.job_tables import job_attempts as job_attempts
    from undercroft.storage.schema.job_tables import job_links as job_links
    from undercroft.storage.schema.job_tables import job_outputs as job_outputs
    from undercroft.storage.schema.job_tables import jobs as jobs
    from undercroft.storage.schema.job_tables import schedules as schedules
    from undercroft.storage.schema.ledger_tables import call_contents as call_contents
    from undercroft.storage.schema.ledger_tables import calls as calls
    from undercroft.storage.schema.ledger_tables import limits as limits
    from undercroft.storage.schema.ledger_tables import slices as slices
    from undercroft.storage.schema.ledger_tables import spool_offsets as spool_offsets
    from undercroft.storage.schema.observed_tables import error_groups as error_groups
    from undercroft.storage.schema.observed_tables import spans as spans
    from undercroft.storage.schema.release_tables import content_labels as content_labels
    from undercroft.storage.schema.release_tables import content_versions as content_versions
    from undercroft.storage.schema.release_tables import feedback as feedback
    from undercroft.storage.schema.release_tables import release_aliases as release_aliases
    from undercroft.storage.schema.release_tables import release_moves as release_moves
    from undercroft.storage.schema.release_tables import releases as releases
    from undercroft.storage.schema.release_tables import rollouts as rollouts
    from undercroft.storage.schema.vector_tables import ingested_sources as ingested_sources
    from undercroft.storage.schema.vector_tables import vector_store_batches as vector_store_batches
    from undercroft.storage.schema.vector_tables import vector_store_files as vector_store_files
    from undercroft.storage.schema.vector_tables import vector_stores as vector_stores

_FILES = {
    "access_tables": (
        "accounts",
        "api_keys",
        "audit",
        "organisations",
        "secrets",
        "sessions",
        "sign_in_failures",
        "teams",
        "users",
    ),
    "answer_tables": ("cache_entries", "chat_completions", "response_events", "responses"),
    "event_tables": ("event_deliveries", "event_marks", "events", "signing_secrets", "webhooks"),
    "file_tables": ("batch_items", "batches", "blob_pieces", "files"),
    "installation_tables": ("duties", "versions"),
    "job_tables": ("job_attempts", "job_links", "job_outputs", "jobs", "schedules"),
    "ledger_tables": ("call_contents", "calls", "limits", "slices", "spool_offsets"),
    "observed_tables": ("error_groups", "spans"),
    "release_tables": (
        "content_labels",
        "content_versions",
        "feedback",
        "release_aliases",
        "release_moves",
        "releases",
        "rollouts",
    ),
    "vector_tables": ("ingested_sources", "vector_store_batches", "vector_store_files", "vector_stores"),
}
_HOMES = {table: file for file, tables in _FILES.items() for table in tables}

__all__ = ["Json", "insert", "metadata", *_HOMES]  # noqa: PLE0604 - names of _HOMES are text


def __getattr__(name: str) -> Any:
    if name == "metadata":  # whoever asks for it wants all tables in it
        for file in _FILES:
            import_module(f"{__name__}.{file}")
        value: Any = import_module(f"{__name__}.base").metadata
    elif name in _HOMES:
        value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value  # the next use finds it without this function
    return value
