"""Every line that a worker writes, from its start to its end: in one form, without secrets, and traceable."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.http import Answer
from tests.support.job_cluster import Cluster, Worker, running_cluster
from tests.support.server import command, until

pytestmark = pytest.mark.xdist_group("job faults")

OWN_KEYS = {"event", "level", "logger", "timestamp"}
READABLE = re.compile(r"(\x1b\[\d+m)?\d\d:\d\d:\d\d (debug|info|warning|error) +\S+  \S")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CANARY = "canary-4f6Qz9Wm2Lk7"
SECRETS = {
    "UNDERCROFT_MASTER_KEY": f"{CANARY}-of-the-master-key",
    "ENCRYPTION_KEY": "canary4f6Qz9Wm2Lk7ofEncryption0123456789abc=",
    "OPENAI_API_KEY": f"sk-{CANARY}-0123456789abcdefghijklmnop",
}
PASSWORDS = {"database": f"{CANARY}db", "broker": f"{CANARY}queue"}
KINDS = f"""
import logging
import threading
import warnings

SECRET = "{SECRETS["OPENAI_API_KEY"]}"


def fail():
    raise RuntimeError(f"no key {{SECRET}}")


@undercroft.job("chatty")
def chatty(n: int) -> str:
    logging.getLogger("some.library").warning("%s says %s", "it", SECRET, extra={{"detail": SECRET}})
    warnings.warn(f"an old way with {{SECRET}}", stacklevel=1)
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    return "done"


@undercroft.job("broken")
def broken(n: int) -> None:
    fail()
"""
STRANGER = """
from celery import Celery
app = Celery("stranger", broker={broker!r})
app.send_task("stranger.task", [{secret!r}], queue="undercroft.default")
"""
WORKERS = {
    "undercroft worker": tuple(command("worker")),
    "celery worker": (sys.executable, "-m", "celery", "-A", "undercroft.worker", "worker"),
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A server alone: each test starts a worker of its own, whose environment is full of secrets."""
    with running_cluster(tmp_path_factory.mktemp("logs"), "celery", workers=0, kinds=KINDS) as made:
        assert made.redis is not None
        added = made.redis.ask("ACL", "SETUSER", "queue", "on", f">{PASSWORDS['broker']}", "~*", "&*", "+@all")
        assert added.startswith(b"+OK"), added
        database = made.url.replace("postgres@", f"postgres:{PASSWORDS['database']}@")
        broker = made.redis.url.replace("127.0.0.1", f"queue:{PASSWORDS['broker']}@127.0.0.1")
        made.extra |= {**SECRETS, "DATABASE_URL": database, "CELERY_BROKER_URL": broker}
        yield made


def lines_of(worker: Worker) -> list[dict[str, Any]]:
    """All that it has written, on either stream."""
    return [json.loads(line) for line in worker.log.splitlines()]


def hand_in(cluster: Cluster, kind: str, **fields: Any) -> Answer:
    body = {"kind": kind, "input": {"n": 1}, "max_attempts": 1, **fields}
    made = cluster.server.ask("/api/v1/jobs", json=body, headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"})
    assert made.status == 202, made.body
    return made


def ended(cluster: Cluster, *handed: Answer) -> None:
    for each in handed:
        path = f"/api/v1/jobs/{each.json['id']}"
        until(lambda path=path: cluster.server.ask(path).json["status"] in ("succeeded", "dead"), within_s=60)  # type: ignore[misc]


def test_every_line_is_an_event_of_ours_and_a_jobs_lines_name_its_request(cluster: Cluster) -> None:
    assert cluster.redis is not None
    worker = cluster.start_worker()
    worker.wait_until_ready()
    chatty, broken = hand_in(cluster, "chatty"), hand_in(cluster, "broken")
    ended(cluster, chatty, broken)
    cluster.python(STRANGER.format(broker=cluster.redis.url, secret=SECRETS["OPENAI_API_KEY"]))
    until(lambda: "stranger.task" in worker.log)
    cluster.redis.ask("CLIENT", "KILL", "TYPE", "normal")
    until(lambda: "onnection to broker lost" in worker.log)
    ended(cluster, hand_in(cluster, "step", input={"number": 1}))
    cluster.workers.remove(worker)
    assert worker.stop() == 0

    lines = lines_of(worker)
    assert all(line.keys() >= OWN_KEYS for line in lines)
    assert {"celery.worker.consumer.consumer", "some.library", "py.warnings"} <= {line["logger"] for line in lines}
    assert lines[-1]["event"] == "worker_stopping"
    said = {line["event"]: line for line in lines}
    for event, handed in (("it says [REDACTED]", chatty), ("job_failed", broken)):
        assert (said[event]["request_id"], said[event]["trace_id"]) == (handed.request_id, TRACE)
    assert "RuntimeError: no key [REDACTED]" in said["thread_failed"]["exception"]
    for secret in (*SECRETS.values(), *PASSWORDS.values(), CANARY):
        assert secret not in worker.log


@pytest.mark.parametrize("program", WORKERS)
def test_whoever_starts_and_stops_it_reads_nothing_of_celerys_own(program: str, cluster: Cluster) -> None:
    worker = cluster.start_worker(*WORKERS[program])
    worker.wait_until_ready()
    cluster.workers.remove(worker)

    assert worker.stop() == 0
    assert all(line.keys() >= OWN_KEYS for line in lines_of(worker))


def test_on_a_terminal_every_line_is_in_the_readable_form(cluster: Cluster, tmp_path: Path) -> None:
    cluster.extra["UNDERCROFT_TELEMETRY__LOG_FORMAT"] = "console"
    try:
        worker = cluster.start_worker()
        worker.wait_until_ready()
        cluster.workers.remove(worker)
        assert worker.stop() == 0
    finally:
        del cluster.extra["UNDERCROFT_TELEMETRY__LOG_FORMAT"]

    rows = worker.log.splitlines()
    assert rows
    assert [row for row in rows if not READABLE.match(row)] == []
