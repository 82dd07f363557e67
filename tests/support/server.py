"""`undercroft serve` as what it is for its users: a process of its own, in a folder of its own."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Row, select

from tests.support.checkout import clean_environment
from tests.support.http import Answer, ask
from undercroft.clock import SystemClock
from undercroft.storage.engine import open_database
from undercroft.storage.schema import calls

START_LIMIT_S = 30
STOP_LIMIT_S = 40
_LISTENING = re.compile(r"(?:undercroft is listening|Uvicorn running) on (http://\S+:(\d+))")

SCRIPTED = """
[[models]]
name = "chat"
[[models.deployments]]
provider = "scripted"
script = "One two three four five."
price = { input = "1", output = "2" }
"""
"""A model that needs neither weights nor network. A word is a token."""


@dataclass(frozen=True)
class Finished:
    """A command that has run."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def complaint(self) -> str:
        """The one line that it left on stderr."""
        (line,) = self.stderr.splitlines()
        return line


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "undercroft", *arguments]


SERVE = command("serve", "--port", "0")


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """A user's shell. The coverage of child processes is measured where pytest-cov asks for it."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(("COV_", "COVERAGE_"))}
    return {**clean_environment(), **kept, **(extra or {})}


def run(
    folder: Path,
    *arguments: str,
    extra: Mapping[str, str] | None = None,
    toml: str | None = None,
    stdin: str = "",
    within_s: float = 60,
) -> Finished:
    """Runs an undercroft command to its end."""
    _write(folder, toml)
    done = subprocess.run(
        command(*arguments),
        cwd=folder,
        env=environment(extra),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


def _write(folder: Path, toml: str | None) -> None:
    if toml is not None:
        (folder / "undercroft.toml").write_text(toml, encoding="utf-8")


class Server:
    """A running server. Its folder holds `undercroft.toml`, `.undercroft`, and what it wrote to stdout and stderr."""

    def __init__(self, folder: Path, process: "subprocess.Popen[bytes]") -> None:
        self.folder = folder
        self.process = process
        self.url = ""
        self.port = 0

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def stdout(self) -> str:
        return (self.folder / "stdout").read_text("utf-8")

    @property
    def stderr(self) -> str:
        return (self.folder / "stderr").read_text("utf-8")

    @property
    def events(self) -> list[dict[str, Any]]:
        """What it has logged, on either stream: one JSON object a line."""
        return [msgspec.json.decode(line) for line in (self.stdout + self.stderr).splitlines() if line[:1] == "{"]

    @property
    def resident_bytes(self) -> int:
        pages = (Path("/proc") / str(self.pid) / "statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def ask(self, path: str, **request: Any) -> Answer:
        return ask(self.url + path, **request)

    def chat(self, text: str = "hi", *, model: str = "chat", key: str | None = None, **fields: Any) -> Answer:
        body = {"model": model, "messages": [{"role": "user", "content": text}], **fields}
        return self.ask("/v1/chat/completions", json=body, key=key)

    def rows(self, url: str | None = None) -> "list[Row[Any]]":
        """The ledger as it stands in the database (SQLite, or the one at `url`)."""
        return ledger_rows(self.folder, url)

    def wait_until_heard(self) -> None:
        """Returns when the port answers; fails with what was said when the process ends first."""
        deadline = time.monotonic() + START_LIMIT_S
        while not (said := _LISTENING.search(self.stdout + self.stderr)):
            assert self.process.poll() is None, f"ended with {self.process.returncode}: {self.stderr}"
            assert time.monotonic() < deadline, f"no word after {START_LIMIT_S} s: {self.stderr}"
            time.sleep(0.01)
        self.url, self.port = said[1], int(said[2])

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=STOP_LIMIT_S)

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()


@contextmanager
def serving(
    folder: Path,
    *arguments: str,
    toml: str | None = SCRIPTED,
    extra: Mapping[str, str] | None = None,
    wrapper: Sequence[str] = (),
) -> Iterator[Server]:
    """A server on a free port that is healthy; at the end it must leave with exit code 0, unless it was ended before.

    Without a model in `toml` it loads the bundled one. `wrapper` is a command to run it under.
    """
    port = () if "--port" in arguments else ("--port", "0")
    with started(folder, [*wrapper, *command("serve", *port, *arguments)], toml=toml, extra=extra) as server:
        until(lambda: _is_up(server.ask("/health")), within_s=START_LIMIT_S)
        yield server


def _is_up(health: Answer) -> bool:
    """Healthy, and past the first look at the database: on a busy machine that takes longer than a request waits."""
    return health.status == 200 and health.json["checks"]["database"] != "opening"


@contextmanager
def started(
    folder: Path,
    program: Sequence[str] = SERVE,
    *,
    toml: str | None = SCRIPTED,
    extra: Mapping[str, str] | None = None,
    exit_code: int = 0,
    stdin: int = subprocess.DEVNULL,
) -> Iterator[Server]:
    """A server as soon as its port answers, whatever it answers; ended like `serving`. uvicorn will do as well."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder, toml)
    with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            program,
            cwd=folder,
            env=environment(extra),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
    server = Server(folder, process)
    try:
        server.wait_until_heard()
        yield server
        if process.poll() is None:
            assert server.stop() == exit_code, server.stderr
    except BaseException:
        sys.stderr.write(server.stderr[-10_000:])
        raise
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def ledger_rows(folder: Path, url: str | None = None) -> "list[Row[Any]]":
    """The ledger of the server that ran in `folder`."""
    database = open_database(url, data_dir=folder / ".undercroft", pool_size=1, clock=SystemClock(), migrates=False)
    try:
        return list(database.read_sync(lambda connection: connection.execute(select(calls)).all()))
    finally:
        database.close()


def until(reached: Callable[[], bool], *, within_s: float = 20.0, every_s: float = 0.02) -> None:
    """Waits for something another process does."""
    deadline = time.monotonic() + within_s
    while not reached():
        assert time.monotonic() < deadline, f"not within {within_s} s"
        time.sleep(every_s)
