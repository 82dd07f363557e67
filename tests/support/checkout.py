"""Clones of this checkout, and servers started in them as a user would."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SETUP_LIMIT_S = 600


@contextmanager
def cloned(root: Path) -> Iterator[Path]:
    """What git has of this checkout; all its files where git's data is missing. Deleted afterwards: it grows large."""
    made = subprocess.run(["git", "clone", "--quiet", ROOT, root], capture_output=True, check=False)
    if made.returncode != 0:
        left_out = shutil.ignore_patterns(".venv*", ".git", ".undercroft", ".*_cache", "__pycache__")
        shutil.copytree(ROOT, root, ignore=left_out, dirs_exist_ok=True)
    try:
        yield root
    finally:
        shutil.rmtree(root)


def clean_environment(**extra: str) -> dict[str, str]:
    """A user's shell: without what this test run, its make and its own configuration have set."""
    ours = ("UNDERCROFT_", "PYTEST_", "COV_", "MAKE", "MFLAGS")
    named = {
        "ARGS",
        "PORT",
        "VIRTUAL_ENV",
        "DATABASE_URL",
        "REDIS_URL",
        "CELERY_BROKER_URL",
        "QDRANT_URL",
        "ENCRYPTION_KEY",
    }
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(ours) and name not in named and not name.endswith("_API_KEY")
    }
    return kept | extra


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def call(url: str, body: object = None, *, timeout_s: float = 120) -> tuple[int, Any]:
    """One request without a client library: POST where there is a body; status and decoded JSON."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + SETUP_LIMIT_S
    while time.monotonic() < deadline:
        assert process.poll() is None, f"ended with {process.returncode} before port {port} answered"
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(f"port {port} did not answer within {SETUP_LIMIT_S} s")


class Served:
    """A server that was started by a command (make, the set-up script), which may be its parent."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def stop(self) -> int:
        """SIGTERM to the server itself; the exit code of the command."""
        listing = subprocess.check_output(["ps", "-A", "-o", "pid=,ppid="], text=True)
        children = [int(pid) for pid, parent in map(str.split, listing.splitlines()) if int(parent) == self.process.pid]
        os.kill(children[0] if children else self.process.pid, signal.SIGTERM)
        return self.process.wait(timeout=60)


@contextmanager
def serving(command: list[str], *, port: int, directory: Path, environment: Mapping[str, str]) -> Iterator[Served]:
    """Starts a command that becomes a server, waits for its port, and leaves nothing behind."""
    process = subprocess.Popen(
        command, cwd=directory, env=environment, stdin=subprocess.DEVNULL, start_new_session=True
    )
    try:
        wait_for_port(port, process)
        yield Served(process, port)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
