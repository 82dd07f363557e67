"""Secrets in the file are references, or are warned about."""

import json
from pathlib import Path
from typing import Final

import pytest

from undercroft.errors import ConfigurationError
from undercroft.settings.draft import dotted
from undercroft.settings.effective import effective
from undercroft.settings.files import FileProblem
from undercroft.settings.model import Settings
from undercroft.settings.secrets import secrets_of, stored_names
from undercroft.settings.shape import settings_shape
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


def test_a_providers_stored_key_stays_a_name_until_it_is_used(tmp_path: Path) -> None:
    found = loaded(tmp_path, "secret:openai", GROQ_API_KEY="secret:groq")
    assert key(found) == "secret:openai"
    assert found.settings.provider_keys["groq"].get_secret_value() == "secret:groq"
    assert found.warnings == ()
    assert secrets_of(found.settings) == []
    assert stored_names(found.settings) == {"openai", "groq"}


STARTED: Final[dict[str, str]] = {
    "UNDERCROFT_MASTER_KEY": "access.master_key",
    "REDIS_URL": "redis.url",
    "CELERY_BROKER_URL": "jobs.broker_url",
    "QDRANT_API_KEY": "vectors.qdrant_api_key",
    "WEAVIATE_API_KEY": "vectors.weaviate_api_key",
    "PINECONE_API_KEY": "vectors.pinecone_api_key",
    "UNDERCROFT_VECTORS__PGVECTOR_URL": "vectors.pgvector_url",
    "UNDERCROFT_TELEMETRY__METRICS_TOKEN": "telemetry.metrics_token",
    "SENTRY_DSN": "telemetry.sentry_dsn",
    "UNDERCROFT_DEPLOY__HOST__PROBE_KEY": "deploy.host.probe_key",
    "UNDERCROFT_TELEMETRY__OTLP_HEADERS": "telemetry.otlp_headers.authorization",
}
"""Every other setting that can be in the encrypted store, by a variable that sets it."""
NEVER: Final = {"database.url", "encryption_key"}
TEXT: Final = "redis://:a-stored-secret-0123456789@127.0.0.1/0"


class Stored:
    """An encrypted store with one secret in it."""

    def __init__(self, text: str = TEXT) -> None:
        self.text = text
        self.opened = 0

    def __call__(self, settings: Settings) -> "Stored":
        self.opened += 1
        return self

    def read(self, reference: str, /) -> str:
        if reference != "x":
            raise FileProblem(f"there is no secret '{reference}'")
        return self.text


def with_stored(tmp_path: Path, variable: str, stored: Stored | None, *, name: str = "x") -> Loaded:
    text = json.dumps({"authorization": f"secret:{name}"}) if variable.endswith("HEADERS") else f"secret:{name}"
    environment = {variable: text, "DATABASE_URL": "postgresql://h/d"}
    return load(config=None, environment=environment, directory=tmp_path, stored=stored)


def test_every_setting_that_holds_a_secret_is_known_here() -> None:
    shape = settings_shape()
    plain = {dotted(place) for place in shape.all_names() if shape.is_secret(place)}
    assert plain | {"telemetry.otlp_headers.authorization"} == NEVER | set(STARTED.values())


@pytest.mark.parametrize("variable", STARTED)
def test_any_other_stored_secret_is_read_at_the_start(tmp_path: Path, variable: str) -> None:
    text = "postgresql://u:a-stored-secret@h/d" if "PGVECTOR" in variable else TEXT
    stored = Stored(text)
    found = with_stored(tmp_path, variable, stored)
    assert text in secrets_of(found.settings)
    assert stored_names(found.settings) == set()
    assert str(found.provenance[STARTED[variable]]).endswith("(secret:x)")
    assert stored.opened == 1
    assert text not in "".join(str(each) for each in effective(found))


@pytest.mark.parametrize("variable", STARTED)
def test_one_that_is_not_there_is_refused_by_the_settings_name(tmp_path: Path, variable: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        with_stored(tmp_path, variable, Stored(), name="y")
    assert f"{STARTED[variable]}: there is no secret 'y'" in str(refused.value)
    assert variable in str(refused.value)


@pytest.mark.parametrize("variable", STARTED)
def test_who_does_not_open_the_store_keeps_the_name(tmp_path: Path, variable: str) -> None:
    found = with_stored(tmp_path, variable, None)
    assert stored_names(found.settings) == {"x"}
    assert [secret.partition(":")[0] for secret in secrets_of(found.settings)] == ["postgresql+psycopg"]


def test_what_is_stored_has_to_fit_the_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"redis\.url takes an address"):
        with_stored(tmp_path, "REDIS_URL", Stored("no address"))


def test_the_store_is_not_opened_for_nothing(tmp_path: Path) -> None:
    stored = Stored()
    load(config=None, environment={"OPENAI_API_KEY": "secret:x"}, directory=tmp_path, stored=stored)
    assert stored.opened == 0


@pytest.mark.parametrize(
    ("variable", "setting"), [("DATABASE_URL", "database.url"), ("ENCRYPTION_KEY", "encryption_key")]
)
def test_what_opens_the_store_cannot_be_in_it(tmp_path: Path, variable: str, setting: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{setting}: the encrypted store cannot be opened without it"):
        load(config=None, environment={variable: "secret:x"}, directory=tmp_path, stored=Stored())


def with_headers(tmp_path: Path, headers: str, *, stored: Stored | None = None, **environment: str) -> Loaded:
    (tmp_path / "undercroft.toml").write_text(
        '[[models]]\nname = "chat"\n[[models.deployments]]\nprovider = "openrouter"\napi_key = "env:K"\n'
        f"headers = {{ {headers} }}\n"
    )
    return load(config=None, environment={"K": "k", **environment}, directory=tmp_path, stored=stored)


def sent(found: Loaded) -> dict[str, str]:
    headers = found.settings.models[0].deployments[0].headers
    return {name: value.get_secret_value() for name, value in headers.items()}


def test_headers_of_a_deployment_take_references_as_any_other_secret_does(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-a-file-0123456789\n")
    told = '"x-a" = "env:A", "x-b" = "file:token", "x-c" = "secret:x"'
    found = with_headers(tmp_path, told, stored=Stored(), A="from-a-variable")
    assert sent(found) == {"x-a": "from-a-variable", "x-b": "from-a-file-0123456789", "x-c": TEXT}
    assert {"from-a-file-0123456789"} < set(secrets_of(found.settings))
    assert found.warnings == ()
    shown = "".join(str(each) for each in effective(found))
    assert not any(value in shown for value in sent(found).values())
    for place, source in (("x-a", "env:A"), ("x-b", "file:token"), ("x-c", "secret:x")):
        assert f"({source})" in str(found.provenance[f"models[0].deployments[0].headers.{place}"])


def test_a_header_whose_reference_leads_nowhere_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"headers\.x-a: the variable A is not set"):
        with_headers(tmp_path, '"x-a" = "env:A"')
    with pytest.raises(ConfigurationError, match=r"headers\.x-a: there is no secret 'y'"):
        with_headers(tmp_path, '"x-a" = "secret:y"', stored=Stored())


def test_a_header_in_the_file_is_warned_about_and_hidden_only_if_it_seems_to_be_secret(tmp_path: Path) -> None:
    told = '"X-Title" = "Example", "HTTP-Referer" = "https://example.com", "x-gateway-token" = "abc"'
    found = with_headers(tmp_path, told)
    assert secrets_of(found.settings) == ["k", "abc"]
    (warning,) = found.warnings
    assert "headers.x-gateway-token holds a secret that belongs elsewhere" in warning
