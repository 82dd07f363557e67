"""Hosts that take a container's disk along with it."""

from pathlib import Path

import pytest

from tests.support.deploy import VERSION, described, rendered
from undercroft.deploy.target import find
from undercroft.deploy.targets import managed

HOSTS = ("cloud-run", "container-apps", "terraform-aws")
TOML = '[telemetry]\nlog_level = "debug"\n'
CODE = '[deploy.build]\ncode = ["api"]\n'


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ('[deploy]\ndatabase = "sqlite"\n[deploy.api]\nreplicas = 1\n', "deploy.database"),
        ("[deploy.gpu]\ncount = 1\n", "deploy.gpu.count"),
    ],
)
def test_what_such_a_host_cannot_do_is_refused(host: str, text: str, setting: str, tmp_path: Path) -> None:
    assert [problem.split()[0] for problem in find(host).problems(described(tmp_path, text))] == [setting]


def test_every_secret_that_is_told_has_to_be_there(tmp_path: Path) -> None:
    text = '[deploy]\nqdrant = false\n[deploy.secrets]\nTEAM_KEY = "team"\n'

    assert managed.secrets_of(described(tmp_path, text)) == {
        "UNDERCROFT_MASTER_KEY": "master-key",
        "ENCRYPTION_KEY": "encryption-key",
        "DATABASE_URL": "database-url",
        "REDIS_URL": "redis-url",
        "OPENAI_API_KEY": "openai-key",
        "TEAM_KEY": "team",
    }


def test_a_call_is_in_the_database_before_its_answer_ends(tmp_path: Path) -> None:
    assert managed.variables(described(tmp_path))["UNDERCROFT_LEDGER__DURABILITY"] == "database"


@pytest.mark.parametrize("host", HOSTS)
def test_the_settings_file_is_part_of_the_image(host: str, tmp_path: Path) -> None:
    files = rendered(host, described(tmp_path, TOML))

    assert files["image/undercroft.toml"].endswith(TOML)
    assert "COPY manage.py healthcheck.py undercroft.toml ./\n" in files["image/Dockerfile"]
    assert "!undercroft.toml\n" in files["image/.dockerignore"]


@pytest.mark.parametrize("host", HOSTS)
def test_without_a_settings_file_the_image_has_none(host: str, tmp_path: Path) -> None:
    files = rendered(host, described(tmp_path))

    assert "COPY manage.py healthcheck.py ./\n" in files["image/Dockerfile"]
    assert not any(path.endswith("undercroft.toml") for path in files)


@pytest.mark.parametrize("host", HOSTS)
def test_the_settings_file_goes_on_top_of_an_image_with_code_of_ones_own(host: str, tmp_path: Path) -> None:
    files = rendered(host, described(tmp_path, TOML + CODE))

    assert [path for path in files if path.startswith("image/")] == ["image/Dockerfile", "image/undercroft.toml"]
    assert "FROM ${CODE_IMAGE}\n" in files["image/Dockerfile"]
    assert "docker build --platform linux/amd64 --tag ai-api-code ..\n" in files["README.md"]
    assert "--build-arg CODE_IMAGE=ai-api-code --tag" in files["README.md"]
    assert VERSION in files["README.md"]
