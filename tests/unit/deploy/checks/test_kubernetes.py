"""What is said about Kubernetes' objects that somebody has edited."""

import pytest

from tests.unit.deploy.checks.conftest import Change, Checker

API, WORKER, SERVICE = "base/deployment.yaml", "base/worker-deployment.yaml", "base/service.yaml"


def test_what_we_render_has_nothing_wrong_with_it(checked: Checker) -> None:
    report = checked("kubernetes")

    assert report.findings == []
    assert report.ok


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            (API, "key: master-key", "key: the-master-key"),
            "from key 'the-master-key' of secret 'api-secrets', and nothing",
        ),
        ((API, "name: api-secrets", "name: other-secrets"), "of secret 'other-secrets', and nothing here makes that"),
        (
            (API, "            - name: http\n              containerPort: 8000", "            - containerPort: 9000"),
            "livenessProbe asks port http, which",
        ),
        (
            (
                API,
                "            - name: data\n              mountPath",
                "            - name: date\n              mountPath",
            ),
            "mounts 'date'",
        ),
        (
            (API, "    matchLabels:\n      app: ai-api\n  strategy", "    matchLabels:\n      app: api\n  strategy"),
            "its own pods",
        ),
        ((API, "serviceAccountName: ai-api", "serviceAccountName: nobody"), "no ServiceAccount 'nobody'"),
        ((API, "image: myregistry/ai-api:1.2.3", "image: myregistry/ai-api:latest"), "is tagged latest"),
        ((API, "image: myregistry/ai-api:1.2.3", "image: myregistry/ai-api"), "has no tag"),
        ((API, "              memory: 1Gi\n", ""), "has no memory limit"),
        ((API, "runAsNonRoot: true", "runAsNonRoot: false"), "may run as root"),
        ((API, "runAsUser: 10001", "runAsUser: 0"), "may run as root"),
        ((API, "allowPrivilegeEscalation: false", "privileged: true"), "is privileged"),
        ((API, "enableServiceLinks: false", "hostNetwork: true"), "hostNetwork opens every port"),
        (
            (API, "          emptyDir:\n            sizeLimit: 1Gi", "          hostPath:\n            path: /srv"),
            "folder of the node",
        ),
        (
            (API, "            - name: DATABASE_URL\n", "            - name: OTHER_URL\n"),
            "may have 10 replicas and has no DATABASE_URL",
        ),
        ((API, "readinessProbe", "readynessProbe"), "unknown field `readynessProbe`"),
        ((API, "replicas: 3", 'replicas: "3"'), "Expected `int`, got `str` - at `$.spec.replicas`"),
        ((API, "apiVersion: apps/v1", "apiVersion: extensions/v1beta1"), "write apps/v1"),
        ((SERVICE, "selector:\n    app: ai-api", "selector:\n    app: api"), "its selector finds no pod"),
        ((SERVICE, "targetPort: http", "targetPort: web"), "leads to web, which none of its pods has"),
        (
            ("base/hpa.yaml", "kind: Deployment\n    name: ai-api", "kind: Deployment\n    name: api"),
            "scales Deployment/api, which",
        ),
        (
            ("base/scaledobject.yaml", "scaleTargetRef:\n    name: ai-api-worker", "scaleTargetRef:\n    name: worker"),
            "scales Dep",
        ),
        (("base/pdb.yaml", "matchLabels:\n      app: ai-api", "matchLabels:\n      app: api"), "selects no pod"),
        (("base/kustomization.yaml", "- service.yaml", "- services.yaml"), "names services.yaml, which is not there"),
        (("overlays/us-east-1/kustomization.yaml", "path: region.yaml", "path: regions.yaml"), "names regions.yaml"),
        (
            (
                "base/networkpolicy.yaml",
                "podSelector:\n    matchLabels:\n      app: ai-api",
                "podSelector:\n    matchLabels:\n      app: a",
            ),
            "selects no",
        ),
        ((SERVICE, "kind: Service\n", "kind: [\n"), "not YAML"),
    ],
)
def test_what_is_wrong_is_an_error_with_its_file(change: Change, text: str, checked: Checker) -> None:
    report = checked("kubernetes", change)

    assert not report.ok
    assert [each for each in report.findings if each.severity == "error" and text in each.text], report.findings


def test_a_secret_in_clear_text_is_an_error(checked: Checker) -> None:
    before = "            - name: ENCRYPTION_KEY\n              valueFrom:\n"
    after = f"            - name: OTHER_KEY\n              value: abc\n{before}"
    report = checked("kubernetes", (API, before, after))

    assert [each.where for each in report.findings] == ["Deployment/ai-api.api"]
    assert "OTHER_KEY holds a secret in clear text" in report.findings[0].text


def test_an_object_that_is_there_twice_is_an_error(checked: Checker) -> None:
    report = checked("kubernetes", (WORKER, "metadata:\n  name: ai-api-worker", "metadata:\n  name: ai-api"))

    assert any(each.text == "is described twice" for each in report.findings)


def test_a_writable_image_is_a_warning(checked: Checker) -> None:
    report = checked("kubernetes", (API, "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false"))

    assert report.ok
    assert [each.severity for each in report.findings] == ["warning"]
