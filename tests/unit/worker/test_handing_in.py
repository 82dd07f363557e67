"""A Celery task's job: made once, and found again."""

from pathlib import Path

import msgspec
import pytest

from undercroft.clock import SystemClock
from undercroft.errors import Conflict
from undercroft.settings.model import Settings
from undercroft.worker.handing_in import MAX_ATTEMPTS, JobRows


@pytest.fixture
def rows(tmp_path: Path) -> JobRows:
    return JobRows(Settings(data_dir=tmp_path), clock=SystemClock())


def test_a_task_is_a_job_of_kind_generate_with_three_retries_and_a_day(rows: JobRows) -> None:
    job = rows.hand_in("task-1", "hello", "chat")
    assert (job.kind, job.state, job.max_attempts) == ("generate", "queued", MAX_ATTEMPTS)
    assert msgspec.json.decode(job.input) == {"prompt": "hello", "model": "chat"}
    assert job.deadline_us - job.created_us == 86_400_000_000


def test_handing_in_a_task_again_makes_no_second_job(rows: JobRows) -> None:
    first = rows.hand_in("task-1", "hello", None)
    assert rows.hand_in("task-1", "hello", None).id == first.id
    assert rows.hand_in("task-2", "hello", None).id != first.id
    with pytest.raises(Conflict):
        rows.hand_in("task-1", "something else", None)


def test_a_delay_is_kept_in_the_row(rows: JobRows) -> None:
    job = rows.hand_in("task-1", "hello", None, delay_s=60)
    assert job.state == "delayed"
    assert 59_000_000 < job.run_at_us - job.created_us < 61_000_000


def test_a_task_that_nobody_handed_in_has_no_job(rows: JobRows) -> None:
    assert rows.find("task-1") is None
