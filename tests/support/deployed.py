"""Versions brought up by `undercroft deploy`, for real, in a folder of their own; nothing of them is left behind."""

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.support.checkout import ROOT, free_port
from tests.support.http import Answer, ask
from tests.support.server import Finished, run, until

UP_LIMIT_S = 180


def toml(*words: str, more: str = "", host: str = "") -> str:
    """Settings of a version whose model says `words`; `host` goes under [deploy.host]."""
    return f"""
[server]
workers = 1
[[models]]
name = "chat"
deployments = [{{ provider = "scripted", script = "{" ".join(words)}" }}]
{more}
[deploy.host]
step_s = 0.3
bake_s = 0.5
start_timeout_s = 60
{host}
"""


class Deployed:
    """What `undercroft deploy` does in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    @property
    def home(self) -> Path:
        return self.folder / ".undercroft" / "deploy"

    def deploy(self, action: str, *arguments: str, settings: str | None = None) -> Finished:
        extra = {"PORT": str(self.port)}
        return run(self.folder, "deploy", action, *arguments, toml=settings, extra=extra, within_s=UP_LIMIT_S)

    def done(self, action: str, *arguments: str, settings: str | None = None) -> str:
        """What it said; it must go well."""
        finished = self.deploy(action, *arguments, settings=settings)
        assert finished.exit_code == 0, f"{finished.stderr}\n{self.log[-4000:]}"
        return finished.stdout

    @property
    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = json.loads(self.done("status", "--json"))
        return status

    @property
    def is_hosted(self) -> bool:
        return bool(self.status["host"])

    @property
    def state(self) -> dict[str, Any]:
        """As it is on disk."""
        state: dict[str, Any] = json.loads((self.home / "state.json").read_text())["state"]
        return state

    def pid(self, name: str) -> int:
        (found,) = [each["process"]["pid"] for each in self.state["versions"] if each["name"] == name]
        assert isinstance(found, int)
        return found

    def stage(self, name: str) -> str:
        (found,) = [each["stage"] for each in self.state["versions"] if each["name"] == name]
        return str(found)

    @property
    def log(self) -> str:
        path = self.home / "host.log"
        return path.read_text("utf-8") if path.exists() else ""

    def ask(self, path: str, **request: Any) -> Answer:
        return ask(self.url + path, **request)

    def chat(self, model: str = "chat") -> str:
        """What the model says."""
        body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
        answer = self.ask("/v1/chat/completions", json=body)
        assert answer.status == 200, answer
        said = answer.json["choices"][0]["message"]["content"]
        assert isinstance(said, str)
        return said

    def host_pids(self) -> list[int]:
        """Whose command line says that they are this folder's host."""
        return [pid for pid, words in _processes() if "undercroft.hosting" in words and str(self.home) in words]

    def kill_host(self) -> None:
        """kill -9."""
        (pid,) = self.host_pids()
        os.kill(pid, signal.SIGKILL)
        until(lambda: self.host_pids() == [])

    def end(self) -> None:
        """Everything, however it is; the host first, so that it starts nothing again."""
        for wanted in ("undercroft.hosting", "undercroft.api.version_process"):
            for pid, words in _processes():
                if wanted in words and str(self.home) in words:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
        until(lambda: not any(str(self.home) in words for _, words in _processes()), within_s=30)


def _processes() -> Iterator[tuple[int, str]]:
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):
            yield int(folder.name), (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")


@contextmanager
def deployed(folder: Path) -> Iterator[Deployed]:
    folder.mkdir(parents=True, exist_ok=True)
    made = Deployed(folder)
    try:
        yield made
    except BaseException:
        sys.stderr.write(made.log[-10_000:])
        raise
    finally:
        made.end()


def other_undercroft(folder: Path, migrations: Mapping[str, str]) -> Path:
    """A Python with an undercroft of its own: this one's source, with further migrations (name -> statements)."""
    source = folder / "src"
    ignored = shutil.ignore_patterns("__pycache__", "starters", "static")
    shutil.copytree(ROOT / "src" / "undercroft", source / "undercroft", ignore=ignored)
    versions = source / "undercroft" / "storage" / "migrations" / "versions"
    newest = max(file.name.partition("_")[0] for file in versions.glob("[0-9]*.py"))
    for name, statements in migrations.items():
        number = f"{int(newest) + 1:04}"
        (versions / f"{number}_{name}.py").write_text(
            "import sqlalchemy as sa\nfrom alembic import op\n\n"
            f'revision = "{number}"\ndown_revision = "{newest}"\nbranch_labels = None\ndepends_on = None\n\n\n'
            f"def upgrade() -> None:\n    {statements}\n\n\ndef downgrade() -> None:\n    pass\n"
        )
        head = source / "undercroft" / "storage" / "migrate.py"
        head.write_text(head.read_text().replace(f'HEAD: Final = "{newest}"', f'HEAD: Final = "{number}"'))
        newest = number
    program = folder / "python"
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{source}" exec "{sys.executable}" "$@"\n')
    program.chmod(0o755)
    return program


def wait_until_ended(pid: int, *, within_s: float = 60) -> None:
    deadline = time.monotonic() + within_s
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline, f"{pid} has not ended"
        time.sleep(0.05)
