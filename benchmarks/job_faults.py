"""A Celery task as most people write it, and a job, through the same faults: how many are lost, stuck, or run twice.

usage: python -m benchmarks.job_faults [--jobs N] [--out FILE]

The task has `bind=True, max_retries=3` and Celery's defaults, is sent as `.delay` sends it, and writes a line when it
is done; once more it runs with the advice that is given most, late acknowledgement. Redis keeps nothing on disk, as
where it has no volume. All sleep 20 ms, in two workers of eight at once, of which one is killed. What has not come to
its end counts as stuck when nothing has for 15 s: what Redis holds back, it holds back for an hour. A job's lease is
3 s here, not 30.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.machine import this_machine
from tests.support.job_cluster import Cluster, running_cluster
from tests.support.redis import RedisServer, running_redis

RESULTS: Final = Path(__file__).parent / "results" / "job_faults.json"
SECONDS: Final = 0.02
WORKERS: Final = 2
AT_ONCE: Final = 8
STUCK_S: Final = 15.0
START_S: Final = 90.0
AWAY_S: Final = 2.0
NAIVE: Final = "naive Celery task"
LATE: Final = "the same, acknowledged late"
OURS: Final = "undercroft, Celery"
TASK: Final = """
import os, time
from celery import Celery
app = Celery("naive", broker=os.environ["BROKER"])
app.conf.task_ignore_result = True
app.conf.task_acks_late = app.conf.task_reject_on_worker_lost = bool(os.environ.get("LATE"))
@app.task(bind=True, max_retries=3, name="process")
def process(self, number, seconds):
    try:
        with open("began", "a") as began:
            began.write(f"{number}\\n")
        time.sleep(seconds)
        with open("ran", "a") as ran:
            ran.write(f"{number}\\n")
    except Exception as error:
        raise self.retry(exc=error, countdown=2 ** self.request.retries)
"""


@dataclass(frozen=True)
class Outcome:
    """What became of the jobs under one fault."""

    who: str
    fault: str
    accepted: int
    refused: int
    """Callers that got an error and nothing to go by."""
    missing: int
    """Accepted, and lost or stuck."""
    again: int
    """Begun once more."""
    twice: int
    """Came to their end, or were recorded, more than once."""


class Naive:
    """Workers, and who sends to them."""

    def __init__(self, folder: Path, redis: RedisServer, *, is_late: bool) -> None:
        from celery import Celery

        self._folder = folder
        self._environment = {**os.environ, "BROKER": redis.url, "LATE": "1" if is_late else ""}
        (folder / "naive.py").write_text(TASK)
        self._app = Celery("naive", broker=redis.url, set_as_current=False)
        self._workers: list[subprocess.Popen[bytes]] = []
        self._started = 0
        self.accepted = 0
        self.refused = 0

    def start(self) -> None:
        """One more worker."""
        self._started += 1
        command = [sys.executable, "-m", "celery", "-A", "naive", "worker", "-c", str(AT_ONCE), "-l", "INFO"]
        command += ["-n", f"naive-{self._started}@%h"]
        with self._log(self._started).open("wb") as log:
            self._workers.append(
                subprocess.Popen(
                    command, cwd=self._folder, env=self._environment, stdout=log, stderr=log, start_new_session=True
                )
            )

    def wait_until_ready(self) -> None:
        """Returns when each worker has said that it was. None is asked: a wiped broker forgets who listens."""
        deadline = time.monotonic() + START_S
        for number in range(1, self._started + 1):
            killed = number <= self._started - len(self._workers)
            while not killed and b" ready." not in self._log(number).read_bytes():
                assert time.monotonic() < deadline, "a worker of Celery's does not start"
                time.sleep(0.1)

    def _log(self, number: int) -> Path:
        return self._folder / f"log-{number}"

    def kill(self) -> None:
        """kill -9 of the oldest one, with its pool."""
        worker = self._workers.pop(0)
        with suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()

    def end(self) -> None:
        while self._workers:
            self.kill()

    def send(self, count: int) -> None:
        for number in range(count):
            try:
                self._app.send_task("process", (number, SECONDS))
                self.accepted += 1
            except Exception:  # noqa: BLE001 - whatever the caller gets, it is an error
                self.refused += 1

    def began(self) -> list[str]:
        return self._lines("began")

    def ran(self) -> list[str]:
        return self._lines("ran")

    def _lines(self, name: str) -> list[str]:
        path = self._folder / name
        return path.read_text().split() if path.exists() else []


def settle(ended: Callable[[], int], accepted: int) -> None:
    """Returns when all have come to their end, or none for so long that the rest counts as stuck."""
    count, since = -1, time.monotonic()
    while (now := ended()) < accepted and time.monotonic() - since < STUCK_S:
        if now != count:
            count, since = now, time.monotonic()
        time.sleep(0.2)


def naive(fault: str, jobs: int, *, is_late: bool = False) -> Outcome:
    with tempfile.TemporaryDirectory() as place, running_redis() as redis:
        app = Naive(Path(place), redis, is_late=is_late)
        try:
            for _ in range(WORKERS):
                app.start()
            app.wait_until_ready()
            sending = threading.Thread(target=app.send, args=(jobs,))
            sending.start()
            _break(fault, lambda: app.accepted + app.refused, jobs, redis, app.kill, app.start)
            sending.join()
            app.wait_until_ready()  # what has not run by then is not late because they were starting
            settle(lambda: len(set(app.ran())), app.accepted)
        finally:
            app.end()
        ran, began = app.ran(), app.began()
        return Outcome(
            LATE if is_late else NAIVE,
            fault,
            app.accepted,
            app.refused,
            missing=app.accepted - len(set(ran)),
            again=len(began) - len(set(began)),
            twice=len(ran) - len(set(ran)),
        )


def ours(cluster: Cluster, fault: str, jobs: int) -> Outcome:
    assert cluster.redis is not None
    thread, handed = cluster.handing_in(jobs, name=fault, seconds=SECONDS, patience_s=600)

    def start() -> None:
        cluster.start_worker()

    def kill() -> None:
        cluster.kill_worker(cluster.workers[0])

    _break(fault, lambda: len(handed.ids), jobs, cluster.redis, kill, start)
    thread.join()
    for worker in cluster.workers:
        worker.wait_until_ready()
    settle(lambda: cluster.finished(handed), len(handed.ids))
    ids = list(handed.ids.values())
    ((recorded, different),) = cluster.sql("SELECT count(*), count(DISTINCT id) FROM witnessed WHERE id = ANY(%s)", ids)
    ((again,),) = cluster.sql("SELECT coalesce(sum(greatest(runs - 1, 0)), 0) FROM jobs WHERE id = ANY(%s)", ids)
    missing = len(ids) - different
    return Outcome(OURS, fault, len(ids), 0, missing=missing, again=int(again), twice=recorded - different)


def _break(
    fault: str,
    handed_in: Callable[[], int],
    jobs: int,
    redis: RedisServer,
    kill: Callable[[], None],
    start: Callable[[], None],
) -> None:
    """Lets the fault happen while jobs are handed in."""

    def reach(share: float) -> None:
        while handed_in() < jobs * share:
            time.sleep(0.01)

    match fault:
        case "none":
            return
        case "workers killed three times":
            for share in (0.25, 0.5, 0.75):
                reach(share)
                kill()
                start()
        case "broker wiped":
            reach(0.5)
            redis.ask("FLUSHALL")
        case "broker killed, back after 2 s":
            reach(0.5)
            redis.kill()
            time.sleep(AWAY_S)
            redis.start()


FAULTS: Final = ("none", "workers killed three times", "broker wiped", "broker killed, back after 2 s")


def run(jobs: int, *, console: Console) -> list[Outcome]:
    """Both, through each fault."""
    outcomes = []
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("faults", total=3 * len(FAULTS))
        for is_late in (False, True):
            for fault in FAULTS:
                outcomes.append(naive(fault, jobs, is_late=is_late))
                progress.advance(task)
        with (
            tempfile.TemporaryDirectory() as place,
            running_cluster(Path(place), "celery", workers=WORKERS) as cluster,
        ):
            for fault in FAULTS:
                outcomes.append(ours(cluster, fault, jobs))
                progress.advance(task)
    return outcomes


def table(result: dict[str, Any]) -> Table:
    shown = Table(title="The same faults (missing: accepted, and lost or stuck)")
    for column in ("", "fault", "accepted", "refused", "missing", "begun again", "ended twice"):
        shown.add_column(column, justify="left" if column in ("", "fault") else "right")
    for each in result["outcomes"]:
        shown.add_row(*(str(value) for value in each.values()))
    return shown


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--jobs", type=int, default=300, help="of each fault")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    console = Console()
    result = {
        "machine": this_machine(),
        "jobs": options.jobs,
        "outcomes": [asdict(each) for each in run(options.jobs, console=console)],
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    console.print(table(result))
    console.print(f"written: {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
