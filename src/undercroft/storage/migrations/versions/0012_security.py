"""Stored secrets, accounts and their sessions, what a key is bound to, and the audit log, which only grows."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    json = sa.Text().with_variant(postgresql.JSONB(), "postgresql")
    for column in ("networks", "routes"):
        op.add_column("api_keys", sa.Column(column, json))
    op.add_column("api_keys", sa.Column("maker", sa.Text))
    op.create_table(
        "secrets",
        sa.Column("organisation", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("token", sa.Text, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("changed_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("organisation", "name", name="secrets_pkey"),
    )
    op.create_table(
        "accounts",
        sa.Column("organisation", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("password", sa.Text, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("disabled_us", sa.BigInteger),
        sa.PrimaryKeyConstraint("organisation", "user_id", name="accounts_pkey"),
        sa.ForeignKeyConstraint(
            ["organisation", "user_id"], ["users.organisation", "users.id"], name="accounts_user_fkey"
        ),
    )
    op.create_table(
        "sessions",
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("organisation", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("expires_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("hash", name="sessions_pkey"),
    )
    op.create_index("sessions_expires", "sessions", ["expires_us"])
    op.create_table(
        "sign_in_failures",
        sa.Column("bucket", sa.Text, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("until_us", sa.BigInteger, nullable=False),
        sa.Column("forget_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("bucket", name="sign_in_failures_pkey"),
    )
    op.create_table(
        "audit",
        sa.Column("number", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("organisation", sa.Text, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("details", sa.Text, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("number", name="audit_pkey"),
    )
    op.create_index("audit_organisation", "audit", ["organisation", "number"])
    _guard_audit()


def _guard_audit() -> None:
    if op.get_context().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION audit_only_grows() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'the audit log only grows'; END $$"
        )
        op.execute(
            "CREATE TRIGGER audit_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON audit "
            "FOR EACH STATEMENT EXECUTE FUNCTION audit_only_grows()"
        )
    else:
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER audit_no_{verb.lower()} BEFORE {verb} ON audit "
                "BEGIN SELECT RAISE(ABORT, 'the audit log only grows'); END"
            )


def downgrade() -> None:
    op.drop_table("audit")  # with its triggers
    if op.get_context().dialect.name == "postgresql":
        op.execute("DROP FUNCTION audit_only_grows()")
    for table in ("sign_in_failures", "sessions", "accounts", "secrets"):
        op.drop_table(table)
    for column in ("maker", "routes", "networks"):
        op.drop_column("api_keys", column)
