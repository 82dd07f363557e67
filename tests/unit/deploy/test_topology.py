"""One frozen description: what it takes from the settings, and what it refuses whole."""

from pathlib import Path

import pytest

from tests.support.deploy import VERSION, described
from undercroft.deploy.topology import Options, Package, Process
from undercroft.errors import ConfigurationError, InvalidRequest


def test_nothing_written_is_a_good_deployment(tmp_path: Path) -> None:
    found = described(tmp_path)

    assert found.images.application == f"myregistry/ai-api:{VERSION}"
    assert found.api == Process(3, 10, 500, 1000, 512, 1024)
    assert (found.database, found.has_redis, found.has_qdrant, found.regions) == (
        "postgres",
        True,
        True,
        ("us-east-1",),
    )
    assert [(secret.variable, secret.key) for secret in found.secrets if secret.required] == [
        ("UNDERCROFT_MASTER_KEY", "master-key"),
        ("ENCRYPTION_KEY", "encryption-key"),
        ("DATABASE_URL", "database-url"),
    ]
    assert found.settings_file is None


def test_a_mirror_stands_in_front_of_every_public_image_but_not_of_ours(tmp_path: Path) -> None:
    images = described(tmp_path, '[deploy.images]\nregistry = "mirror.example/hub"\ntag = "v7"\n').images

    assert images.application == "myregistry/ai-api:v7"
    assert (images.python, images.qdrant.partition(":")[0]) == (
        "mirror.example/hub/python:3.11-slim",
        "mirror.example/hub/qdrant/qdrant",
    )


@pytest.mark.parametrize(
    ("package", "requirement"),
    [
        (
            Package("1.0", wheel="undercroft-1.0-py3-none-any.whl"),
            "./vendor/undercroft-1.0-py3-none-any.whl[redis,celery]",
        ),
        (Package("1.0", url="https://a.example/u.whl"), "undercroft[redis,celery] @ https://a.example/u.whl"),
        (Package("1.0"), "undercroft[redis,celery]==1.0"),
    ],
)
def test_pip_is_asked_for_the_wheel_the_address_or_the_version(package: Package, requirement: str) -> None:
    assert package.requirement("redis", "celery") == requirement


@pytest.mark.parametrize(
    "source", ["1.0.0", "2.0rc1", "https://packages.example/u.whl", "git+https://a.example/u@main"]
)
def test_a_source_is_an_address_or_a_version(source: str, tmp_path: Path) -> None:
    package = described(tmp_path, options=Options(source=source)).package

    assert package.wheel is None
    assert source in package.requirement()


@pytest.mark.parametrize("source", ["", "latest", "../u.whl", "https://a b", "1.0; rm -rf /", "1.0 --index-url x"])
def test_any_other_source_is_refused(source: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="--undercroft-source takes an address or a version"):
        described(tmp_path, options=Options(source=source))


MODEL = '[[models]]\nname = "chat"\n[[models.deployments]]\n'


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            f'{MODEL}provider = "openai"\napi_key = "env:TEAM_KEY"\n',
            'models[0].deployments[0] needs TEAM_KEY, and no container gets it; write TEAM_KEY = "team-key-key"',
        ),
        (
            f'{MODEL}provider = "anthropic"\n',
            'needs ANTHROPIC_API_KEY, and no container gets it; write ANTHROPIC_API_KEY = "anthropic-key" under',
        ),
        (
            f'{MODEL}provider = "openai"\napi_key = "sk-in-clear-text-1234"\n',
            "undercroft.toml holds a secret in clear text",
        ),
    ],
)
def test_a_secret_that_no_container_would_have_is_missed_now(text: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        described(tmp_path, text)

    assert complaint in str(refused.value)


def test_a_secret_that_is_carried_is_all_right(tmp_path: Path) -> None:
    text = f'[deploy.secrets]\nTEAM_KEY = "team"\n{MODEL}provider = "openai"\napi_key = "env:TEAM_KEY"\n'
    found = described(tmp_path, text)

    assert [(each.variable, each.key, each.required) for each in found.secrets][-1] == ("TEAM_KEY", "team", True)
    assert found.settings_file == text


def test_files_of_this_machine_are_refused_with_the_line(tmp_path: Path) -> None:
    for name in ("own.gguf", "ca.pem", "key"):
        (tmp_path / name).write_text("content of it")
    text = (
        '[local]\nchat_gguf = "own.gguf"\n[egress]\nca_file = "ca.pem"\n'
        f'{MODEL}provider = "openai"\napi_key = "file:key"\n'
    )
    with pytest.raises(ConfigurationError) as refused:
        described(tmp_path, text)

    assert [line.partition(" ")[0] for line in str(refused.value).splitlines()] == [
        "undercroft.toml:2:",
        "undercroft.toml:4:",
        "undercroft.toml:9",
    ]


def test_a_region_is_one_of_those_that_are_described(tmp_path: Path) -> None:
    text = '[deploy]\nregions = ["eu-west-1", "us-east-1"]\n'

    assert described(tmp_path, text).regions == ("eu-west-1", "us-east-1")
    assert described(tmp_path, text, Options(region="us-east-1")).regions == ("us-east-1",)
    with pytest.raises(InvalidRequest, match=r"--region takes one of eu-west-1, us-east-1, got 'moon'; write it into"):
        described(tmp_path, text, Options(region="moon"))


def test_without_a_database_there_is_no_secret_for_it(tmp_path: Path) -> None:
    found = described(tmp_path, '[deploy]\ndatabase = "sqlite"\nqdrant = false\n[deploy.api]\nreplicas = 1\n')

    assert {secret.variable for secret in found.secrets} == {
        "UNDERCROFT_MASTER_KEY",
        "ENCRYPTION_KEY",
        "REDIS_URL",
        "OPENAI_API_KEY",
    }
