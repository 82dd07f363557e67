"""Who may do what, and who did (access/)."""

from sqlalchemy import BigInteger, Column, ForeignKeyConstraint, Index, Integer, LargeBinary, Table, Text

from undercroft.storage.schema.base import Json, metadata

organisations = Table(
    "organisations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
)

teams = Table(
    "teams",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    ForeignKeyConstraint(["organisation"], ["organisations.id"], name="teams_organisation_fkey"),
)

users = Table(
    "users",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("team", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    ForeignKeyConstraint(["organisation", "team"], ["teams.organisation", "teams.id"], name="users_team_fkey"),
)

# `user` alone is a trap in PostgreSQL: `SELECT user FROM calls` answers with the session's user. Hence `user_id`.

api_keys = Table(
    "api_keys",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("team", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("permissions", Json, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger),
    Column("revoked_us", BigInteger),
    Column("models", Json),
    Column("tags", Json),
    Column("former_hash", LargeBinary),
    Column("former_until_us", BigInteger),
    Column("networks", Json),
    Column("routes", Json),
    Column("maker", Text),
    ForeignKeyConstraint(["organisation", "team"], ["teams.organisation", "teams.id"], name="api_keys_team_fkey"),
    ForeignKeyConstraint(["organisation", "user_id"], ["users.organisation", "users.id"], name="api_keys_user_fkey"),
)

# Secrets that the settings name as `secret:NAME`: Fernet tokens, never text.
secrets = Table(
    "secrets",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("token", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("changed_us", BigInteger, nullable=False),
)

# People who sign in with a password; `password` is an Argon2id hash in PHC form.
accounts = Table(
    "accounts",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("role", Text, nullable=False),
    Column("password", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("disabled_us", BigInteger),
    ForeignKeyConstraint(["organisation", "user_id"], ["users.organisation", "users.id"], name="accounts_user_fkey"),
)

# Who is signed in, by the hash of the cookie.
sessions = Table(
    "sessions",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("organisation", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Index("sessions_expires", "expires_us"),
)

# Failed sign-ins by account and by address, for all processes together.
sign_in_failures = Table(
    "sign_in_failures",
    metadata,
    Column("bucket", Text, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("until_us", BigInteger, nullable=False),
    Column("forget_us", BigInteger, nullable=False),
)

# Every act of management, chained by hash. Triggers refuse UPDATE and DELETE (the migration has them).
audit = Table(
    "audit",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("organisation", Text, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("request", Text, nullable=False),
    Column("details", Text, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Index("audit_organisation", "organisation", "number"),
)
