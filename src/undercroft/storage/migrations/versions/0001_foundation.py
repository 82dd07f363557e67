"""Organisation, team, user and key with their default rows; the ledger; spools, duties and versions."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# A migration keeps its own copy of the types: it must go on making what it made when it was written.
JSON = sa.Text().with_variant(postgresql.JSONB(), "postgresql")


def text(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names]


def bigint(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=False) for name in names]


def integer(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.Integer, nullable=False) for name in names]


def upgrade() -> None:
    organisations = op.create_table(
        "organisations",
        *text("id", "name"),
        *bigint("created_us"),
        sa.PrimaryKeyConstraint("id", name="organisations_pkey"),
    )
    teams = op.create_table(
        "teams",
        *text("organisation", "id", "name"),
        *bigint("created_us"),
        sa.PrimaryKeyConstraint("organisation", "id", name="teams_pkey"),
        sa.ForeignKeyConstraint(["organisation"], ["organisations.id"], name="teams_organisation_fkey"),
    )
    users = op.create_table(
        "users",
        *text("organisation", "id", "team", "name"),
        *bigint("created_us"),
        sa.PrimaryKeyConstraint("organisation", "id", name="users_pkey"),
        sa.ForeignKeyConstraint(["organisation", "team"], ["teams.organisation", "teams.id"], name="users_team_fkey"),
    )
    op.create_table(
        "api_keys",
        *text("organisation", "id", "team", "user_id", "name"),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("permissions", JSON, nullable=False),
        *bigint("created_us"),
        sa.Column("expires_us", sa.BigInteger),
        sa.Column("revoked_us", sa.BigInteger),
        sa.PrimaryKeyConstraint("organisation", "id", name="api_keys_pkey"),
        sa.ForeignKeyConstraint(
            ["organisation", "team"], ["teams.organisation", "teams.id"], name="api_keys_team_fkey"
        ),
        sa.ForeignKeyConstraint(
            ["organisation", "user_id"], ["users.organisation", "users.id"], name="api_keys_user_fkey"
        ),
    )
    op.create_table(
        "calls",
        *text("organisation", "id"),
        *bigint("started_us", "duration_us"),
        *text("team", "user_id", "key", "endpoint", "model", "provider", "deployment", "upstream_model", "release"),
        *integer("status"),
        *text("error"),
        *integer("attempts"),
        *bigint("first_token_us", "input_tokens", "output_tokens"),
        *bigint("cache_read_tokens", "cache_write_tokens", "reasoning_tokens"),
        sa.Column("usage_estimated", sa.Boolean, nullable=False),
        *bigint("cost_nano"),
        *text("price", "cache"),
        sa.Column("streamed", sa.Boolean, nullable=False),
        *text("trace", "end_user"),
        sa.Column("tags", JSON, nullable=False),
        *integer("format"),
        sa.PrimaryKeyConstraint("organisation", "id", name="calls_pkey"),
    )
    op.create_index("calls_started", "calls", ["organisation", "started_us"])
    op.create_index("calls_key_started", "calls", ["organisation", "key", "started_us"])
    op.create_table(
        "spool_offsets",
        *text("spool"),
        *bigint("segment", "position", "updated_us"),
        sa.PrimaryKeyConstraint("spool", name="spool_offsets_pkey"),
    )
    op.create_table(
        "duties",
        *text("name", "holder"),
        *bigint("token", "lease_until_us"),
        sa.PrimaryKeyConstraint("name", name="duties_pkey"),
    )
    op.create_table(
        "versions",
        *text("name"),
        *bigint("counter"),
        sa.PrimaryKeyConstraint("name", name="versions_pkey"),
    )
    # Made with the schema, at no particular moment.
    default = {"id": "default", "name": "default", "created_us": 0}
    op.bulk_insert(organisations, [default])
    op.bulk_insert(teams, [default | {"organisation": "default"}])
    op.bulk_insert(users, [default | {"organisation": "default", "team": "default"}])


def downgrade() -> None:
    for table in ("versions", "duties", "spool_offsets", "calls", "api_keys", "users", "teams", "organisations"):
        op.drop_table(table)
