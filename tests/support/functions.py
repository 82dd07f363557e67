"""The rendered functions, built as their hosts build them: Lambda's zip, and the folder that Vercel starts."""

import base64
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.checkout import clean_environment
from tests.support.server import SCRIPTED, run

VERCEL = "vercel@44.7.3"
VERCEL_PYTHON = "3.12"
RUNTIME = "awslambdaric"
BRIDGE = """
import importlib, json, sys, time
from pathlib import Path
bridge = importlib.import_module("vc__handler__python")
answers, at = [], []
for request in json.load(sys.stdin):
    answers.append(bridge.vc_handler({"body": json.dumps(request)}, None))
    at.append(time.monotonic())
Path(sys.argv[1]).write_text(json.dumps({"answers": answers, "at": at}))
"""


class NotBuilt(Exception):
    """This machine lacks what the build wants; the text is what."""


def rendered(target: str, folder: Path) -> Path:
    made = run(folder, "deploy", "render", target, "--out", "out", toml=SCRIPTED)
    assert made.exit_code == 0, made.stderr
    return folder / "out"


@dataclass(frozen=True)
class Task:
    """An unpacked zip, and a Python that has nothing but AWS's runtime client, as Lambda's own."""

    folder: Path
    python: str
    packed: str
    """What its build said of its size."""


def lambda_task(folder: Path) -> Task:
    """Built in that folder. It takes a package index."""
    bundle = rendered("lambda", folder)
    built = _ran([sys.executable, "build_zip.py", "--python", "{}.{}".format(*sys.version_info)], bundle)
    assert built.returncode == 0, built.stderr
    with zipfile.ZipFile(bundle / "function.zip") as archive:
        archive.extractall(folder / "task")
    subprocess.run([sys.executable, "-m", "venv", folder / "runtime"], check=True)
    python = folder / "runtime" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", RUNTIME], env=clean_environment(), check=True)
    return Task(folder / "task", str(python), built.stdout.splitlines()[-1])


@dataclass(frozen=True)
class Told:
    """An answer of Vercel's bridge, and when it came (monotonic)."""

    status: int
    body: str
    at: float


@dataclass(frozen=True)
class VercelFunction:
    """The folder that Vercel would start, and its Python."""

    folder: Path
    python: str

    @property
    def size_mb(self) -> float:
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file()) / 1e6

    def ask(self, requests: Sequence[Mapping[str, Any]], environment: Mapping[str, str], into: Path) -> list[Told]:
        """What a new process of it answers, one after the other."""
        configured = json.loads((self.folder / ".vc-config.json").read_text()).get("environment", {})
        asked = subprocess.run(
            [self.python, "-c", BRIDGE, into],
            cwd=self.folder,
            env={"PATH": os.defpath, **configured, **environment},
            input=json.dumps(requests),
            capture_output=True,
            text=True,
            check=False,
        )
        assert asked.returncode == 0, asked.stderr
        said = json.loads(into.read_text())
        return [
            Told(answer["statusCode"], _text(answer), at)
            for answer, at in zip(said["answers"], said["at"], strict=True)
        ]


def _text(answer: Mapping[str, Any]) -> str:
    body: str = answer["body"]
    return base64.b64decode(body).decode() if answer.get("encoding") == "base64" else body


def vercel_request(method: str, path: str, body: str = "", *, key: str = "") -> dict[str, Any]:
    """As Vercel hands it to its bridge."""
    headers = {"host": "example.vercel.test", "content-type": "application/json", "x-real-ip": "192.0.2.7"}
    if key:
        headers["authorization"] = f"Bearer {key}"
    return {
        "method": method,
        "path": path,
        "host": headers["host"],
        "headers": headers,
        "encoding": "base64",
        "body": base64.b64encode(body.encode()).decode(),
    }


def vercel_function(folder: Path) -> VercelFunction:
    """As Vercel's own command builds it, without an account. Raises NotBuilt."""
    python = _python_of_vercel()
    if python is None or shutil.which("npm") is None:
        raise NotBuilt(f"Vercel's build wants npm and Python {VERCEL_PYTHON}, and this machine lacks one of them")
    bundle = rendered("vercel", folder)
    tools = folder / "tools"
    tools.mkdir()
    installed = _ran(["npm", "install", "--no-audit", "--no-fund", "--no-save", VERCEL], tools)
    if installed.returncode != 0:
        raise NotBuilt(f"{VERCEL} cannot be installed: {installed.stderr.strip().splitlines()[-1]}")
    (bundle / ".vercel").mkdir()
    project = {"projectId": "prj_test", "orgId": "team_test", "settings": {"framework": None}}
    (bundle / ".vercel" / "project.json").write_text(json.dumps(project))
    path = f"{Path(python).parent}{os.pathsep}{os.environ['PATH']}"
    program = tools / "node_modules" / ".bin" / "vercel"
    told = json.loads((bundle / "vercel.json").read_text())["build"]["env"]  # as `vercel deploy` tells the host's build
    built = _ran(
        [program, "build", "--yes"], bundle, PATH=path, PYENV_VERSION="", VERCEL_TELEMETRY_DISABLED="1", **told
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return VercelFunction(_materialised(bundle, folder / "function"), python)


def _python_of_vercel() -> str | None:
    """The Python that Vercel's build asks for, if this machine has one."""
    found = [shutil.which(f"python{VERCEL_PYTHON}"), *Path.home().glob(f".pyenv/versions/{VERCEL_PYTHON}.*/bin/python")]
    for each in filter(None, found):
        probe = [str(each), "-c", f"import sys; sys.exit(sys.version_info[:2] != ({VERCEL_PYTHON.replace('.', ', ')}))"]
        if subprocess.run(probe, capture_output=True, check=False).returncode == 0:
            return str(each)
    return None


def _materialised(bundle: Path, into: Path) -> Path:
    """A built function's own folder with everything that its map names."""
    output = bundle / ".vercel" / "output"
    routes = json.loads((output / "config.json").read_text())["routes"]
    assert any(route.get("dest", "").startswith("/api/index") for route in routes)
    built = output / "functions" / "api" / "index.func"
    shutil.copytree(built, into, symlinks=False)
    for path, source in json.loads((built / ".vc-config.json").read_text())["filePathMap"].items():
        (into / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(bundle / source, into / path)
    return into


def _ran(command: Sequence[str | Path], folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command, cwd=folder, env=clean_environment(**environment), capture_output=True, text=True, check=False
    )
