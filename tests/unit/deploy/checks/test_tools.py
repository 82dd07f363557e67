"""The ecosystem's validators: run where they are, and said so where they are not."""

from pathlib import Path

import pytest

from tests.support.deploy import described, rendered
from undercroft.deploy.checks.folder import read
from undercroft.deploy.checks.tools import run_all, which
from undercroft.deploy.target import BUILT_IN

FILES = {
    "Dockerfile": "FROM a:1\n",
    "docker-compose.yml": "services: {}\n",
    "base/kustomization.yaml": "kind: Kustomization\n",
    "base/service.yaml": "kind: Service\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for path, text in FILES.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


def program(folder: Path, name: str, code: int) -> str:
    """A program that says what it was asked for and ends with a code."""
    path = folder / f"program-{name}"
    path.write_text(f'#!/bin/sh\necho "{name} $*"\nexit {code}\n')
    path.chmod(0o755)
    return str(path)


def test_those_that_are_missing_are_named(folder: Path) -> None:
    runs = run_all(read(folder)[0], find=lambda name: None)

    assert [(each.tool, each.status) for each in runs] == [
        ("docker compose config", "not run"),
        ("hadolint", "not run"),
        ("kubernetes-validate", "not run"),
        ("kustomize", "not run"),
    ]
    assert all("is not installed" in each.detail or "is installed" in each.detail for each in runs)


def test_those_that_are_there_are_given_the_files(folder: Path) -> None:
    runs = run_all(read(folder)[0], find=lambda name: program(folder, name, 1))

    said = {each.tool: each.detail for each in runs}
    assert [each.status for each in runs] == ["not run", "failed", "failed", "failed"]
    assert said["docker compose config"] == "docker has no compose here"
    assert said["hadolint"] == "hadolint Dockerfile"
    assert said["kubernetes-validate"].endswith(" base/service.yaml")
    assert said["kustomize"] == "kustomize build base"


def test_what_they_accept_is_ok(folder: Path) -> None:
    runs = run_all(read(folder)[0], find=lambda name: program(folder, name, 0))

    assert [each.status for each in runs] == ["ok"] * 4


def test_what_systemd_would_ignore_has_failed(tmp_path: Path) -> None:
    (tmp_path / "ai-api.service").write_text("[Service]\nExecStart=/bin/true\n")
    analyze = tmp_path / "program"
    analyze.write_text('#!/bin/sh\necho "$2:1: Unknown key, ignoring."\necho "/lib/another.service:1: ignoring."\n')
    analyze.chmod(0o755)

    (run,) = run_all(read(tmp_path)[0], find=lambda name: str(analyze))

    assert run.status == "failed"
    assert run.detail.startswith("ai-api.service:1: Unknown key, ignoring.")


@pytest.mark.parametrize("target", BUILT_IN)
def test_what_we_render_passes_those_that_are_installed(target: str, tmp_path: Path) -> None:
    for path, text in rendered(target, described(tmp_path)).items():
        (tmp_path / target / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / target / path).write_text(text)
    if target == "compose":
        secrets = "UNDERCROFT_MASTER_KEY=a\nENCRYPTION_KEY=b\nPOSTGRES_PASSWORD=c\n"
        secrets += "METRICS_TOKEN=d\nGRAFANA_PASSWORD=e\n"
        (tmp_path / target / ".env").write_text(secrets)
    runs = run_all(read(tmp_path / target)[0], find=which)

    assert [each for each in runs if each.status == "failed"] == []
