"""Which migrations leave code of an earlier schema at work."""

from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import op

from undercroft.errors import ConfigurationError
from undercroft.storage.compatibility import Step, breaks_in, oldest_code, refuse_breaking, steps
from undercroft.storage.migrate import HEAD, revisions


def broken(upgrade: Any) -> list[str]:
    return breaks_in(SimpleNamespace(upgrade=upgrade))


@pytest.mark.parametrize("step", steps(), ids=lambda step: step.revision)
def test_every_migration_expands_or_says_which_code_can_live_with_it(step: Step) -> None:
    said = step.works_with

    assert not step.breaks or said is not None, (
        f"{step.revision} breaks code that runs while it is made: {'; '.join(step.breaks)}. Expand first; take away "
        f'when no version in use needs it any more, and say so in the migration: works_with = "NNNN"'
    )
    assert said is None or said < step.revision


def expanding() -> None:
    made = op.create_table("fresh", sa.Column("id", sa.Text, primary_key=True))
    op.bulk_insert(made, [{"id": "a"}])
    op.create_index("fresh_id", "fresh", ["id"], unique=True)
    op.execute("CREATE TRIGGER fresh_guard BEFORE UPDATE ON fresh EXECUTE FUNCTION no()")
    op.add_column("calls", sa.Column("note", sa.Text))
    op.add_column("calls", sa.Column("kind", sa.Text, nullable=False, server_default="x"))
    op.create_index("calls_note", "calls", ["note"])
    op.execute("UPDATE calls SET note = ''")
    with op.batch_alter_table("calls") as batch:
        batch.add_column(sa.Column("more", sa.Text))


def test_what_only_adds_breaks_nothing() -> None:
    assert broken(expanding) == []


def batched() -> None:
    with op.batch_alter_table("calls") as batch:
        batch.drop_column("trace")


@pytest.mark.parametrize(
    ("upgrade", "what"),
    [
        (lambda: op.drop_table("calls"), "drops the table calls"),
        (lambda: op.rename_table("calls", "records"), "renames the table calls"),
        (lambda: op.drop_column("calls", "trace"), "drops calls.trace"),
        (lambda: op.alter_column("calls", "trace", new_column_name="span"), "renames calls.trace"),
        (lambda: op.alter_column("calls", "trace", nullable=False), "demands calls.trace, which could be left out"),
        (lambda: op.alter_column("calls", "status", type_=sa.Text), "changes the type of calls.status"),
        (
            lambda: op.add_column("calls", sa.Column("note", sa.Text, nullable=False)),
            "adds calls.note, which cannot be left out",
        ),
        (lambda: op.create_index("one", "calls", ["trace"], unique=True), "lets calls hold fewer rows"),
        (lambda: op.create_unique_constraint("one", "calls", ["trace"]), "lets calls hold fewer rows"),
        (lambda: op.create_check_constraint("one", "calls", "status > 0"), "lets calls hold fewer rows"),
        (lambda: op.create_foreign_key("one", "calls", "teams", ["team"], ["id"]), "lets calls hold fewer rows"),
        (lambda: op.execute("ALTER TABLE calls DROP COLUMN trace"), "runs SQL that cannot be judged"),
        (lambda: op.execute("CREATE TRIGGER no BEFORE INSERT ON calls BEGIN SELECT 1; END"), "runs SQL"),
        (batched, "drops calls.trace"),
    ],
)
def test_what_takes_away_or_demands_is_named(upgrade: Any, what: str) -> None:
    (said,) = broken(upgrade)
    assert said.startswith(what)


LINE = [Step("0002"), Step("0003", ("drops it",), "0002")]


def test_a_contraction_is_refused_beside_code_that_needs_what_goes() -> None:
    refusal = r"0003 would break what runs now \(schema 0001\): drops it.*by way of a version with schema 0002"
    with pytest.raises(ConfigurationError, match=refusal):
        refuse_breaking(LINE, beside="0001")
    refuse_breaking(LINE, beside="0002")
    refuse_breaking(LINE[:1], beside="0001")


def test_one_that_does_not_say_whom_it_spares_spares_nobody() -> None:
    with pytest.raises(ConfigurationError, match="migrate --stopped"):
        refuse_breaking([Step("0003", ("drops it",))], beside="0002")


def test_a_database_is_for_the_code_that_the_strictest_migration_spares() -> None:
    assert oldest_code([]) == "0001"
    assert oldest_code([*LINE, Step("0004")]) == "0002"


def test_the_migrations_on_the_way_are_those_behind_one_and_up_to_another() -> None:
    assert [step.revision for step in steps()] == revisions()
    assert [step.revision for step in steps("0002", "0004")] == ["0003", "0004"]
    assert steps(HEAD) == []
