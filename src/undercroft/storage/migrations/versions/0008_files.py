"""Files with their bytes, and batches with their items."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names]


def _numbers(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=False) for name in names]


def _partial(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, postgresql_where=sa.text(where), sqlite_where=sa.text(where))


def upgrade() -> None:
    json = sa.Text().with_variant(postgresql.JSONB(), "postgresql")
    op.create_table(
        "files",
        *_texts("organisation", "id", "team", "user_id", "key", "state", "purpose", "filename"),
        *_numbers("size_bytes", "created_us", "expires_us"),
        sa.PrimaryKeyConstraint("organisation", "id", name="files_pkey"),
    )
    op.create_index("files_created", "files", ["organisation", "created_us"])
    _partial("files_expires", "files", ["expires_us"], "expires_us > 0")
    op.create_table(
        "blob_pieces",
        *_texts("organisation", "name"),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("organisation", "name", "number", name="blob_pieces_pkey"),
    )
    op.create_table(
        "batches",
        *_texts("organisation", "id", "team", "user_id", "key", "status"),
        sa.Column("active", sa.Boolean, nullable=False),
        *_texts("ending", "endpoint", "input_file", "output_file", "error_file"),
        sa.Column("metadata", json, nullable=False),
        *_numbers("output_expires_s"),
        *_texts("model"),
        *(sa.Column(name, sa.Integer, nullable=False) for name in ("total", "fed", "completed", "failed")),
        *(sa.Column(name, json, nullable=False) for name in ("usage", "errors")),
        *_numbers("created_us", "expires_us", "in_progress_us", "finalizing_us", "cancelling_us", "ended_us"),
        sa.PrimaryKeyConstraint("organisation", "id", name="batches_pkey"),
    )
    op.create_index("batches_created", "batches", ["organisation", "created_us"])
    _partial("batches_active", "batches", ["created_us"], "active")
    op.create_table(
        "batch_items",
        *_texts("organisation", "batch"),
        sa.Column("line", sa.Integer, nullable=False),
        *_texts("job", "custom_id", "outcome", "answer"),
        sa.Column("usage", json, nullable=False),
        sa.PrimaryKeyConstraint("organisation", "batch", "line", name="batch_items_pkey"),
    )
    op.create_index("batch_items_outcome", "batch_items", ["organisation", "batch", "outcome"])


def downgrade() -> None:
    for table in ("batch_items", "batches", "blob_pieces", "files"):
        op.drop_table(table)
