"""Which call a stored chat completion came of: an answer that was passed on has its provider's id."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("chat_completions", sa.Column("call", sa.Text))
    op.create_index("chat_completions_call", "chat_completions", ["organisation", "call"])


def downgrade() -> None:
    op.drop_index("chat_completions_call", "chat_completions")
    op.drop_column("chat_completions", "call")
