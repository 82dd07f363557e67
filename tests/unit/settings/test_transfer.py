"""What one process packs, another unpacks: all of it, secrets too."""

from pathlib import Path

from undercroft.settings.model import Settings
from undercroft.settings.sources import load
from undercroft.settings.transfer import pack, unpack

TOML = """
[server]
allowed_hosts = ["ai.example.com", "ünicode.example"]
accept_any_model = false
default_model = "chat"

[local]
threads = 3

[[models]]
name = "chat"
strategy = "weighted"
[[models.deployments]]
provider = "openai_compatible"
base_url = "http://127.0.0.1:1/v1"
api_key = "env:UPSTREAM_KEY"
price = { input = "0.25", output = "2.00" }
[[models.deployments]]
provider = "scripted"
script = "line\\nbreak"
weight = 3
"""


def test_settings_arrive_as_they_were_sent(tmp_path: Path) -> None:
    (tmp_path / "undercroft.toml").write_text(TOML)
    environment = {"UPSTREAM_KEY": "sk-upstream", "OPENAI_API_KEY": "sk-openai", "DATABASE_URL": "postgresql://u:p@h/d"}
    settings = load(config=None, environment=environment, directory=tmp_path).settings
    packed = pack(settings)

    arrived = unpack(packed)
    assert arrived == settings
    key = arrived.models[0].deployments[0].api_key
    assert key is not None
    assert key.get_secret_value() == "sk-upstream"
    assert b"\n" not in packed, "it travels as one line"


def test_the_defaults_arrive_too() -> None:
    assert unpack(pack(Settings())) == Settings()
