"""Releases, what their aliases run, and rollouts, in the database."""

from typing import Any

import msgspec
from sqlalchemy import Connection, and_, func, select, update

from undercroft.errors import Conflict, NotFound
from undercroft.releases.types import Manifest, Moved, Plan, Release, Rollout, Thresholds, release_id
from undercroft.storage.counters import RELEASES
from undercroft.storage.schema import insert, release_aliases, release_moves, releases, rollouts
from undercroft.storage.versions import bump

OPEN = ("running", "paused")


class Alias(msgspec.Struct, frozen=True, kw_only=True):
    """What answers for a name. Empty texts: nothing yet."""

    organisation: str
    alias: str
    current: str = ""
    previous: str = ""
    changed_us: int = 0


def add_release(
    connection: Connection, manifest: Manifest, *, organisation: str, note: str, author: str, now_us: int
) -> tuple[Release, bool]:
    """The release of this manifest, and whether it is new."""
    release = release_id(manifest)
    row = {
        "organisation": organisation,
        "id": release,
        "alias": manifest.alias,
        "manifest": msgspec.json.encode(manifest, order="sorted").decode(),
        "note": note,
        "author": author,
        "created_us": now_us,
    }
    is_new = not known(connection, release, organisation=organisation)
    connection.execute(insert(connection, releases).values(**row).on_conflict_do_nothing())
    bump(connection, RELEASES)
    return release_of(connection, release, organisation=organisation), is_new


def known(connection: Connection, id: str, *, organisation: str) -> bool:
    own = and_(releases.c.organisation == organisation, releases.c.id == id)
    return connection.execute(select(releases.c.id).where(own)).first() is not None


def release_of(connection: Connection, id: str, *, organisation: str) -> Release:
    """Raises NotFound."""
    own = and_(releases.c.organisation == organisation, releases.c.id == id)
    row = connection.execute(select(releases).where(own)).one_or_none()
    if row is None:
        raise NotFound(f"There is no release '{id[:100]}'.", code="release_not_found")
    return released(row)


def listed(connection: Connection, *, organisation: str, alias: str | None = None) -> list[Release]:
    """Newest first."""
    own = releases.c.organisation == organisation
    if alias is not None:
        own = and_(own, releases.c.alias == alias)
    rows = connection.execute(select(releases).where(own).order_by(releases.c.created_us.desc(), releases.c.id))
    return [released(row) for row in rows]


def alias_of(connection: Connection, alias: str, *, organisation: str) -> Alias:
    """What answers for it; empty where nothing was ever promoted."""
    own = and_(release_aliases.c.organisation == organisation, release_aliases.c.alias == alias)
    row = connection.execute(select(release_aliases).where(own)).one_or_none()
    return Alias(organisation=organisation, alias=alias) if row is None else Alias(**row._mapping)


def demand_alias(connection: Connection, alias: str, *, organisation: str) -> None:
    """Raises NotFound for a name that there was never a release for."""
    own = and_(releases.c.organisation == organisation, releases.c.alias == alias)
    if connection.execute(select(releases.c.id).where(own).limit(1)).first() is None:
        raise NotFound(f"There is no alias '{alias[:100]}'.", code="alias_not_found")


def set_alias(connection: Connection, alias: Alias) -> None:
    """From its commit on, this is what answers."""
    row = msgspec.structs.asdict(alias)
    fresh = insert(connection, release_aliases).values(**row)
    connection.execute(fresh.on_conflict_do_update(index_elements=["organisation", "alias"], set_=row))
    bump(connection, RELEASES)


def add_rollout(connection: Connection, rollout: Rollout) -> None:
    """Raises Conflict while another one of the alias is open."""
    if open_rollout(connection, rollout.alias, organisation=rollout.organisation) is not None:
        raise Conflict(
            f"A rollout of '{rollout.alias}' is open already.",
            code="rollout_open",
            hint="Promote it or roll it back first.",
        )
    connection.execute(insert(connection, rollouts).values(**_row(rollout)))
    bump(connection, RELEASES)


def save_rollout(connection: Connection, rollout: Rollout) -> None:
    """Stores a rollout that was moved once. Raises Conflict where somebody else has moved it in between."""
    own = and_(
        rollouts.c.organisation == rollout.organisation,
        rollouts.c.id == rollout.id,
        rollouts.c.revision == rollout.revision - 1,
    )
    if not connection.execute(update(rollouts).where(own).values(**_row(rollout))).rowcount:
        raise Conflict(f"The rollout '{rollout.id}' was moved by somebody else just now.", code="rollout_moved")
    bump(connection, RELEASES)


def open_rollout(connection: Connection, alias: str, *, organisation: str) -> Rollout | None:
    own = and_(rollouts.c.organisation == organisation, rollouts.c.alias == alias, rollouts.c.state.in_(OPEN))
    row = connection.execute(select(rollouts).where(own)).one_or_none()
    return None if row is None else rolled_out(row)


def latest_rollout(connection: Connection, alias: str, *, organisation: str) -> Rollout | None:
    """The open one, else the one that ended last."""
    own = and_(rollouts.c.organisation == organisation, rollouts.c.alias == alias)
    newest = (rollouts.c.created_us.desc(), rollouts.c.id.desc())
    row = connection.execute(select(rollouts).where(own).order_by(*newest).limit(1)).one_or_none()
    return None if row is None else rolled_out(row)


def running(connection: Connection) -> list[Rollout]:
    """Those that the controller is to look after, of every organisation."""
    rows = connection.execute(select(rollouts).where(rollouts.c.state == "running").order_by(rollouts.c.id))
    return [rolled_out(row) for row in rows]


def add_move(connection: Connection, moved: Moved) -> None:
    row = msgspec.structs.asdict(moved)
    row["evidence"] = msgspec.json.encode(moved.evidence).decode()
    connection.execute(insert(connection, release_moves).values(**row))


def moves(connection: Connection, alias: str, *, organisation: str, limit: int = 100) -> list[Moved]:
    """The latest first."""
    own = and_(release_moves.c.organisation == organisation, release_moves.c.alias == alias)
    newest = (release_moves.c.at_us.desc(), release_moves.c.id.desc())
    rows = connection.execute(select(release_moves).where(own).order_by(*newest).limit(limit))
    return [Moved(**{**row._mapping, "evidence": msgspec.json.decode(row.evidence)}) for row in rows]


def move_counts(connection: Connection) -> dict[str, int]:
    """How many moves of each name were ever made, in all organisations."""
    counted = select(release_moves.c.move, func.count()).group_by(release_moves.c.move)
    return {row[0]: row[1] for row in connection.execute(counted)}


def released(row: Any) -> Release:
    """A release behind a row."""
    manifest = msgspec.json.decode(row.manifest, type=Manifest)
    return Release(id=row.id, manifest=manifest, note=row.note, author=row.author, created_us=row.created_us)


def rolled_out(row: Any) -> Rollout:
    """A rollout behind a row."""
    values = dict(row._mapping)
    values["plan"] = msgspec.json.decode(row.plan, type=Plan)
    values["thresholds"] = msgspec.json.decode(row.thresholds, type=Thresholds)
    return Rollout(**values)


def _row(rollout: Rollout) -> dict[str, Any]:
    row = msgspec.structs.asdict(rollout)
    row["plan"] = msgspec.json.encode(rollout.plan).decode()
    row["thresholds"] = msgspec.json.encode(rollout.thresholds).decode()
    return row
