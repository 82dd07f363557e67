"""Versions and labels in the database."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, and_, delete, select

from undercroft.errors import Conflict, NotFound
from undercroft.storage.counters import RELEASES
from undercroft.storage.schema import content_labels, content_versions, insert
from undercroft.storage.versions import bump
from undercroft.versions.content import (
    CONTENTS,
    LATEST,
    LEAST_PREFIX,
    Content,
    Kind,
    Version,
    canonical,
    check_label,
    check_name,
    digest_of,
    is_address,
)


def add(
    connection: Connection,
    kind: Kind,
    name: str,
    content: Content,
    *,
    organisation: str,
    note: str = "",
    author: str = "",
    now_us: int,
) -> Version:
    """Keeps a content under a name, as the latest; the same content again is the version that there is. Raises
    InvalidRequest."""
    check_name(name)
    digest = digest_of(kind, content)
    row = {
        "organisation": organisation,
        "kind": kind,
        "name": name,
        "digest": digest,
        "content": canonical(content).decode(),
        "note": note,
        "author": author,
        "created_us": now_us,
    }
    connection.execute(
        insert(connection, content_versions)
        .values(**row)
        .on_conflict_do_update(index_elements=["organisation", "kind", "name", "digest"], set_={"created_us": now_us})
    )
    bump(connection, RELEASES)
    return find(connection, kind, name, digest, organisation=organisation)


def find(connection: Connection, kind: Kind, name: str, reference: str = LATEST, *, organisation: str) -> Version:
    """The version that a label, `latest` or the beginning of an address means. Raises NotFound and Conflict."""
    return chosen(listed(connection, organisation=organisation, kind=kind, name=name), kind, name, reference)


def chosen(versions: Sequence[Version], kind: Kind, name: str, reference: str) -> Version:
    """The one of a name's versions, newest first, that is meant. Raises NotFound and Conflict."""
    if not versions:
        raise NotFound(f"There is no {kind} '{name}'.", code="version_not_found")
    if reference == LATEST:
        return versions[0]
    labelled = [each for each in versions if reference in each.labels]
    if labelled:
        return labelled[0]
    found = [each for each in versions if each.digest.startswith(reference)] if is_address(reference) else []
    if len(found) > 1:
        raise Conflict(f"{reference!r} is the beginning of {len(found)} versions of the {kind} '{name}'.")
    if not found:
        labels = sorted({label for each in versions for label in each.labels})
        raise NotFound(
            f"The {kind} '{name}' has no version '{reference[:100]}'.",
            code="version_not_found",
            hint=f"It has the labels {', '.join([LATEST, *labels])}, and addresses of {LEAST_PREFIX} digits or more.",
        )
    return found[0]


def listed(
    connection: Connection, *, organisation: str, kind: Kind | None = None, name: str | None = None
) -> list[Version]:
    """Newest first, with their labels."""
    wanted = {"organisation": organisation, "kind": kind, "name": name}
    return _read(connection, {column: value for column, value in wanted.items() if value is not None})


def listed_everywhere(connection: Connection) -> list[Version]:
    """Those of every organisation, newest first."""
    return _read(connection, {})


def _read(connection: Connection, wanted: Mapping[str, str]) -> list[Version]:
    labels: dict[tuple[str, str, str, str], list[str]] = {}
    labelled = select(content_labels).where(*(content_labels.c[name] == value for name, value in wanted.items()))
    for row in connection.execute(labelled.order_by(content_labels.c.label)):
        labels.setdefault((row.organisation, row.kind, row.name, row.digest), []).append(row.label)
    own = select(content_versions).where(*(content_versions.c[name] == value for name, value in wanted.items()))
    newest = (content_versions.c.created_us.desc(), content_versions.c.digest)
    return [
        version_of(row, labels.get((row.organisation, row.kind, row.name, row.digest), ()))
        for row in connection.execute(own.order_by(*newest))
    ]


def label(
    connection: Connection, kind: Kind, name: str, label: str, reference: str, *, organisation: str, now_us: int
) -> Version:
    """Moves a label to a version; whoever asks for the label gets that one from now on. Raises NotFound."""
    check_label(label)
    digest = find(connection, kind, name, reference, organisation=organisation).digest
    place = {"organisation": organisation, "kind": kind, "name": name, "label": label}
    fresh = insert(connection, content_labels).values(**place, digest=digest, moved_us=now_us)
    connection.execute(
        fresh.on_conflict_do_update(index_elements=list(place), set_={"digest": digest, "moved_us": now_us})
    )
    bump(connection, RELEASES)
    return find(connection, kind, name, digest, organisation=organisation)


def unlabel(connection: Connection, kind: Kind, name: str, label: str, *, organisation: str) -> None:
    """Takes a label away. Raises NotFound where there is none."""
    own = and_(
        content_labels.c.organisation == organisation,
        content_labels.c.kind == kind,
        content_labels.c.name == name,
        content_labels.c.label == label,
    )
    if not connection.execute(delete(content_labels).where(own)).rowcount:
        raise NotFound(f"The {kind} '{name}' has no label '{label[:100]}'.", code="version_not_found")
    bump(connection, RELEASES)


def version_of(row: Any, labels: Sequence[str]) -> Version:
    """A row with its labels."""
    kind: Kind = row.kind
    return Version(
        organisation=row.organisation,
        kind=kind,
        name=row.name,
        digest=row.digest,
        content=msgspec.json.decode(row.content, type=CONTENTS[kind]),
        note=row.note,
        author=row.author,
        created_us=row.created_us,
        labels=tuple(labels),
    )
