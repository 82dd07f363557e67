"""`undercroft new`: a whole project or nothing, without a question and without a network."""

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.server import environment, run
from undercroft.deploy.starter import STARTERS


@pytest.mark.parametrize("starter", STARTERS)
def test_a_project_is_made_whole_in_a_new_folder(starter: str, tmp_path: Path) -> None:
    made = run(tmp_path, "new", starter, "deep/my-api", "--json")

    assert (made.exit_code, made.stderr) == (0, "")
    assert json.loads(made.stdout) == {"starter": starter, "folder": "deep/my-api", "name": "my-api"}
    project = tmp_path / "deep" / "my-api"
    assert stat.S_IMODE((project / ".env.example").stat().st_mode) == 0o600
    assert len(list((project / "vendor").glob("undercroft-*.whl"))) == 1
    assert [entry.name for entry in project.parent.iterdir()] == ["my-api"], "nothing is left beside it"


def test_an_empty_folder_is_filled_where_it_stands(tmp_path: Path) -> None:
    assert run(tmp_path, "new", "simple-api", ".").exit_code == 0

    assert (tmp_path / "main.py").is_file()
    assert not (tmp_path / ".undercroft-new").exists()


@pytest.mark.parametrize(
    ("there", "words", "reason"),
    [
        ("mine.txt", ["simple-api", "."], ". is not empty (mine.txt)"),
        ("mine.txt", ["simple-api", "mine.txt"], "mine.txt is a file"),
        ("mine.txt", ["simple-apy", "x"], "did you mean 'simple-api'?"),
        ("mine.txt", ["simple-api", "x", "--undercroft-source", "latest"], "an address or a version"),
    ],
)
def test_what_cannot_be_is_refused_whole(there: str, words: list[str], reason: str, tmp_path: Path) -> None:
    (tmp_path / there).write_text("mine")

    refused = run(tmp_path, "new", *words)

    assert refused.exit_code == 2
    assert reason in refused.complaint
    assert [path.name for path in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "mine"


@pytest.mark.parametrize("starter", STARTERS)
def test_the_projects_own_tests_pass(starter: str, tmp_path: Path) -> None:
    assert run(tmp_path, "new", starter, "project").exit_code == 0

    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path / "project",
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert " passed" in tested.stdout.splitlines()[-1]
