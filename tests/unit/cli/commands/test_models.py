"""`undercroft models` as people and programs call it."""

import json
import os
from pathlib import Path

import pytest

from tests.support.local_models import weights
from undercroft.cli.main import main
from undercroft.providers.local.weights import manifest
from undercroft.settings.variables import PLAIN, PLAIN_SECRETS, PROVIDER_KEYS


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has a folder and an environment of its own."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("UNDERCROFT_") or name in (*PLAIN, *PLAIN_SECRETS, *PROVIDER_KEYS):
            monkeypatch.delenv(name)


@pytest.fixture
def hollow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Weights of the right sizes with nothing in them."""
    folder = tmp_path / "hollow"
    for file in manifest().installed:
        (folder / file.target).parent.mkdir(parents=True, exist_ok=True)
        with (folder / file.target).open("wb") as sparse:
            sparse.truncate(file.size)
    monkeypatch.setenv("UNDERCROFT_MODELS_DIR", str(folder))
    return folder


def test_list_shows_configured_and_bundled_models(hollow: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("undercroft.toml").write_text(
        '[[models]]\nname = "chat"\n[[models.deployments]]\nprovider = "scripted"\nscript = "Hi"\n'
    )
    assert main(["models", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["model"], row["status"]) for row in rows] == [
        ("chat", "configured"),
        ("local", "installed"),
        ("local-embedding", "installed"),
        ("local-moderation", "installed"),
    ]
    assert rows[0]["answered_by"] == "scripted/chat"
    assert rows[1]["notes"] == "demo quality, 135M, context 2048"


def test_list_names_a_gguf_of_the_operators_own(hollow: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("own.gguf").write_bytes(b"GGUF")
    Path("undercroft.toml").write_text('[local]\nchat_gguf = "own.gguf"\nslots = 1\n')
    assert main(["models", "list", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)[0]
    assert (Path(row["answered_by"]).name, row["status"], row["notes"]) == ("own.gguf", "configured", "context 8192")


def test_check_names_each_file_that_is_not_what_it_should_be(hollow: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "check"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"{hollow}: {file.target} differs from its pinned sha256" for file in manifest().installed]


def test_check_looks_at_a_gguf_of_the_operators_own(hollow: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("own.gguf").write_text("no model")
    Path("undercroft.toml").write_text('[local]\nchat_gguf = "own.gguf"\n')
    assert main(["models", "check", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is False
    assert told["faults"][-1].endswith("own.gguf is not a GGUF file")


def test_check_is_content_with_the_installed_weights(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UNDERCROFT_MODELS_DIR", str(weights().folder))
    assert main(["models", "check"]) == 0
    assert capsys.readouterr().out == "the local models' files are whole\n"


def test_pull_has_nothing_to_do_where_the_models_are_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = weights().folder
    monkeypatch.setenv("UNDERCROFT_MODELS_DIR", str(folder))
    assert main(["models", "pull", "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {"folder": str(folder)}
    assert shown.err == f"the models in {folder} are complete\n"


def test_pull_into_a_place_that_cannot_be_ends_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    Path("taken").write_text("a file")
    assert main(["models", "pull", "--into", "taken"]) == 1
    shown = capsys.readouterr()
    assert (shown.out, len(shown.err.splitlines())) == ("", 1)
    assert "cannot be written to taken" in shown.err
