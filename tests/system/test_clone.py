"""What somebody new does: clone, `make run`, ask, stop, `make run` again, `make test`."""

import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.checkout import SETUP_LIMIT_S, call, clean_environment, cloned, free_port, serving

pytestmark = pytest.mark.system

QUESTION = "What is the capital of France?"
SMOKE = "tests/unit/settings tests/unit/wire"


@dataclass(frozen=True)
class FirstRun:
    """A fresh clone after its first `make run`: when it answered, and what."""

    root: Path
    port_s: float
    answer_s: float
    chat: tuple[int, Any]
    health: tuple[int, Any]
    generate: tuple[int, Any]
    exit_code: int


def first_answer(url: str) -> tuple[int, Any]:
    return call(f"{url}/v1/chat/completions", {"model": "local", "messages": [{"role": "user", "content": QUESTION}]})


def make_run(root: Path, port: int) -> list[str]:
    return ["make", "--no-print-directory", "-C", str(root), "run", f"PORT={port}"]


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FirstRun]:
    folder = tmp_path_factory.mktemp("a new folder für undercroft")
    port, started = free_port(), time.monotonic()
    with cloned(folder / "under croft") as root:
        with serving(make_run(root, port), port=port, directory=folder, environment=clean_environment()) as server:
            port_s = time.monotonic() - started
            chat = first_answer(server.url)
            answer_s = time.monotonic() - started
            health = call(f"{server.url}/health")
            generate = call(f"{server.url}/api/generate", {"prompt": QUESTION})
            exit_code = server.stop()
        print(f"\nfresh clone: port after {port_s:.1f} s, first answer after {answer_s:.1f} s")
        yield FirstRun(root, port_s, answer_s, chat, health, generate, exit_code)


def test_a_fresh_clone_answers_with_a_real_model(first_run: FirstRun) -> None:
    status, answer = first_run.chat

    assert status == 200, answer
    assert "Paris" in answer["choices"][0]["message"]["content"]
    assert answer["usage"]["completion_tokens"] > 0
    assert first_run.answer_s < SETUP_LIMIT_S


def test_it_is_healthy_and_generates(first_run: FirstRun) -> None:
    status, health = first_run.health
    assert (status, health["status"]) == (200, "ok"), health

    status, answer = first_run.generate
    assert status == 200, answer
    assert "Paris" in answer["result"]


def test_sigterm_ends_it_with_exit_code_0(first_run: FirstRun) -> None:
    assert first_run.exit_code == 0


def test_the_second_run_answers_at_once(first_run: FirstRun) -> None:
    port = free_port()
    started = time.monotonic()
    with serving(
        make_run(first_run.root, port), port=port, directory=first_run.root, environment=clean_environment()
    ) as server:
        port_s = time.monotonic() - started
        status, answer = first_answer(server.url)
        answer_s = time.monotonic() - started
    print(f"\nsecond run: port after {port_s:.2f} s, first answer after {answer_s:.2f} s")
    assert status == 200, answer
    assert port_s < 30, "ten times the 3 s it should take"


def test_the_command_works_from_any_folder(first_run: FirstRun, tmp_path: Path) -> None:
    command = [str(first_run.root / ".venv" / "bin" / "undercroft"), "--help"]
    said = subprocess.check_output(command, cwd=tmp_path, env=clean_environment(LC_ALL="C"), text=True)

    assert "serve" in said


def test_make_test_runs_the_suite(first_run: FirstRun) -> None:
    command = ["make", "--no-print-directory", "-C", str(first_run.root), "test", f"ARGS={SMOKE}"]
    tested = subprocess.run(
        command, env=clean_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )

    assert tested.returncode == 0, tested.stdout + tested.stderr
    last = tested.stdout.splitlines()[-1]
    assert " passed" in last
    assert " failed" not in last
