"""Organisations take turns, however much one of them has handed in."""

import time

import pytest

from tests.support.job_cluster import Cluster
from undercroft.storage.schema import jobs

pytestmark = pytest.mark.xdist_group("job faults")

BACKLOG = 100_000
AFTER_S = 3.0
SLACK = 10
SECONDS = 0.1
OTHERS = {
    "organisation": "'big'",
    "id": "'job_big_' || number",
    "state": "'queued'",
    "token": "''",
    "runs": "0",
    "result": "NULL",
    "idempotency_key": "NULL",
    "started_us": "0",
    "finished_us": "0",
}


def test_a_hundred_thousand_jobs_of_one_organisation_do_not_delay_anothers_first(cluster: Cluster) -> None:
    pattern = cluster.hand_in(1, name="pattern", seconds=SECONDS)
    cluster.prove(pattern)
    names = [column.name for column in jobs.columns]
    copied = ", ".join(OTHERS.get(name, name) for name in names)
    cluster.sql(
        f"INSERT INTO jobs ({', '.join(names)}) SELECT {copied} FROM jobs, generate_series(1, {BACKLOG}) AS number "
        "WHERE id = %s",
        *pattern.ids.values(),
    )
    try:
        began = time.monotonic()
        handed = cluster.hand_in(1, name="other", seconds=SECONDS)
        (other,) = handed.ids.values()
        while cluster.finished(handed) == 0:
            assert time.monotonic() - began < AFTER_S * SLACK
            time.sleep(0.02)
        print(f"another organisation's first job ended {time.monotonic() - began:.2f} s after it was handed in")
        assert cluster.sql("SELECT state FROM jobs WHERE id = %s", other) == [("succeeded",)]
        ((left,),) = cluster.sql("SELECT count(*) FROM jobs WHERE organisation = 'big' AND finished_us = 0")
        assert left > BACKLOG // 2, "it had to wait for no more than its turn"
    finally:
        cluster.sql("DELETE FROM jobs WHERE organisation = 'big'")
