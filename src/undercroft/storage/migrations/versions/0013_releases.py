"""Versions and their labels, releases and how they are rolled out, feedback; which calls a model refused to answer."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

TEXT, WHOLE = sa.Text, sa.BigInteger


def _table(name: str, keys: list[str], **columns: type) -> None:
    op.create_table(
        name,
        *(sa.Column(key, sa.Text, nullable=False) for key in keys),
        *(sa.Column(column, kind, nullable=False) for column, kind in columns.items()),
        sa.PrimaryKeyConstraint(*keys, name=f"{name}_pkey"),
    )


def upgrade() -> None:
    _table(
        "content_versions",
        ["organisation", "kind", "name", "digest"],
        content=TEXT,
        note=TEXT,
        author=TEXT,
        created_us=WHOLE,
    )
    _table("content_labels", ["organisation", "kind", "name", "label"], digest=TEXT, moved_us=WHOLE)
    _table("releases", ["organisation", "id"], alias=TEXT, manifest=TEXT, note=TEXT, author=TEXT, created_us=WHOLE)
    _table("release_aliases", ["organisation", "alias"], current=TEXT, previous=TEXT, changed_us=WHOLE)
    _table(
        "rollouts",
        ["organisation", "id"],
        alias=TEXT,
        stable=TEXT,
        candidate=TEXT,
        plan=TEXT,
        thresholds=TEXT,
        state=TEXT,
        step=sa.Integer,
        step_us=WHOLE,
        revision=sa.Integer,
        reason=TEXT,
        created_us=WHOLE,
    )
    under_way = sa.text("state IN ('running', 'paused')")
    op.create_index(
        "rollouts_open",
        "rollouts",
        ["organisation", "alias"],
        unique=True,
        postgresql_where=under_way,
        sqlite_where=under_way,
    )
    _table(
        "release_moves",
        ["organisation", "id"],
        alias=TEXT,
        rollout=TEXT,
        release=TEXT,
        move=TEXT,
        author=TEXT,
        reason=TEXT,
        evidence=TEXT,
        at_us=WHOLE,
    )
    op.create_index("release_moves_alias", "release_moves", ["organisation", "alias", "at_us"])
    op.create_table(
        "feedback",
        sa.Column("organisation", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("response", sa.Text, nullable=False),
        sa.Column("call", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("score", sa.Float),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("organisation", "id", name="feedback_pkey"),
    )
    op.create_index("feedback_call", "feedback", ["organisation", "call"])
    op.create_index("feedback_created", "feedback", ["organisation", "created_us"])
    op.add_column("calls", sa.Column("refused", sa.Boolean, nullable=False, server_default=sa.text("false")))
    made_by_one = sa.text("release <> ''")
    op.create_index(
        "calls_release_started",
        "calls",
        ["organisation", "release", "started_us"],
        postgresql_where=made_by_one,
        sqlite_where=made_by_one,
    )


def downgrade() -> None:
    op.drop_index("calls_release_started", "calls")
    op.drop_column("calls", "refused")
    for table in (
        "feedback",
        "release_moves",
        "rollouts",
        "release_aliases",
        "releases",
        "content_labels",
        "content_versions",
    ):
        op.drop_table(table)
