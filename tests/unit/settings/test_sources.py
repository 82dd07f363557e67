"""File, `.env` and environment become one frozen value; everything wrong is told at once, with its place."""

import json
from pathlib import Path
from typing import Any

import pytest

from undercroft.errors import ConfigurationError
from undercroft.settings.sources import Loaded, Source, load

KEY = "a-master-key-that-is-long-enough"


def loaded(directory: Path, *, file: str | None = None, dotenv: str | None = None, **environment: str) -> Loaded:
    """The settings of a folder with these files."""
    if file is not None:
        (directory / "undercroft.toml").write_text(file)
    if dotenv is not None:
        (directory / ".env").write_text(dotenv)
        (directory / ".env").chmod(0o600)
    return load(config=None, environment=environment, directory=directory)


def refusal(directory: Path, **sources: str) -> list[str]:
    """The lines that say what is wrong."""
    with pytest.raises(ConfigurationError) as refused:
        loaded(directory, **sources)
    return str(refused.value).splitlines()


def secret(value: Any) -> str:
    return str(value.get_secret_value())


def test_without_anything_written_the_defaults_hold_and_the_data_lies_here(tmp_path: Path) -> None:
    found = loaded(tmp_path)
    assert found.settings.data_dir == tmp_path / ".undercroft"
    assert found.settings.database.url is None
    assert (found.provenance, found.warnings) == ({}, ())


def test_the_later_source_wins_and_each_value_knows_its_own(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        file='[server]\nhost = "localhost"\nport = 1\nworkers = 1\n',
        dotenv="\nPORT=2\nUNDERCROFT_LEDGER__DURABILITY=power\n",
        PORT="3",
        UNDERCROFT_EGRESS__KEEP_ALIVE_S="5",
    )
    assert found.settings.server.port == 3
    assert {name: str(origin) for name, origin in found.provenance.items()} == {
        "server.host": "undercroft.toml:2",
        "server.port": "environment (PORT)",
        "server.workers": "undercroft.toml:4",
        "ledger.durability": ".env:3 (UNDERCROFT_LEDGER__DURABILITY)",
        "egress.keep_alive_s": "environment (UNDERCROFT_EGRESS__KEEP_ALIVE_S)",
    }


def test_dotenv_sets_only_names_that_the_environment_does_not(tmp_path: Path) -> None:
    found = loaded(tmp_path, dotenv="PORT=2\nQDRANT_URL=http://q\n", PORT="")
    assert found.settings.server.port == 8000
    assert found.settings.vectors.qdrant_url == "http://q"


def test_the_plain_name_of_a_later_source_wins_over_the_long_name_of_an_earlier(tmp_path: Path) -> None:
    assert loaded(tmp_path, dotenv="UNDERCROFT_SERVER__PORT=2", PORT="3").settings.server.port == 3


def test_a_commands_options_win_over_all_and_are_checked_too(tmp_path: Path) -> None:
    found = load(config=None, environment={"PORT": "3"}, directory=tmp_path, overrides={"server.port": 4})
    assert (found.settings.server.port, str(found.provenance["server.port"])) == (4, "--port")
    with pytest.raises(ConfigurationError, match=r"^--host: server\.host is 0\.0\.0\.0"):
        load(config=None, environment={}, directory=tmp_path, overrides={"server.host": "0.0.0.0"})


def test_the_file_is_the_named_one_by_option_or_by_variable(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("[server]\nport = 1")
    (tmp_path / "b.toml").write_text("[server]\nport = 2")
    by_variable = {"UNDERCROFT_CONFIG": "b.toml"}
    assert load(config=None, environment=by_variable, directory=tmp_path).settings.server.port == 2
    by_option = load(config=tmp_path / "a.toml", environment=by_variable, directory=tmp_path)
    assert (by_option.settings.server.port, str(by_option.provenance["server.port"])) == (1, "a.toml:2")


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    assert refusal(tmp_path, UNDERCROFT_CONFIG="x.toml") == [f"cannot read {tmp_path}/x.toml: there is no such file"]


def test_everything_wrong_in_a_file_is_told_at_once_in_the_order_of_its_lines(tmp_path: Path) -> None:
    file = """\
[server]
prot = 1
port = "8000"
[limits]
rpm = 5
[[models]]
name = "chat"
  [[models.deployments]]
  provider = "openai"
  price = { input = 0.25 }
  [[models.deployments]]
  weight = 0
  api_key = 5
[server.limits]
max_body_bytes = 1979-05-27
"""
    assert refusal(tmp_path, file=file) == [
        "undercroft.toml:2: server.prot is not a setting; did you mean 'server.port'?",
        'undercroft.toml:3: server.port takes a whole number from 0 to 65535, got "8000"',
        "undercroft.toml:5: limits.rpm is not a setting; [limits] takes rules, output_tokens, unknown_price, estimate",
        'undercroft.toml:10: models[0].deployments[0].price.input takes text such as "0.25", got 0.25',
        "undercroft.toml:11: models[0].deployments[1].provider is missing; it takes text",
        "undercroft.toml:12: models[0].deployments[1].weight takes a whole number above 0, got 0",
        "undercroft.toml:13: models[0].deployments[1].api_key takes text, got what is not text",
        'undercroft.toml:15: server.limits.max_body_bytes takes a whole number above 0, got "1979-05-27"',
    ]


def test_sections_of_later_versions_may_stand_empty(tmp_path: Path) -> None:
    assert loaded(tmp_path, file="[limits]\n[cache]\n[slo]\n[releases]\n[deploy]\n").warnings == ()


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("[server]\nport = 80 01", "undercroft.toml:2:11: not TOML: expected newline or end of document"),
        ("a = [", "undercroft.toml:1: not TOML: "),
        ("a = " + "[" * 5000, "undercroft.toml: is nested too deeply"),
        (f"[server]\nport = 0x{'f' * 4000}", "settings: a number is too long"),
    ],
)
def test_what_is_not_toml_is_told_in_one_line(tmp_path: Path, file: str, line: str) -> None:
    (told,) = refusal(tmp_path, file=file)
    assert told.startswith(line)


def test_a_file_that_is_not_text_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "undercroft.toml").write_bytes(b"[server]\n\xff")
    assert refusal(tmp_path) == [f"cannot read {tmp_path}/undercroft.toml: line 2 is not UTF-8"]


def test_an_open_dotenv_and_its_odd_lines_are_warned_about(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORT=1\nhunter2\n")
    (tmp_path / ".env").chmod(0o644)
    found = loaded(tmp_path)
    assert found.warnings == (
        f".env: its mode 0644 lets others read it; type: chmod 600 {tmp_path}/.env",
        ".env:2: not KEY=VALUE, passed over",
    )
    assert found.settings.server.port == 1


def test_a_folder_named_dotenv_is_no_source(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    assert loaded(tmp_path).provenance == {}


def test_windows_line_ends_and_byte_order_mark_change_no_line_number(tmp_path: Path) -> None:
    (tmp_path / "undercroft.toml").write_bytes(b"\xef\xbb\xbf[server]\r\n\r\nport = 1\r\n")
    assert str(loaded(tmp_path).provenance["server.port"]) == "undercroft.toml:3"


def test_plain_variables_of_telemetry_are_taken_without_a_warning(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        file='[telemetry]\nlog_level = "info"\n',
        SENTRY_DSN="https://x@sentry.example/1",
        OTEL_EXPORTER_OTLP_ENDPOINT="http://collector:4318",
    )
    assert found.warnings == ()
    assert secret(found.settings.telemetry.sentry_dsn) == "https://x@sentry.example/1"
    assert found.settings.telemetry.otlp_endpoint == "http://collector:4318"
    assert found.settings.provider_keys == {}


def test_paths_are_made_absolute_and_the_databases_address_normal(tmp_path: Path) -> None:
    found = loaded(tmp_path, DATABASE_URL="sqlite:///x.db", UNDERCROFT_MODELS_DIR="weights", UNDERCROFT_DATA_DIR="d")
    assert secret(found.settings.database.url) == f"sqlite:///{tmp_path}/x.db"
    assert (found.settings.local.models_dir, found.settings.data_dir) == (tmp_path / "weights", tmp_path / "d")


def test_no_error_shows_a_secret(tmp_path: Path) -> None:
    file = """\
encryption_key = ["hunter2"]
access = "hunter2"
[database]
url = "hunter2"
[[models]]
name = "chat"
deployments = "hunter2"
"""
    wrong = {"UNDERCROFT_MODELS": '["hunter2', "UNDERCROFT_ACCESS__MASTER_KEY": "hunter2 hunter2"}
    for sources in ({"file": file}, wrong, {"DATABASE_URL": "hunter2"}, {"UNDERCROFT_PROVIDER_KEYS": '["hunter2"]'}):
        (tmp_path / "undercroft.toml").unlink(missing_ok=True)
        lines = refusal(tmp_path, **sources)
        assert lines
        assert "hunter2" not in "\n".join(lines)


def test_models_can_be_given_as_json_in_the_environment(tmp_path: Path) -> None:
    models = [{"name": "chat", "deployments": [{"provider": "scripted", "script": "hi"}]}]
    found = loaded(tmp_path, file="[[models]]\nname = 3\n", UNDERCROFT_MODELS=json.dumps(models))
    assert found.settings.models[0].name == "chat"
    assert str(found.provenance["models[0].name"]) == "environment (UNDERCROFT_MODELS)"


def test_a_source_reads_its_files_again_and_keeps_the_environment_of_the_start(tmp_path: Path) -> None:
    (tmp_path / "undercroft.toml").write_text("[server]\nport = 1\n")
    environment = {"UNDERCROFT_SERVER__HOST": "localhost"}
    source = Source(None, dict(environment), tmp_path, {"server.workers": 2})
    assert source.load().settings.server.port == 1

    environment["UNDERCROFT_SERVER__HOST"] = "127.0.0.1"
    (tmp_path / "undercroft.toml").write_text("[server]\nport = 2\n")
    (tmp_path / ".env").write_text("UNDERCROFT_MASTER_KEY=" + KEY)
    (tmp_path / ".env").chmod(0o600)
    again = source.load().settings
    assert (again.server.port, again.server.host, again.server.workers) == (2, "localhost", 2)
    assert secret(again.access.master_key) == KEY
