"""What is said about a compose file that somebody has edited."""

from pathlib import Path

import pytest

from tests.unit.deploy.checks.conftest import Change, Checker

FILE = "docker-compose.yml"


def test_what_we_render_has_nothing_wrong_with_it(checked: Checker) -> None:
    report = checked("compose")

    assert report.findings == []
    assert report.ok


@pytest.mark.parametrize(
    ("changes", "where", "text"),
    [
        (
            [(FILE, "      db:\n        condition", "      database:\n        condition")],
            "depends_on",
            "no service 'database'",
        ),
        ([(FILE, "redis_data:/data", "cache:/data")], "redis.volumes", "'cache' is declared nowhere"),
        (
            [(FILE, "127.0.0.1:8000:8000", "127.0.0.1:8000:9000")],
            "api.ports",
            "leads to port 9000, and Dockerfile exposes 8000",
        ),
        ([(FILE, "image: postgres:15", "image: postgres:latest")], "db.image", "postgres:latest is tagged latest"),
        ([(FILE, "image: postgres:15", "image: postgres")], "db.image", "postgres has no tag"),
        ([(FILE, "    shm_size: 128mb", '    ports: ["5432:5432"]')], "db.ports", "opens a database to every network"),
        (
            [(FILE, "    shm_size: 128mb", '    ports: ["127.0.0.1:8000:5432"]')],
            "db.ports",
            "8000 of the host is api's already",
        ),
        ([(FILE, "    shm_size: 128mb", "    privileged: true")], "db.privileged", "gives the container the host"),
        ([(FILE, "    shm_size: 128mb", "    user: root")], "db.user", "is root"),
        ([(FILE, "    shm_size: 128mb", "    network_mode: host")], "db.network_mode", "opens every port"),
        ([(FILE, "          memory: 2048M\n", "")], "vector_db", "has no memory limit"),
        (
            [(FILE, "    shm_size: 128mb", "    helthcheck: {}")],
            "",
            "unknown field `helthcheck` - at `$.services[...]`",
        ),
        (
            [(FILE, "    restart: unless-stopped\n    logging: *logging\n    # The", "    scale: two\n    # The")],
            "",
            "at `$.services",
        ),
        ([(FILE, '${OPENAI_API_KEY:-}"', 'sk-1"')], "environment.OPENAI_API_KEY", "holds a secret in clear text"),
        ([(FILE, "${POSTGRES_PASSWORD:?is missing in .env}@", "secret@")], "environment.DATABASE_URL", "in clear text"),
        ([(FILE, "${ENCRYPTION_KEY:?", "${OTHER_KEY:?")], "OTHER_KEY", "stands in .env nowhere"),
        ([(".gitignore", ".env\n", "")], "", "git would take it"),
        ([(FILE, "context: .", "context: ./application")], "api.build", "there is no application/Dockerfile"),
        ([(FILE, "    image: redis:7-alpine\n", "")], "services.redis", "has neither image nor build"),
    ],
)
def test_what_is_wrong_is_an_error(changes: list[Change], where: str, text: str, checked: Checker) -> None:
    report = checked("compose", *changes)

    assert not report.ok
    assert [each for each in report.findings if each.severity == "error" and where in each.where and text in each.text]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ((FILE, "name: ai-api\n", 'version: "3.9"\n'), "is of compose v1, and ignored"),
        ((FILE, '--appendonly, "yes", ', ""), "keeps nothing on disk"),
        ((FILE, "127.0.0.1:8000:8000", "8000:8000"), "is open to every network of the host"),
        ((FILE, "volumes:\n  # Call", "volumes:\n  unused: {}\n  # Call"), "is used by no service"),
    ],
)
def test_what_somebody_will_regret_is_a_warning(change: Change, text: str, checked: Checker) -> None:
    report = checked("compose", change)

    assert report.ok
    assert [each.severity for each in report.findings if text in each.text] == ["warning"]


def test_a_service_that_is_waited_for_says_how_it_is(checked: Checker) -> None:
    report = checked("compose", (FILE, "test: [CMD, redis-cli, ping]", "disable: true"))

    assert any("waits for redis to be healthy, and redis has no healthcheck" in each.text for each in report.findings)


def test_replicas_without_a_database_are_refused(checked: Checker) -> None:
    changes = [
        (FILE, "  DATABASE_URL: ", "  UNDERCROFT_IGNORED: "),
        (FILE, '    ports: ["127.0.0.1:8000:8000"]', "    scale: 3"),
    ]
    report = checked("compose", *changes)

    assert any("has 3 replicas and no DATABASE_URL" in each.text for each in report.findings)


def test_secrets_that_others_may_read_are_an_error(checked: Checker, tmp_path: Path) -> None:
    checked("compose")
    (tmp_path / "folder" / ".env").chmod(0o644)

    report = checked("compose", env=None)
    assert [each.text for each in report.findings if each.file == ".env"] == [
        "others may read it; type: chmod 600 .env"
    ]


def test_without_an_env_file_it_says_who_makes_one(checked: Checker) -> None:
    report = checked("compose", env=None)

    assert [each.severity for each in report.findings] == ["warning"]
    assert "`undercroft deploy render compose` makes one" in report.findings[0].text
