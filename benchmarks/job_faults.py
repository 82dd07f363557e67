"""A Celery task as most people write it, and a job, through the same faults: how many are lost, stuck, or run twice.

usage: python -m benchmarks.job_faults [--jobs N] [--out FILE]

The task has `bind=True, max_retries=3` and Celery's defaults, on Redis as it comes without a volume. Both sleep 20 ms;
four processes run the task, two workers of eight at once the job. A task counts as stuck when it has not run 15 s after
the last one that did: what Redis holds back, it holds back for an hour.
"""

import argparse
import json
import os
import platform
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

from tests.support.job_cluster import Cluster, running_cluster
from tests.support.redis import RedisServer, running_redis

RESULTS: Final = Path(__file__).parent / "results" / "job_faults.json"
SECONDS: Final = 0.02
STUCK_S: Final = 15.0
START_S: Final = 90.0
AWAY_S: Final = 2.0
TASK: Final = """
import os, time
from celery import Celery
app = Celery("naive", broker=os.environ["BROKER"])
app.conf.task_ignore_result = True
@app.task(bind=True, max_retries=3, name="process")
def process(self, number, seconds):
    try:
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
    twice: int
    """Ran, or were recorded, more than once."""


class Naive:
    """A worker of four processes, and who sends to it."""

    def __init__(self, folder: Path, redis: RedisServer) -> None:
        from celery import Celery

        self._folder = folder
        self._environment = {**os.environ, "BROKER": redis.url}
        (folder / "naive.py").write_text(TASK)
        self._app = Celery("naive", broker=redis.url, set_as_current=False)
        self._app.conf.broker_connection_timeout = 1
        self._worker: subprocess.Popen[bytes] | None = None
        self.accepted = 0
        self.refused = 0

    def start(self) -> None:
        """Returns when the worker answers: what has not run by then is not late because it was starting."""
        command = [sys.executable, "-m", "celery", "-A", "naive", "worker", "-c", "4", "-l", "ERROR"]
        with (self._folder / "log").open("ab") as log:
            self._worker = subprocess.Popen(
                command, cwd=self._folder, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + START_S
        while not self._app.control.ping(timeout=0.5):
            assert time.monotonic() < deadline, "Celery's worker does not start"

    def kill(self) -> None:
        assert self._worker is not None
        with suppress(ProcessLookupError):
            os.killpg(self._worker.pid, signal.SIGKILL)
        self._worker.wait()

    def send(self, count: int) -> None:
        for number in range(count):
            try:
                self._app.send_task("process", (number, SECONDS), retry=False)
                self.accepted += 1
            except Exception:  # noqa: BLE001 - whatever the caller gets, it is an error
                self.refused += 1
                time.sleep(0.05)

    def ran(self) -> list[str]:
        path = self._folder / "ran"
        return path.read_text().split() if path.exists() else []

    def settle(self) -> None:
        """Returns when nothing has run for so long that the rest counts as stuck, or all have."""
        count, since = -1, time.monotonic()
        while len(set(self.ran())) < self.accepted and time.monotonic() - since < STUCK_S:
            if len(self.ran()) != count:
                count, since = len(self.ran()), time.monotonic()
            time.sleep(0.2)


def naive(fault: str, jobs: int) -> Outcome:
    with tempfile.TemporaryDirectory() as place, running_redis() as redis:
        app = Naive(Path(place), redis)
        app.start()
        sending = threading.Thread(target=app.send, args=(jobs,))
        sending.start()
        _break(fault, lambda: app.accepted + app.refused, jobs, redis, app.kill, app.start)
        sending.join()
        app.settle()
        app.kill()
        ran = app.ran()
        return Outcome(
            "naive Celery task",
            fault,
            app.accepted,
            app.refused,
            app.accepted - len(set(ran)),
            len(ran) - len(set(ran)),
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
    deadline = time.monotonic() + 300
    while cluster.finished(handed) < jobs and time.monotonic() < deadline:
        time.sleep(0.2)
    ids = list(handed.ids.values())
    ((recorded, different),) = cluster.sql("SELECT count(*), count(DISTINCT id) FROM witnessed WHERE id = ANY(%s)", ids)
    return Outcome("undercroft, Celery", fault, len(ids), 0, len(ids) - different, recorded - different)


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
        task = progress.add_task("faults", total=2 * len(FAULTS))
        for fault in FAULTS:
            outcomes.append(naive(fault, jobs))
            progress.advance(task)
        with tempfile.TemporaryDirectory() as place, running_cluster(Path(place), "celery") as cluster:
            for fault in FAULTS:
                outcomes.append(ours(cluster, fault, jobs))
                progress.advance(task)
    return outcomes


def table(result: dict[str, Any]) -> Table:
    shown = Table(title="The same faults (missing: accepted, and lost or stuck)")
    for column in ("", "fault", "accepted", "refused", "missing", "ran or recorded twice"):
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
        "machine": {"cores": os.cpu_count(), "system": platform.system(), "python": platform.python_version()},
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
