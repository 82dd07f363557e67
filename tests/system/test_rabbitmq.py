"""Celery on RabbitMQ: jobs come through it, and none depends on it. It is killed, wiped, frozen and out of memory."""

import contextlib
import shutil
import signal
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from celery import Celery

from tests.support.job_cluster import Cluster, running_cluster
from tests.support.rabbitmq import BLOCKED, RabbitServer, programs, running_rabbitmq
from tests.support.server import until
from undercroft.errors import Unavailable
from undercroft.jobs.queues.celery_app import ANSWER_S, CONNECT_S, CeleryBroker, celery_settings

pytestmark = pytest.mark.system

JOBS = 300
SLACK = 10
BROKER_S = 2.0
"""From a broker's loss, or its return, to the next job that is done."""
ASKED = """
import json
from undercroft.worker import app
inspect = app.control.inspect(timeout=20, limit={workers})
print(json.dumps({{name: getattr(inspect, name)() for name in {asked}}}, default=str))
"""


@pytest.fixture(scope="module")
def rabbitmq() -> Iterator[RabbitServer]:
    unpacked = programs()
    if unpacked is None:
        pytest.skip("not run: Debian's packages of RabbitMQ and Erlang cannot be fetched here")
    try:
        with running_rabbitmq(unpacked) as server:
            yield server
    finally:
        shutil.rmtree(unpacked)


@pytest.fixture(scope="module")
def cluster(rabbitmq: RabbitServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("rabbitmq"), "celery", broker_url=rabbitmq.url) as running:
        yield running


@contextlib.contextmanager
def broker_of(rabbitmq: RabbitServer, queue: str) -> Iterator[CeleryBroker]:
    """What a server sends through, to a queue that nobody consumes."""
    app = Celery("sending", set_as_current=False)
    app.conf.update(celery_settings(rabbitmq.url, [queue], at_once=1))
    broker = CeleryBroker(app)
    try:
        yield broker
    finally:
        broker.disconnect()


def inspected(cluster: Cluster, *asked: str) -> dict[str, dict[str, Any]]:
    """What Celery's own program hears from each worker, by what it asked for."""
    program = ASKED.format(workers=len(cluster.workers), asked=asked)
    answers: dict[str, dict[str, Any] | None] = msgspec.json.decode(cluster.python(program))
    return {name: answer or {} for name, answer in answers.items()}


def messages_taken(cluster: Cluster) -> int:
    stats = inspected(cluster, "stats")["stats"]
    assert len(stats) == len(cluster.workers)
    return sum(worker["total"].get("undercroft.deliver", 0) for worker in stats.values())


def test_jobs_come_through_rabbitmq_and_are_done_once(cluster: Cluster) -> None:
    cluster.prove(cluster.hand_in(JOBS, name="none"))
    assert messages_taken(cluster) > JOBS // 16 // SLACK, "what the workers found by themselves proves nothing"


def test_celery_inspect_sees_both_workers(cluster: Cluster) -> None:
    answers = inspected(cluster, "ping", "stats", "active", "conf")
    assert all(len(answer) == len(cluster.workers) for answer in answers.values()), answers
    assert [answer["ok"] for answer in answers["ping"].values()] == ["pong"] * len(cluster.workers)


@pytest.mark.parametrize("comes_back", ["as it was", "empty"])
def test_a_broker_that_is_killed_in_the_middle_loses_and_doubles_nothing(
    rabbitmq: RabbitServer, cluster: Cluster, comes_back: str
) -> None:
    thread, handed = cluster.handing_in(JOBS, name=comes_back, seconds=0.02)
    until(lambda: len(handed.ids) >= JOBS // 3, within_s=60)
    rabbitmq.kill()
    killed = cluster.now()
    waited_s = cluster.next_finish_after(killed, within_s=BROKER_S * SLACK)
    print(f"the next job ended {waited_s:.2f} s after RabbitMQ's kill -9")
    if comes_back == "empty":
        rabbitmq.forget()
    rabbitmq.start()
    thread.join()
    cluster.prove(handed)
    # The workers come back to it by themselves, and messages reach them again.
    until(lambda: len(inspected(cluster, "ping")["ping"]) == len(cluster.workers), within_s=120, every_s=1)
    before = messages_taken(cluster)
    cluster.prove(cluster.hand_in(50, name=f"{comes_back}, after"))
    assert messages_taken(cluster) > before


@contextlib.contextmanager
def taking_nothing(rabbitmq: RabbitServer, what: str) -> Iterator[None]:
    """The broker hangs, or has no memory left."""
    if what == "frozen":
        rabbitmq.send(signal.SIGSTOP)
    else:
        rabbitmq.kill()
        rabbitmq.start(configuration=BLOCKED)
    try:
        yield
    finally:
        if what == "frozen":
            rabbitmq.send(signal.SIGCONT)
        else:
            rabbitmq.kill()
            rabbitmq.start()


@pytest.mark.parametrize("what", ["frozen", "out of memory"])
def test_a_broker_that_takes_nothing_holds_up_neither_callers_nor_jobs_nor_a_stop(
    rabbitmq: RabbitServer, cluster: Cluster, what: str
) -> None:
    with taking_nothing(rabbitmq, what):
        began = time.monotonic()
        cluster.prove(cluster.hand_in(50, name=what))
        said = cluster.python(
            "import undercroft\n"
            "results = [undercroft.process_ai_request.delay('hello') for _ in range(3)]\n"
            "print([result.get(timeout=200) for result in results])\n"
        )
        assert said.count("One two three four five.") == 3
        print(f"50 jobs and 3 tasks, with RabbitMQ {what}: {time.monotonic() - began:.1f} s")
        began = time.monotonic()
        stopped = cluster.workers.pop(0)
        assert stopped.stop() == 0, stopped.log[-3000:]
        print(f"a worker was stopped in {time.monotonic() - began:.1f} s")
    cluster.start_worker().wait_until_ready()


def test_a_program_that_knows_only_the_task_s_name_gets_its_job_over_rabbitmq(
    rabbitmq: RabbitServer, cluster: Cluster
) -> None:
    sent = cluster.python(
        "from celery import Celery\n"
        f"app = Celery('stranger', broker='{rabbitmq.url}')\n"
        "print(app.send_task('tasks.process_ai_request', ['hello'], queue='undercroft.default').id)\n"
    ).strip()
    asked = "SELECT state FROM jobs WHERE idempotency_key = %s"
    until(lambda: cluster.sql(asked, f"celery:{sent}") == [("succeeded",)], within_s=120)


def test_what_was_confirmed_outlives_a_kill_9_and_an_empty_broker_is_used_as_any(rabbitmq: RabbitServer) -> None:
    with broker_of(rabbitmq, "unserved") as broker:
        assert broker.knows_us()
        # Of 37 brokers that were killed some milliseconds after a queue was declared, one had forgotten the queue, with
        # what it had confirmed: Mnesia's log was not on its disk yet. Of a queue that is there nothing gets lost.
        assert broker.depth("unserved") == 0
        rabbitmq.stop()
        rabbitmq.start()
        with pytest.raises(Unavailable):
            broker.depth("unserved")
        for number in range(3):
            broker.send("unserved", [("default", f"job_{number}")])
        assert broker.depth("unserved") == 3
        rabbitmq.kill()
        with pytest.raises(Unavailable):
            broker.depth("unserved")
        rabbitmq.start()
        assert broker.depth("unserved") == 3, "confirmed, and so on its disk"
        rabbitmq.kill()
        rabbitmq.forget()
        rabbitmq.start()
        with pytest.raises(Unavailable):
            broker.send("unserved", [("default", "job_4")])  # over the connection that there was
        broker.send("unserved", [("default", "job_4")])
        assert broker.depth("unserved") == 1


@pytest.mark.parametrize("what", ["frozen", "out of memory"])
def test_a_broker_that_takes_nothing_is_told_of_in_seconds(rabbitmq: RabbitServer, what: str) -> None:
    with broker_of(rabbitmq, "slow") as broker:
        broker.send("slow", [("default", "job_1")])
        with taking_nothing(rabbitmq, what):
            for _ in range(2):
                began = time.monotonic()
                with pytest.raises(Unavailable):
                    broker.send("slow", [("default", "job_2")])
                assert time.monotonic() - began < (CONNECT_S + ANSWER_S) * SLACK
        until(lambda: has_taken(broker, "slow"))


def has_taken(broker: CeleryBroker, queue: str) -> bool:
    try:
        broker.send(queue, [("default", "job_3")])
    except Unavailable:  # over the connection that there was
        return False
    return True
