"""Whatever is done to jobs, in whatever order, both databases agree with a model of a few lines."""

from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tests.support.jobs import JobRows
from undercroft.errors import Conflict
from undercroft.jobs.lifecycle import CRASH_LIMIT
from undercroft.jobs.types import Failed, Failure, Job, Released, State, Stopped, Succeeded

OWN = Failed(Failure(code="odd", message="odd"))
AWAY = Failed(Failure(code="away", message="away", blame="outage"))
FINAL = Failed(Failure(code="wrong", message="wrong", blame="final"))
MAX_ATTEMPTS = 4


@dataclass
class Expected:
    """What a job should be."""

    state: State = "queued"
    attempts: int = 0
    crashes: int = 0
    asked_to_stop: bool = False
    claim: Job | None = None
    """The latest."""
    stale: list[Job] = field(default_factory=list)
    succeeded: int = 0


class JobMachine(RuleBasedStateMachine):
    """Accepts, claims, loses, ends, cancels and retries jobs."""

    def __init__(self, rows: JobRows) -> None:
        super().__init__()
        self.rows = rows
        for table in ("jobs", "job_attempts", "job_links", "job_outputs"):
            rows.sql(f"DELETE FROM {table}")
        rows.effects.events.clear()
        self.jobs: dict[str, Expected] = {}

    def some(self, *states: State) -> list[str]:
        return [name for name, job in self.jobs.items() if job.state in states]

    @rule(priority=st.integers(-2, 2), is_delayed=st.booleans())
    def accept(self, priority: int, is_delayed: bool) -> None:
        name = f"job_{len(self.jobs):03}"
        run_at_us = self.rows.moment.wall_us + 10**12 if is_delayed else 0
        self.rows.accept(name, priority=priority, run_at_us=run_at_us)
        self.jobs[name] = Expected("delayed" if is_delayed else "queued")

    @rule(limit=st.integers(1, 3), is_lost=st.booleans())
    def claim(self, limit: int, is_lost: bool) -> None:
        claimed = self.rows.claim(limit, lease_us=0 if is_lost else 10**12)
        assert len(claimed) == min(limit, len(self.some("queued")))
        for job in claimed:
            expected = self.jobs[job.id]
            assert expected.state == "queued"
            if expected.claim is not None:
                expected.stale.append(expected.claim)
            expected.state, expected.claim = "running", job

    @precondition(lambda self: self.some("running"))
    @rule(data=st.data(), outcome=st.sampled_from([Succeeded(b"1"), OWN, AWAY, FINAL, Stopped(), Released()]))
    def settle(self, data: st.DataObject, outcome: Succeeded | Failed | Stopped | Released) -> None:
        expected = self.jobs[data.draw(st.sampled_from(self.some("running")))]
        assert expected.claim is not None
        assert len(self.rows.settle(expected.claim, outcome).jobs) == 1
        expected.attempts += outcome in (OWN, FINAL)
        if isinstance(outcome, Succeeded):
            expected.state = "succeeded"
            expected.succeeded += 1
        elif expected.asked_to_stop or isinstance(outcome, Stopped):
            expected.state = "cancelled"
        elif isinstance(outcome, Released):
            expected.state = "queued"
        elif outcome is FINAL or (outcome is OWN and expected.attempts >= MAX_ATTEMPTS):
            expected.state = "dead"
        else:
            expected.state = "delayed"

    @precondition(lambda self: any(job.stale for job in self.jobs.values()))
    @rule(data=st.data(), outcome=st.sampled_from([Succeeded(b"2"), OWN, FINAL, Stopped(), Released()]))
    def settle_what_was_lost(self, data: st.DataObject, outcome: Succeeded | Failed | Stopped | Released) -> None:
        stale = [claim for job in self.jobs.values() for claim in job.stale]
        assert self.rows.settle(data.draw(st.sampled_from(stale)), outcome).jobs == []

    @rule()
    def reap(self) -> None:
        lost = {job.id for job in self.rows.reap().jobs}
        for name in self.some("running"):
            expected = self.jobs[name]
            assert expected.claim is not None
            if name in lost:
                expected.crashes += 1
                gone = expected.crashes >= CRASH_LIMIT
                expected.state = "cancelled" if expected.asked_to_stop else "dead" if gone else "queued"

    @rule()
    def time_passes(self) -> None:
        self.rows.sql("UPDATE jobs SET run_at_us = 1 WHERE state = 'delayed'")
        assert sorted(job.id for job in self.rows.promote()) == sorted(self.some("delayed"))
        for name in self.some("delayed"):
            self.jobs[name].state = "queued"

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(list(self.jobs)))
        self.rows.cancel(name)
        expected = self.jobs[name]
        if expected.state in ("queued", "delayed"):
            expected.state = "cancelled"
        elif expected.state == "running":
            expected.asked_to_stop = True

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(list(self.jobs)))
        expected = self.jobs[name]
        try:
            self.rows.retry(name)
        except Conflict:
            assert expected.state not in ("dead", "cancelled")
        else:
            assert expected.state in ("dead", "cancelled")
            expected.state, expected.attempts, expected.crashes, expected.asked_to_stop = "queued", 0, 0, False

    @invariant()
    def both_agree(self) -> None:
        for name, expected in self.jobs.items():
            job = self.rows.find(name)
            assert (job.state, job.attempts, job.crashes) == (expected.state, expected.attempts, expected.crashes)
            told = [event for event in self.rows.effects.events if event.job.id == name]
            assert sum(event.name == "job.succeeded" for event in told) == expected.succeeded
            if job.status != "running":  # that is told by who claims
                assert told[-1].name == f"job.{job.status}"
            assert (job.finished_us > 0) == (job.state in ("succeeded", "dead", "cancelled"))


def test_the_database_and_the_model_agree(rows: JobRows) -> None:
    machine: Any = lambda: JobMachine(rows)  # noqa: E731 - hypothesis calls whatever makes one
    run_state_machine_as_test(machine, settings=settings(max_examples=15, stateful_step_count=30, deadline=None))
