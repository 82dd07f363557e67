"""Jobs: how many are accepted and done a second, and how soon one is picked up. usage: python -m benchmarks.jobs

Embedded: one process, SQLite, eight at once, a handler that does nothing, every guarantee on. Beside it plain Celery on
Redis, where both are installed. Rates are of one run on one machine: only their ratio says something about another.
"""

import argparse
import asyncio
import importlib.util
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from undercroft.clock import SystemClock
from undercroft.ids import Ids
from undercroft.jobs.crew import Crew, Terms
from undercroft.jobs.desk import Desk, Wanted
from undercroft.jobs.effects import NoEffects
from undercroft.jobs.handlers import Handlers, JobContext
from undercroft.jobs.queues.inline import Inline
from undercroft.jobs.types import Job, Limits
from undercroft.record import Who
from undercroft.storage.engine import open_database

RESULTS = Path(__file__).parent / "results" / "jobs.json"
PACED = 300
PAUSE_S = 0.004


@dataclass(frozen=True)
class Figures:
    """What one contender did."""

    name: str
    accepted_per_s: float
    done_per_s: float
    pickup_p50_ms: float
    pickup_p99_ms: float


class Nothing:
    """A handler that notes when it was called."""

    kind = "nothing"
    limits = Limits()

    def __init__(self) -> None:
        self.done = 0
        self.wanted = 0
        self.called_at = 0.0
        self.reached = asyncio.Event()

    def check(self, input: bytes, /) -> str:
        return ""

    async def run(self, job: Job, context: JobContext, /) -> bytes:
        self.called_at = time.perf_counter()
        self.done += 1
        if self.done >= self.wanted:
            self.reached.set()
        return b"1"

    def expect(self, count: int) -> None:
        self.wanted = self.done + count
        self.reached.clear()


class Nobody:
    def began(self, job: Job, /) -> None: ...
    def ended(self, job: Job, /) -> None: ...
    def fenced(self, job: Job, /) -> None: ...
    def delayed(self, delay_us: int, /) -> None: ...


async def embedded(count: int, callers: int) -> Figures:
    """The desk and the crew as the server has them, without HTTP in front."""
    clock, handler = SystemClock(), Nothing()
    ids, handlers = Ids(clock), Handlers([handler])
    with tempfile.TemporaryDirectory() as folder:
        database = open_database(None, data_dir=Path(folder), pool_size=1, clock=clock)
        crew = Crew(
            database,
            handlers,
            Terms(worker="bench"),
            effects=NoEffects(),
            watcher=Nobody(),
            ids=ids,
            clock=clock,
            rng=random.Random(1),
        )
        desk = Desk(
            database,
            handlers,
            Inline(crew.wake),
            queues=("default",),
            effects=NoEffects(),
            crew=crew,
            expect=lambda _: None,
            ids=ids,
            clock=clock,
        )
        working = asyncio.create_task(crew.run())

        async def hand_in(numbers: Iterator[int]) -> None:
            for _ in numbers:
                await desk.accept(Who(), Wanted(kind="nothing", input=b"{}"))

        handler.expect(count)
        begun, numbers = time.perf_counter(), iter(range(count))
        await asyncio.gather(*(hand_in(numbers) for _ in range(callers)))
        accepted_s = time.perf_counter() - begun
        await handler.reached.wait()
        done_s = time.perf_counter() - begun
        waits = []
        for _ in range(PACED):
            await asyncio.sleep(PAUSE_S)
            handler.expect(1)
            asked = time.perf_counter()
            await desk.accept(Who(), Wanted(kind="nothing", input=b"{}"))
            await handler.reached.wait()
            waits.append((handler.called_at - asked) * 1000)
        await crew.close(10)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        database.close()
    return _figures("undercroft embedded", count, accepted_s, done_s, waits)


def _figures(name: str, count: int, accepted_s: float, done_s: float, waits_ms: list[float]) -> Figures:
    p99 = statistics.quantiles(waits_ms, n=100)[98]
    return Figures(name, count / accepted_s, count / done_s, statistics.median(waits_ms), p99)


CELERY_APP = """
import os, time
from celery import Celery
app = Celery("plain", broker=os.environ["BROKER"], backend=None)
app.conf.update(task_ignore_result=True, worker_hijack_root_logger=False)
import redis
done = redis.Redis.from_url(os.environ["BROKER"])
@app.task
def nothing(asked):
    done.rpush("waits", (time.time() - asked) * 1000) if asked else done.incr("done")
"""


def celery(count: int, _: int) -> Figures:
    """A task as most people write it: Celery's defaults, Redis without persistence, two prefork processes."""
    redis = import_module("redis")
    with tempfile.TemporaryDirectory() as folder, _redis(Path(folder)) as url:
        (Path(folder) / "plain.py").write_text(CELERY_APP)
        path = os.pathsep.join([folder, *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = {**os.environ, "BROKER": url, "PYTHONPATH": path}
        command = [sys.executable, "-m", "celery", "-A", "plain", "worker", "-c", "2", "-l", "ERROR"]
        worker = subprocess.Popen(command, cwd=folder, env=environment)
        try:
            app, store = import_module("celery").Celery("plain", broker=url), redis.Redis.from_url(url)
            app.conf.task_ignore_result = True
            send: Callable[[float], Any] = lambda asked: app.send_task("plain.nothing", (asked,))  # noqa: E731
            send(0)
            _until(lambda: store.get("done") == b"1")
            begun = time.perf_counter()
            for _ in range(count):
                send(0)
            accepted_s = time.perf_counter() - begun
            _until(lambda: int(store.get("done") or 0) == count + 1)
            done_s = time.perf_counter() - begun
            for number in range(PACED):
                time.sleep(PAUSE_S)
                send(SystemClock().now_us() / 1_000_000)
                _until(lambda: store.llen("waits") == number + 1, every_s=0.0005)  # noqa: B023 - called in this turn
            waits = [float(each) for each in store.lrange("waits", 0, -1)]
        finally:
            worker.terminate()
            worker.wait()
    return _figures("plain Celery", count, accepted_s, done_s, waits)


@contextmanager
def _redis(folder: Path) -> Iterator[str]:
    program = shutil.which("redis-server")
    assert program is not None
    socket = folder / "redis.sock"
    command = [program, "--port", "6399", "--save", "", "--appendonly", "no", "--unixsocket", str(socket)]
    server = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    try:
        _until(socket.exists)
        yield "redis://127.0.0.1:6399/0"
    finally:
        server.terminate()
        server.wait()


def _until(reached: Callable[[], bool], *, every_s: float = 0.01) -> None:
    deadline = time.monotonic() + 300
    while not reached():
        assert time.monotonic() < deadline, "this takes too long"
        time.sleep(every_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--callers", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3, help="contenders take turns: drift is shared")
    options = parser.parse_args()
    has_celery = importlib.util.find_spec("celery") is not None and shutil.which("redis-server") is not None
    runs: dict[str, list[Figures]] = {}
    for _ in range(options.rounds):
        found = [asyncio.run(embedded(options.jobs, options.callers))]
        if has_celery:
            found.append(celery(max(1000, options.jobs // 5), options.callers))
        for figures in found:
            runs.setdefault(figures.name, []).append(figures)
    best = {name: max(figures, key=lambda each: each.done_per_s) for name, figures in runs.items()}
    for figures in best.values():
        sys.stdout.write(
            f"{figures.name:<22}{figures.accepted_per_s:>9.0f} accepted/s{figures.done_per_s:>9.0f} done/s"
            f"   picked up after {figures.pickup_p50_ms:.2f} ms (p99 {figures.pickup_p99_ms:.2f})\n"
        )
    if not has_celery:
        sys.stdout.write("plain Celery: not run, it takes the packages celery and redis, and redis-server\n")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(
        json.dumps({name: [asdict(each) for each in figures] for name, figures in runs.items()}, indent=1)
    )


if __name__ == "__main__":
    main()
