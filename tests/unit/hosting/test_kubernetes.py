"""Switching a Service between colours, by a stand-in for kubectl: no cluster is here."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from undercroft.errors import ConfigurationError, InvalidRequest
from undercroft.hosting.host import RolledBack
from undercroft.hosting.kubernetes import LABEL, KubernetesFailed, Program, Wish, switch

WISH = Wish(service="undercroft-api", to=None, timeout_s=60, bake_s=6)


class Cluster:
    """What a cluster would say. `at` does something to it at the n-th look at the Service's addresses."""

    def __init__(self) -> None:
        self.selector: dict[str, str] = {"app": "ai-api", LABEL: "blue"}
        self.ready = {"blue": True, "green": True}
        self.health = "ok"
        self.restarts = 0
        self.addresses = True
        self.rolls_out = True
        self.deployments = {"ai-api-blue": "blue", "ai-api-green": "green"}
        self.commands: list[tuple[str, ...]] = []
        self.looks = 0
        self.spoils_at: tuple[int, str, Any] | None = None

    def __call__(self, *arguments: str, timeout_s: float = 60) -> str:
        self.commands.append(arguments)
        match arguments:
            case ("get", "service", *_):
                return json.dumps({"spec": {"selector": self.selector}})
            case ("get", "deployments", "-l", wanted, *_):
                colour = wanted.partition("=")[2]
                return json.dumps(
                    {"items": [self._deployment(name) for name, of in self.deployments.items() if of == colour]}
                )
            case ("rollout", "status", *_):
                if not self.rolls_out:
                    raise KubernetesFailed("kubectl rollout failed: timed out waiting for the condition.")
                return "successfully rolled out"
            case ("get", "pods", "-l", wanted, *_):
                labels = dict(each.split("=") for each in wanted.split(","))
                return json.dumps({"items": [self._pod(labels[LABEL])]})
            case ("get", "pod", name, *_):
                return json.dumps(self._pod(name.partition("-")[2]))
            case ("get", "--raw", _):
                return json.dumps({"status": self.health})
            case ("get", "endpointslices", *_):
                self._spoil()
                return json.dumps({"items": [{"endpoints": [{"conditions": {"ready": self.addresses}}]}]})
            case ("patch", "service", _, "--type", "merge", "-p", patch):
                self.selector |= json.loads(patch)["spec"]["selector"]
                return "patched"
        raise AssertionError(arguments)

    def _spoil(self) -> None:
        self.looks += 1
        if self.spoils_at is not None and self.looks >= self.spoils_at[0]:
            setattr(self, self.spoils_at[1], self.spoils_at[2])

    def _deployment(self, name: str) -> dict[str, Any]:
        labels = {"app": "ai-api", LABEL: self.deployments[name]}
        return {"metadata": {"name": name}, "spec": {"template": {"metadata": {"labels": labels}}}}

    def _pod(self, colour: str) -> dict[str, Any]:
        return {
            "metadata": {"name": f"pod-{colour}", "namespace": "ai"},
            "spec": {"containers": [{"name": "api", "ports": [{"containerPort": 8000}]}]},
            "status": {
                "conditions": [{"type": "Ready", "status": "True" if self.ready[colour] else "False"}],
                "containerStatuses": [{"restartCount": self.restarts}],
            },
        }

    @property
    def patches(self) -> list[str]:
        return [command[-1] for command in self.commands if command[0] == "patch"]


def switched(cluster: Cluster, wish: Wish = WISH) -> str:
    return switch(wish, cluster, lambda _: None, sleep=lambda _: None)


def test_the_selector_is_moved_by_a_merge_patch_once_the_other_colour_is_ready() -> None:
    cluster = Cluster()

    assert "sends its traffic to green" in switched(cluster)

    assert cluster.selector == {"app": "ai-api", LABEL: "green"}
    assert cluster.patches == ['{"spec": {"selector": {"undercroft.dev/colour": "green"}}}']
    verbs = [command[:2] for command in cluster.commands]
    assert verbs.index(("rollout", "status")) < verbs.index(("get", "--raw")) < verbs.index(("patch", "service"))


def test_it_goes_back_and_forth() -> None:
    cluster = Cluster()

    switched(cluster)
    switched(cluster)

    assert cluster.selector[LABEL] == "blue"


def test_a_colour_that_has_the_traffic_already_is_left_alone() -> None:
    cluster = Cluster()

    assert "already" in switched(cluster, Wish(service="undercroft-api", to="blue", timeout_s=60, bake_s=0))

    assert cluster.patches == []


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("rolls_out", False, "timed out"),
        ("ready", {"blue": True, "green": False}, "not ready: pod-green"),
        ("health", "unavailable", "says on /health: unavailable"),
    ],
)
def test_a_colour_that_is_not_well_never_gets_the_traffic(name: str, value: object, reason: str) -> None:
    cluster = Cluster()
    setattr(cluster, name, value)

    with pytest.raises(KubernetesFailed, match=reason):
        switched(cluster)

    assert cluster.patches == []


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("ready", {"blue": True, "green": False}, "not ready"),
        ("restarts", 2, "restarted 2 times"),
        ("addresses", False, "has no addresses"),
        ("health", "unavailable", "unavailable"),
    ],
)
def test_one_that_goes_bad_while_it_is_watched_loses_it_again(name: str, value: object, reason: str) -> None:
    cluster = Cluster()
    cluster.spoils_at = (2, name, value)

    with pytest.raises(RolledBack, match=f"sends its traffic to blue again: .*{reason}"):
        switched(cluster)

    assert cluster.selector[LABEL] == "blue"
    assert len(cluster.patches) == 2


def test_a_service_without_a_colour_is_refused() -> None:
    cluster = Cluster()
    del cluster.selector[LABEL]

    with pytest.raises(InvalidRequest, match=r"selects no colour.*=blue and =green"):
        switched(cluster)


@pytest.mark.parametrize("deployments", [{}, {"a": "green", "b": "green"}])
def test_there_must_be_one_deployment_of_the_colour(deployments: dict[str, str]) -> None:
    cluster = Cluster()
    cluster.deployments = deployments

    with pytest.raises(InvalidRequest, match="There must be one Deployment"):
        switched(cluster)


def stand_in(folder: Path, program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program called kubectl, the only one on PATH."""
    path = folder / "kubectl"
    path.write_text(f"#!{sys.executable}\nimport sys\n{program}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_kubectl_is_told_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, "print(*sys.argv[1:])", monkeypatch)

    said = Program(namespace="ai", context="prod")("get", "service", "x")

    assert said == "--context prod --namespace ai get service x\n"


def test_what_kubectl_complains_of_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, "sys.stderr.write('Forbidden'); sys.exit(1)", monkeypatch)

    with pytest.raises(KubernetesFailed, match="kubectl get failed: Forbidden"):
        Program()("get", "service")


def test_a_missing_kubectl_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ConfigurationError, match="no kubectl on PATH"):
        Program()("get", "service")
