"""What is shown of the settings holds everything but secrets."""

from pathlib import Path

from undercroft.settings.effective import effective
from undercroft.settings.sources import load

FILE = """\
[[models]]
name = "chat"
[[models.deployments]]
provider = "openai"
api_key = "env:KEY"
"""


def test_every_value_has_its_source_and_secrets_are_masked(tmp_path: Path) -> None:
    (tmp_path / "undercroft.toml").write_text(FILE)
    environment = {
        "KEY": "hunter2",
        "OPENAI_API_KEY": "hunter2",
        "UNDERCROFT_MASTER_KEY": "https://hunter2",
        "DATABASE_URL": "postgres://u:hunter2@db/d",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://u:hunter2@otel",
        "SENTRY_DSN": "https://hunter2@sentry/1",
    }
    shown = list(effective(load(config=None, environment=environment, directory=tmp_path)))
    by_name = {each.setting: (each.value, each.source) for each in shown}
    assert by_name["models[0].deployments[0].api_key"] == ("[REDACTED]", "undercroft.toml:5 (env:KEY)")
    assert by_name["database.url"] == ("postgresql+psycopg://[REDACTED]@db/d", "environment (DATABASE_URL)")
    assert by_name["server.port"] == (8000, "default")
    assert by_name["server.allowed_hosts"] == ([], "default")
    assert "hunter2" not in str(shown)
