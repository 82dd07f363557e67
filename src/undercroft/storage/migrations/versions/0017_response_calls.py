"""Which call a kept response came of: a response that was passed on has its provider's id."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # May be missing: a process of the version before writes no such column while the two run side by side.
    op.add_column("responses", sa.Column("call", sa.Text))
    op.create_index("responses_call", "responses", ["organisation", "call"])


def downgrade() -> None:
    op.drop_index("responses_call", "responses")
    op.drop_column("responses", "call")
