"""What was ingested into vector collections, and OpenAI's vector stores with their files."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    json = sa.Text().with_variant(postgresql.JSONB(), "postgresql")
    op.create_table(
        "ingested_sources",
        sa.Column("organisation", sa.Text, nullable=False),
        sa.Column("collection", sa.Text, nullable=False),
        sa.Column("namespace", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("generation", sa.Text, nullable=False),
        sa.Column("writing", sa.Text, nullable=False),
        sa.Column("litter", json, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("chunks", sa.BigInteger, nullable=False),
        sa.Column("tokens", sa.BigInteger, nullable=False),
        sa.Column("text_bytes", sa.BigInteger, nullable=False),
        sa.Column("updated_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("organisation", "collection", "namespace", "source", name="ingested_sources_pkey"),
    )
    op.create_index("ingested_sources_generation", "ingested_sources", ["generation"])
    op.create_table(
        "vector_stores",
        sa.Column("organisation", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("metadata", json, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("collection", sa.Text, nullable=False),
        sa.Column("expires_days", sa.Integer),
        sa.Column("expires_us", sa.BigInteger),
        sa.Column("active_us", sa.BigInteger, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("is_gone", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("organisation", "id", name="vector_stores_pkey"),
    )
    op.create_index("vector_stores_created", "vector_stores", ["organisation", "created_us"])
    op.create_index("vector_stores_expires", "vector_stores", ["expires_us"])
    op.create_table(
        "vector_store_files",
        sa.Column("organisation", sa.Text, nullable=False),
        sa.Column("vector_store", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("batch", sa.Text, nullable=False),
        sa.Column("job", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("error_code", sa.Text, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("attributes", json, nullable=False),
        sa.Column("strategy", sa.Text, nullable=False),
        sa.Column("size_tokens", sa.Integer, nullable=False),
        sa.Column("overlap_tokens", sa.Integer, nullable=False),
        sa.Column("usage_bytes", sa.BigInteger, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("organisation", "vector_store", "id", name="vector_store_files_pkey"),
    )
    op.create_index("vector_store_files_batch", "vector_store_files", ["organisation", "batch"])
    op.create_table(
        "vector_store_batches",
        sa.Column("organisation", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("vector_store", sa.Text, nullable=False),
        sa.Column("cancelled", sa.Boolean, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("organisation", "id", name="vector_store_batches_pkey"),
    )


def downgrade() -> None:
    op.drop_table("vector_store_batches")
    op.drop_table("vector_store_files")
    op.drop_table("vector_stores")
    op.drop_table("ingested_sources")
