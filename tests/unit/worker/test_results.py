"""What Celery is told of a task is what its job's row says."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from celery import exceptions

from undercroft.clock import SystemClock
from undercroft.jobs import claims, endings, repository
from undercroft.jobs.claims import Claim
from undercroft.jobs.effects import NoEffects
from undercroft.jobs.endings import Ended
from undercroft.jobs.statements import moment_of
from undercroft.jobs.types import Failed, Failure, Outcome, Succeeded
from undercroft.settings.sources import Source
from undercroft.worker.application import Application
from undercroft.worker.results import JobFailed

CLOCK = SystemClock()


@pytest.fixture
def app(tmp_path: Path) -> Application:
    return Application(Source(None, {}, tmp_path))


def claimed(app: Application) -> Any:
    asked = Claim(worker="me", token="t", lease_us=30_000_000, queues=("default",), limit=1)
    (job,) = app.rows.database.write_sync(partial(claims.claim, asked=asked, moment=moment_of(CLOCK)))
    return job


def run(app: Application, outcome: Outcome) -> None:
    ended = [Ended(claimed(app), outcome)]
    work = partial(endings.settle, ended=ended, moment=moment_of(CLOCK), effects=NoEffects())
    app.rows.database.write_sync(work)


def test_a_task_is_pending_started_and_then_a_success_with_its_text(app: Application) -> None:
    result = app.AsyncResult("task-1")
    assert (result.state, result.result) == ("PENDING", None)
    app.rows.hand_in("task-1", "hello", None)
    assert result.state == "PENDING"
    job = claimed(app)
    assert result.state == "STARTED"
    ended = [Ended(job, Succeeded(b'{"result": "hi there", "model": "chat"}'))]
    work = partial(endings.settle, ended=ended, moment=moment_of(CLOCK), effects=NoEffects())
    app.rows.database.write_sync(work)
    assert result.get(timeout=1) == "hi there"
    assert result.successful()


def test_a_task_that_is_tried_again_says_so(app: Application) -> None:
    app.rows.hand_in("task-1", "hello", None)
    run(app, Failed(Failure(code="upstream_timeout", message="The provider was silent.")))
    assert app.AsyncResult("task-1").state == "RETRY"


def test_who_waits_for_a_dead_job_gets_its_reason(app: Application) -> None:
    app.rows.hand_in("task-1", "hello", None)
    run(app, Failed(Failure(code="model_not_found", message="There is no model 'x'.", blame="final")))
    with pytest.raises(JobFailed, match=r"There is no model 'x'.*model_not_found"):
        app.AsyncResult("task-1").get(timeout=1)


def test_who_waits_for_a_cancelled_job_learns_that_it_was(app: Application) -> None:
    job = app.rows.hand_in("task-1", "hello", None)
    cancel = partial(repository.ask_cancel, organisation="default", id=job.id, effects=NoEffects())
    app.rows.database.write_sync(partial(cancel, moment=moment_of(CLOCK)))
    with pytest.raises(exceptions.TaskRevokedError):
        app.AsyncResult("task-1").get(timeout=1)


def test_waiting_ends_when_its_time_is_up(app: Application) -> None:
    app.rows.hand_in("task-1", "hello", None)
    with pytest.raises(exceptions.TimeoutError):
        app.AsyncResult("task-1").get(timeout=0)
