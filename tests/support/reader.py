"""A reader who follows one page of the docs to the letter: in a folder of their own, with a server of their own."""

import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from tests.support.checkout import clean_environment, free_port
from tests.support.documents import SERVER, SHELLS, STOPPED, Action, Block, action_of, differs

PAGE_PORT = "8000"
PAGE_DATABASE = re.compile(r"postgresql://[^\s'\"]+")
PAGE_BROKER = re.compile(r"redis://[^\s'\"]+")
BLOCK_LIMIT_S = 300
START_LIMIT_S = 60


class Reader:
    """Does what blocks say, one after the other. `database_url` and `broker_url` take the place of a page's addresses
    of PostgreSQL and Redis."""

    def __init__(self, folder: Path, *, database_url: str = "", broker_url: str = "") -> None:
        self._folder = folder
        self._port = str(free_port())
        self._database_url = database_url
        self._broker_url = broker_url
        self._server: subprocess.Popen[bytes] | None = None
        self._printed = ""
        programs = folder / "programs"
        programs.mkdir()
        for name, words in (("undercroft", "-P -m undercroft"), ("python", ""), ("python3", "")):
            (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
            (programs / name).chmod(0o755)
        home = folder / "home"
        home.mkdir()
        # As on a terminal, where curl's meter is no part of what is printed.
        (home / ".curlrc").write_text("silent\nshow-error\n")
        self._work = folder / "work"
        (self._work / ".venv").mkdir(parents=True)
        (self._work / ".venv" / "bin").symlink_to(programs)  # as in a clone after `make run`
        path = f"{programs}:{clean_environment()['PATH']}"
        here = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        self._environment = clean_environment(PATH=path, HOME=str(home), PORT=self._port, **here)

    def follow(self, block: Block) -> None:
        """Raises AssertionError, with the block's file and line, where the page is wrong."""
        text = self._mine(block.text)
        if block.title:
            (self._work / block.title).write_text(text, "utf-8")
        match action_of(block):
            case Action.START:
                self._start(block, text)
            case Action.RUN:
                if block.order == STOPPED:
                    self.close()
                elif f":{self._port}" in text and self._server is None:
                    self._start(block, "undercroft serve")
                self._run(block, text)
            case Action.COMPARE:
                difference = differs(block, self._printed)
                assert not difference, f"{block}: {difference}"

    def close(self) -> None:
        """Stops the server; raises AssertionError where it does not end as it should."""
        server, self._server = self._server, None
        if server is None:
            return
        server.terminate()
        try:
            code = server.wait(timeout=START_LIMIT_S)
        finally:
            server.kill()
            server.wait()
        assert code == 0, f"the server ended with {code}: {self._log.read_text()[-2000:]}"

    @property
    def _log(self) -> Path:
        return self._folder / "server.log"

    def _mine(self, text: str) -> str:
        text = re.sub(rf"\b{PAGE_PORT}\b", self._port, text)
        text = PAGE_BROKER.sub(lambda _: self._broker_url, text)
        return PAGE_DATABASE.sub(lambda _: self._database_url, text)

    def _theirs(self, text: str) -> str:
        return re.sub(rf"\b{self._port}\b", PAGE_PORT, text)

    def _run(self, block: Block, text: str) -> None:
        is_shell = block.language in SHELLS
        command = ["bash", "-euo", "pipefail", "-c", text] if is_shell else [sys.executable, "-c", text]
        ended = subprocess.run(
            command,
            cwd=self._work,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=BLOCK_LIMIT_S,
            check=False,
        )
        self._printed = self._theirs(ended.stdout)
        assert ended.returncode == 0, f"{block}: ended with {ended.returncode}:\n{self._printed}"

    def _start(self, block: Block, text: str) -> None:
        """In place of the server before. `make run` is this command after a set-up that tests/system goes through."""
        self.close()
        *first, last = text.rstrip().splitlines()
        assert SERVER.match(last) or last == "undercroft serve", f"{block}: its last line starts no server"
        before = [line for line in first if not line.startswith(("git ", "cd "))]
        command = re.sub(r"^make run\b", "undercroft serve", last)
        with self._log.open("wb") as log:
            self._server = subprocess.Popen(
                ["bash", "-euc", "\n".join([*before, f"exec {command}"])],
                cwd=self._work,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + START_LIMIT_S
        while not (self._is_ready() and "is listening on" in self._log.read_text()):
            said = self._log.read_text()
            assert self._server.poll() is None, f"{block}: the server ended with {self._server.returncode}: {said}"
            assert time.monotonic() < deadline, f"{block}: the server is not ready after {START_LIMIT_S} s: {said}"
            time.sleep(0.05)
        self._printed = self._theirs(self._log.read_text())

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/health/ready", timeout=10):
                return True
        except urllib.error.HTTPError as error:
            error.close()
            return False
        except OSError:
            return False


def what_is_missing() -> str:
    """Why nothing can be run here; empty where everything can."""
    from undercroft.providers.local.weights import locate

    if shutil.which("curl") is None:
        return "curl is not installed"
    return "" if locate(None, Path("nowhere")) else "the bundled models are not installed (undercroft models pull)"


def environment_for(text: str) -> Mapping[str, str]:
    """A value for every variable that a settings file refers to."""
    return dict.fromkeys(re.findall(r"env:([A-Z0-9_]+)", text), "sk-only-for-this-test")
