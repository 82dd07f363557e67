"""What the rendered pipeline watches a deployment with, in front of a server that answers and one that does not."""

import subprocess
import sys
from pathlib import Path

from tests.support.checkout import free_port
from tests.support.server import SCRIPTED, environment, serving
from undercroft.deploy import static

MASTER = "a-master-key-of-more-than-16-characters"


def watched(folder: Path, url: str, *, key: str = MASTER) -> subprocess.CompletedProcess[str]:
    (folder / "watch.py").write_text(static.texts("github-actions")["watch.py"])
    return subprocess.run(
        [sys.executable, "watch.py", url, "--for", "1", "--every", "0.1"],
        cwd=folder,
        env=environment({"UNDERCROFT_KEY": key}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_it_ends_well_where_requests_are_answered_and_with_1_where_they_are_refused(tmp_path: Path) -> None:
    with serving(tmp_path / "server", toml=SCRIPTED, extra={"UNDERCROFT_MASTER_KEY": MASTER}) as server:
        good = watched(tmp_path, server.url)
        bad = watched(tmp_path, server.url, key="uc_not_a_key")

    assert (good.returncode, good.stderr) == (0, "")
    assert good.stdout.endswith(" requests, 0 failed\n")
    assert bad.returncode == 1
    assert "request 1: status 401" in bad.stderr


def test_it_ends_with_1_where_nobody_answers(tmp_path: Path) -> None:
    done = watched(tmp_path, f"http://127.0.0.1:{free_port()}")

    assert done.returncode == 1
    assert "refused" in done.stderr
