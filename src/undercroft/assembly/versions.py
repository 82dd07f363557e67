"""What the API and the command line do with versions: each change is one transaction."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec
from sqlalchemy import Connection

from undercroft.assembly.guards import rules_of
from undercroft.assembly.retrieval import filter_of
from undercroft.clock import Clock
from undercroft.errors import InvalidRequest
from undercroft.versions import repository
from undercroft.versions.content import Content, GuardrailContent, Kind, RetrievalContent, Version
from undercroft.versions.folder import Change, Filed, Step, heads_of, sync
from undercroft.versions.reading import read_content

T = TypeVar("T")


class Database(Protocol):
    """Where versions are kept."""

    async def read(self, work: Callable[[Connection], T], /) -> T: ...

    async def write(self, work: Callable[[Connection], T], /) -> T: ...


class VersionDesk:
    """Of one organisation."""

    def __init__(self, database: Database, *, organisation: str, clock: Clock) -> None:
        self._database = database
        self._organisation = organisation
        self._clock = clock

    async def listed(self, kind: Kind | None = None, name: str | None = None) -> list[Version]:
        """Newest first."""
        return await self._database.read(
            partial(repository.listed, organisation=self._organisation, kind=kind, name=name)
        )

    async def find(self, kind: Kind, name: str, reference: str) -> Version:
        """Raises NotFound and Conflict."""
        find = partial(repository.find, kind=kind, name=name, reference=reference, organisation=self._organisation)
        return await self._database.read(find)

    async def create(
        self, kind: Kind, name: str, value: object, *, labels: tuple[str, ...] = (), note: str = "", author: str = ""
    ) -> Version:
        """Keeps a content, and moves labels to it. Raises InvalidRequest, with nothing changed."""
        content, now_us = read_content(kind, value), self._clock.now_us()
        check_usable(content)

        def work(connection: Connection) -> Version:
            own = {"organisation": self._organisation, "now_us": now_us}
            version = repository.add(connection, kind, name, content, note=note, author=author, **own)  # type: ignore[arg-type]
            for label in labels:
                version = repository.label(connection, kind, name, label, version.digest, **own)  # type: ignore[arg-type]
            return version

        return await self._database.write(work)

    async def label(self, kind: Kind, name: str, label: str, reference: str) -> Version:
        """Moves a label. Raises NotFound and InvalidRequest."""
        now_us = self._clock.now_us()
        return await self._database.write(
            lambda connection: repository.label(
                connection, kind, name, label, reference, organisation=self._organisation, now_us=now_us
            )
        )

    async def unlabel(self, kind: Kind, name: str, label: str) -> None:
        """Takes a label away. Raises NotFound."""
        await self._database.write(
            lambda connection: repository.unlabel(connection, kind, name, label, organisation=self._organisation)
        )

    async def sync(self, folder: Path, *, only: Change | None = None, author: str = "") -> list[Step]:
        """Brings folder and database together, the database's side in one transaction. Raises Conflict,
        InvalidRequest."""
        now_us = self._clock.now_us()

        def work(connection: Connection) -> list[Step]:
            versions = repository.listed(connection, organisation=self._organisation)
            store = partial(self._store, connection, author=author, now_us=now_us)
            return sync(folder, heads_of(versions), store=store, only=only)

        return await self._database.write(work)

    def _store(self, connection: Connection, filed: Filed, *, author: str, now_us: int) -> Version:
        try:
            check_usable(filed.content)
        except InvalidRequest as error:
            raise InvalidRequest(f"{filed.path}: {error.message}", param=error.param) from error
        kind, name, own = filed.kind, filed.name, {"organisation": self._organisation}
        version = repository.add(connection, kind, name, filed.content, author=author, now_us=now_us, **own)
        for label in sorted(set(version.labels) - set(filed.labels)):
            repository.unlabel(connection, kind, name, label, **own)
        for label in filed.labels:
            repository.label(connection, kind, name, label, version.digest, now_us=now_us, **own)
        return repository.find(connection, kind, name, version.digest, **own)


def check_usable(content: Content) -> None:
    """Raises InvalidRequest for guards and filters that could not be applied."""
    if isinstance(content, GuardrailContent):
        rules_of(content)
    elif isinstance(content, RetrievalContent):
        filter_of(content)


def shown(version: Version) -> dict[str, Any]:
    """A version as it is shown to people and programs."""
    return {
        "kind": version.kind,
        "name": version.name,
        "version": version.short,
        "digest": version.digest,
        "labels": list(version.labels),
        "content": msgspec.to_builtins(version.content),
        "note": version.note,
        "author": version.author,
        "created_us": version.created_us,
    }
