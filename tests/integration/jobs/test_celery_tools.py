"""Celery's own programs and users' tasks, against workers of ours."""

import sys

import msgspec
import pytest

from tests.support.job_cluster import Cluster
from tests.support.server import until

pytestmark = pytest.mark.xdist_group("job faults")

INSPECTED = """
import json
from undercroft.worker import app
inspect = app.control.inspect(timeout=10)
asked = ("ping", "stats", "active_queues", "registered", "active", "reserved", "scheduled", "revoked", "conf", "report")
print(json.dumps({name: getattr(inspect, name)() for name in asked}, default=str))
"""


def test_workers_answer_everything_that_flower_and_celery_inspect_ask(celery: Cluster) -> None:
    answers = msgspec.json.decode(celery.python(INSPECTED))
    assert all(answers.values()), answers
    (stats, *_) = answers["stats"].values()
    assert stats["pool"]["implementation"].startswith("celery.concurrency.solo")
    (registered, *_) = answers["registered"].values()
    assert {"tasks.process_ai_request", "undercroft.deliver"} <= {name.split(" ")[0] for name in registered}
    (queues, *_) = answers["active_queues"].values()
    assert [queue["name"] for queue in queues] == ["undercroft.default"]


def test_delay_and_get_return_the_text(celery: Cluster) -> None:
    said = celery.python(
        "import undercroft\n"
        "result = undercroft.process_ai_request.delay('hello')\n"
        "print(result.get(timeout=200)); print(result.state); print(result.id)\n"
    ).splitlines()
    assert said[:2] == ["One two three four five.", "SUCCESS"]
    rows = celery.sql("SELECT kind, attempts, runs FROM jobs WHERE idempotency_key = %s", f"celery:{said[2]}")
    assert rows == [("generate", 0, 1)]


def test_a_task_sent_by_a_program_that_knows_only_its_name_is_a_job_too(celery: Cluster) -> None:
    assert celery.redis is not None
    said = celery.python(
        "from celery import Celery\n"
        f"app = Celery('stranger', broker='{celery.redis.url}')\n"
        "sent = app.send_task('tasks.process_ai_request', ['hello'], queue='undercroft.default')\n"
        "print(sent.id)\n"
    ).strip()
    key = f"celery:{said}"
    until(lambda: celery.sql("SELECT state FROM jobs WHERE idempotency_key = %s", key) == [("succeeded",)], within_s=60)


def test_a_prompt_is_kept_when_the_broker_is_away_and_told_to_no_log(celery: Cluster) -> None:
    assert celery.redis is not None
    celery.redis.kill()
    try:
        said = celery.python(
            "import undercroft\nprint(undercroft.process_ai_request.delay('a very private prompt').get(timeout=200))\n"
        )
    finally:
        celery.redis.start()
    assert said.strip() == "One two three four five."
    assert not any("very private" in worker.log for worker in celery.workers)


def test_a_prompt_for_a_model_that_is_not_there_fails_at_once(celery: Cluster) -> None:
    said = celery.python(
        "import undercroft\n"
        "from undercroft.worker.results import JobFailed\n"
        "result = undercroft.process_ai_request.delay('hello', model='nothing-of-that-name')\n"
        "try:\n    result.get(timeout=200)\n"
        "except JobFailed as error:\n    print(error); print(result.state)\n"
    ).splitlines()
    assert "model_not_found" in said[0]
    assert said[1] == "FAILURE"


def test_celery_starts_a_worker_by_itself_and_stops_it_clean(celery: Cluster) -> None:
    ours = celery.start_worker(sys.executable, "-m", "celery", "-A", "undercroft.worker", "worker", "-c", "3")
    ours.wait_until_ready()
    assert '"at_once":3' in ours.log
    celery.prove(celery.hand_in(50, name="celery-worker"))
    celery.workers.remove(ours)
    assert ours.stop() == 0, ours.log[-3000:]


def test_a_pool_of_processes_is_refused_with_the_reason(celery: Cluster) -> None:
    # `-P prefork` is what Celery takes for "nothing was said", and then ours counts.
    refused = celery.start_worker(
        sys.executable, "-m", "celery", "-A", "undercroft.worker", "worker", "-P", "processes"
    )
    celery.workers.remove(refused)
    assert refused.process.wait(120) != 0
    assert "they share one event loop" in refused.log
