"""Installations with something in every table, to be backed up and compared with what was restored."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from sqlalchemy import BigInteger, Boolean, Connection, Float, Integer, LargeBinary, Table, insert

from tests.support.clock import ManualClock
from undercroft.access.audit import Act, Origin, append, verify
from undercroft.access.secret_repository import every_token, set_secret
from undercroft.assembly.files import cabinet_of
from undercroft.assembly.secrets import StoredSecrets
from undercroft.backups import tables
from undercroft.backups.tables import Sum
from undercroft.files.types import Cursor, Label
from undercroft.ids import Ids
from undercroft.record import Who
from undercroft.settings.model import Database as DatabaseSettings
from undercroft.settings.model import Settings
from undercroft.storage.engine import Database, open_database
from undercroft.storage.schema import Json

SECRET = "sk-of-a-provider"
CONTENT = bytes(range(256)) * 3000
"""More than one piece of a blob, wherever it is kept."""
NOW_US = round(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1_000_000)
FILLED_OTHERWISE = ("audit", "versions", "secrets", "files", "organisations", "teams", "users")
ROWS = 7


def settings_of(folder: Path, url: str | None = None, **more: Any) -> Settings:
    database = DatabaseSettings(url=None if url is None else SecretStr(url))
    return Settings(data_dir=folder, database=database, **more)


def opened(settings: Settings, *, migrates: bool = False) -> Database:
    url = settings.database.url
    return open_database(
        url.get_secret_value() if url else None,
        data_dir=settings.data_dir,
        pool_size=4,
        clock=ManualClock(),
        migrates=migrates,
    )


async def fill(settings: Settings, database: Database) -> None:
    """Rows in every table, a stored secret, audited acts, and files."""
    database.migrate()
    await database.write(partial(_fill_tables, hook_secret=StoredSecrets(settings).seal("whsec_of-a-webhook")))
    for number in range(3):
        act = partial(
            append,
            act=Act(action="key.create", subject=str(number)),
            origin=Origin(organisation="default", actor="test"),
        )
        await database.write(partial(act, now_us=NOW_US))
    token = StoredSecrets(settings).seal(SECRET)
    await database.write(partial(set_secret, name="openai", token=token, organisation="default", now_us=NOW_US))
    clock = ManualClock()
    cabinet = cabinet_of(settings, database=database, ids=Ids(clock), clock=clock)
    for name, content in (("large.bin", CONTENT), ("empty.txt", b"")):
        await cabinet.create(Who(), Label(filename=name, purpose="user_data"), pieces(content))


async def pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 100_000):
        yield content[start : start + 100_000]


def _fill_tables(connection: Connection, *, hook_secret: str) -> None:
    for table in tables.tables():
        if table.name not in FILLED_OTHERWISE:
            numbers = range(1 if table.name == "accounts" else ROWS)  # there is one user that may have an account
            connection.execute(insert(table), [row_of(table, number, hook_secret) for number in numbers])


def row_of(table: Table, number: int, hook_secret: str) -> dict[str, Any]:
    row = {column.name: _value(column.type, column.name, number) for column in table.columns}
    if table.foreign_key_constraints:  # what they refer to is there
        default = {"organisation": "default", "team": "default", "user_id": "default"}
        row |= {name: value for name, value in default.items() if name in table.columns}
    return row | ({"secret": hook_secret} if table.name in ("webhooks", "signing_secrets") else {})


def _value(kind: Any, name: str, number: int) -> Any:
    match kind:
        case Boolean():
            return number % 2 == 0
        case BigInteger():
            return number * 2**40
        case Integer():
            return number
        case Float():
            return number / 3
        case LargeBinary():
            return bytes([number, 0, 255])
        case Json():
            return {"b": number, "a": [1.5, None, "ü"], "": number == 3}
    return f"{name}-{number} 'quoted' \u2028 ü"


def sums(database: Database) -> dict[str, Sum]:
    """Rows and checksums of every table, whichever database it is."""

    def summed(connection: Connection) -> dict[str, Sum]:
        return {table.name: tables.summed(tables.lines_of(connection, table)) for table in tables.tables()}

    return database.read_sync(summed)


def audit_fault(database: Database) -> str:
    return database.read_sync(verify).fault


def tokens(database: Database) -> dict[str, str]:
    return database.read_sync(lambda connection: dict(every_token(connection)))


async def contents(settings: Settings, database: Database) -> dict[str, bytes]:
    """Every file's bytes by its name, as the server would read them."""
    clock = ManualClock()
    cabinet = cabinet_of(settings, database=database, ids=Ids(clock), clock=clock)
    found = {}
    for file in await cabinet.page("default", Cursor(limit=100)):
        found[file.filename] = b"".join([piece async for piece in cabinet.content(file)])
    return found
