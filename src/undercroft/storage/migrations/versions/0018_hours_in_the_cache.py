"""How much of a prompt was written to a provider's cache for an hour: it has a price of its own."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # May be missing: a process of the version before writes no such column while the two run side by side.
    op.add_column("calls", sa.Column("cache_write_long_tokens", sa.BigInteger))


def downgrade() -> None:
    op.drop_column("calls", "cache_write_long_tokens")
