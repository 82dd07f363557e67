"""Periodic jobs: cron lines with a time zone. Whoever notices first that a tick has come fires it, and nobody else."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Protocol, TypeVar

import msgspec
from sqlalchemy import Connection

from undercroft.clock import Clock
from undercroft.errors import UndercroftError
from undercroft.jobs import repository
from undercroft.jobs.cron import next_tick_us
from undercroft.jobs.effects import Effects
from undercroft.jobs.statements import Moment, moment_of, run
from undercroft.jobs.types import JobSpec
from undercroft.telemetry.logs import get_logger

T = TypeVar("T")

ORGANISATION: Final = "default"
"""Periodic jobs are the operator's."""
NEVER_S: Final = 3600.0
AGAIN_S: Final = 60.0
"""How often the database is asked, at the latest: another process may have another definition."""


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """A job that is made again and again."""

    name: str
    cron: str
    """Minute, hour, day of the month, month, day of the week, as in crontab(5)."""
    zone: str
    kind: str
    input: str
    queue: str
    priority: int

    @property
    def definition(self) -> str:
        """What makes the next tick: when it changes, ticks of before are forgotten."""
        return f"{self.cron} {self.zone}"


class Writes(Protocol):
    """The database, as far as ticks need it."""

    async def write(self, work: Callable[[Connection], T], /) -> T: ...


class Schedules:
    """The periodic jobs of one configuration."""

    def __init__(self, schedules: Sequence[Schedule], *, make: Callable[[Schedule], JobSpec], clock: Clock) -> None:
        """`make` gives each tick its job."""
        self._schedules = schedules
        self._make = make
        self._clock = clock
        self._next = 0.0
        """When to look again, on the monotonic clock."""

    async def fire(self, database: Writes, *, effects: Effects) -> tuple[float, bool]:
        """Makes the jobs of ticks that have come; how long until there may be another, and whether there was one."""
        if not self._schedules:
            return NEVER_S, False
        now = self._clock.monotonic()
        if now < self._next:
            return self._next - now, False
        specs = {schedule.name: spec for schedule in self._schedules if (spec := self._spec(schedule)) is not None}
        able = [schedule for schedule in self._schedules if schedule.name in specs]
        if not able:
            return AGAIN_S, False
        work = partial(fire_due, schedules=able, specs=specs, effects=effects)
        next_us, fired = await database.write(partial(work, moment=moment_of(self._clock)))
        wait_s = min(AGAIN_S, next_us / 1_000_000)
        self._next = self._clock.monotonic() + wait_s
        return wait_s, bool(fired)

    def _spec(self, schedule: Schedule) -> JobSpec | None:
        """A tick's job; None while it is not one that could be handed in, such as when its model is gone."""
        try:
            return self._make(schedule)
        except UndercroftError as error:
            get_logger("undercroft.jobs").error("schedule_not_fired", schedule=schedule.name, reason=str(error))
            return None


def fire_due(
    connection: Connection,
    *,
    schedules: Sequence[Schedule],
    specs: dict[str, JobSpec],
    effects: Effects,
    moment: Moment,
) -> tuple[int, list[str]]:
    """Makes one job for each schedule whose tick has come, however many ticks were missed; microseconds until the
    next tick, and the names of those that were fired. A work for `write`."""
    fired = []
    waits = []
    for schedule in schedules:
        row = _row(connection, schedule, moment)
        next_us = row.next_us
        if row.definition != schedule.definition or next_us <= row.now_us:
            is_tick = row.definition == schedule.definition
            next_us = next_tick_us(schedule.cron, schedule.zone, row.now_us)
            values = {"name": schedule.name, "definition": schedule.definition, "next_us": next_us}
            made = specs[schedule.name].id if is_tick else row.job
            run(connection, _MOVE, moment, **values, job=made, fired_us=row.now_us if is_tick else row.fired_us)
            if is_tick:
                repository.accept(connection, specs[schedule.name], moment=moment, effects=effects)
                fired.append(schedule.name)
        waits.append(next_us - row.now_us)
    return min(waits), fired


class _Row(msgspec.Struct):
    definition: str
    next_us: int
    fired_us: int
    job: str
    now_us: int


def _row(connection: Connection, schedule: Schedule, moment: Moment) -> _Row:
    """The schedule's row, ours until the transaction ends; made where there was none."""
    run(connection, _MAKE, moment, name=schedule.name)
    return _Row(*run(connection, _ROW, moment, name=schedule.name)[0])


_MAKE: Final = f"""
INSERT INTO schedules (organisation, name, definition, next_us, fired_us, job)
VALUES ('{ORGANISATION}', :name, '', 0, 0, '') ON CONFLICT DO NOTHING"""
_ROW: Final = f"""
SELECT definition, next_us, fired_us, job, {{now}} FROM schedules
WHERE organisation = '{ORGANISATION}' AND name = :name {{lock}}"""
_MOVE: Final = f"""
UPDATE schedules SET definition = :definition, next_us = :next_us, job = :job, fired_us = :fired_us
WHERE organisation = '{ORGANISATION}' AND name = :name"""
