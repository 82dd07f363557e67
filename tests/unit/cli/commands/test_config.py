"""`undercroft config` as people and programs call it."""

import json
import os
from pathlib import Path

import pytest

from undercroft.cli.main import main
from undercroft.settings.variables import PLAIN, PLAIN_SECRETS, PROVIDER_KEYS


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has a folder and an environment of its own."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("UNDERCROFT_") or name in (*PLAIN, *PLAIN_SECRETS, *PROVIDER_KEYS):
            monkeypatch.delenv(name)


def test_show_names_each_values_source_and_masks_secrets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "hunter2")
    Path("undercroft.toml").write_text("[server]\nport = 9\n")
    assert main(["config", "show", "--json"]) == 0
    shown = capsys.readouterr().out
    rows = {row["setting"]: row for row in json.loads(shown)}
    assert rows["server.port"] == {"setting": "server.port", "value": 9, "source": "undercroft.toml:2"}
    assert rows["server.default_model"]["value"] is None
    assert "hunter2" not in shown

    assert main(["config", "show"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["server.port", "9", "undercroft.toml:2"] in lines
    assert ["telemetry.log_content", "false", "default"] in lines
    assert ["provider_keys.openai", "[REDACTED]", "environment", "(OPENAI_API_KEY)"] in lines


def test_check_says_ok_and_warns_beside_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("UNDERCROFT_MASTER_KEY", "short")
    assert main(["config", "check"]) == 0
    shown = capsys.readouterr()
    assert shown.out == "ok\n"
    assert shown.err.startswith("warning: environment (UNDERCROFT_MASTER_KEY): access.master_key is shorter")


def test_check_tells_every_error_and_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    Path("own.toml").write_text("[server]\nprot = 9\nport = true\n")
    assert main(["config", "check", "--config", "own.toml"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "undercroft: own.toml:2: server.prot is not a setting; did you mean 'server.port'?",
        "undercroft: own.toml:3: server.port takes a whole number from 0 to 65535, got true",
    ]
    assert main(["config", "check", "--config", "own.toml", "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], len(told["errors"])) == (False, 2)


def test_schema_is_json_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert "server" in schema["properties"]
    assert schema["additionalProperties"] is False


LITELLM = "model_list:\n  - model_name: m\n    litellm_params: {model: gpt-4o, api_key: os.environ/OPENAI_API_KEY}\n"


def test_import_writes_a_file_that_check_accepts_and_tells_the_rest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("config.yaml").write_text(LITELLM)
    assert main(["config", "import", "litellm", "config.yaml", "--out", "undercroft.toml"]) == 0
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "Carried over: 1 models with 1 deployments.\nSet these variables: OPENAI_API_KEY\n" in shown.err
    assert "Not carried over: virtual keys" in shown.err
    monkeypatch.setenv("OPENAI_API_KEY", "hunter2")
    assert main(["config", "check"]) == 0


def test_import_prints_the_file_or_json_and_writes_over_nothing_unasked(capsys: pytest.CaptureFixture[str]) -> None:
    Path("config.yaml").write_text(LITELLM)
    assert main(["config", "import", "litellm", "config.yaml"]) == 0
    assert capsys.readouterr().out.startswith('[[models]]\nname = "m"\n')
    assert main(["config", "import", "litellm", "config.yaml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["variables"] == ["OPENAI_API_KEY"]
    Path("own.toml").write_text("mine")
    assert main(["config", "import", "litellm", "config.yaml", "--out", "own.toml"]) == 2
    assert "is there already" in capsys.readouterr().err
    assert Path("own.toml").read_text() == "mine"
    assert main(["config", "import", "litellm", "config.yaml", "--out", "own.toml", "--force"]) == 0
    assert Path("own.toml").read_text().startswith("[[models]]")


def test_import_refuses_what_it_cannot_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "import", "litellm", "missing.yaml"]) == 2
    Path("binary.yaml").write_bytes(b"\xff\xfe")
    assert main(["config", "import", "litellm", "binary.yaml"]) == 2
    Path("empty.yaml").write_text("model_list: []")
    assert main(["config", "import", "litellm", "empty.yaml"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 3
