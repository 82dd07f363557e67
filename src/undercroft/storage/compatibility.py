"""Whether code of an earlier schema goes on working beside a migration: expand first, contract later.

A migration expands when it only adds: tables, columns that may be left out, indexes. One that takes something away, or
demands more, says `works_with = "0018"`: the oldest schema whose code no longer uses what goes. Everybody else is
stopped before it, or it is refused.
"""

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from alembic.operations import Operations, ops
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from undercroft.errors import ConfigurationError

FIRST: Final = "0001"
_HARMLESS_SQL: Final = re.compile(
    r"\s*(CREATE\s+(OR\s+REPLACE\s+)?(FUNCTION|SEQUENCE|INDEX|EXTENSION)|UPDATE|INSERT)\b", re.IGNORECASE
)
_TRIGGER_SQL: Final = re.compile(r"\s*CREATE\s+TRIGGER\b.*?\bON\s+\"?(?P<table>\w+)", re.IGNORECASE | re.DOTALL)


class Judge:
    """Stands where Alembic's `op` does its work: looks at what a migration would do, and does none of it."""

    def __init__(self) -> None:
        self.breaks: list[str] = []
        self._made: set[str] = set()
        context = MigrationContext.configure(
            dialect_name="postgresql", opts={"as_sql": True, "output_buffer": io.StringIO()}
        )
        self._context = context
        self.operations: Any = Operations(context)
        vars(self.operations).update(invoke=self.invoke, batch_alter_table=self.batch_alter_table)

    def invoke(self, operation: ops.MigrateOperation) -> Any:
        if isinstance(operation, ops.CreateTableOp):
            self._made.add(operation.table_name)
            return operation.to_table(self._context)
        if broken := self._broken(operation):
            self.breaks.append(broken)
        return None

    @contextmanager
    def batch_alter_table(self, table_name: str, *_: Any, **__: Any) -> Iterator[Any]:
        yield _Batch(self, table_name)

    def _broken(self, operation: ops.MigrateOperation) -> str:
        """What of the earlier code it would break; empty when nothing."""
        if getattr(operation, "table_name", None) in self._made:
            return ""  # nobody knew that table before
        match operation:
            case ops.AddColumnOp(table_name=table, column=column):
                demands = not column.nullable and column.server_default is None
                return f"adds {table}.{column.name}, which cannot be left out" if demands else ""
            case ops.CreateIndexOp(table_name=table, unique=unique):
                return f"lets {table} hold fewer rows than before (unique index)" if unique else ""
            case ops.DropTableOp(table_name=table):
                return f"drops the table {table}"
            case ops.RenameTableOp(table_name=table):
                return f"renames the table {table}"
            case ops.DropColumnOp(table_name=table, column_name=column):
                return f"drops {table}.{column}"
            case ops.AlterColumnOp():
                return self._altered(operation)
            case ops.AddConstraintOp():
                return (
                    f"lets {getattr(operation, 'table_name', None) or operation.to_constraint().table.name} hold "
                    "fewer rows than before (constraint)"
                )
            case ops.ExecuteSQLOp(sqltext=text):
                return self._executed(str(text))
            case ops.DropIndexOp() | ops.DropConstraintOp() | ops.BulkInsertOp() | ops.CreateTableCommentOp():
                return ""
        return f"does something that cannot be judged ({type(operation).__name__})"

    @staticmethod
    def _altered(operation: ops.AlterColumnOp) -> str:
        column = f"{operation.table_name}.{operation.column_name}"
        if operation.modify_name is not None:
            return f"renames {column}"
        if operation.modify_nullable is False:
            return f"demands {column}, which could be left out"
        if operation.modify_type is not None:
            return f"changes the type of {column}"
        return ""

    def _executed(self, text: str) -> str:
        trigger = _TRIGGER_SQL.match(text)
        if (trigger and trigger["table"] in self._made) or _HARMLESS_SQL.match(text):
            return ""
        return f"runs SQL that cannot be judged ({' '.join(text.split())[:80]})"


class _Batch:
    """The operations of a `batch_alter_table` block, as those of the table itself."""

    def __init__(self, judge: Judge, table: str) -> None:
        self._judge = judge
        self._table = table

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self._judge.operations, name)

        def on_table(first: Any, *arguments: Any, **options: Any) -> Any:
            if name in ("create_index", "drop_index", "create_unique_constraint", "create_check_constraint"):
                return operation(first, self._table, *arguments, **options)
            return operation(self._table, first, *arguments, **options)

        return on_table


def breaks_in(migration: Any) -> list[str]:
    """What of its predecessors' code a migration (a module that has `upgrade`) breaks."""
    judge = Judge()
    judge.operations._install_proxy()  # as Operations.context does it
    try:
        migration.upgrade()
    finally:
        judge.operations._remove_proxy()
    return judge.breaks


@dataclass(frozen=True, slots=True)
class Step:
    """A migration: what of its predecessors' code it breaks, and the oldest schema whose code can live with it, where
    it says so."""

    revision: str
    breaks: tuple[str, ...] = ()
    works_with: str | None = None


def steps(before: str | None = None, target: str = "head") -> list[Step]:
    """The migrations on the way up from one revision to another."""
    from undercroft.storage.migrate import configuration, revisions

    scripts = ScriptDirectory.from_config(configuration())
    wanted = [each for each in revisions() if each > (before or "") and (target == "head" or each <= target)]
    found = []
    for revision in wanted:
        module = scripts.get_revision(revision).module
        found.append(Step(revision, tuple(breaks_in(module)), getattr(module, "works_with", None)))
    return found


def refuse_breaking(way: Sequence[Step], *, beside: str) -> None:
    """Raises ConfigurationError when a migration on the way would break running code that was written for the schema
    `beside`."""
    for step in way:
        said = step.works_with
        if said is None and not step.breaks:
            continue
        if said is None or said > beside:
            through = f"Go by way of a version with schema {said} first, or stop" if said else "Stop"
            raise ConfigurationError(
                f"The migration {step.revision} would break what runs now (schema {beside}): "
                f"{'; '.join(step.breaks)}. Nothing was migrated.",
                hint=f"{through} all that runs, and type: undercroft migrate --stopped",
            )


def oldest_code(way: Sequence[Step]) -> str:
    """The oldest schema whose code can live with a database after these migrations."""
    return max((step.works_with or FIRST for step in way), default=FIRST)
