"""Answers that may be given again; what a hit saved, what a call held, which deployments failed it, and its audio."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    json = sa.Text().with_variant(postgresql.JSONB(), "postgresql")
    op.create_table(
        "cache_entries",
        sa.Column("organisation", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("entry", sa.LargeBinary, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("expires_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("organisation", "id", name="cache_entries_pkey"),
    )
    op.create_index("cache_entries_expiry", "cache_entries", ["expires_us"])
    op.create_index("cache_entries_age", "cache_entries", ["created_us", "id"])
    op.add_column("calls", sa.Column("saved_nano", sa.BigInteger))
    op.add_column("calls", sa.Column("held_nano", sa.BigInteger))
    op.add_column("calls", sa.Column("steps", json))
    op.add_column("calls", sa.Column("audio_input_tokens", sa.BigInteger))
    op.add_column("calls", sa.Column("audio_output_tokens", sa.BigInteger))


def downgrade() -> None:
    for column in ("audio_output_tokens", "audio_input_tokens", "steps", "held_nano", "saved_nano"):
        op.drop_column("calls", column)
    op.drop_table("cache_entries")
