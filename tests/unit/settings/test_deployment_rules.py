"""What cannot be deployed anywhere: each with its line, the reason, and what to write."""

from pathlib import Path

import pytest

from undercroft.errors import ConfigurationError
from undercroft.settings.deployment_rules import mebibytes, milli_cpu
from undercroft.settings.sources import load


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            'database = "sqlite"',
            "deploy.api.replicas is 3, and a SQLite file serves one container; write replicas = 1 there, or database",
        ),
        ("ports = { redis = 8000 }", "deploy.ports.redis is 8000, as api is; write a port that nothing else has"),
        ("ports = { qdrant = 6379 }", "deploy.ports.qdrant is 6379, as redis is; write a port"),
        ("api = { replicas = 11 }", "deploy.api.max_replicas is 10, fewer than the 11 of replicas; write"),
        ('api = { cpu = "1.5" }', "deploy.api.cpu_limit is 1000m, less than cpu; write 1.5 or more"),
        ('worker = { memory = "2Gi" }', "deploy.worker.memory_limit is 1Gi, less than memory; write 2Gi or more"),
        ('regions = ["eu-west-9"]', "deploy.regions[0] is 'eu-west-9', which no cloud that is known here has; did you"),
        ('regions = ["eu-west-1", "eu-west-1"]', "deploy.regions[1] is 'eu-west-1' a second time"),
        ('preferences = { eu-west-1 = ["azure"] }', "deploy.preferences.eu-west-1 is of a region that is not among"),
        ('preferences = { us-east-1 = ["openai", "openai"] }', "deploy.preferences.us-east-1 names a provider twice"),
        ("preferences = { us-east-1 = [] }", "deploy.preferences"),
        ('domain = "https://ai.example.com"', "deploy.domain takes"),
        ("api = { in_flight = 0 }", "deploy.api.in_flight takes"),
        ('secrets = { team = "team" }', "deploy.secrets.team is no name of a variable"),
        (
            'secrets = { OPENAI_API_KEY = "x" }',
            "deploy.secrets.OPENAI_API_KEY is always there, with the key openai-key",
        ),
        ('secrets = { A = "x", B = "x" }', "deploy.secrets.B is 'x', the key of A; write one of its own"),
        ('images = { application = "My App" }', 'deploy.images.application takes text such as "python:3.11-slim"'),
        ("api = { replicas = 0 }", "deploy.api.replicas takes"),
        ('api = { cpu = "0m" }', 'deploy.api.cpu takes text such as "500m", got "0m"'),
        ("regions = []", "deploy.regions takes"),
        ('datbase = "x"', "deploy.datbase is not a setting; did you mean 'deploy.database'?"),
    ],
)
def test_what_cannot_be_deployed_is_refused_with_its_line(text: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "undercroft.toml").write_text(f"[deploy]\n{text}\n")
    with pytest.raises(ConfigurationError) as refused:
        load(config=None, environment={}, directory=tmp_path)

    assert str(refused.value).startswith("undercroft.toml:")
    assert complaint in str(refused.value)


def test_a_region_of_ones_own_is_known(tmp_path: Path) -> None:
    (tmp_path / "undercroft.toml").write_text('[deploy]\nregions = ["cellar"]\nown_regions = ["cellar"]\n')

    assert load(config=None, environment={}, directory=tmp_path).settings.deploy.regions == ("cellar",)


def test_quantities_are_those_of_kubernetes() -> None:
    assert [milli_cpu(text) for text in ("500m", "0.5", "2", "1.25")] == [500, 500, 2000, 1250]
    assert [mebibytes(text) for text in ("512Mi", "1Gi")] == [512, 1024]
