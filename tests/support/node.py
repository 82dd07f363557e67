"""Official SDKs for Node: installed into a folder, and run against a served undercroft."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.checkout import ROOT, clean_environment, free_port, serving


def folder_with(sdk: str, script: str, folder: Path) -> Path:
    """The folder, with the SDK and the script of tests/system in it. Skips where that cannot be had."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("not run: Node and npm are not both on PATH")
    (folder / "package.json").write_text("{}")
    command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", sdk]
    installed = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if installed.returncode:
        pytest.skip(f"not run: npm could not install {sdk}: {installed.stderr.strip().splitlines()[-1:]}")
    shutil.copy(ROOT / "tests" / "system" / script, folder)
    return folder


def what_it_saw(script: str, folder: Path, *, toml: str, path: str = "") -> dict[str, Any]:
    """What the script prints as JSON after it has talked to a server with these settings, below `path`."""
    settings, port = folder / "undercroft.toml", free_port()
    settings.write_text(toml)
    command = [sys.executable, "-P", "-m", "undercroft", "serve", "--config", str(settings), "--port", str(port)]
    with serving(command, port=port, directory=folder, environment=clean_environment()) as server:
        ran = subprocess.run(
            ["node", script],
            cwd=folder,
            env=clean_environment(BASE_URL=server.url + path, NO_PROXY="127.0.0.1"),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert ran.returncode == 0, ran.stderr
    answer: dict[str, Any] = json.loads(ran.stdout)
    return answer
