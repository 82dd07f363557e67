"""Brings a database to a revision of the schema, and says cheaply which one it has.

Alembic costs about 0.15 s to import and is needed only when something changes: the current revision is one row, and
`HEAD` a constant (a test compares it with the migrations). Revisions are numbered, `0001`, `0002` …, in one line.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TextIO

from sqlalchemy import Connection, inspect

from undercroft.errors import ConfigurationError, UndercroftError

if TYPE_CHECKING:
    from alembic.config import Config

HEAD: Final = "0019"
OLDEST_CODE: Final = "oldest_code"
"""A column of Alembic's table: the oldest schema whose code can live with the database."""

_FILES = Path(__file__).parent / "migrations" / "versions"


@dataclass(frozen=True, slots=True)
class SchemaState:
    """Whether the database can be used as it stands. `reason` may be shown to anyone, `detail` to the operator."""

    kind: Literal["ready", "empty", "older", "newer", "unreachable"]
    reason: str = ""
    revision: str | None = None
    detail: str = ""

    @property
    def is_ready(self) -> bool:
        return self.kind == "ready"


def compare(revision: str | None) -> SchemaState:
    """What this code makes of a database at `revision`."""
    if revision is None:
        return SchemaState("empty", f"the schema is empty; run `undercroft migrate` to bring it to {HEAD}")
    if revision == HEAD:
        return SchemaState("ready", revision=revision)
    if revision.isdecimal() and int(revision) < int(HEAD):
        reason = f"the schema is at {revision}; run `undercroft migrate` to bring it to {HEAD}"
        return SchemaState("older", reason, revision)
    reason = f"the schema is at {revision}, which this version of undercroft does not know; it knows up to {HEAD}"
    return SchemaState("newer", reason, revision)


def unreachable(error: UndercroftError) -> SchemaState:
    """The state of a database that answered with `error`; the driver's own words are for the operator."""
    cause = getattr(error.__cause__, "orig", None) or error.__cause__
    return SchemaState("unreachable", error.message, detail=str(cause or ""))


_IS_MIGRATED: Final = {
    "postgresql": "SELECT to_regclass('alembic_version')",
    "sqlite": "SELECT 1 FROM sqlite_schema WHERE name = 'alembic_version'",
}
"""SQLAlchemy's own question takes ten times as long, and every process asks it once a second."""


def read_revision(connection: Connection) -> str | None:
    """The revision a database is at; None before the first migration."""
    if connection.exec_driver_sql(_IS_MIGRATED[connection.dialect.name]).scalar() is None:
        return None
    found: str | None = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return found


def read_state(connection: Connection) -> SchemaState:
    """What this code makes of the database behind `connection`."""
    state = compare(read_revision(connection))
    is_ours = state.kind == "newer" and (state.revision or "").isdecimal()
    if is_ours and (oldest := _oldest_code(connection)) and oldest <= int(HEAD):
        # A newer version has migrated beside us, and left everything that this one uses (storage/compatibility.py).
        return SchemaState("ready", revision=state.revision)
    return state


def _oldest_code(connection: Connection) -> int:
    """The oldest schema whose code can live with this database, as who migrated it has left word; 0: not known.

    It stands beside the revision, in Alembic's own row, and goes with it.
    """
    if OLDEST_CODE not in {column["name"] for column in inspect(connection).get_columns("alembic_version")}:
        return 0
    return int(connection.exec_driver_sql(f"SELECT {OLDEST_CODE} FROM alembic_version").scalar() or 0)  # noqa: S608 - a constant of ours


def _note_oldest_code(connection: Connection, revision: str) -> None:
    from undercroft.storage.compatibility import oldest_code, steps

    oldest = int(oldest_code(steps(target=revision)))
    if OLDEST_CODE not in {column["name"] for column in inspect(connection).get_columns("alembic_version")}:
        connection.exec_driver_sql(f"ALTER TABLE alembic_version ADD COLUMN {OLDEST_CODE} INTEGER")
    connection.exec_driver_sql(f"UPDATE alembic_version SET {OLDEST_CODE} = {oldest}")  # noqa: S608 - a number
    connection.commit()


def revisions() -> list[str]:
    """Every revision there is a migration for, oldest first."""
    return sorted(file.name.partition("_")[0] for file in _FILES.glob("[0-9]*_*.py"))


def move(connection: Connection, target: str) -> tuple[str | None, str | None]:
    """Up or down to `target` (a revision, `head` or `base`); returns the revisions before and after.

    The caller holds the installation's migration lock, and `connection` is in no transaction: the migrations run in
    one of their own, so that a failed one leaves nothing behind.
    """
    _check_target(target)
    state = read_state(connection)
    before = state.revision
    is_there = before == HEAD and target in ("head", HEAD) and _oldest_code(connection) > 0
    connection.rollback()
    if is_there:
        return before, before
    if state.is_ready and before != HEAD and target in ("head", HEAD):
        return before, before  # a newer version has been here, and left what this one needs
    if state.kind == "newer" or (state.is_ready and before != HEAD):
        raise ConfigurationError(
            f"The database cannot be migrated: {state.reason or f'its schema {before} is newer than {HEAD}'}.",
            hint="Install the newer undercroft.",
        )
    from alembic import command

    alembic = configuration()
    alembic.attributes["connection"] = connection
    if target == "base" or (target != "head" and before is not None and target < before):
        command.downgrade(alembic, target)
    else:
        command.upgrade(alembic, target)
    after = read_revision(connection)
    connection.rollback()
    if after is not None:
        _note_oldest_code(connection, after)
    return before, after


def ddl(dialect: str, target: str) -> str:
    """The statements that bring an empty database to `target`, or from one revision to another (`0001:0003`)."""
    from alembic import command

    for revision in target.split(":"):
        _check_target(revision)
    text = io.StringIO()
    alembic = configuration(text)
    alembic.attributes["dialect"] = dialect
    first, _, last = target.partition(":")
    if last and last != "head" and (last == "base" or last < first):
        command.downgrade(alembic, target, sql=True)
    else:
        command.upgrade(alembic, target, sql=True)
    return text.getvalue()


def _check_target(target: str) -> None:
    known = revisions()
    if target not in ("head", "base", *known):
        raise ConfigurationError(
            f"There is no revision {target!r} of the schema.", hint=f"There are: {', '.join(known)}, head, base."
        )


def configuration(output: TextIO | None = None) -> "Config":
    """Alembic's view of our migrations."""
    from alembic.config import Config

    alembic = Config(output_buffer=output)
    # Named by package, not by path: ConfigParser would read a % in a path as its own.
    alembic.set_main_option("script_location", "undercroft.storage:migrations")
    return alembic
