"""Where releases are made and moved: each move is one transaction with its event, its audit line and its signal to
every process."""

from collections.abc import Callable
from typing import Protocol, TypeVar

import msgspec
from sqlalchemy import Connection

from undercroft.clock import Clock
from undercroft.errors import Conflict, InvalidRequest
from undercroft.events.outbox import Outbox
from undercroft.events.types import Fact, ReleaseData
from undercroft.ids import Ids
from undercroft.releases import repository
from undercroft.releases.decide import Command, Next, after, move_of
from undercroft.releases.repository import Alias
from undercroft.releases.types import MOVES, Manifest, Moved, MoveName, Plan, Release, Rollout, Thresholds
from undercroft.storage.counters import RELEASES
from undercroft.storage.versions import bump
from undercroft.versions import repository as stored_versions
from undercroft.versions.content import LATEST, Kind, check_name

T = TypeVar("T")


class Database(Protocol):
    """Where all of this is written down."""

    async def read(self, work: Callable[[Connection], T], /) -> T: ...

    async def write(self, work: Callable[[Connection], T], /) -> T: ...


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """An alias as it stands."""

    alias: Alias
    rollout: Rollout | None
    moves: list[Moved]


class ReleaseDesk:
    """Of one installation. `audit` is told of each move in its transaction; `moved` once it is committed."""

    def __init__(
        self,
        database: Database,
        *,
        outbox: Outbox,
        ids: Ids,
        clock: Clock,
        audit: Callable[[Connection, Moved], None] = lambda *_: None,
        moved: Callable[[Moved], None] = lambda _: None,
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._ids = ids
        self._clock = clock
        self._audit = audit
        self._moved = moved

    async def create(
        self, alias: str, wanted: dict[Kind, str], *, organisation: str, note: str = "", author: str = ""
    ) -> Release:
        """Pins versions: `wanted` has a `name@label`, `name@address` or `name` (the latest) for each kind. What is
        left out is as in the alias's present release. Raises InvalidRequest, NotFound and Conflict."""
        check_name(alias)
        now_us = self._clock.now_us()

        def work(connection: Connection) -> Release:
            current = repository.alias_of(connection, alias, organisation=organisation).current
            pins: dict[str, str | None] = {}
            if current:
                manifest = repository.release_of(connection, current, organisation=organisation).manifest
                pins = {name: getattr(manifest, name) for name in ("model", "prompt", "retrieval", "guardrail")}
            for kind, reference in wanted.items():
                name, _, which = reference.partition("@")
                version = stored_versions.find(connection, kind, name, which or LATEST, organisation=organisation)
                pins[kind] = version.reference
            if not any(pins.values()):
                raise InvalidRequest("A release pins at least one version.", param="model")
            release, is_new = repository.add_release(
                connection,
                Manifest(alias=alias, **pins),
                organisation=organisation,
                note=note,
                author=author,
                now_us=now_us,
            )
            if is_new:
                self._outbox.append(
                    connection,
                    Fact("release.created", ReleaseData(id=release.id, name=alias, reason=note), organisation),
                )
            return release

        return await self._database.write(work)

    async def start(
        self, candidate: str, plan: Plan, *, organisation: str, author: str = "", reason: str = ""
    ) -> Rollout:
        """Begins a rollout of a release. Raises NotFound, and Conflict where there is nothing that it could replace,
        or another rollout is open."""
        now_us, rollout_id = self._clock.now_us(), self._ids.new("rollout_")

        def work(connection: Connection) -> tuple[Rollout, Moved]:
            release = repository.release_of(connection, candidate, organisation=organisation)
            alias = repository.alias_of(connection, release.manifest.alias, organisation=organisation)
            if not alias.current:
                raise Conflict(
                    f"'{alias.alias}' has no release yet, so there is nothing to compare with.",
                    code="no_stable_release",
                    hint=f"Type: undercroft releases promote {candidate}",
                )
            if alias.current == candidate:
                raise Conflict(f"'{candidate}' answers for '{alias.alias}' already.", code="release_current")
            rollout = Rollout(
                organisation=organisation,
                id=rollout_id,
                alias=alias.alias,
                stable=alias.current,
                candidate=candidate,
                plan=plan,
                step_us=now_us,
                created_us=now_us,
            )
            repository.add_rollout(connection, rollout)
            return rollout, self._told(connection, rollout, "started", author=author, reason=reason, evidence={})

        rollout, moved = await self._database.write(work)
        self._moved(moved)
        return rollout

    async def move(self, rollout: Rollout, step: Next, *, author: str = "controller") -> Rollout:
        """Makes a move. Raises Conflict where the rollout was moved since it was read."""
        changed = after(rollout, step.move, reason=step.reason, now_us=self._clock.now_us())

        def work(connection: Connection) -> Moved:
            repository.save_rollout(connection, changed)
            if step.move == "promoted":
                self._put_in_force(connection, rollout.alias, rollout.candidate, rollout.organisation)
            return self._told(connection, changed, step.move, author=author, reason=step.reason, evidence=step.evidence)

        self._moved(await self._database.write(work))
        return changed

    async def command(
        self, alias: str, command: Command, *, organisation: str, author: str = "", reason: str = ""
    ) -> Status:
        """What a person wants of an alias. Rolling back without an open rollout returns to the release before.
        Raises NotFound, and Conflict where it means nothing now."""

        def read(connection: Connection) -> Rollout | None:
            repository.demand_alias(connection, alias, organisation=organisation)
            return repository.latest_rollout(connection, alias, organisation=organisation)

        rollout = await self._database.read(read)
        move = move_of(rollout, command) if rollout is not None else None
        if rollout is not None and move is not None:
            await self.move(rollout, Next(move=move, reason=reason or f"by {author or 'hand'}"), author=author)
        elif command == "roll_back":
            await self._go_back(alias, organisation=organisation, author=author, reason=reason)
        else:
            raise Conflict(
                f"There is no rollout of '{alias}' to {command}.",
                code="no_rollout",
                hint=f"undercroft releases status {alias} shows what there is.",
            )
        return await self.status(alias, organisation=organisation)

    async def promote(self, release: str, *, organisation: str, author: str = "", reason: str = "") -> Status:
        """Puts a release in force at once, for everybody. An open rollout of it ends; one of another is a Conflict."""

        def work(connection: Connection) -> tuple[str, Moved]:
            alias = repository.release_of(connection, release, organisation=organisation).manifest.alias
            rollout = repository.open_rollout(connection, alias, organisation=organisation)
            why = reason or f"by {author or 'hand'}"
            if rollout is not None:
                if rollout.candidate != release:
                    raise Conflict(f"Another rollout of '{alias}' is open.", code="rollout_open")
                repository.save_rollout(connection, after(rollout, "promoted", reason=why, now_us=self._clock.now_us()))
            self._put_in_force(connection, alias, release, organisation)
            return alias, self._note(
                connection,
                self._move(alias, "promoted", release, organisation=organisation, author=author, reason=why),
            )

        alias, moved = await self._database.write(work)
        self._moved(moved)
        return await self.status(alias, organisation=organisation)

    async def status(self, alias: str, *, organisation: str) -> Status:
        """What answers for an alias, its latest rollout and its latest moves. Raises NotFound."""

        def work(connection: Connection) -> Status:
            repository.demand_alias(connection, alias, organisation=organisation)
            return Status(
                alias=repository.alias_of(connection, alias, organisation=organisation),
                rollout=repository.latest_rollout(connection, alias, organisation=organisation),
                moves=repository.moves(connection, alias, organisation=organisation),
            )

        return await self._database.read(work)

    async def set_thresholds(self, rollout: Rollout, thresholds: Thresholds) -> Rollout:
        """Notes what counts as slow and dear. Raises Conflict where the rollout was moved since it was read."""
        changed = msgspec.structs.replace(rollout, thresholds=thresholds, revision=rollout.revision + 1)
        await self._database.write(lambda connection: repository.save_rollout(connection, changed))
        return changed

    async def _go_back(self, alias: str, *, organisation: str, author: str, reason: str) -> None:
        def work(connection: Connection) -> Moved:
            now = repository.alias_of(connection, alias, organisation=organisation)
            if not now.previous:
                raise Conflict(f"'{alias}' has no release to go back to.", code="no_previous_release")
            self._put_in_force(connection, alias, now.previous, organisation)
            moved = self._move(
                alias, "rolled_back", now.current, organisation=organisation, author=author, reason=reason
            )
            return self._note(connection, moved)

        self._moved(await self._database.write(work))

    def _put_in_force(self, connection: Connection, alias: str, release: str, organisation: str) -> None:
        now = repository.alias_of(connection, alias, organisation=organisation)
        previous = now.current if now.current != release else now.previous
        repository.set_alias(
            connection,
            Alias(
                organisation=organisation,
                alias=alias,
                current=release,
                previous=previous,
                changed_us=self._clock.now_us(),
            ),
        )

    def _told(
        self,
        connection: Connection,
        rollout: Rollout,
        move: MoveName,
        *,
        author: str,
        reason: str,
        evidence: dict[str, object],
    ) -> Moved:
        moved = self._move(
            rollout.alias, move, rollout.candidate, organisation=rollout.organisation, author=author, reason=reason
        )
        return self._note(connection, msgspec.structs.replace(moved, rollout=rollout.id, evidence=evidence))

    def _move(self, alias: str, move: MoveName, release: str, *, organisation: str, author: str, reason: str) -> Moved:
        return Moved(
            organisation=organisation,
            id=self._ids.new("move_"),
            alias=alias,
            move=move,
            release=release,
            author=author,
            reason=reason,
            at_us=self._clock.now_us(),
        )

    def _note(self, connection: Connection, moved: Moved) -> Moved:
        repository.add_move(connection, moved)
        self._audit(connection, moved)
        data = ReleaseData(id=moved.release, name=moved.alias, version=moved.rollout, reason=moved.reason)
        self._outbox.append(connection, Fact(MOVES[moved.move], data, moved.organisation))
        bump(connection, RELEASES)
        return moved
