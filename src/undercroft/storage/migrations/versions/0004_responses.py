"""Responses that callers may come back to, and the events of those that run in the background."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "responses",
        sa.Column("organisation", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("team", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("background", sa.Boolean, nullable=False),
        sa.Column("relayed", sa.Boolean, nullable=False),
        sa.Column("previous", sa.Text),
        sa.Column("input", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("expires_us", sa.BigInteger, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("lease_until_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("organisation", "id", name="responses_pkey"),
    )
    op.create_index("responses_expires", "responses", ["expires_us"])
    op.create_index("responses_owner", "responses", ["owner"])
    op.create_table(
        "response_events",
        sa.Column("organisation", sa.Text, nullable=False),
        sa.Column("response", sa.Text, nullable=False),
        sa.Column("first", sa.BigInteger, nullable=False),
        sa.Column("last", sa.BigInteger, nullable=False),
        sa.Column("frames", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("organisation", "response", "first", name="response_events_pkey"),
    )


def downgrade() -> None:
    op.drop_table("response_events")
    op.drop_table("responses")
