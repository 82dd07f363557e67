"""Which revision is what, without a database."""

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from undercroft.errors import ConfigurationError
from undercroft.storage.migrate import HEAD, compare, ddl, revisions


def scripts() -> ScriptDirectory:
    configuration = Config()
    configuration.set_main_option("script_location", "undercroft.storage:migrations")
    return ScriptDirectory.from_config(configuration)


def test_head_is_the_newest_migration() -> None:
    assert scripts().get_heads() == [HEAD]


def test_the_migrations_are_one_line_of_numbers_named_as_their_files() -> None:
    line = [script.revision for script in scripts().walk_revisions()][::-1]
    assert line == revisions() == [f"{number:04}" for number in range(1, len(line) + 1)]


@pytest.mark.parametrize(
    ("revision", "kind"),
    [(None, "empty"), ("0000", "older"), (HEAD, "ready"), ("9999", "newer"), ("c0ffee", "newer"), ("", "newer")],
)
def test_a_revision_is_older_current_newer_or_foreign(revision: str | None, kind: str) -> None:
    state = compare(revision)
    assert state.kind == kind
    assert (HEAD in state.reason) is (kind != "ready")


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_the_statements_can_be_had_as_text(dialect: str) -> None:
    text = ddl(dialect, "head")
    assert "CREATE TABLE calls" in text
    assert f"SET version_num='{HEAD}'" in text
    assert ("JSONB" in text) is (dialect == "postgresql")
    assert "DROP TABLE calls" in ddl(dialect, f"{HEAD}:base")


def test_the_text_of_an_unknown_revision_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no revision '0001x'"):
        ddl("sqlite", "0001:0001x")
