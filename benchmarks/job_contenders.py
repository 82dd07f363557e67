"""Who runs jobs that do nothing but say that they ran: each in workers of its own, and its usual client.

undercroft: every guarantee on, events told; PostgreSQL with fsync, or SQLite in one process. Plain Celery: its
defaults, Redis without persistence, results ignored. procrastinate: the same PostgreSQL; installed into a folder of its
own.
"""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from benchmarks.contenders import peers_folder
from benchmarks.ear import SAYS
from tests.support.postgres import PostgresServer
from undercroft.assembly import Undercroft, assemble
from undercroft.jobs.desk import Desk, Wanted
from undercroft.record import Who
from undercroft.settings.sources import Source

T = TypeVar("T")

WORKERS: Final = 2
CALLERS: Final = 16


class Contender(Protocol):
    """Something that accepts jobs here and runs them elsewhere."""

    workers: "list[subprocess.Popen[bytes]]"
    """Process groups that can be stopped for a while; none where jobs run in the process that accepts them."""
    processes: int
    """That run jobs."""

    def hand_in(self, count: int, callers: int = CALLERS) -> None:
        """So many jobs, by so many callers where they can be several; returns when all are accepted."""
        ...

    def is_settled(self) -> bool:
        """Whether everything about the jobs is over, once they have run."""
        ...


@dataclass(frozen=True, slots=True)
class Stage:
    """What a round is given."""

    folder: Path
    environment: dict[str, str]
    postgres: PostgresServer
    broker: str


class Ours:
    """The desk as the server has it, without HTTP in front, and `undercroft worker`."""

    def __init__(self, run: "Run", desk: Desk, undercroft: Undercroft) -> None:
        self.workers: list[subprocess.Popen[bytes]] = []
        self.processes = 1
        self._run = run
        self._desk = desk
        self._undercroft = undercroft

    def hand_in(self, count: int, callers: int = CALLERS) -> None:
        self._run(self._hand_in(count, callers))

    async def _hand_in(self, count: int, callers: int) -> None:
        numbers = iter(range(count))

        async def call() -> None:
            for _ in numbers:
                await self._desk.accept(Who(), Wanted(kind="nothing", input=b"{}"))

        await asyncio.gather(*(call() for _ in range(min(callers, count))))

    def is_settled(self) -> bool:
        statement = "SELECT NOT EXISTS (SELECT 1 FROM jobs WHERE finished_us = 0)"

        async def ask() -> bool:
            return bool(await self._undercroft.link.read(lambda c: c.exec_driver_sql(statement).scalar()))

        return self._run(ask())


JOBS: Final = f"""{SAYS}
import undercroft
@undercroft.job("nothing")
async def nothing() -> int:
    say()
    return 1
"""


@contextmanager
def _ours(stage: Stage, *, settings: str, role: str) -> Iterator[Ours]:
    """What accepts jobs and, in some roles, runs them."""
    (stage.folder / "bench_jobs.py").write_text(JOBS)
    toml = '[[models]]\nname = "none"\n[[models.deployments]]\nprovider = "scripted"\n'
    (stage.folder / "undercroft.toml").write_text(f'{settings}{toml}[jobs]\nmodules = ["bench_jobs"]\n')
    os.environ["BENCH_EAR"] = stage.environment["BENCH_EAR"]  # read where the module is imported
    loaded = Source(None, stage.environment, stage.folder, {"server.role": role}).load().settings
    sys.path.insert(0, str(stage.folder))
    with ExitStack() as stack:
        stack.callback(sys.path.remove, str(stage.folder))
        stack.callback(sys.modules.pop, "bench_jobs", None)
        run = stack.enter_context(_loop())
        assembling = assemble(loaded, log_calls=False)
        undercroft = run(assembling.__aenter__())
        stack.callback(lambda: run(assembling.__aexit__(None, None, None)))
        yield Ours(run, run(_desk(undercroft)), undercroft)


@contextmanager
def embedded(stage: Stage) -> Iterator[Contender]:
    with _ours(stage, settings=f'data_dir = "{stage.folder / "data"}"\n', role="all") as contender:
        yield contender


@contextmanager
def _with_workers(stage: Stage, *, broker: str) -> Iterator[Contender]:
    settings = f'data_dir = "{stage.folder / "data"}"\n[database]\nurl = "{stage.postgres.new_database()}"\n'
    with ExitStack() as stack:
        environment = {**stage.environment, "UNDERCROFT_JOBS__AT_ONCE": "16"}
        if broker:
            environment["CELERY_BROKER_URL"] = broker
        (stage.folder / "undercroft.toml").write_text(settings)
        migrate = [sys.executable, "-m", "undercroft", "migrate"]
        subprocess.run(migrate, cwd=stage.folder, env=environment, check=True, stdout=subprocess.DEVNULL)
        placed = Stage(stage.folder, environment, stage.postgres, broker)
        contender = stack.enter_context(_ours(placed, settings=settings, role="gateway"))
        contender.processes = WORKERS
        for _ in range(WORKERS):
            command = [sys.executable, "-m", "undercroft", "worker"]
            contender.workers.append(stack.enter_context(_process(command, placed)))
        yield contender


@contextmanager
def by_celery(stage: Stage) -> Iterator[Contender]:
    with _with_workers(stage, broker=stage.broker) as contender:
        yield contender


@contextmanager
def by_postgres(stage: Stage) -> Iterator[Contender]:
    with _with_workers(stage, broker="") as contender:
        yield contender


class Run(Protocol):
    """Runs a coroutine on a loop that goes on in between."""

    def __call__(self, work: Coroutine[Any, Any, T], /) -> T: ...


@contextmanager
def _loop() -> Iterator[Run]:
    import uvloop

    loop = uvloop.new_event_loop()
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

    def __init__(self, client: "subprocess.Popen[bytes]") -> None:
        self.workers: list[subprocess.Popen[bytes]] = []
        self.processes = WORKERS
        self._client = client

    def hand_in(self, count: int, callers: int = 1) -> None:
        assert self._client.stdin is not None
        assert self._client.stdout is not None
        self._client.stdin.write(f"{count}\n".encode())
        self._client.stdin.flush()
        assert self._client.stdout.readline() == b"accepted\n", "the client ended"

    def is_settled(self) -> bool:
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
def plain_celery(stage: Stage) -> Iterator[Contender]:
    (stage.folder / "plain.py").write_text(CELERY)
    placed = Stage(stage.folder, {**stage.environment, "BROKER": stage.broker}, stage.postgres, stage.broker)
    with ExitStack() as stack:
        contender = Theirs(stack.enter_context(_process([sys.executable, "plain.py"], placed)))
        command = [sys.executable, "-m", "celery", "-A", "plain", "worker", "-c", str(WORKERS), "-l", "ERROR"]
        contender.workers.append(stack.enter_context(_process(command, placed)))
        yield contender


@contextmanager
def procrastinate(stage: Stage) -> Iterator[Contender]:
    home = peers_folder() / "procrastinate"
    python = home / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "procrastinate", "psycopg[binary]"], check=True)
    (stage.folder / "pro.py").write_text(PROCRASTINATE)
    environment = {**stage.environment, "DATABASE": stage.postgres.new_database()}
    placed = Stage(stage.folder, environment, stage.postgres, stage.broker)
    with ExitStack() as stack:
        client = stack.enter_context(_process([str(python), "pro.py"], placed))
        assert client.stdout is not None
        assert client.stdout.readline() == b"accepted\n", "procrastinate's schema was not made"
        contender = Theirs(client)
        for _ in range(WORKERS):
            command = [str(python), "-m", "procrastinate", "--app=pro.app", "worker", "--concurrency=16"]
            contender.workers.append(stack.enter_context(_process(command, placed)))
        yield contender


@contextmanager
def _process(command: list[str], stage: Stage) -> "Iterator[subprocess.Popen[bytes]]":
    """A process with its children in a group of their own, gone at the end."""
    with (stage.folder / "log").open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=stage.folder,
            env=stage.environment,
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


CONTENDERS: Final[dict[str, Callable[[Stage], Any]]] = {
    "undercroft, embedded": embedded,
    "undercroft, Celery": by_celery,
    "undercroft, PostgreSQL": by_postgres,
    "plain Celery": plain_celery,
    "procrastinate": procrastinate,
}
"""By the name they have in results."""
