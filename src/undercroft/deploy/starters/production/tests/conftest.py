"""The application with a model that says what it is told to: tests need no key, no network and no waiting."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

ROOT = Path(__file__).parent.parent
KEY = "a-key-that-is-known-to-tests-alone"
SETTINGS = """
[[models]]
name = "chat"
[[models.deployments]]
provider = "scripted"
script = "A text about tests."

[jobs]
modules = ["worker.tasks"]
"""


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """Speaks to the application, whatever your .env says."""
    settings = tmp_path / "undercroft.toml"
    settings.write_text(SETTINGS)
    monkeypatch.setenv("UNDERCROFT_CONFIG", str(settings))
    monkeypatch.setenv("UNDERCROFT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("UNDERCROFT_MASTER_KEY", KEY)
    monkeypatch.setenv("DATABASE_URL", "sqlite://")
    monkeypatch.syspath_prepend(ROOT)
    for name in [name for name in sys.modules if name.split(".")[0] in ("api", "worker")]:
        del sys.modules[name]
    application = importlib.import_module("api.main").app
    with TestClient(application, headers={"authorization": f"Bearer {KEY}"}) as connected:
        yield connected
