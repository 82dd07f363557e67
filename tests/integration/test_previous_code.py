"""This version on what an earlier one has written, and the earlier one's data beside it: the code before the latest
migration, from git."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.checkout import ROOT
from tests.support.server import SCRIPTED, environment, serving

MOST_TRIED = 5
VERSIONS = "src/undercroft/storage/migrations/versions"


def git(*arguments: str) -> str:
    """What git says; nothing where it has nothing to say."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source of the last commit that has not the newest migration yet, and that starts at all."""
    latest = git("log", "--first-parent", "-n", "1", "--format=%H", "--", VERSIONS)
    before = git("rev-list", "--first-parent", f"--max-count={MOST_TRIED}", f"{latest}^").split() if latest else []
    for commit in before:
        folder = tmp_path_factory.mktemp("earlier")
        archive = subprocess.run(["git", "archive", commit, "src"], cwd=ROOT, capture_output=True, check=True).stdout
        subprocess.run(["tar", "-x", "-C", str(folder)], input=archive, check=True)
        starts = [sys.executable, "-c", "import undercroft.cli.commands.serve"]
        extra = environment({"PYTHONPATH": str(folder / "src")})
        if subprocess.run(starts, cwd=folder, env=extra, capture_output=True, check=False).returncode == 0:
            return folder / "src"
    pytest.skip(f"not run: git has no commit before the newest migration here that starts ({len(before)} tried)")


def test_this_version_goes_on_with_what_an_earlier_one_has_written(tmp_path: Path, earlier: Path) -> None:
    with serving(tmp_path, extra={"PYTHONPATH": str(earlier)}) as server:
        for _ in range(5):
            assert server.chat().status == 200
        created = subprocess.run(
            [sys.executable, "-m", "undercroft", "keys", "create", "--name", "kept", "--json"],
            cwd=tmp_path,
            env=environment({"PYTHONPATH": str(earlier)}),
            capture_output=True,
            text=True,
            check=True,
        )
    key = created.stdout.partition('"key": "')[2].partition('"')[0]
    assert key.startswith("uc_")

    with serving(tmp_path, toml=SCRIPTED) as server:
        assert server.chat(key=key).status == 200
        assert server.chat(key="uc_unknown").status == 401
    rows = server.rows()
    assert len([row for row in rows if row.status == 200]) == 6
