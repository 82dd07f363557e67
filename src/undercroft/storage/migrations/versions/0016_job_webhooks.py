"""Where an event is posted besides, if its maker asked for that, what such posts are signed under, and what is told once."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # May be missing: a process of the version before writes no such column while the two run side by side.
    op.add_column("events", sa.Column("address", sa.Text))
    addressed = sa.text("address IS NOT NULL")
    op.create_index(
        "events_addressed",
        "events",
        ["organisation", "subject"],
        postgresql_where=addressed,
        sqlite_where=addressed,
    )
    op.create_table(
        "signing_secrets",
        sa.Column("organisation", sa.Text, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("secret", sa.Text, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("organisation", "purpose", name="signing_secrets_pkey"),
    )
    op.create_table(
        "event_marks",
        sa.Column("organisation", sa.Text, nullable=False),
        sa.Column("mark", sa.Text, nullable=False),
        sa.Column("until_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("organisation", "mark", name="event_marks_pkey"),
    )
    op.create_index("event_marks_until", "event_marks", ["until_us"])


def downgrade() -> None:
    op.drop_table("event_marks")
    op.drop_table("signing_secrets")
    op.drop_index("events_addressed", "events")
    op.drop_column("events", "address")
