"""Jobs run by workers of their own: how many are accepted and done a second, and how soon one is picked up.

usage: python -m benchmarks.job_delivery [--jobs N] [--rounds N] [--contenders …]

Two worker processes each, a job that does nothing but say that it ran (a datagram to this program, the same for all).
undercroft: PostgreSQL with fsync, every guarantee on. Plain Celery: Redis without persistence, results ignored.
procrastinate: the same PostgreSQL; installed into a folder of its own. Rates are of one machine: only ratios travel.
"""

import argparse
import asyncio
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from benchmarks.contenders import peers_folder
from tests.support.postgres import PostgresServer, running_postgres
from tests.support.redis import running_redis
from undercroft.assembly import Undercroft, assemble
from undercroft.jobs.desk import Desk, Wanted
from undercroft.record import Who
from undercroft.settings.sources import Source

T = TypeVar("T")

RESULTS: Final = Path(__file__).parent / "results" / "job_delivery.json"
WORKERS: Final = 2
CALLERS: Final = 16
PACED: Final = 300
PAUSE_S: Final = 0.004
LIMIT_S: Final = 600.0
SAYS: Final = """
import os, socket, struct, time
said = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
said.connect(os.environ["BENCH_EAR"])
def say():
    said.send(struct.pack("d", time.time()))
"""


@dataclass(frozen=True)
class Figures:
    """What one contender did in one round."""

    name: str
    accepted_per_s: float
    """With so many callers at once as its usual client allows (ours: 16; the others' are synchronous)."""
    done_per_s: float
    """From the first call to the last result, workers running."""
    drained_per_s: float
    """A backlog that was there before the workers went on."""
    one_by_one_per_s: float
    """The next one is handed in when the last has run."""
    pickup_p50_ms: float
    pickup_p99_ms: float


class Ear:
    """Hears that jobs ran. A Unix socket: nothing is dropped, whoever speaks too fast waits."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "ear"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self._socket.settimeout(LIMIT_S)

    def one(self) -> float:
        """When the next job began to run, as time.time() has it."""
        return float(memoryview(self._socket.recv(8)).cast("d")[0])

    def hear(self, count: int) -> None:
        for _ in range(count):
            self._socket.recv(8)


class Contender(Protocol):
    """Something that accepts jobs here and runs them in `workers`."""

    name: str
    workers: "list[subprocess.Popen[bytes]]"

    def hand_in(self, count: int) -> None:
        """So many jobs; returns when all are accepted."""
        ...

    def settled(self, count: int) -> bool:
        """Whether everything about so many jobs in all is over, once they have run."""
        ...


def measure(contender: Contender, ear: Ear, jobs: int) -> Figures:
    """One round. The workers are up when it begins."""
    total = 1
    contender.hand_in(1)
    ear.hear(1)

    def over(count: int) -> float:
        nonlocal total
        ear.hear(count)
        total += count
        _until(lambda: contender.settled(total))
        return time.perf_counter()

    begun = time.perf_counter()
    contender.hand_in(jobs)
    accepted = time.perf_counter()
    done = over(jobs)
    for worker in contender.workers:
        os.killpg(worker.pid, signal.SIGSTOP)
    contender.hand_in(jobs)
    resumed = time.perf_counter()
    for worker in contender.workers:
        os.killpg(worker.pid, signal.SIGCONT)
    drained = over(jobs)
    first = time.perf_counter()
    for _ in range(PACED):
        contender.hand_in(1)
        ear.one()
    last = over(0)
    waits_ms = []
    for _ in range(PACED):
        time.sleep(PAUSE_S)
        asked = time.time()  # noqa: TID251 - compared with another process's
        contender.hand_in(1)
        waits_ms.append((ear.one() - asked) * 1000)
    return Figures(
        contender.name,
        accepted_per_s=jobs / (accepted - begun),
        done_per_s=jobs / (done - begun),
        drained_per_s=jobs / (drained - resumed),
        one_by_one_per_s=PACED / (last - first),
        pickup_p50_ms=statistics.median(waits_ms),
        pickup_p99_ms=statistics.quantiles(waits_ms, n=100)[98],
    )


class Ours:
    """The desk as the server has it, without HTTP in front, and `undercroft worker`."""

    def __init__(self, name: str, run: "Run", desk: Desk, undercroft: Undercroft) -> None:
        self.name = name
        self.workers: list[subprocess.Popen[bytes]] = []
        self._run = run
        self._desk = desk
        self._undercroft = undercroft

    def hand_in(self, count: int) -> None:
        self._run(self._hand_in(count))

    async def _hand_in(self, count: int) -> None:
        numbers = iter(range(count))

        async def call() -> None:
            for _ in numbers:
                await self._desk.accept(Who(), Wanted(kind="nothing", input=b"{}"))

        await asyncio.gather(*(call() for _ in range(min(CALLERS, count))))

    def settled(self, count: int) -> bool:
        statement = "SELECT NOT EXISTS (SELECT 1 FROM jobs WHERE finished_us = 0)"

        async def ask() -> bool:
            return bool(await self._undercroft.link.read(lambda c: c.exec_driver_sql(statement).scalar()))

        return self._run(ask())


@contextmanager
def ours(name: str, folder: Path, url: str, broker: str | None) -> Iterator[Contender]:
    handler = (
        f"{SAYS}\nimport undercroft\n@undercroft.job('nothing')\nasync def nothing() -> int:\n    say()\n    return 1\n"
    )
    (folder / "bench_jobs.py").write_text(handler)
    delivery = f'broker_url = "{broker}"' if broker else ""
    toml = f'[database]\nurl = "{url}"\n[jobs]\nmodules = ["bench_jobs"]\nat_once = 16\n{delivery}\n'
    toml += '[[models]]\nname = "none"\n[[models.deployments]]\nprovider = "scripted"\n'
    (folder / "undercroft.toml").write_text(toml)
    environment = {**os.environ, "BENCH_EAR": str(folder / "ear")}
    subprocess.run([sys.executable, "-m", "undercroft", "migrate"], cwd=folder, env=environment, check=True)
    os.environ["BENCH_EAR"] = str(folder / "ear")
    settings = Source(None, environment, folder, {"server.role": "gateway"}).load().settings
    sys.path.insert(0, str(folder))
    with ExitStack() as stack:
        stack.callback(sys.path.remove, str(folder))
        stack.callback(sys.modules.pop, "bench_jobs", None)
        run = stack.enter_context(_loop())
        assembling = assemble(settings, log_calls=False)
        undercroft = run(assembling.__aenter__())
        stack.callback(lambda: run(assembling.__aexit__(None, None, None)))
        contender = Ours(name, run, run(_desk(undercroft)), undercroft)
        for _ in range(WORKERS):
            command = [sys.executable, "-m", "undercroft", "worker"]
            contender.workers.append(stack.enter_context(_process(command, folder, environment)))
        yield contender


class Run(Protocol):
    """Runs a coroutine on a loop that goes on in between."""

    def __call__(self, work: Coroutine[Any, Any, T], /) -> T: ...


@contextmanager
def _loop() -> Iterator[Run]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(work: Coroutine[Any, Any, T], /) -> T:
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    try:
        yield run
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _desk(undercroft: Undercroft) -> Desk:
    while not undercroft.link.ready:  # noqa: ASYNC110 - nothing says when
        await asyncio.sleep(0.05)
    return await undercroft.jobs.desk()


class Theirs:
    """A contender whose client is a program of its own: it is told how many, and says when it has handed them in."""

    def __init__(self, name: str, client: "subprocess.Popen[bytes]") -> None:
        self.name = name
        self.workers: list[subprocess.Popen[bytes]] = []
        self._client = client

    def hand_in(self, count: int) -> None:
        assert self._client.stdin is not None
        assert self._client.stdout is not None
        self._client.stdin.write(f"{count}\n".encode())
        self._client.stdin.flush()
        assert self._client.stdout.readline() == b"accepted\n", "the client ended"

    def settled(self, count: int) -> bool:
        return True


CELERY: Final = f"""{SAYS}
import sys
from celery import Celery
app = Celery("plain", broker=os.environ["BROKER"])
app.conf.update(task_ignore_result=True)
@app.task(name="nothing")
def nothing():
    say()
if __name__ == "__main__":
    for line in sys.stdin:
        for _ in range(int(line)):
            nothing.delay()
        print("accepted", flush=True)
"""
PROCRASTINATE: Final = f"""{SAYS}
import sys
import procrastinate
app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=os.environ["DATABASE"]))
@app.task(name="nothing")
async def nothing():
    say()
async def hand_in():
    async with app.open_async():
        if not await app.check_connection_async():
            await app.schema_manager.apply_schema_async()
        print("accepted", flush=True)
        for line in sys.stdin:
            for _ in range(int(line)):
                await nothing.defer_async()
            print("accepted", flush=True)
if __name__ == "__main__":
    import asyncio
    asyncio.run(hand_in())
"""


@contextmanager
def plain_celery(folder: Path, broker: str) -> Iterator[Contender]:
    (folder / "plain.py").write_text(CELERY)
    environment = {**os.environ, "BROKER": broker, "BENCH_EAR": str(folder / "ear")}
    with ExitStack() as stack:
        client = stack.enter_context(_process([sys.executable, "plain.py"], folder, environment))
        contender = Theirs("plain Celery", client)
        command = [sys.executable, "-m", "celery", "-A", "plain", "worker", "-c", str(WORKERS), "-l", "ERROR"]
        contender.workers.append(stack.enter_context(_process(command, folder, environment)))
        yield contender


@contextmanager
def procrastinate(folder: Path, url: str) -> Iterator[Contender]:
    home = peers_folder() / "procrastinate"
    python = home / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "procrastinate", "psycopg[binary]"], check=True)
    (folder / "pro.py").write_text(PROCRASTINATE)
    environment = {**os.environ, "DATABASE": url, "BENCH_EAR": str(folder / "ear")}
    with ExitStack() as stack:
        client = stack.enter_context(_process([str(python), "pro.py"], folder, environment))
        assert client.stdout is not None
        assert client.stdout.readline() == b"accepted\n", "procrastinate's schema was not made"
        contender = Theirs("procrastinate", client)
        for _ in range(WORKERS):
            command = [str(python), "-m", "procrastinate", "--app=pro.app", "worker", "--concurrency=16"]
            contender.workers.append(stack.enter_context(_process(command, folder, environment)))
        yield contender


@contextmanager
def _process(command: list[str], folder: Path, environment: dict[str, str]) -> "Iterator[subprocess.Popen[bytes]]":
    """A process with its children in a group of their own, gone at the end."""
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if command[1].endswith(".py") else log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def one_round(name: str, postgres: PostgresServer, jobs: int) -> Figures:
    with tempfile.TemporaryDirectory() as place, running_redis() as redis:
        folder = Path(place)
        ear = Ear(folder)
        opened = {
            "celery": lambda: plain_celery(folder, redis.url),
            "procrastinate": lambda: procrastinate(folder, postgres.new_database()),
            "undercroft-celery": lambda: ours("undercroft, Celery", folder, postgres.new_database(), redis.url),
            "undercroft-postgres": lambda: ours("undercroft, PostgreSQL", folder, postgres.new_database(), None),
        }[name]()
        with opened as contender:
            return measure(contender, ear, jobs)


CONTENDERS: Final = ("undercroft-celery", "undercroft-postgres", "celery", "procrastinate")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--jobs", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3, help="contenders take turns: drift is shared")
    parser.add_argument("--contenders", default=",".join(CONTENDERS))
    options = parser.parse_args()
    runs: dict[str, list[Figures]] = {}
    with running_postgres(is_durable=True) as postgres:
        for _ in range(options.rounds):
            for name in options.contenders.split(","):
                figures = one_round(name, postgres, options.jobs)
                runs.setdefault(figures.name, []).append(figures)
    head = f"{'':<24}{'accepted/s':>12}{'done/s':>10}{'drained/s':>11}{'one by one/s':>14}{'p50 ms':>9}{'p99 ms':>9}\n"
    sys.stdout.write(head)
    for name, rounds in runs.items():
        middle = {field: statistics.median(asdict(each)[field] for each in rounds) for field in FIELDS}
        widths = zip(FIELDS, (12, 10, 11, 14, 9, 9), strict=True)
        cells = "".join(f"{middle[field]:>{width}.{1 if 'ms' in field else 0}f}" for field, width in widths)
        sys.stdout.write(f"{name:<24}{cells}\n")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({name: [asdict(each) for each in rounds] for name, rounds in runs.items()}, indent=1))


FIELDS: Final = ("accepted_per_s", "done_per_s", "drained_per_s", "one_by_one_per_s", "pickup_p50_ms", "pickup_p99_ms")


def _until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not reached():
        assert time.monotonic() < deadline, "this takes too long"
        time.sleep(0.005)


if __name__ == "__main__":
    main()
