"""The starters as their readers meet them: an empty folder, `undercroft new`, and the commands of the README."""

import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.checkout import call, clean_environment, free_port, serving
from tests.support.server import run

pytestmark = pytest.mark.system


@dataclass(frozen=True)
class Project:
    """A project that was made, with what its README says to type."""

    folder: Path
    environment: dict[str, str]

    def blocks(self, language: str) -> list[str]:
        """The README's blocks in this language, in order."""
        text = (self.folder / "README.md").read_text("utf-8")
        return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)

    def type(self, *lines: str) -> str:
        """Types lines into a shell whose virtual environment is active, if there is one; what they print."""
        active = "[ ! -f venv/bin/activate ] || source venv/bin/activate\n"
        typed = subprocess.run(
            ["bash", "-ec", active + "\n".join(lines)],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert typed.returncode == 0, f"{lines}: {typed.stdout}{typed.stderr}"
        return typed.stdout

    def key(self) -> str:
        """The master key in `.env`."""
        found = re.search(r"^UNDERCROFT_MASTER_KEY=(.+)$", (self.folder / ".env").read_text(), re.MULTILINE)
        assert found is not None, "the .env has no master key"
        return found[1]

    def serve(self, line: str, port: int):  # type: ignore[no-untyped-def]  # what `serving` gives
        """A line that becomes a server."""
        command = ["bash", "-c", f"source venv/bin/activate && exec {line}"]
        return serving(command, port=port, directory=self.folder, environment={**self.environment, "PORT": str(port)})


def made(starter: str, folder: Path) -> Project:
    """A new project, for a user for whom no weights were fetched yet."""
    ended = run(folder, "new", starter, "my project")
    assert ended.exit_code == 0, ended.stderr
    programs = f"{Path(sys.executable).resolve().parent}:"
    variables = clean_environment(XDG_CACHE_HOME=str(folder / "cache"))
    return Project(folder / "my project", {**variables, "PATH": programs + variables["PATH"]})


def test_the_simple_api_is_run_grown_and_tested_by_its_readme(tmp_path: Path) -> None:
    simple_api = made("simple-api", tmp_path)
    first_steps, curls, another_curl, asking, testing = simple_api.blocks("bash")
    *preparing, serving_line = first_steps.splitlines()
    assert preparing == [
        "python -m venv venv",
        "source venv/bin/activate",
        "pip install -r requirements.txt",
        "cp .env.example .env",
    ]
    assert serving_line == "python main.py"
    started = time.monotonic()
    simple_api.type(*preparing)
    installed_s = time.monotonic() - started

    port = free_port()
    with simple_api.serve(serving_line, port) as server:
        ask, summarize = (line.replace(":8000", f":{port}") for line in curls.splitlines())
        while call(f"{server.url}/health/ready")[0] != 200:
            time.sleep(0.1)
        answered = simple_api.type(ask)
        print(f"\nsimple-api: installed after {installed_s:.0f} s, answered after {time.monotonic() - started:.0f} s")
        assert "Paris" in answered
        assert '"summary"' in simple_api.type(summarize)
        assert call(f"{server.url}/summarize", {})[0] == 400
        server.stop()

    # The second step's line is understood; what it connects to is not here.
    (line,) = simple_api.blocks("toml")
    settings = simple_api.folder / "undercroft.toml"
    before = settings.read_text("utf-8")
    assert f"# {line}" in before
    settings.write_text(before.replace(f"# {line}", line), "utf-8")
    assert "ollama" in simple_api.type("undercroft config check && undercroft models list")
    settings.write_text(before, "utf-8")

    # The third step adds a route.
    (route,) = simple_api.blocks("python")
    main = simple_api.folder / "main.py"
    main.write_text(main.read_text("utf-8").replace("\n\napp = ", f"\n\n{route}\n\napp = "), "utf-8")
    port = free_port()
    with simple_api.serve(serving_line, port) as server:
        while call(f"{server.url}/health/ready")[0] != 200:
            time.sleep(0.1)
        assert '"translation"' in simple_api.type(another_curl.strip().replace(":8000", f":{port}"))

        # The fourth asks the reader's own files; the passages say whether the right ones were found.
        lines = asking.splitlines()
        assert [line.split()[0] for line in lines] == ["pip", "printf", "python", "python"]
        there = f"export PORT={port}"
        told = simple_api.type(there, *lines[:3])
        assert "rooms.md: completed" in told
        assert "closes on Mondays" in told
        assert "The hall has 120 seats." in simple_api.type(there, lines[3])
        assert "completed" not in simple_api.type(there, lines[2]), "a file was taken in twice"
        server.stop()

    assert " passed" in simple_api.type(testing).splitlines()[-1]


def test_the_production_project_is_tested_run_and_checked_by_its_readme(tmp_path: Path) -> None:
    project = made("production", tmp_path)
    on_this_machine, curls, renders = project.blocks("bash")
    *preparing, serving_line = on_this_machine.splitlines()
    assert serving_line == "uvicorn api.main:app --port 8000"
    started = time.monotonic()
    said = project.type(*preparing)
    print(f"\nproduction: installed and tested after {time.monotonic() - started:.0f} s")
    assert " passed" in said
    assert "head" in project.type("python manage.py migrate") or (project.folder / ".undercroft").is_dir()

    port = free_port()
    with project.serve(serving_line.replace("8000", str(port)), port) as server:
        while call(f"{server.url}/health/ready")[0] != 200:
            time.sleep(0.1)
        answered = project.type(curls.replace(":8000", f":{port}"))
        assert '"summary"' in answered
        assert '"status":"queued"' in answered.replace(" ", "")
        assert call(f"{server.url}/summarize", {"text": "without a key"})[0] == 401
        server.stop()

    assert "nothing would change" in project.type(renders)
    for folder in (".", "kubernetes"):
        project.type(f"undercroft deploy check {folder}")
