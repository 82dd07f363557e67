"""Rendering as a process of its own: how long it takes, and what it does without."""

import subprocess
import sys
import time
from pathlib import Path

from tests.support.server import environment, run
from undercroft.deploy.target import BUILT_IN

ALL_S = 2.0
"""What all targets together may take."""
IMPORTED = """
import sys
from undercroft.cli.main import main
code = main(["deploy", "render", "all", "--out", "out"])
unwanted = {"undercroft.assembly", "sqlalchemy", "fastapi", "yaml"} & sys.modules.keys()
sys.exit(code or sorted(unwanted) or None)
"""


def test_all_targets_are_rendered_in_seconds(tmp_path: Path) -> None:
    started = time.monotonic()
    done = run(tmp_path, "deploy", "render", "all", "--out", "out")
    took_s = time.monotonic() - started

    assert done.exit_code == 0, done.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == BUILT_IN.keys()
    print(f"\nall {len(BUILT_IN)} targets rendered in {took_s:.2f} s")
    assert took_s < 10 * ALL_S


def test_rendering_imports_nothing_of_what_runs_servers(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
