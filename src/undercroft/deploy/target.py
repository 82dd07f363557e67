"""What a place to deploy to owes, and which there are."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Final, Protocol

from undercroft.deploy.bundle import Bundle
from undercroft.deploy.topology import Topology
from undercroft.errors import InvalidRequest
from undercroft.settings.explain import did_you_mean


class Target(Protocol):
    """Renders for one place. Pure and deterministic: no network, no clock, no files, no randomness."""

    name: str
    """As in `undercroft deploy render NAME`."""
    summary: str
    """One line for `--help`."""

    def problems(self, topology: Topology, /) -> Iterator[str]:
        """What keeps this topology from running here: the setting, the reason, and what to write."""
        ...

    def render(self, topology: Topology, /) -> Bundle:
        """All files, for a topology without problems. Every file says in its first line how it was made, where its
        format has comments.
        """
        ...


BUILT_IN: Final[Mapping[str, tuple[str, str]]] = {
    "docker": ("undercroft.deploy.targets.docker", "Docker"),
    "compose": ("undercroft.deploy.targets.compose", "Compose"),
    "kubernetes": ("undercroft.deploy.targets.kubernetes.target", "Kubernetes"),
    "helm": ("undercroft.deploy.targets.helm", "Helm"),
    "systemd": ("undercroft.deploy.targets.systemd", "Systemd"),
    "lambda": ("undercroft.deploy.targets.aws_lambda", "AwsLambda"),
    "vercel": ("undercroft.deploy.targets.vercel", "Vercel"),
    "cloud-run": ("undercroft.deploy.targets.google_cloud_run", "CloudRun"),
    "container-apps": ("undercroft.deploy.targets.azure_container_apps", "ContainerApps"),
    "terraform-aws": ("undercroft.deploy.targets.terraform_aws", "TerraformAws"),
    "github-actions": ("undercroft.deploy.targets.github_actions", "GitHubActions"),
    "prometheus": ("undercroft.deploy.targets.monitoring.prometheus", "Prometheus"),
    "grafana": ("undercroft.deploy.targets.monitoring.grafana", "Grafana"),
}
"""Name -> module and class; imported when asked for."""

GROUP: Final = "undercroft.deploy_targets"
"""Entry points of targets from other packages."""


def names() -> list[str]:
    """Every target that can be rendered."""
    return [*BUILT_IN, *sorted(each.name for each in entry_points(group=GROUP) if each.name not in BUILT_IN)]


def find(name: str) -> Target:
    """Raises InvalidRequest, with the names there are."""
    if name in BUILT_IN:
        module, kind = BUILT_IN[name]
        target: Target = getattr(import_module(module), kind)()
        return target
    for each in entry_points(group=GROUP, name=name):
        found: Target = each.load()()
        return found
    known = names()
    raise InvalidRequest(f"there is no target {name!r}; there are {', '.join(known)}{did_you_mean(name, known)}")
