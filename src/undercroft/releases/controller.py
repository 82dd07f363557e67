"""The duty of looking after rollouts: one process at a time, and any other goes on where it died."""

from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

from sqlalchemy import Connection

from undercroft.clock import Clock, beat
from undercroft.errors import Conflict, Unavailable
from undercroft.releases import repository
from undercroft.releases.decide import decide
from undercroft.releases.desk import Database, ReleaseDesk
from undercroft.releases.gates import limits_of
from undercroft.releases.measures import observe, quantiles
from undercroft.releases.types import MEASURED, Rollout, Thresholds
from undercroft.storage.duties import try_hold

DUTY: Final = "rollout_control"
LEASE_US: Final = 2_000_000
"""How long the others wait for a controller that says nothing. With what it takes them to notice, to look, and to tell
every process, it is within the 5 s that going back may take."""
HOLD_S: Final = 0.5
"""How often the lease is renewed, or offered for."""


class Told(Protocol):
    """Learns that a rollout could not be looked after."""

    def __call__(self, reason: str, /) -> None: ...


class Controller:
    """Everything it knows stands in the database: rollouts, ledger, feedback."""

    def __init__(
        self,
        database: Database,
        desk: ReleaseDesk,
        *,
        holder: str,
        clock: Clock,
        interval_s: float = 1.0,
        is_needed: Callable[[], bool] = lambda: True,
        failed: Told = lambda _: None,
    ) -> None:
        """`is_needed` spares the database where nothing is being rolled out."""
        self._database = database
        self._desk = desk
        self._holder = holder
        self._clock = clock
        self._interval_s = interval_s
        self._is_needed = is_needed
        self._failed = failed

    async def run(self) -> None:
        """Until cancelled."""
        looked = None
        while True:
            if self._is_needed():
                now = self._clock.monotonic()
                try:
                    if await self._holds() and (looked is None or now - looked >= self._interval_s):
                        looked = now
                        await self._look()
                except (Unavailable, Conflict) as error:  # away, or a person was faster: the next turn reads anew
                    self._failed(str(error))
            await beat(self._clock, min(HOLD_S, self._interval_s))

    async def turn(self) -> int:
        """Looks at every running rollout once, if it is this process's turn; how many were moved."""
        return await self._look() if await self._holds() else 0

    async def _holds(self) -> bool:
        hold = partial(try_hold, name=DUTY, holder=self._holder, now_us=self._clock.now_us(), lease_us=LEASE_US)
        return await self._database.write(hold)

    async def _look(self) -> int:
        moved = 0
        for rollout in await self._database.read(repository.running):
            if not rollout.thresholds.since_us and not MEASURED.isdisjoint(rollout.plan.gates):
                rollout = await self._with_thresholds(rollout)  # noqa: PLW2901 - the same one, with more known
            observed = await self._database.read(partial(observe, rollout=rollout))
            step = decide(rollout, observed, now_us=self._clock.now_us())
            if step is not None:
                await self._desk.move(rollout, step)
                moved += 1
        return moved

    async def _with_thresholds(self, rollout: Rollout) -> Rollout:
        now_us = self._clock.now_us()

        def work(connection: Connection) -> Thresholds | None:
            found = limits_of(rollout.plan, quantiles(connection, rollout, now_us=now_us))
            if "latency" not in found and "latency" in rollout.plan.gates:
                return None
            return Thresholds(
                latency=found.get("latency"),
                first_token=found.get("first_token"),
                cost=found.get("cost"),
                since_us=now_us,
            )

        thresholds = await self._database.read(work)
        return rollout if thresholds is None else await self._desk.set_thresholds(rollout, thresholds)
