"""The environment is read by its plain names and its long ones."""

import os
from pathlib import Path
from typing import Any

import pytest

from undercroft.errors import ConfigurationError
from undercroft.settings.model import Settings
from undercroft.settings.sources import load
from undercroft.settings.variables import PLAIN, PLAIN_SECRETS


def settings(directory: Path, **environment: str) -> Settings:
    return load(config=None, environment=environment, directory=directory).settings


def refusal(directory: Path, **environment: str) -> str:
    with pytest.raises(ConfigurationError) as refused:
        settings(directory, **environment)
    return str(refused.value)


def at(found: Settings, place: tuple[str | int, ...]) -> Any:
    value: Any = found
    for step in place:
        value = getattr(value, str(step))
    return value


PARTICULAR = {
    "DATABASE_URL": "postgresql://h/s3cret",
    "REDIS_URL": "redis://h/s3cret",
    "ENCRYPTION_KEY": "c3VwcGx5IHNvbWUgMzIgYnl0ZXMgb2YgZW50cm9weSE=",
}
"""Of those that do not take any text."""


@pytest.mark.parametrize("name", [*PLAIN, *PLAIN_SECRETS])
def test_a_plain_name_sets_its_setting(tmp_path: Path, name: str) -> None:
    text = {"PORT": "9", "UNDERCROFT_MODELS_DIR": str(tmp_path), **PARTICULAR}.get(name, "http://x")
    environment = {"DATABASE_URL": "postgresql://h/d", name: text}
    found = at(settings(tmp_path, **environment), (PLAIN | PLAIN_SECRETS)[name])  # type: ignore[operator]  # both are dicts
    value = found.get_secret_value() if hasattr(found, "get_secret_value") else found
    assert str(value).replace("+psycopg", "") == text


@pytest.mark.parametrize("name", [*PLAIN_SECRETS, "OPENAI_API_KEY", "UNDERCROFT_TELEMETRY__METRICS_TOKEN"])
def test_every_secret_can_stand_in_a_file_of_its_own(tmp_path: Path, name: str) -> None:
    text = PARTICULAR.get(name, "s3cret")
    (tmp_path / "s").write_text(f"{text}\n")
    environment = {"DATABASE_URL": "postgresql://h/d"} if name == "CELERY_BROKER_URL" else {}
    found = load(config=None, environment=environment | {f"{name}_FILE": "s"}, directory=tmp_path)
    places = {str(origin): place for place, origin in found.provenance.items()}
    *table, last = places[f"environment ({name}_FILE)"].split(".")
    holder = at(found.settings, tuple(table))
    value = holder[last] if isinstance(holder, dict) else getattr(holder, last)
    assert value.get_secret_value().endswith(text.partition(":")[2] or text)


def test_a_secret_and_its_file_at_once_are_refused(tmp_path: Path) -> None:
    told = refusal(tmp_path, OPENAI_API_KEY="a", OPENAI_API_KEY_FILE="b")
    assert told == "environment (OPENAI_API_KEY_FILE): OPENAI_API_KEY is set too; keep one of them"
    assert "keep one" in refusal(tmp_path, UNDERCROFT_ACCESS__MASTER_KEY="a", UNDERCROFT_ACCESS__MASTER_KEY_FILE="b")


def test_a_secrets_file_that_is_missing_is_told(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path, UNDERCROFT_MASTER_KEY_FILE="x")


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("1", True), ("Yes", True), ("off", False), ("FALSE", False), ("0", False)]
)
def test_yes_and_no_have_their_usual_spellings(tmp_path: Path, text: str, value: bool) -> None:
    assert settings(tmp_path, UNDERCROFT_TELEMETRY__LOG_CONTENT=text).telemetry.log_content is value


def test_long_names_reach_nested_tables_lists_and_keys(tmp_path: Path) -> None:
    found = settings(
        tmp_path,
        UNDERCROFT_SERVER__LIMITS__MAX_BODY_BYTES="5",
        UNDERCROFT_SERVER__ALLOWED_HOSTS='["a", "b"]',
        UNDERCROFT_PROVIDER_KEYS__OPENAI="sk",
        UNDERCROFT_EGRESS__IDLE_TIMEOUT_S="1.5",
    )
    assert found.server.limits.max_body_bytes == 5
    assert found.server.allowed_hosts == ("a", "b")
    assert found.provider_keys["openai"].get_secret_value() == "sk"
    assert found.egress.idle_timeout_s == 1.5


def test_a_table_as_json_adds_to_the_files_table(tmp_path: Path) -> None:
    (tmp_path / "undercroft.toml").write_text('[server]\nhost = "::1"')
    found = settings(tmp_path, UNDERCROFT_SERVER='{"port": 7}')
    assert (found.server.host, found.server.port) == ("::1", 7)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("PORT", "abc", 'environment (PORT): server.port takes a whole number from 0 to 65535, got "abc"'),
        ("UNDERCROFT_EGRESS__KEEP_ALIVE_S", "nan", "takes a number above 0, got NaN"),
        ("UNDERCROFT_SERVER__ALLOWED_HOSTS", "a,b", "server.allowed_hosts takes a list of text, written as JSON"),
        ("UNDERCROFT_MASTERKEY", "x", "did you mean 'UNDERCROFT_MASTER_KEY'?"),
        ("UNDERCROFT_SERVER_PORT", "1", "did you mean 'UNDERCROFT_SERVER__PORT'?"),
        ("UNDERCROFT_MODELS__0__NAME", "x", "models is a list: write it as JSON in UNDERCROFT_MODELS"),
        ("UNDERCROFT_SERVER__HOST", os.fsdecode(b"\xff"), "server.host takes UTF-8 text"),
    ],
)
def test_a_wrong_variable_is_told_with_what_it_takes(tmp_path: Path, name: str, text: str, told: str) -> None:
    assert told in refusal(tmp_path, **{name: text})


def test_what_kubernetes_tells_of_a_service_named_undercroft_is_passed_over(tmp_path: Path) -> None:
    found = load(
        config=None,
        environment={
            "UNDERCROFT_SERVICE_HOST": "10.0.0.1",
            "UNDERCROFT_SERVICE_PORT_HTTP": "80",
            "UNDERCROFT_PORT": "tcp://10.0.0.1:80",
            "UNDERCROFT_API_PORT_80_TCP_ADDR": "10.0.0.1",
        },
        directory=tmp_path,
    )
    assert found.provenance == {}


def test_a_port_under_our_own_short_name_is_not_taken_for_a_service(tmp_path: Path) -> None:
    assert "no such setting" in refusal(tmp_path, UNDERCROFT_PORT="9000")
