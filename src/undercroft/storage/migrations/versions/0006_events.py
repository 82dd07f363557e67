"""Events, who is to hear of them, and the webhooks among those."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

JSON = sa.Text().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "events",
        sa.Column("organisation", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("data", sa.Text, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("spread", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("organisation", "id", name="events_pkey"),
    )
    op.create_index("events_number", "events", ["number"])
    op.create_index("events_at", "events", ["at_us"])
    unspread = sa.text("NOT spread")
    op.create_index("events_unspread", "events", ["number"], postgresql_where=unspread, sqlite_where=unspread)
    if op.get_context().dialect.name == "postgresql":
        op.execute("CREATE SEQUENCE events_numbers")
    op.create_table(
        "event_deliveries",
        sa.Column("organisation", sa.Text, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("sink", sa.Text, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due_us", sa.BigInteger, nullable=False),
        sa.Column("ended_us", sa.BigInteger, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("organisation", "event", "sink", name="event_deliveries_pkey"),
    )
    pending = sa.text("state = 'pending'")
    for name, columns in (
        ("event_deliveries_turn", ["organisation", "sink", "subject", "number"]),
        ("event_deliveries_due", ["due_us"]),
    ):
        op.create_index(name, "event_deliveries", columns, postgresql_where=pending, sqlite_where=pending)
    op.create_table(
        "webhooks",
        sa.Column("organisation", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("types", JSON, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("secret", sa.Text, nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("failing_us", sa.BigInteger, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("organisation", "id", name="webhooks_pkey"),
    )


def downgrade() -> None:
    for table in ("webhooks", "event_deliveries", "events"):
        op.drop_table(table)
    if op.get_context().dialect.name == "postgresql":
        op.execute("DROP SEQUENCE events_numbers")
