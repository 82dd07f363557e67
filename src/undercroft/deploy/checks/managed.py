"""Checks of what Cloud Run and Azure Container Apps are given."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from undercroft.deploy.checks.finding import Finding, error, warning
from undercroft.deploy.checks.folder import Checked
from undercroft.deploy.checks.images import is_secret_in_clear, unpinned

CLOUD_RUN: Final = ("serving.knative.dev/", "run.googleapis.com/")
CONTAINER_APPS: Final = "Microsoft.App/"
MEMORY_FOR_A_CORE_GIB: Final = 2
"""Azure's Consumption plan knows no other pair."""


def is_cloud_run(value: Any) -> bool:
    """Whether an object is Cloud Run's, which has some of Kubernetes' kinds under names of its own."""
    return isinstance(value, dict) and str(value.get("apiVersion", "")).startswith(CLOUD_RUN)


def check(checked: Checked) -> Iterator[Finding]:
    """Every object of either host."""
    for file, objects in checked.objects.items():
        for value in objects:
            if is_cloud_run(value):
                yield from _cloud_run(file, value)
            elif isinstance(value, dict) and str(value.get("type", "")).startswith(CONTAINER_APPS):
                yield from _container_app(file, value)


def _cloud_run(file: str, value: Mapping[str, Any]) -> Iterator[Finding]:
    title = f"{value.get('kind')}/{_at(value, 'metadata', 'name')}"
    template = _at(value, "spec", "template") or {}
    spec = _at(template, "spec") or {}
    if value.get("kind") == "Job":
        spec = _at(spec, "template", "spec") or {}
    containers = spec.get("containers") or []
    if not containers:
        yield error(file, title, "has no container")
    for container in containers:
        yield from _container(file, title, container)
        limits = _at(container, "resources", "limits") or {}
        for resource in ("cpu", "memory"):
            if resource not in limits:
                yield error(file, title, f"has no {resource} limit; write resources.limits.{resource}")
        for name, probe in ((key, each) for key, each in container.items() if key.endswith("Probe")):
            if probe.get("timeoutSeconds", 1) > probe.get("periodSeconds", 10):
                yield error(file, f"{title}.{name}", "waits longer than it is until the next one")
    if not spec.get("serviceAccountName"):
        yield warning(file, title, "runs as the project's default account, which may do a lot; name one of its own")


def _container_app(file: str, value: Mapping[str, Any]) -> Iterator[Finding]:
    configuration, template = (
        _at(value, "properties", "configuration") or {},
        _at(value, "properties", "template") or {},
    )
    secrets = {each.get("name") for each in configuration.get("secrets") or ()}
    for container in template.get("containers") or ():
        title = str(container.get("name"))
        yield from _container(file, title, container)
        resources = container.get("resources") or {}
        memory = str(resources.get("memory", ""))
        if memory.endswith("Gi") and float(memory[:-2]) != float(resources.get("cpu", 0)) * MEMORY_FOR_A_CORE_GIB:
            yield error(file, title, f"asks for {resources.get('cpu')} cores and {memory}; Azure gives 2 Gi for a core")
        for variable in container.get("env") or ():
            if "secretRef" in variable and variable["secretRef"] not in secrets:
                yield error(
                    file, title, f"{variable['name']} comes from {variable['secretRef']!r}, which is no secret here"
                )
    for rule in _at(template, "scale", "rules") or ():
        for given in _at(rule, "custom", "auth") or ():
            if given.get("secretRef") not in secrets:
                yield error(
                    file, str(rule.get("name")), f"asks for {given.get('secretRef')!r}, which is no secret here"
                )


def _container(file: str, title: str, container: Mapping[str, Any]) -> Iterator[Finding]:
    image = str(container.get("image", ""))
    if reason := unpinned(image):
        yield error(file, title, f"image {image} {reason}")
    for variable in container.get("env") or ():
        if is_secret_in_clear(str(variable.get("name")), str(variable.get("value", ""))):
            yield error(file, title, f"{variable['name']} holds a secret in clear text; take it from the host's store")


def _at(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value
