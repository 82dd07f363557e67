"""Releases in a running server: the book that calls are answered by, the desk, and the duty of rollouts."""

import contextlib
from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING, Any

from undercroft.assembly.beside import alongside
from undercroft.assembly.database import DatabaseLink
from undercroft.assembly.events import EventDesk
from undercroft.clock import Clock
from undercroft.gateway.stages.release import Empty, Traffic
from undercroft.ids import Ids
from undercroft.settings.releases import Releases as ReleaseSettings
from undercroft.storage.counters import RELEASES
from undercroft.telemetry.logs import get_logger
from undercroft.telemetry.metrics import Metrics
from undercroft.versions.content import PromptContent
from undercroft.versions.pinned import Pinned

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from undercroft.access.audit import Origin
    from undercroft.releases.book import Book
    from undercroft.releases.desk import Database as Reader
    from undercroft.releases.desk import ReleaseDesk
    from undercroft.releases.types import Moved, Plan, Rollout
    from undercroft.storage.engine import Database


class LiveBook:
    """The gateway's book before the database is there, and after: empty until it has been read."""

    def __init__(self) -> None:
        self.is_empty = True
        self.book: Book | None = None

    def traffic(self, organisation: str, alias: str, /) -> Traffic | None:
        return None if self.book is None else self.book.traffic(organisation, alias)

    def version(self, organisation: str, name: str, reference: str, /) -> Pinned | None:
        return None if self.book is None else self.book.version(organisation, name, reference)

    def prompt(self, organisation: str, name: str, reference: str, /) -> tuple[str, PromptContent]:
        return (self.book or Empty()).prompt(organisation, name, reference)

    def is_named(self, name: str, /) -> bool:
        return self.book is not None and self.book.is_named(name)


class ReleaseOffice:
    """Follows what the database says, once a second, as keys are followed; so a move is in force in every process
    within 2 s."""

    def __init__(
        self,
        settings: ReleaseSettings,
        *,
        link: DatabaseLink,
        events: EventDesk,
        ids: Ids,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        """Raises ConfigurationError for checks of live answers that cannot be used, before anything is opened."""
        if settings.online:
            from undercroft.assembly.online_evaluation import check_usable

            check_usable(settings)
        self.book = LiveBook()
        self._settings = settings
        self.link = link
        self._events = events
        self.ids = ids
        self.clock = clock
        self._moves = metrics.counter(
            "ai_release_moves_total",
            "Moves of releases, whoever has made them and where: started, advanced, paused, resumed, promoted, "
            "rolled_back, finished. Every server shows those of the whole installation.",
            ("move",),
            merge="max",
        )
        self.evaluated = metrics.counter(
            "ai_online_evaluations_total",
            "Live answers that were to be evaluated: passed, failed, undecided (a check could not be made), left_out "
            "(too many at once, or the cost cap was reached).",
            ("result",),
        )
        link.follow(RELEASES, self._read)

    async def desk(self, origin: "Origin | None" = None) -> "ReleaseDesk":
        """`origin`: who moves things, for the audit log; None: whoever a move names. Raises Unavailable at the end."""
        from undercroft.releases.desk import ReleaseDesk

        return ReleaseDesk(
            self.link,
            outbox=await self._events.outbox(),
            ids=self.ids,
            clock=self.clock,
            audit=partial(audit, origin=origin),
            moved=self._moved,
        )

    async def refresh(self) -> None:
        """Reads what was moved now: this process itself has moved it."""
        await self.link.changed(RELEASES)

    @contextlib.asynccontextmanager
    async def running(self, *, is_frozen: bool = False) -> AsyncIterator[None]:
        """Looks after rollouts for as long as the block lasts."""
        if is_frozen:
            yield
            return
        async with alongside(self._control()):
            yield

    async def _control(self) -> None:
        await self.link.first_look()
        # Imported here, with SQLAlchemy, once the port has long been answering.
        from undercroft.releases.controller import Controller

        controller = Controller(
            self.link,
            await self.desk(),
            holder=self.ids.new("holder_"),
            clock=self.clock,
            interval_s=self._settings.check_interval_s,
            is_needed=lambda: self.book.book is not None and self.book.book.snapshot.running > 0,
            failed=lambda reason: get_logger("undercroft.releases").warning("rollouts_not_looked_at", reason=reason),
        )
        await controller.run()

    async def _read(self, database: "Database", version: int) -> None:
        if version:
            from undercroft.releases.book import Book, load
            from undercroft.releases.repository import move_counts

            book = self.book.book or Book()
            book.replace(await database.read(load))
            self.book.book, self.book.is_empty = book, book.is_empty
            for move, count in (await database.read(move_counts)).items():
                self._moves.labels(move).advance_to(count)

    def _moved(self, moved: "Moved") -> None:
        log = get_logger("undercroft.releases")
        log.info("release_moved", alias=moved.alias, move=moved.move, release=moved.release, reason=moved.reason)


def audit(connection: "Connection", moved: "Moved", *, origin: "Origin | None" = None) -> None:
    """A move's entry in the audit log, in the move's own transaction."""
    from undercroft.access.audit import Act, Origin, append
    from undercroft.releases.types import MOVES

    told = {"alias": moved.alias, "rollout": moved.rollout, "reason": moved.reason, "evidence": moved.evidence}
    act = Act(action=MOVES[moved.move], subject=moved.release, after=told)
    origin = origin or Origin(organisation=moved.organisation, actor=moved.author)
    append(connection, act, origin=origin, now_us=moved.at_us)


def plan_of(
    settings: ReleaseSettings, strategy: str, *, steps: tuple[float, ...] | None = None, bake_s: float | None = None
) -> "Plan":
    """The plan of a strategy: `canary` in steps, `blue_green` for everybody at once, `shadow` for nobody's eyes."""
    from undercroft.releases.types import Gate, Plan, Step

    bake_s = settings.bake_s if bake_s is None else bake_s
    gates = settings.gates
    wanted = {
        name: Gate(margin=margin, tolerance=gates.tolerance if name in ("latency", "first_token", "cost") else 0.0)
        for name, margin in gates.model_dump(exclude={"tolerance"}).items()
        if margin is not None
    }
    chosen: tuple[Step, ...]
    match strategy:
        case "blue_green":
            chosen = (Step(share=1.0, bake_s=bake_s),)
        case "shadow":
            chosen = tuple(Step(mirror=share, bake_s=bake_s) for share in steps or (1.0,))
        case _:
            chosen = tuple(Step(share=share, bake_s=bake_s) for share in steps or settings.steps)
    return Plan(
        steps=chosen,
        gates=wanted,  # type: ignore[arg-type]  # the settings have the gates' names
        false_alarm=settings.false_alarm,
        least_calls=settings.least_calls,
        sticky=settings.sticky,
        promotes=strategy != "shadow",
    )


async def states(database: "Reader", rollout: "Rollout") -> list[dict[str, Any]]:
    """What is known of each gate of a rollout, in its present or last step."""
    from undercroft.releases.gates import verdicts
    from undercroft.releases.measures import observe

    observed = await database.read(lambda connection: observe(connection, rollout))
    return [verdict.as_evidence() for verdict in verdicts(rollout.plan, observed)]
