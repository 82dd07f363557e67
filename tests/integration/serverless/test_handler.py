"""A function on AWS's own runtime client: nothing is promised between events, and what was used is committed."""

import base64
from pathlib import Path
from typing import Any

import pytest

from tests.support.lambda_runtime import Function, function
from tests.support.server import SCRIPTED, ledger_rows, run, until
from undercroft import __version__

KEY = "a-master-key-of-more-than-16-characters"
ENCRYPTION_KEY = base64.urlsafe_b64encode(b"k" * 32).decode()
HANDLER = """
from pathlib import Path

from undercroft.api.serverless import lambda_handler

handler = lambda_handler(Path(__file__).parent, timeout_s=60)
"""
UNREACHABLE = """
[[models]]
name = "chat"
[[models.deployments]]
provider = "openai_compatible"
base_url = "http://127.0.0.1:9/v1"
"""


TELLING = f"""{HANDLER}
import sys

answering = handler


def handler(event, context):
    answer = answering(event, context)
    (Path(__file__).parent / "modules").write_text(" ".join(sys.modules))
    return answer
"""
NEEDLESS = frozenset(
    {
        "alembic", "argparse", "boto3", "celery", "cronsim", "cryptography", "difflib", "fastapi", "html", "httpx",
        "jinja2", "jsonschema", "numpy", "opentelemetry", "prometheus_client", "redis", "rich", "sqlite3",
        "standardwebhooks", "starlette", "structlog", "uvicorn", "yaml",
    }
)  # fmt: skip
"""Packages that the first answer of a function has no use for."""
NEEDLESS_PARTS = (
    "sqlalchemy.ext", "sqlalchemy.orm", "undercroft.api.anthropic.", "undercroft.api.manage.app",
    "undercroft.api.openai.", "undercroft.ledger.shipping",
    "undercroft.providers.openai_compatible", "undercroft.responses", "undercroft.storage.engines.sqlite",
    "undercroft.storage.schema.job_tables", "undercroft.wire.anthropic", "undercroft.wire.gemini",
    "undercroft.wire.openai.chat", "undercroft.wire.openai.responses", "undercroft.wire.openapi",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    code = tmp_path / "task"
    code.mkdir()
    (code / "handler.py").write_text(HANDLER)
    (code / "undercroft.toml").write_text(SCRIPTED)
    return code


@pytest.fixture
def environment(postgres_url: str, folder: Path) -> dict[str, str]:
    assert run(folder, "migrate", extra={"DATABASE_URL": postgres_url}).exit_code == 0
    return {"DATABASE_URL": postgres_url, "UNDERCROFT_MASTER_KEY": KEY}


def generate(running: Function, **fields: object) -> tuple[int, Any]:
    return running.ask("/api/generate", {"prompt": "hi", **fields}, key=KEY)


def test_a_function_answers_and_wants_a_key(folder: Path, environment: dict[str, str]) -> None:
    with function(folder, environment=environment) as running:
        status, answer = generate(running)
        assert (status, answer["result"]) == (200, "One two three four five.")
        assert running.ask("/health") == (200, {"status": "ok", "version": __version__, "checks": {"database": "ok"}})
        assert running.ask("/api/generate", {"prompt": "hi"}, peer="127.0.0.1")[0] == 401
        assert running.ask("/nowhere", key=KEY)[0] == 404
        status, events = generate(running, stream=True)
        assert status == 200
        assert events.endswith("data: [DONE]\n\n")


def test_a_first_answer_imports_nothing_that_it_does_without(folder: Path, environment: dict[str, str]) -> None:
    (folder / "handler.py").write_text(TELLING)
    with function(folder, environment=environment) as running:
        assert generate(running)[0] == 200
        imported = (folder / "modules").read_text().split()

    assert "sqlalchemy" in imported
    assert not NEEDLESS.intersection(name.partition(".")[0] for name in imported)
    assert not [name for name in imported if name.startswith(NEEDLESS_PARTS)]


@pytest.mark.parametrize("fields", [{}, {"stream": True}, {"model": "nobody"}], ids=["whole", "streamed", "refused"])
def test_killed_right_after_its_answer_a_function_has_booked_the_call(
    folder: Path, environment: dict[str, str], fields: dict[str, object]
) -> None:
    with function(folder, environment=environment) as running:
        generate(running, **fields)
        running.kill()

    (row,) = ledger_rows(folder, environment["DATABASE_URL"])
    assert row.endpoint == "/api/generate"
    assert (row.status, row.output_tokens) == ((404, 0) if fields.get("model") else (200, 5))


def test_a_failed_call_is_booked_as_well(folder: Path, environment: dict[str, str]) -> None:
    (folder / "undercroft.toml").write_text(UNREACHABLE)
    with function(folder, environment=environment) as running:
        assert generate(running)[0] in (502, 503)
        running.kill()

    (row,) = ledger_rows(folder, environment["DATABASE_URL"])
    assert row.status in (502, 503)


def test_nothing_is_written_to_disk(folder: Path, environment: dict[str, str]) -> None:
    before = sorted(folder.rglob("*"))
    with function(folder, environment={**environment, "PYTHONDONTWRITEBYTECODE": "1"}) as running:
        assert generate(running)[0] == 200

    assert sorted(folder.rglob("*")) == before


def test_a_background_response_is_refused_with_the_reason(folder: Path, environment: dict[str, str]) -> None:
    with function(folder, environment=environment) as running:
        status, answer = running.ask("/v1/responses", {"input": "hi", "background": True}, key=KEY)
        assert (status, answer["error"]["code"]) == (400, "background_unavailable")
        status, answer = running.ask("/v1/responses", {"input": "hi"}, key=KEY)
        assert status == 200
        assert running.ask(f"/v1/responses/{answer['id']}", key=KEY)[0] == 200


def test_webhooks_are_opened_by_the_first_request_for_them(folder: Path, environment: dict[str, str]) -> None:
    wanted = {"url": "https://hooks.example.com/undercroft", "types": ["job.*"]}
    with function(folder, environment={**environment, "ENCRYPTION_KEY": ENCRYPTION_KEY}) as running:
        status, made = running.ask("/api/v1/webhooks", wanted, key=KEY)
        assert status == 201, made
        status, found = running.ask("/api/v1/webhooks", key=KEY)
        assert (status, [each["id"] for each in found["data"]]) == (200, [made["id"]])


def test_before_the_schema_it_says_what_to_do_and_serves_once_that_is_done(folder: Path, postgres_url: str) -> None:
    environment = {"DATABASE_URL": postgres_url, "UNDERCROFT_MASTER_KEY": KEY}
    with function(folder, environment=environment) as running:
        assert running.ask("/health/live")[0] == 200
        status, answer = generate(running)
        assert status == 503
        assert "undercroft migrate" in answer["error"]["message"]

        assert run(folder, "migrate", extra=environment).exit_code == 0
        until(lambda: generate(running)[0] == 200)


@pytest.mark.parametrize("missing", ["DATABASE_URL", "UNDERCROFT_MASTER_KEY"])
def test_without_database_or_key_it_does_not_start_and_says_what_to_set(
    folder: Path, missing: str, capfd: pytest.CaptureFixture[str]
) -> None:
    environment = {"DATABASE_URL": "postgresql://db.example/x", "UNDERCROFT_MASTER_KEY": KEY}
    del environment[missing]
    with function(folder, environment=environment) as running:
        assert running.process.wait(timeout=60) != 0

    assert f"Set {missing}" in "".join(capfd.readouterr())
