"""Jobs: the work itself, how its runs ended, what it waits for and says, and what makes it again and again (jobs/)."""

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, Table, Text, text

from undercroft.storage.schema.base import metadata

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
