"""Secrets that are sent in, and the search for them in everything that comes out."""

import base64
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from urllib.parse import quote, quote_plus

from sqlalchemy import select

from undercroft.clock import SystemClock
from undercroft.storage.engine import open_database
from undercroft.storage.schema import metadata

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True)
class Canary:
    """A text that must turn up nowhere but in places that begin with one of `allowed`."""

    name: str
    text: str
    allowed: tuple[str, ...] = ()

    def forms(self) -> set[str]:
        """The text as it is, in base64 wherever it may begin, and as addresses write it."""
        data = self.text.encode()
        found = {self.text, quote(self.text), quote(self.text, safe=""), quote_plus(self.text), data.hex()}
        for shift in range(3):  # base64 works in groups of three bytes; what shares one with something else is left out
            coded = base64.b64encode(bytes(shift) + data).decode()
            core = coded[-(-shift * 8 // 6) : (shift + len(data)) * 8 // 6]
            found |= {core, core.replace("+", "-").replace("/", "_")}
        return found


@dataclass
class Canaries:
    """All of them. The same seed gives the same texts."""

    rng: Random = field(default_factory=lambda: Random(4))
    planted: dict[str, Canary] = field(default_factory=dict)

    def make(self, name: str, form: str = "{}", *, allowed: tuple[str, ...] = ()) -> str:
        """A new text of this form; `{}` stands for what is random in it."""
        return self.know(name, form.format("".join(self.rng.choices(LETTERS, k=32))), allowed=allowed)

    def know(self, name: str, text: str, *, allowed: tuple[str, ...] = ()) -> str:
        """One that somebody else has made."""
        assert name not in self.planted, name
        assert len(text) >= 16, (name, text)
        self.planted[name] = Canary(name, text, allowed)
        return text

    def found_in(self, said: Mapping[str, str]) -> list[tuple[str, str]]:
        """Names of secrets, and where they should not be."""
        return [
            (canary.name, place)
            for canary in self.planted.values()
            for place, text in said.items()
            if not place.startswith(canary.allowed)
            if any(form in text for form in canary.forms())
        ]


def tables(folder: Path, url: str | None) -> Iterator[tuple[str, str]]:
    """Every table that the database has."""
    database = open_database(url, data_dir=folder / ".undercroft", pool_size=1, clock=SystemClock(), migrates=False)
    try:
        for table in metadata.sorted_tables:
            rows = database.read_sync(lambda connection, table=table: connection.execute(select(table)).all())  # type: ignore[misc]
            yield f"table:{table.name}", "\n".join(str(tuple(row)) for row in rows)
    finally:
        database.close()


def files(folder: Path) -> Iterator[tuple[str, str]]:
    """Every file below, and what is inside of archives."""
    for path in folder.rglob("*"):
        if path.is_file():
            name = str(path.relative_to(folder))
            yield f"file:{name}", path.read_bytes().decode("latin-1")
            if zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as archive:
                    for entry in archive.namelist():
                        yield f"file:{name}/{entry}", archive.read(entry).decode("latin-1")
