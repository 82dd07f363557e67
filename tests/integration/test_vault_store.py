"""Secrets from a Vault: the real client against a server on loopback that speaks its key-value engine."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from undercroft.errors import ConfigurationError
from undercroft.settings.files import FileProblem
from undercroft.settings.secret_store import Stores
from undercroft.settings.secrets import secrets_of
from undercroft.settings.sources import load

TOKEN = "hvs.a-token-of-this-test"


KEY = "c3VwcGx5IHNvbWUgMzIgYnl0ZXMgb2YgZW50cm9weSE="
FIELDS = {
    "database": "postgresql://u:from-vault@h/d",
    "redis": "redis://:from-vault@h/0",
    "encryption": KEY,
    "headers": "Bearer from-vault",
}
SETTINGS = {
    "DATABASE_URL": "database",
    "ENCRYPTION_KEY": "encryption",
    "UNDERCROFT_MASTER_KEY": "api_key",
    "REDIS_URL": "redis",
    "CELERY_BROKER_URL": "redis",
    "QDRANT_API_KEY": "api_key",
    "WEAVIATE_API_KEY": "api_key",
    "PINECONE_API_KEY": "api_key",
    "UNDERCROFT_VECTORS__PGVECTOR_URL": "database",
    "UNDERCROFT_TELEMETRY__METRICS_TOKEN": "api_key",
    "SENTRY_DSN": "api_key",
    "UNDERCROFT_DEPLOY__HOST__PROBE_KEY": "api_key",
    "OPENAI_API_KEY": "api_key",
}
"""Every setting that holds a secret, by its variable, with the field it comes from."""


class KeyValue(http.server.BaseHTTPRequestHandler):
    """`secret/apps/openai` is there; a wrong token is told so."""

    def do_GET(self) -> None:
        if self.headers.get("X-Vault-Token") != TOKEN:
            self._say(403, {"errors": ["permission denied"]})
        elif self.path == "/v1/secret/data/apps/openai":
            fields = {"api_key": "sk-from-vault", "number": 7, **FIELDS}
            self._say(200, {"data": {"data": fields, "metadata": {"version": 1}}})
        else:
            self._say(404, {"errors": []})

    def _say(self, status: int, told: object) -> None:
        body = msgspec.json.encode(told)
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Not into the tests' output."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), KeyValue)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_field_of_a_secret_is_read(address: str) -> None:
    stores = Stores({"VAULT_ADDR": address, "VAULT_TOKEN": TOKEN})
    assert stores.read("vault", "secret/apps/openai#api_key") == "sk-from-vault"


@pytest.mark.parametrize(
    ("reference", "token", "told"),
    [
        ("secret/apps/openai#api_key", "wrong", "permission denied"),
        ("secret/apps/nothing#api_key", TOKEN, "cannot be read"),
        ("secret/apps/openai#nothing", TOKEN, "has no text in a field 'nothing'"),
        ("secret/apps/openai#number", TOKEN, "has no text in a field 'number'"),
        ("secret", TOKEN, "is no reference"),
        ("secret/apps/openai", TOKEN, "is no reference"),
    ],
)
def test_what_cannot_be_read_is_said_without_the_token(address: str, reference: str, token: str, told: str) -> None:
    with pytest.raises(FileProblem, match=told) as refused:
        Stores({"VAULT_ADDR": address, "VAULT_TOKEN": token}).read("vault", reference)
    assert TOKEN not in str(refused.value)


def test_every_setting_that_holds_a_secret_can_come_from_a_vault(address: str, tmp_path: Path) -> None:
    named = {variable: f"vault:secret/apps/openai#{field}" for variable, field in SETTINGS.items()}
    headers = {"UNDERCROFT_TELEMETRY__OTLP_HEADERS": '{"authorization": "vault:secret/apps/openai#headers"}'}
    environment = {"VAULT_ADDR": address, "VAULT_TOKEN": TOKEN, **named, **headers}
    settings = load(config=None, environment=environment, directory=tmp_path).settings
    assert len(secrets_of(settings)) == len(SETTINGS) + 1
    assert not any(secret.startswith("vault:") for secret in secrets_of(settings))
    named["SENTRY_DSN"] = "vault:secret/apps/nothing#x"
    with pytest.raises(ConfigurationError, match=r"SENTRY_DSN.*telemetry\.sentry_dsn: vault:secret/apps/nothing"):
        load(config=None, environment=environment | named, directory=tmp_path)


def test_a_vault_that_is_away_is_said() -> None:
    with pytest.raises(FileProblem, match="cannot be reached"):
        Stores({"VAULT_ADDR": "http://127.0.0.1:9", "VAULT_TOKEN": TOKEN}).read("vault", "secret/a#b")
