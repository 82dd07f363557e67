"""Jobs: the row, its attempts, what waits for what, what it has said so far, and when periodic ones are due."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("organisation", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("team", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("queue", sa.Text, nullable=False),
        sa.Column("rank", sa.Integer, nullable=False),
        sa.Column("lane", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("input", sa.Text, nullable=False),
        sa.Column("token", sa.Text, nullable=False),
        sa.Column("worker", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("runs", sa.Integer, nullable=False),
        sa.Column("crashes", sa.Integer, nullable=False),
        sa.Column("max_attempts", sa.Integer, nullable=False),
        sa.Column("missing", sa.Integer, nullable=False),
        sa.Column("awaited", sa.Boolean, nullable=False),
        sa.Column("cancel_requested", sa.Boolean, nullable=False),
        sa.Column("run_at_us", sa.BigInteger, nullable=False),
        sa.Column("lifetime_us", sa.BigInteger, nullable=False),
        sa.Column("deadline_us", sa.BigInteger, nullable=False),
        sa.Column("soft_timeout_us", sa.BigInteger, nullable=False),
        sa.Column("timeout_us", sa.BigInteger, nullable=False),
        sa.Column("lease_until_us", sa.BigInteger, nullable=False),
        sa.Column("delivered_us", sa.BigInteger, nullable=False),
        sa.Column("idempotency_key", sa.Text),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("unique_key", sa.Text),
        sa.Column("webhook", sa.Text, nullable=False),
        sa.Column("schedule", sa.Text, nullable=False),
        sa.Column("trace", sa.Text, nullable=False),
        sa.Column("progress", sa.Text),
        sa.Column("result", sa.Text),
        sa.Column("error", sa.Text),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("started_us", sa.BigInteger, nullable=False),
        sa.Column("finished_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("organisation", "id", name="jobs_pkey"),
    )
    op.create_table(
        "job_attempts",
        sa.Column("organisation", sa.Text, nullable=False),
        sa.Column("job", sa.Text, nullable=False),
        sa.Column("run", sa.Integer, nullable=False),
        sa.Column("worker", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("started_us", sa.BigInteger, nullable=False),
        sa.Column("ended_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("organisation", "job", "run", name="job_attempts_pkey"),
    )
    op.create_table(
        "job_links",
        sa.Column("organisation", sa.Text, nullable=False),
        sa.Column("parent", sa.Text, nullable=False),
        sa.Column("job", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("organisation", "parent", "job", name="job_links_pkey"),
    )
    op.create_table(
        "job_outputs",
        sa.Column("organisation", sa.Text, nullable=False),
        sa.Column("job", sa.Text, nullable=False),
        sa.Column("first", sa.BigInteger, nullable=False),
        sa.Column("last", sa.BigInteger, nullable=False),
        sa.Column("pieces", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("organisation", "job", "first", name="job_outputs_pkey"),
    )
    op.create_table(
        "schedules",
        sa.Column("organisation", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("definition", sa.Text, nullable=False),
        sa.Column("next_us", sa.BigInteger, nullable=False),
        sa.Column("fired_us", sa.BigInteger, nullable=False),
        sa.Column("job", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("organisation", "name", name="schedules_pkey"),
    )
    _partial("jobs_queued", ["queue", "organisation", "rank", "run_at_us"], "state = 'queued'")
    _partial("jobs_delayed", ["run_at_us"], "state = 'delayed'")
    _partial("jobs_held", ["organisation", "lane", "rank", "run_at_us"], "state = 'held'")
    _partial("jobs_running", ["worker"], "state = 'running'")
    _partial("jobs_finished", ["state", "finished_us"], "finished_us > 0")
    _partial("jobs_idempotency", ["organisation", "idempotency_key"], "idempotency_key IS NOT NULL", unique=True)
    _partial("jobs_unique", ["organisation", "unique_key"], "unique_key IS NOT NULL", unique=True)


def _partial(name: str, columns: list[str], where: str, unique: bool = False) -> None:
    op.create_index(name, "jobs", columns, unique=unique, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def downgrade() -> None:
    op.drop_table("schedules")
    op.drop_table("job_outputs")
    op.drop_table("job_links")
    op.drop_table("job_attempts")
    op.drop_table("jobs")
