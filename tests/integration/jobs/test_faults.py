"""Real processes, really killed: what was accepted is done, its result recorded once, and nothing gets stuck."""

import os
import signal
import threading
import time

import pytest

from tests.support.job_cluster import LEASE_S, Cluster, Handed
from tests.support.server import until

pytestmark = pytest.mark.xdist_group("job faults")

JOBS = int(os.environ.get("UNDERCROFT_FAULT_JOBS", "300"))
"""Of each fault; `make torture` takes more."""
SLACK = 10
AT_ONCE = 8
"""Jobs of one worker."""
BROKER_S = 2.0
DATABASE_S = 2.0


def test_without_a_fault_every_job_is_done_once(cluster: Cluster) -> None:
    cluster.prove(cluster.hand_in(JOBS, name="none"))


def test_jobs_of_killed_workers_are_done_by_others(cluster: Cluster) -> None:
    thread, handed = cluster.handing_in(JOBS, name="workers", seconds=0.2)
    for part in (3, 2):
        until(lambda part=part: len(handed.ids) >= JOBS // part, within_s=120)  # type: ignore[misc]
        cluster.kill_worker(cluster.workers[0])
        cluster.start_worker()
    thread.join()
    cluster.prove(handed)


def test_a_dead_workers_job_runs_again_within_its_lease_and_a_second(cluster: Cluster) -> None:
    handed = cluster.hand_in(len(cluster.workers) * 8, name="lease", seconds=1.0)
    until(lambda: cluster.sql("SELECT count(*) FROM jobs WHERE state = 'running'")[0][0] >= 8, within_s=60)
    cluster.kill_worker(cluster.workers[0])
    killed = cluster.now()
    cluster.start_worker()
    until(
        lambda: cluster.sql("SELECT 1 FROM job_attempts WHERE outcome = 'lost' AND ended_us > %s", killed * 1e6) != []
    )
    (found,) = cluster.sql(
        "SELECT min(ended_us) FROM job_attempts WHERE outcome = 'lost' AND ended_us > %s", killed * 1e6
    )
    print(f"lost work was found {found[0] / 1e6 - killed:.2f} s after kill -9 (lease {LEASE_S} s)")
    assert found[0] / 1e6 - killed < (LEASE_S + 1) * SLACK
    cluster.prove(handed)


def test_a_killed_server_costs_its_callers_a_second_call_and_no_job(cluster: Cluster) -> None:
    thread, handed = cluster.handing_in(JOBS, name="server")
    until(lambda: len(handed.ids) >= JOBS // 3, within_s=60)
    cluster.restart_server()
    thread.join()
    cluster.prove(handed)
    named = cluster.sql("SELECT count(*) FROM jobs WHERE idempotency_key LIKE 'server-%%'")
    assert named == [(JOBS,)], "a call that was repeated made no second job"


def test_a_wiped_broker_is_noticed_and_nothing_is_lost(celery: Cluster) -> None:
    assert celery.redis is not None
    thread, handed = celery.handing_in(JOBS, name="flushed")
    for part in (3, 2):
        until(lambda part=part: len(handed.ids) >= JOBS // part, within_s=60)  # type: ignore[misc]
        celery.redis.ask("FLUSHALL")
    thread.join()
    celery.prove(handed)
    until(lambda: any("broker_lost_its_messages" in worker.log for worker in celery.workers))


@pytest.mark.parametrize("away_s", [0.0, 2.0])
def test_a_killed_broker_that_comes_back_empty_loses_nothing(celery: Cluster, away_s: float) -> None:
    assert celery.redis is not None
    thread, handed = celery.handing_in(JOBS, name=f"redis-{away_s}", seconds=0.02)
    until(lambda: len(handed.ids) >= JOBS // 3, within_s=60)
    celery.redis.kill()
    time.sleep(away_s)
    celery.redis.start()
    back = celery.now()
    # What was handed in before may all be done: the broker is only a hint.
    next_thread, next_handed = celery.handing_in(20, name=f"after-{away_s}")
    waited_s = celery.next_finish_after(back, within_s=BROKER_S * SLACK)
    print(f"the next job ended {waited_s:.2f} s after the broker was back")
    prove_both(celery, (thread, handed), (next_thread, next_handed))


def test_jobs_are_accepted_and_done_while_the_broker_is_unreachable(celery: Cluster) -> None:
    assert celery.redis is not None
    celery.redis.kill()
    try:
        handed = celery.hand_in(JOBS, name="unreachable")
        celery.prove(handed)
    finally:
        celery.redis.start()
    celery.prove(celery.hand_in(20, name="reachable"))


def test_messages_that_come_twice_or_too_late_change_nothing(celery: Cluster) -> None:
    from undercroft.jobs.queues.celery_app import CeleryBroker, celery_settings

    assert celery.redis is not None
    from celery import Celery

    app = Celery("doubling", set_as_current=False)
    app.conf.update(celery_settings(celery.redis.url, ["default"], at_once=8))
    broker = CeleryBroker(app)
    thread, handed = celery.handing_in(JOBS, name="doubled")
    while thread.is_alive():
        for job in list(handed.ids.values())[-16:]:
            broker.send("default", [("default", job)] * 3)
        time.sleep(0.05)
    thread.join()
    broker.send("default", [("default", "job_that_never_was"), ("nobody", "job_1")])
    celery.prove(handed)


def prove_both(cluster: Cluster, *given: tuple[threading.Thread, Handed]) -> None:
    """Proves what was handed in at the same time, once all of it is done: a proof wants nothing to be left."""
    for thread, _ in given:
        thread.join()
    until(lambda: all(cluster.finished(each) == len(each.ids) for _, each in given), within_s=120, every_s=0.1)
    for _, handed in given:
        cluster.prove(handed)


def running(cluster: Cluster) -> int:
    """Jobs that are in some worker's hands."""
    return int(cluster.sql("SELECT count(*) FROM jobs WHERE state = 'running'")[0][0])


def test_a_worker_that_slept_through_its_lease_records_nothing(cluster: Cluster) -> None:
    slow_thread, slow = cluster.handing_in(32, name="slow", seconds=2.0)
    thread, handed = cluster.handing_in(JOBS, name="paused", seconds=0.2)
    # More than one worker runs at once, so that the one that is stopped has some in its hands.
    until(lambda: running(cluster) >= AT_ONCE + 2, within_s=120)
    sleeper, paused = cluster.workers[0], cluster.now()
    sleeper.send(signal.SIGSTOP)
    try:
        until(lambda: lost_since(cluster, paused) > 0, within_s=LEASE_S * SLACK)
    finally:
        sleeper.send(signal.SIGCONT)
    prove_both(cluster, (slow_thread, slow), (thread, handed))


def test_jobs_outlive_the_database_s_kill_9(cluster: Cluster) -> None:
    thread, handed = cluster.handing_in(JOBS, name="database", seconds=0.02)
    for part in (3, 2):
        until(lambda part=part: len(handed.ids) >= JOBS // part, within_s=60)  # type: ignore[misc]
        cluster.postgres.kill()
        time.sleep(0.5)
        cluster.postgres.start()
        waited_s = cluster.next_finish_after(cluster.now(), within_s=DATABASE_S * SLACK)
        print(f"the next job ended {waited_s:.2f} s after the database was back")
    thread.join()
    cluster.prove(handed)


def test_a_clean_stop_leaves_nothing_to_a_lease(cluster: Cluster) -> None:
    thread, handed = cluster.handing_in(JOBS, name="stopped", seconds=0.2)
    until(lambda: len(handed.ids) >= JOBS // 3, within_s=120)
    stopped, moment = cluster.workers.pop(0), cluster.now()
    cluster.start_worker()
    assert stopped.stop() == 0, stopped.log[-3000:]
    thread.join()
    cluster.prove(handed)
    assert lost_since(cluster, moment) == 0


def lost_since(cluster: Cluster, moment: float) -> int:
    """How many runs were given up because their lease had run out."""
    counted = cluster.sql("SELECT count(*) FROM job_attempts WHERE outcome = 'lost' AND ended_us > %s", moment * 1e6)
    return int(counted[0][0])
