"""Batches whose lines are jobs of workers of their own: counted exactly, ended in time, broken off when cancelled."""

import pytest

from tests.support.batches import finished, found, line, lines_of, order
from tests.support.job_cluster import Cluster
from tests.support.server import until
from tests.support.upstream import Upstream

pytestmark = pytest.mark.xdist_group("job faults")

LINES = 50
ENDS = 4
"""Lines that a test lets be answered before the batch ends early."""


def test_good_lines_refused_ones_and_those_that_fail_are_counted_exactly_though_a_worker_dies(cluster: Cluster) -> None:
    names = [f"line-{number}" for number in range(LINES - 2)]
    asked = [line(name, model="slow") for name in names]
    asked[10:10] = [line("refused", model="refuses")]
    asked[20:20] = [line("failing", model="web-page")]
    batch = order(cluster.server, b"\n".join(asked))
    until(lambda: found(cluster.server, batch)["request_counts"]["completed"] > 0, within_s=60)
    cluster.kill_worker(cluster.workers[0])
    cluster.start_worker()
    told = finished(cluster.server, batch)

    assert told["status"] == "completed"
    assert told["request_counts"] == {"total": LINES, "completed": LINES - 2, "failed": 2}
    assert set(lines_of(cluster.server, told["output_file_id"])) == set(names)
    errors = lines_of(cluster.server, told["error_file_id"])
    assert set(errors) == {"refused", "failing"}
    assert errors["refused"]["response"]["status_code"] == 422
    assert errors["failing"]["error"]["code"]
    dead = cluster.sql("SELECT attempts FROM jobs WHERE kind = 'batch_item' AND state = 'dead'")
    assert set(dead) == {(4,)}, "tried as often as any job"
    told_of = cluster.sql("SELECT type FROM events WHERE subject = %s ORDER BY number", batch)
    assert told_of == [("batch.in_progress",), ("batch.completed",)]


@pytest.mark.parametrize("ending", ["cancelled", "expired"])
def test_a_batch_that_ends_early_keeps_what_was_answered_and_breaks_off_what_runs(
    cluster: Cluster, upstream: Upstream, ending: str
) -> None:
    answered = [line(f"line-{number}") for number in range(ENDS)]
    silent = [line(f"silent-{number}", model="silent") for number in range(LINES - ENDS)]
    batch = order(cluster.server, b"\n".join(answered + silent))
    until(lambda: found(cluster.server, batch)["request_counts"]["completed"] == ENDS, within_s=60)
    until(lambda: upstream.running > 0, within_s=60)
    if ending == "cancelled":
        stopped = cluster.server.ask(f"/v1/batches/{batch}/cancel", method="POST")
        assert stopped.json["status"] in ("cancelling", "finalizing", "cancelled"), "a busy server may find it done"
    else:  # its day is over
        cluster.sql("UPDATE batches SET expires_us = created_us + 1 WHERE id = %s", batch)
    told = finished(cluster.server, batch)

    assert told["status"] == ending
    assert told["request_counts"]["total"] == LINES
    assert told["request_counts"]["completed"] == ENDS
    assert set(lines_of(cluster.server, told["output_file_id"])) == {f"line-{number}" for number in range(ENDS)}
    errors = lines_of(cluster.server, told["error_file_id"])
    assert set(errors) == {f"silent-{number}" for number in range(LINES - ENDS)}
    assert {each["error"]["code"] for each in errors.values()} == {f"batch_{ending}"}
    until(lambda: upstream.running == 0, within_s=60)
    until(lambda: cluster.sql("SELECT count(*) FROM jobs WHERE finished_us = 0") == [(0,)], within_s=60)
    told_of = cluster.sql("SELECT type FROM events WHERE subject = %s ORDER BY number", batch)
    assert told_of == [("batch.in_progress",), (f"batch.{ending}",)]
