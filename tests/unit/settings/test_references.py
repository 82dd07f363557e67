"""Secrets in the file are references, or are warned about."""

from pathlib import Path

import pytest

from undercroft.errors import ConfigurationError
from undercroft.settings.sources import Loaded, load

MODEL = '[[models]]\nname = "chat"\n[[models.deployments]]\nprovider = "openai"\napi_key = "{}"\n'


def loaded(directory: Path, api_key: str, **environment: str) -> Loaded:
    (directory / "undercroft.toml").write_text(MODEL.format(api_key))
    return load(config=None, environment=environment, directory=directory)


def key(found: Loaded) -> str | None:
    api_key = found.settings.models[0].deployments[0].api_key
    return api_key.get_secret_value() if api_key else None


def test_a_variable_is_followed_once_and_named_as_the_source(tmp_path: Path) -> None:
    found = loaded(tmp_path, "env:KEY", KEY="env:OTHER")
    assert key(found) == "env:OTHER"
    assert str(found.provenance["models[0].deployments[0].api_key"]) == "undercroft.toml:5 (env:KEY)"
    assert found.warnings == ()


def test_a_variable_may_itself_be_given_as_a_file(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("sk\n")
    assert key(loaded(tmp_path, "env:KEY", KEY_FILE="s")) == "sk"


def test_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("sk\n")
    assert key(loaded(tmp_path, "file:s")) == "sk"


def test_text_is_taken_and_warned_about_without_showing_it(tmp_path: Path) -> None:
    found = loaded(tmp_path, "sk-hunter2")
    assert key(found) == "sk-hunter2"
    (warning,) = found.warnings
    assert warning.startswith("undercroft.toml:5: models[0].deployments[0].api_key holds a secret")
    assert "hunter2" not in warning


def test_an_address_without_a_password_in_the_file_is_not_warned_about(tmp_path: Path) -> None:
    (tmp_path / "undercroft.toml").write_text('[database]\nurl = "postgresql://host/name"')
    assert load(config=None, environment={}, directory=tmp_path).warnings == ()


def test_a_provider_key_that_a_reference_uses_is_not_called_unused(tmp_path: Path) -> None:
    assert loaded(tmp_path, "env:ANTHROPIC_API_KEY", ANTHROPIC_API_KEY="sk").warnings == ()


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("env:OPENAI_KEY", "api_key: the variable OPENAI_KEY is not set; did you mean 'OPENAI_API_KEY'?"),
        ("file:nowhere", "/nowhere: there is no such file"),
        ("secret:open ai", "a stored secret's name has letters, digits, dots, dashes and underscores"),
        ("vault:secret/openai#key", "vault: needs VAULT_ADDR and VAULT_TOKEN"),
    ],
)
def test_a_reference_to_nothing_is_refused(tmp_path: Path, reference: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        loaded(tmp_path, reference, OPENAI_API_KEY="x")
    assert str(refused.value).startswith("undercroft.toml:5: models[0].deployments[0].api_key: ")
    assert told in str(refused.value)


def test_a_stored_secret_stays_a_name_until_it_is_used_and_only_a_deployments_key_can_be_one(tmp_path: Path) -> None:
    assert key(loaded(tmp_path, "secret:openai")) == "secret:openai"
    assert loaded(tmp_path, "secret:openai").warnings == ()
    with pytest.raises(ConfigurationError, match="only a deployment's api_key can be in the encrypted store"):
        load(config=None, environment={"UNDERCROFT_MASTER_KEY": "secret:master"}, directory=tmp_path)
