"""A whole installation for jobs: PostgreSQL, perhaps Redis, a server that accepts and workers that run, each a process
that can really be killed; and a witness in the database of what was recorded.
"""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import psycopg

from tests.support.postgres import PostgresServer, running_postgres
from tests.support.redis import RedisServer, running_redis
from tests.support.server import SCRIPTED, Server, command, environment, run, started, until

Delivery = Literal["celery", "postgres"]

LEASE_S = 3.0
START_S = 90
ANSWER_S = 20
MODULE = """
import asyncio

import undercroft


@undercroft.job("step")
async def step(number: int, seconds: float = 0.01) -> int:
    await asyncio.sleep(seconds)
    return number
"""
TOML = f"""{SCRIPTED}
[server]
shutdown_grace_s = 5.0
[jobs]
at_once = 8
modules = ["job_steps"]
lease_s = {LEASE_S}
"""
# Not a word of ours is asked: the database itself writes down each time that a result is recorded.
WITNESS = """
CREATE TABLE witnessed (at timestamptz DEFAULT clock_timestamp(), id text, was text, worker text);
CREATE FUNCTION witness() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO witnessed (id, was, worker) VALUES (new.id, old.state, new.worker); RETURN new;
END $$;
CREATE TRIGGER witness AFTER UPDATE ON jobs FOR EACH ROW
  WHEN (new.state = 'succeeded' AND (old.state <> 'succeeded' OR old.result IS DISTINCT FROM new.result))
  EXECUTE FUNCTION witness();
"""


class Worker:
    """A process that runs jobs, and what it logs."""

    def __init__(self, folder: Path, extra: dict[str, str], number: int, program: Sequence[str] = ()) -> None:
        self._log = folder / f"worker-{number}.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                program or command("worker"),
                cwd=folder,
                env=environment(extra),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        return self._log.read_text("utf-8")

    def wait_until_ready(self) -> None:
        def is_ready() -> bool:
            assert self.process.poll() is None, self.log[-5000:]
            return "worker_ready" in self.log

        until(is_ready, within_s=START_S, every_s=0.05)

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.terminate()
        return self.process.wait(60)


@dataclass
class Handed:
    """Jobs as their callers know them: handed in with a key, and again until somebody answered 202."""

    kind: str = "step"
    ids: dict[str, str] = field(default_factory=dict)
    """By idempotency key."""
    tries: int = 0


@dataclass
class Cluster:
    """What runs, and how it is spoken to."""

    folder: Path
    delivery: Delivery
    postgres: PostgresServer
    redis: RedisServer | None
    url: str
    extra: dict[str, str]
    toml: str
    server: Server
    stack: ExitStack
    workers: list[Worker] = field(default_factory=list)
    leaving: list[Worker] = field(default_factory=list)
    """Those that were told to stop, and nobody waits for."""
    _started: int = 0

    def start_worker(self, *program: str) -> Worker:
        """`undercroft worker`, unless another program is named."""
        self._started += 1
        worker = Worker(self.folder, self.extra, self._started, program)
        self.workers.append(worker)
        return worker

    def kill_worker(self, worker: Worker) -> None:
        worker.kill()
        self.workers.remove(worker)

    def restart_server(self) -> None:
        """kill -9 of the server, and another one on the same port."""
        self.server.kill()
        self.server = self.stack.enter_context(_serving(self.folder, self.toml, self.extra, port=self.server.port))

    def hand_in(
        self,
        count: int,
        *,
        callers: int = 4,
        seconds: float = 0.01,
        name: str = "",
        patience_s: float = 180,
        into: Handed | None = None,
    ) -> Handed:
        """Hands in so many jobs and returns when each was accepted, however often it takes."""
        handed = into or Handed()
        numbers = iter(range(count))
        turn = threading.Lock()

        def call() -> None:
            while True:
                with turn:
                    number = next(numbers, None)
                if number is None:
                    return
                key = f"{name}-{number}"
                body = {"kind": "step", "input": {"number": number, "seconds": seconds}, "idempotency_key": key}
                deadline = time.monotonic() + patience_s
                while True:
                    handed.tries += 1
                    try:
                        answer = self.server.ask("/api/v1/jobs", json=body)
                        if answer.status == 202:
                            handed.ids[key] = answer.json["id"]
                            break
                        assert answer.status == 503, answer.body
                    except OSError:
                        pass  # its server was killed; the next one knows the key, or takes it
                    assert time.monotonic() < deadline, f"{key} was never accepted"
                    time.sleep(0.05)

        threads = [threading.Thread(target=call) for _ in range(callers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(handed.ids) == count
        return handed

    def handing_in(self, count: int, **options: Any) -> tuple[threading.Thread, Handed]:
        """The same beside what the test does."""
        handed = Handed()
        thread = threading.Thread(target=lambda: self.hand_in(count, into=handed, **options))
        thread.start()
        return thread, handed

    def python(self, program: str) -> str:
        """What a program of a user's prints, in the cluster's folder and environment."""
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=self.folder,
            env=environment(self.extra),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def finished(self, handed: Handed) -> int:
        ids = list(handed.ids.values())
        return int(self.sql("SELECT count(*) FROM jobs WHERE id = ANY(%s) AND finished_us > 0", ids)[0][0])

    def last_finish(self) -> float:
        """When a result was last recorded, on the database's clock."""
        return float(self.sql("SELECT coalesce(extract(epoch FROM max(at)), 0) FROM witnessed")[0][0])

    def now(self) -> float:
        return float(self.sql("SELECT extract(epoch FROM clock_timestamp())")[0][0])

    def next_finish_after(self, moment: float, *, within_s: float) -> float:
        """How long after `moment` the next result was recorded."""
        until(lambda: self.last_finish() > moment, within_s=within_s)
        found = self.sql("SELECT min(extract(epoch FROM at)) FROM witnessed WHERE extract(epoch FROM at) > %s", moment)
        return float(found[0][0]) - moment

    def prove(self, handed: Handed, *, within_s: float = 120) -> None:
        """0 lost, 0 stuck, 0 recorded twice: each accepted job has its own result, written down once."""
        until(lambda: self.finished(handed) == len(handed.ids), within_s=within_s, every_s=0.1)
        ids = list(handed.ids.values())
        assert len(set(ids)) == len(ids), "two keys got one job"
        rows = {
            row[0]: row[1:] for row in self.sql("SELECT id, state, result, input FROM jobs WHERE id = ANY(%s)", ids)
        }
        assert set(rows) == set(ids)
        assert {state for state, _, _ in rows.values()} == {"succeeded"}
        assert all(f'"number":{result},' in given.replace(" ", "") for _, result, given in rows.values())
        seen = self.sql("SELECT id, count(*) FROM witnessed WHERE id = ANY(%s) GROUP BY id", ids)
        assert len(seen) == len(ids)
        assert {count for _, count in seen} == {1}
        assert self.sql("SELECT count(*) FROM jobs WHERE state NOT IN ('succeeded', 'dead', 'cancelled')") == [(0,)]


@contextmanager
def running_cluster(
    folder: Path,
    delivery: Delivery,
    *,
    workers: int = 2,
    models: str = "",
    kinds: str = "",
    broker_url: str = "",
) -> Iterator[Cluster]:
    """A server that accepts and so many workers, ready; `models` and `kinds` of jobs are there besides the usual.

    Celery's broker is a Redis of its own, unless `broker_url` names another.
    """
    toml = f"{TOML}{models}"
    (folder / "job_steps.py").write_text(f"{MODULE}{kinds}")
    with ExitStack() as stack:
        postgres = stack.enter_context(running_postgres())
        redis = stack.enter_context(running_redis()) if delivery == "celery" and not broker_url else None
        url = postgres.new_database()
        broker_url = redis.url if redis else broker_url
        extra = {"DATABASE_URL": url} | ({"CELERY_BROKER_URL": broker_url} if broker_url else {})
        migrated = run(folder, "migrate", toml=toml, extra=extra)
        assert migrated.exit_code == 0, migrated.stderr
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(WITNESS.encode())
        server = stack.enter_context(_serving(folder, toml, extra))
        cluster = Cluster(folder, delivery, postgres, redis, url, extra, toml, server, stack)
        stack.callback(_end, cluster)
        for worker in [cluster.start_worker() for _ in range(workers)]:
            worker.wait_until_ready()
        yield cluster


@contextmanager
def _serving(folder: Path, toml: str, extra: dict[str, str], *, port: int = 0) -> Iterator[Server]:
    program = command("serve", "--port", str(port), "--role", "gateway,console")
    with started(folder, program, toml=toml, extra=extra) as server:
        until(lambda: server.ask("/health").json["checks"]["database"] == "ok", within_s=START_S)
        yield server


def _end(cluster: Cluster) -> None:
    for worker in (*cluster.workers, *cluster.leaving):
        worker.kill()
