"""Periodic jobs on both databases: one job a tick, whoever looks."""

from functools import partial

from tests.support.jobs import JobRows, spec
from undercroft.jobs.schedules import Schedule, fire_due

NIGHTLY = Schedule(name="nightly", cron="0 3 * * *", zone="UTC", kind="echo", input="{}", queue="default", priority=0)


def fire(rows: JobRows, id: str, schedule: Schedule = NIGHTLY) -> tuple[int, list[str]]:
    work = partial(fire_due, schedules=[schedule], specs={schedule.name: spec(id)}, effects=rows.effects)
    return rows.database.write_sync(partial(work, moment=rows.moment))


def test_a_tick_is_fired_once_and_the_first_look_fires_nothing(rows: JobRows) -> None:
    wait_us, fired = fire(rows, "job_0")
    assert fired == []
    assert 0 < wait_us <= 86_400_000_000
    rows.sql("UPDATE schedules SET next_us = 1")
    assert fire(rows, "job_1")[1] == ["nightly"]
    assert fire(rows, "job_2")[1] == []
    assert rows.find("job_1").kind == "echo"
    assert rows.effects.names == ["job.queued"]


def test_missed_ticks_are_made_up_for_by_one_job(rows: JobRows) -> None:
    fire(rows, "job_0")
    rows.sql("UPDATE schedules SET next_us = 1")
    wait_us, fired = fire(rows, "job_1")
    assert fired == ["nightly"]
    assert wait_us > 0


def test_a_changed_line_counts_from_now(rows: JobRows) -> None:
    fire(rows, "job_0")
    rows.sql("UPDATE schedules SET next_us = 1")
    hourly = Schedule(
        name="nightly", cron="0 * * * *", zone="UTC", kind="echo", input="{}", queue="default", priority=0
    )
    wait_us, fired = fire(rows, "job_1", hourly)
    assert fired == []
    assert wait_us <= 3_600_000_000
