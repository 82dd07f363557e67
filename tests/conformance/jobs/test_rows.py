"""Jobs in the database, on both of them: accepted once, run by one, ended once."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import Connection

from tests.support.jobs import LEASE_US, JobRows, changed, spec
from undercroft.errors import Conflict, InvalidRequest
from undercroft.jobs import repository
from undercroft.jobs.claims import Claim, would_take
from undercroft.jobs.effects import JobEvent
from undercroft.jobs.endings import Ended, settle
from undercroft.jobs.types import Failed, Failure, JobSpec, Released, Stopped, Succeeded

AGAIN = Failed(Failure(code="odd", message="odd"))
FINAL = Failed(Failure(code="wrong", message="wrong", blame="final"))
DAY_US = 86_400_000_000


def test_an_accepted_job_is_found_as_it_was_handed_in(rows: JobRows) -> None:
    accepted = rows.accept(
        input='{"é":"\\u0000"}'.encode(), priority=7, lane="model:chat", webhook="https://example.com", trace="t"
    )
    found = rows.find()
    assert accepted.was == "new"
    assert found == accepted.job
    assert (found.input, found.rank, found.lane, found.state) == ('{"é":"\\u0000"}', -7, "model:chat", "queued")
    assert found.deadline_us == found.created_us + found.lifetime_us
    assert rows.effects.names == ["job.queued"]


def test_jobs_that_are_taken_together_are_as_if_one_by_one(rows: JobRows) -> None:
    fields: list[dict[str, Any]] = [
        {"input": '{"é":"\\u0000","big":12345678901234567890}'.encode(), "priority": 7, "lane": "key:a"},
        {"organisation": "other", "queue": "slow", "webhook": "https://example.com", "trace": "t", "schedule": "s"},
        {"run_at_us": rows.moment.wall_us + 3_600_000_000},
    ]
    alone = [rows.accept(f"job_a{place}", **each).job for place, each in enumerate(fields)]
    specs = [spec(f"job_b{place}", **each) for place, each in enumerate(fields)]
    together = rows.database.write_sync(
        lambda connection: repository.accept_all(connection, specs, moment=rows.moment, effects=rows.effects)
    )
    for one, other in zip(alone, together, strict=True):
        differing = ("id", "created_us", *(() if one.state == "delayed" else ("run_at_us", "deadline_us")))
        assert changed(other, **{name: getattr(one, name) for name in differing}) == one
        assert rows.find(other.id, organisation=other.organisation) == other
    assert rows.effects.names == ["job.queued"] * 6


def test_jobs_that_begin_as_they_are_taken_are_as_if_claimed(rows: JobRows) -> None:
    if rows.database.dialect != "sqlite":
        pytest.skip("a server's clock has to be asked")
    asked = Claim(worker="me", token="token-1", lease_us=LEASE_US, queues=("default",), limit=3)
    limited = [
        replace(asked, queue_limits={"default": 1}),
        replace(asked, parked={"model:m": 1}),
        replace(asked, queues=("default", "slow")),
        replace(asked, limit=1),
    ]

    def would(*specs: JobSpec, asked: Claim = asked) -> bool:
        return rows.database.write_sync(lambda connection: would_take(connection, asked, specs, moment=rows.moment))

    fresh = [spec("job_1", priority=3), spec("job_2", organisation="other", lane="model:m")]
    assert would(*fresh)
    assert not any(would(*fresh, asked=each) for each in limited)
    assert not would(spec(lane="key:a"))
    assert not would(spec(queue="slow"))
    assert not would(spec(run_at_us=rows.moment.wall_us + 1))

    taken, begun = rows.database.write_sync(
        lambda connection: repository.accept_claimed(connection, fresh, asked, moment=rows.moment, effects=rows.effects)
    )
    assert [job.state for job in taken] == ["queued"] * 2
    assert [rows.find(job.id, organisation=job.organisation) for job in begun] == begun
    assert rows.effects.names == ["job.queued"] * 2 + ["job.running"] * 2
    assert [job.state for job in rows.settle(begun[0]).jobs] == ["succeeded"]

    rows.accept("job_3", priority=3)
    assert not would(spec("job_4")), "somebody waits already"
    (claimed,) = rows.claim()
    differing = ("id", "token", "created_us", "run_at_us", "deadline_us", "started_us", "lease_until_us")
    assert changed(claimed, **{name: getattr(begun[0], name) for name in differing}) == begun[0]


def test_jobs_that_were_delivered_are_taken_by_name_and_limited_ones_in_their_turn(rows: JobRows) -> None:
    rows.accept("job_1")
    rows.accept("job_2", lane="key:a")
    rows.accept("job_3", lane="key:a", priority=1)
    rows.accept("job_4", organisation="other")
    rows.accept("job_5", priority=9)
    named = [("default", f"job_{number}") for number in (1, 2, 3, 5, 1)] + [("other", "job_4"), ("other", "gone")]

    taken = rows.claim_named(named)
    assert [job.id for job in taken] == ["job_5", "job_1", "job_4", "job_3"]
    assert {(job.state, job.token, job.runs) for job in taken} == {("running", "token-1", 1)}
    assert rows.find("job_2").state == "held"
    assert rows.claim_named(named) == []


def test_what_ended_is_told_as_its_row_says(rows: JobRows) -> None:
    rows.accept(lane="key:a", unique_key="u", webhook="https://example.com", trace="t")
    (job,) = rows.claim()
    rows.cancel("job_1")
    (ended,) = rows.settle(job).jobs
    assert ended == rows.find()
    assert (ended.state, ended.cancel_requested, ended.unique_key) == ("succeeded", True, None)


def test_the_same_idempotency_key_gives_the_same_job_and_another_request_is_refused(rows: JobRows) -> None:
    first = rows.accept("job_1", idempotency_key="k", fingerprint="a")
    again = rows.accept("job_2", idempotency_key="k", fingerprint="a")
    assert (again.job.id, again.was) == (first.job.id, "replayed")
    with pytest.raises(Conflict, match="job_1"):
        rows.accept("job_3", idempotency_key="k", fingerprint="b")
    other = rows.accept("job_4", organisation="other", idempotency_key="k", fingerprint="b")
    assert other.was == "new"


def test_a_unique_key_stands_for_one_job_until_that_has_ended(rows: JobRows) -> None:
    rows.accept("job_1", unique_key="u")
    assert rows.accept("job_2", unique_key="u").job.id == "job_1"
    rows.settle(rows.claim()[0])
    assert rows.accept("job_3", unique_key="u").was == "new"


def test_an_id_is_taken_once(rows: JobRows) -> None:
    rows.accept()
    with pytest.raises(Conflict):
        rows.accept()


def test_a_job_is_claimed_once_and_ends_once(rows: JobRows) -> None:
    rows.accept()
    (job,) = rows.claim()
    assert rows.claim() == []
    settled = rows.settle(job)
    assert [each.state for each in settled.jobs] == ["succeeded"]
    assert rows.settle(job).jobs == []
    assert rows.settle(job, AGAIN).jobs == []
    assert rows.find().result == '"done"'
    assert rows.effects.names == ["job.queued", "job.succeeded"]


def test_a_stale_token_changes_nothing(rows: JobRows) -> None:
    rows.accept()
    (stale,) = rows.claim(lease_us=0)
    assert [job.id for job in rows.reap().jobs] == ["job_1"]
    (fresh,) = rows.claim(worker="another")
    for outcome in (None, AGAIN, FINAL, Stopped(), Released()):
        assert rows.settle(stale, outcome).jobs == []
    assert rows.find() == fresh
    assert rows.settle(fresh).jobs != []


def test_the_higher_priority_goes_first_and_equals_in_their_order(rows: JobRows) -> None:
    for number, priority in enumerate((0, 5, -5, 5)):
        rows.accept(f"job_{number}", priority=priority)
        rows.pass_(0.001)
    claimed = [rows.claim(1)[0].id for _ in range(4)]
    assert claimed == ["job_1", "job_3", "job_0", "job_2"]


def test_one_tenants_many_jobs_do_not_delay_anothers_first(rows: JobRows) -> None:
    for number in range(40):
        rows.accept(f"job_{number:02}", organisation="big")
    rows.accept("job_small", organisation="small")
    claimed = rows.claim(4)
    assert "job_small" in {job.id for job in claimed}
    assert len(claimed) == 4


def test_organisations_are_served_in_turn(rows: JobRows) -> None:
    for number in range(6):
        for organisation in ("a", "b", "c"):
            rows.accept(
                f"job_{organisation}{number}", organisation=organisation, priority=100 if organisation == "a" else 0
            )
    last, served = "", []
    for _ in range(6):
        (job,) = rows.claim(1, after=last)
        last = job.organisation
        served.append(last)
    assert served == ["a", "b", "c", "a", "b", "c"]


def test_queues_are_claimed_by_name(rows: JobRows) -> None:
    rows.accept("job_1", queue="slow")
    assert rows.claim(queues=("default",)) == []
    assert [job.id for job in rows.claim(queues=("default", "slow"))] == ["job_1"]


def test_no_more_of_a_queue_run_than_may(rows: JobRows) -> None:
    for number in range(5):
        rows.accept(f"job_{number}")
    limits = {"default": 2}
    running = rows.claim(queue_limits=limits)
    assert len(running) == 2
    assert rows.claim(queue_limits=limits) == []
    rows.settle(running[0])
    assert len(rows.claim(queue_limits=limits)) == 1


def test_jobs_of_one_key_run_one_after_the_other_and_stand_in_nobodys_way(rows: JobRows) -> None:
    for number in range(5):
        rows.accept(f"job_{number}", lane="key:k")
        rows.pass_(0.001)
    rows.accept("job_other")
    claimed = rows.claim(3)
    assert [job.id for job in claimed] == ["job_0", "job_other"]
    order = []
    while claimed:
        order += [job.id for job in claimed]
        for job in claimed:
            rows.settle(job)
        claimed = rows.claim(3)
    assert order == ["job_0", "job_other", "job_1", "job_2", "job_3", "job_4"]


def test_cancelling_what_was_next_of_a_key_lets_the_one_behind_it_go(rows: JobRows) -> None:
    for number in range(3):
        rows.accept(f"job_{number}", lane="key:k")
        rows.pass_(0.001)
    (running,) = rows.claim()
    rows.settle(running)
    rows.cancel("job_1")
    assert [job.id for job in rows.claim()] == ["job_2"]


def test_a_parked_lane_is_left_alone_until_its_time(rows: JobRows) -> None:
    rows.accept("job_1", lane="model:chat")
    rows.accept("job_2")
    assert [job.id for job in rows.claim(1, parked={"model:chat": 60_000_000})] == ["job_2"]
    assert rows.find("job_1").state == "delayed"
    rows.sql("UPDATE jobs SET run_at_us = 0 WHERE id = 'job_1'")
    assert [job.id for job in rows.promote()] == ["job_1"]
    assert [job.id for job in rows.claim()] == ["job_1"]


def test_a_delayed_job_waits_for_its_time(rows: JobRows) -> None:
    rows.accept(run_at_us=rows.moment.wall_us + 3_600_000_000)
    assert rows.find().state == "delayed"
    assert rows.claim() == []
    assert rows.promote() == []
    rows.sql("UPDATE jobs SET run_at_us = 1")
    assert [job.id for job in rows.promote()] == ["job_1"]
    assert [job.id for job in rows.claim()] == ["job_1"]


def test_a_failed_job_comes_again_until_its_attempts_are_used_up(rows: JobRows) -> None:
    rows.accept()
    for attempt in range(1, 5):
        (job,) = rows.claim()
        (moved,) = rows.settle(job, AGAIN).jobs
        assert moved.attempts == attempt
        assert (moved.status, moved.state) == (("waiting", "delayed") if attempt < 4 else ("dead", "dead"))
        rows.sql("UPDATE jobs SET run_at_us = 1 WHERE state = 'delayed'")
        rows.promote()
    assert rows.effects.names[-1] == "job.dead"
    assert rows.find().failure == AGAIN.failure


def test_a_dead_job_is_retried_from_the_beginning(rows: JobRows) -> None:
    rows.accept()
    rows.settle(rows.claim()[0], FINAL)
    retried = rows.retry("job_1")
    assert retried is not None
    assert (retried.status, retried.attempts, retried.error) == ("queued", 0, None)
    assert rows.effects.names == ["job.queued", "job.dead", "job.queued"]
    (job,) = rows.claim()
    with pytest.raises(Conflict):
        rows.retry("job_1")
    rows.settle(job)
    with pytest.raises(Conflict):
        rows.retry("job_1")


def test_a_waiting_job_is_cancelled_at_once_and_a_running_one_is_asked(rows: JobRows) -> None:
    rows.accept("job_1")
    rows.accept("job_2")
    cancelled = rows.cancel("job_1")
    assert cancelled is not None
    assert cancelled.status == "cancelled"
    (job,) = rows.claim()
    asked = rows.cancel("job_2")
    assert asked is not None
    assert (asked.status, asked.cancel_requested) == ("running", True)
    (ended,) = rows.settle(job, AGAIN).jobs
    assert ended.status == "cancelled"
    assert rows.cancel("job_3") is None
    assert rows.effects.names == ["job.queued", "job.queued", "job.cancelled", "job.cancelled"]


def test_a_job_waits_for_those_before_it(rows: JobRows) -> None:
    rows.accept("job_1")
    rows.accept("job_2")
    rows.accept("job_3", after=("job_1", "job_2"))
    first, second = rows.claim()
    assert rows.settle(first).freed == []
    assert [job.id for job in rows.settle(second).freed] == ["job_3"]
    assert [job.id for job in rows.claim()] == ["job_3"]
    assert rows.accept("job_4", after=("job_1",)).job.state == "queued"


def test_what_waits_for_a_job_that_dies_is_dead_with_it(rows: JobRows) -> None:
    rows.accept("job_1")
    rows.accept("job_2", after=("job_1",))
    rows.accept("job_3", after=("job_2",))
    rows.settle(rows.claim()[0], FINAL)
    assert [rows.find(f"job_{number}").state for number in (1, 2, 3)] == ["dead", "dead", "dead"]
    assert rows.effects.names.count("job.dead") == 3
    with pytest.raises(InvalidRequest, match="dead"):
        rows.accept("job_4", after=("job_1",))
    with pytest.raises(InvalidRequest, match="no job"):
        rows.accept("job_5", after=("job_9",))


def test_a_job_that_takes_its_workers_with_it_is_given_up(rows: JobRows) -> None:
    rows.accept()
    for crashes in range(1, 4):
        rows.claim(lease_us=0)
        (moved,) = rows.reap().jobs
        assert moved.crashes == crashes
    dead = rows.find()
    assert dead.status == "dead"
    assert dead.failure is not None
    assert dead.failure.code == "worker_lost"


def test_a_lease_that_holds_is_not_reaped(rows: JobRows) -> None:
    rows.accept()
    rows.claim()
    assert rows.reap().jobs == []


def test_a_released_job_goes_on_at_no_cost(rows: JobRows) -> None:
    rows.accept()
    rows.settle(rows.claim()[0], Released())
    (job,) = rows.claim()
    assert (job.attempts, job.crashes, job.runs, job.status) == (0, 0, 2, "running")
    assert rows.effects.names == ["job.queued", "job.queued"]


def test_what_has_ended_is_kept_for_its_time_and_what_has_not_for_ever(rows: JobRows) -> None:
    def forget(*, keep_us: int, keep_dead_us: int) -> int:
        return rows.database.write_sync(
            lambda connection: repository.forget(
                connection, moment=rows.moment, keep_us=keep_us, keep_dead_us=keep_dead_us
            )
        )

    def left() -> set[str]:
        page = partial(repository.page, organisation="default")
        return {job.id for job in rows.database.read_sync(page)}

    for name in ("succeeded", "dead", "cancelled"):
        rows.accept(name)
    rows.cancel("cancelled")
    for job in rows.claim(2):
        rows.settle(job, FINAL if job.id == "dead" else Succeeded(b"1"))
    rows.accept("child", after=("succeeded",))
    rows.accept("waiting")
    assert forget(keep_us=DAY_US, keep_dead_us=DAY_US) == 0
    assert forget(keep_us=0, keep_dead_us=DAY_US) == 2
    assert left() == {"dead", "child", "waiting"}
    assert forget(keep_us=DAY_US, keep_dead_us=0) == 1
    assert left() == {"child", "waiting"}
    attempts = partial(repository.attempts, organisation="default", id="dead")
    assert rows.database.read_sync(attempts) == [], "nor what is known of its runs"


class FullEffects:
    """Cannot keep anything."""

    def append(self, connection: Connection, events: Sequence[JobEvent], /) -> None:
        raise OSError("full")


def test_an_outcome_whose_effects_cannot_be_kept_is_not_recorded_either(rows: JobRows) -> None:
    rows.accept()
    (job,) = rows.claim()
    ended = [Ended(job, Succeeded(b"1"))]
    with pytest.raises(OSError, match="full"):
        rows.database.write_sync(
            lambda connection: settle(connection, ended, moment=rows.moment, effects=FullEffects())
        )
    assert rows.find() == job
