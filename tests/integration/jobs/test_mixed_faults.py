"""A schedule of faults drawn by lot, under load. Its seed repeats it: UNDERCROFT_FAULT_SEED=… ."""

import os
import random
import signal
import time
from collections.abc import Callable

import pytest

from tests.support.job_cluster import LEASE_S, Cluster

pytestmark = pytest.mark.xdist_group("job faults")

SEED = int(os.environ.get("UNDERCROFT_FAULT_SEED") or random.randrange(1_000_000))


def kill_a_worker(cluster: Cluster, rng: random.Random) -> None:
    cluster.kill_worker(rng.choice(cluster.workers))
    cluster.start_worker()


def stop_a_worker(cluster: Cluster, rng: random.Random) -> None:
    stopped = cluster.workers.pop(rng.randrange(len(cluster.workers)))
    cluster.start_worker()
    stopped.process.terminate()  # it may still be starting: no clean end is asked of it
    cluster.leaving.append(stopped)


def pause_a_worker(cluster: Cluster, rng: random.Random) -> None:
    worker = rng.choice(cluster.workers)
    worker.send(signal.SIGSTOP)
    time.sleep(rng.choice([0.2, LEASE_S + 0.5]))
    worker.send(signal.SIGCONT)


def kill_the_server(cluster: Cluster, rng: random.Random) -> None:
    cluster.restart_server()


def kill_the_database(cluster: Cluster, rng: random.Random) -> None:
    cluster.postgres.kill()
    time.sleep(rng.uniform(0, 1))
    cluster.postgres.start()


def wipe_the_broker(cluster: Cluster, rng: random.Random) -> None:
    if cluster.redis is not None:
        cluster.redis.ask("FLUSHALL")


def kill_the_broker(cluster: Cluster, rng: random.Random) -> None:
    if cluster.redis is not None:
        cluster.redis.kill()
        time.sleep(rng.uniform(0, 1))
        cluster.redis.start()


FAULTS: tuple[Callable[[Cluster, random.Random], None], ...] = (
    kill_a_worker,
    stop_a_worker,
    pause_a_worker,
    kill_the_server,
    kill_the_database,
    wipe_the_broker,
    kill_the_broker,
)


def under_faults(cluster: Cluster, *, jobs: int, faults: int, seed: int) -> None:
    """Hands in so many jobs, with a fault whenever another share of them was accepted, and proves them all."""
    print(f"mixed faults: seed {seed}, {faults} over {jobs} jobs, {cluster.delivery}", flush=True)
    rng = random.Random(seed)
    # Each kind comes before any comes twice.
    plan = [fault for _ in range(-(-faults // len(FAULTS))) for fault in rng.sample(FAULTS, len(FAULTS))][:faults]
    thread, handed = cluster.handing_in(jobs, name=f"mixed-{seed}", callers=8, patience_s=600)
    for number, fault in enumerate(plan, start=1):
        while thread.is_alive() and len(handed.ids) < jobs * number // (faults + 1):
            time.sleep(0.02)
        fault(cluster, rng)
    thread.join()
    cluster.prove(handed, within_s=600)
    print(f"all {jobs} done once; {handed.tries - jobs} calls were repeated")


def test_a_schedule_of_mixed_faults_loses_nothing_and_doubles_nothing(celery: Cluster) -> None:
    under_faults(celery, jobs=1000, faults=len(FAULTS), seed=SEED)


@pytest.mark.torture
@pytest.mark.parametrize("delivery", ["celery", "postgres"])
def test_a_long_schedule_of_mixed_faults_loses_nothing_and_doubles_nothing(
    request: pytest.FixtureRequest, delivery: str
) -> None:
    jobs = int(os.environ.get("UNDERCROFT_TORTURE_JOBS", "100000"))
    under_faults(request.getfixturevalue(delivery), jobs=jobs, faults=max(7, jobs // 500), seed=SEED)
