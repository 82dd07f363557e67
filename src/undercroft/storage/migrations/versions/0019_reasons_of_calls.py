"""How a call's deployments were chosen, and why a call was turned away: what `undercroft why` tells of it."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # May be missing: a process of the version before writes no such columns while the two run side by side.
    op.add_column("calls", sa.Column("chosen", sa.Text))
    op.add_column("calls", sa.Column("because", sa.Text))


def downgrade() -> None:
    op.drop_column("calls", "because")
    op.drop_column("calls", "chosen")
