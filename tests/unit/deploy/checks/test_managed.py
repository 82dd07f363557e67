"""What is said about apps and services of clouds that somebody has edited."""

import pytest

from tests.unit.deploy.checks.conftest import Change, Checker


@pytest.mark.parametrize("target", ["cloud-run", "container-apps"])
def test_what_we_render_has_nothing_wrong_with_it(target: str, checked: Checker) -> None:
    assert checked(target).findings == []


@pytest.mark.parametrize(
    ("target", "change", "text"),
    [
        ("cloud-run", ("service.yaml", "ai-api:1.2.3", "ai-api:latest"), "is tagged latest"),
        ("cloud-run", ("worker-pool.yaml", "cpu: 1000m", "gpu: 1"), "has no cpu limit"),
        ("cloud-run", ("service.yaml", "timeoutSeconds: 1\n", "timeoutSeconds: 30\n"), "waits longer"),
        ("cloud-run", ("migrate-job.yaml", "containers:", "container:"), "has no container"),
        ("cloud-run", ("service.yaml", "serviceAccountName", "serviceAccount"), "the project's default account"),
        ("cloud-run", ("service.yaml", "value: database", "value: postgres://a:b@c/d"), "in clear text"),
        ("container-apps", ("api.yaml", "secretRef: master-key", "secretRef: masterkey"), "which is no secret here"),
        ("container-apps", ("worker.yaml", "- secretRef: database-url", "- secretRef: db"), "asks for 'db'"),
        ("container-apps", ("api.yaml", "memory: 2Gi", "memory: 3Gi"), "Azure gives 2 Gi for a core"),
        ("container-apps", ("api.yaml", "ai-api:1.2.3", "ai-api"), "has no tag"),
    ],
)
def test_what_is_wrong_is_said(target: str, change: Change, text: str, checked: Checker) -> None:
    found = [each for each in checked(target, change).findings if text in each.text]

    assert {each.file for each in found} == {change[0]}
