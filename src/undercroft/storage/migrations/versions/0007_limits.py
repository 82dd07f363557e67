"""Limits of keys, teams and users; what a key may call; which process booked a call; keys that are being rotated."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    json = sa.Text().with_variant(postgresql.JSONB(), "postgresql")
    op.create_table(
        "limits",
        sa.Column("organisation", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("measure", sa.Text, nullable=False),
        sa.Column("period", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("organisation", "scope", "subject", "measure", "period", "model", name="limits_pkey"),
    )
    op.add_column("api_keys", sa.Column("models", json))
    op.add_column("api_keys", sa.Column("tags", json))
    op.add_column("api_keys", sa.Column("former_hash", sa.LargeBinary))
    op.add_column("api_keys", sa.Column("former_until_us", sa.BigInteger))
    op.add_column("calls", sa.Column("spool", sa.Text))


def downgrade() -> None:
    op.drop_column("calls", "spool")
    for column in ("former_until_us", "former_hash", "tags", "models"):
        op.drop_column("api_keys", column)
    op.drop_table("limits")
