"""Chat completions whose callers asked for them to be kept."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    json = sa.Text().with_variant(postgresql.JSONB(), "postgresql")
    op.create_table(
        "chat_completions",
        sa.Column("organisation", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("metadata", json, nullable=False),
        sa.Column("messages", sa.Text, nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("expires_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("organisation", "id", name="chat_completions_pkey"),
    )
    op.create_index("chat_completions_created", "chat_completions", ["organisation", "created_us"])
    op.create_index("chat_completions_expires", "chat_completions", ["expires_us"])


def downgrade() -> None:
    op.drop_table("chat_completions")
