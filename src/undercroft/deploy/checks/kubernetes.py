"""Checks of Kubernetes' objects: what refers to nothing, and what is not safe."""

import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from undercroft.deploy.checks.finding import Finding, error, warning
from undercroft.deploy.checks.folder import Checked
from undercroft.deploy.checks.images import DATABASE_PORTS, is_secret_in_clear, unpinned
from undercroft.deploy.checks.kubernetes_objects import (
    Container,
    Kustomization,
    Probe,
    Scaler,
    Selecting,
    Service,
    Workload,
)
from undercroft.deploy.checks.managed import is_cloud_run

VERSIONS: Final = {
    "Deployment": "apps/v1",
    "StatefulSet": "apps/v1",
    "DaemonSet": "apps/v1",
    "Job": "batch/v1",
    "HorizontalPodAutoscaler": "autoscaling/v2",
    "PodDisruptionBudget": "policy/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "Service": "v1",
    "ServiceAccount": "v1",
    "ConfigMap": "v1",
    "Secret": "v1",
    "ScaledObject": "keda.sh/v1alpha1",
    "Rollout": "argoproj.io/v1alpha1",
    "AnalysisTemplate": "argoproj.io/v1alpha1",
}
"""What each kind is written as by now."""
_TYPES: Final[dict[str, type[msgspec.Struct]]] = {
    **dict.fromkeys(("Deployment", "StatefulSet", "DaemonSet", "Job"), Workload),
    **dict.fromkeys(("HorizontalPodAutoscaler", "ScaledObject"), Scaler),
    **dict.fromkeys(("PodDisruptionBudget", "NetworkPolicy"), Selecting),
    "Service": Service,
    **dict.fromkeys(("Kustomization", "Component"), Kustomization),
}


@dataclass(slots=True)
class Cluster:
    """Everything that would be in the cluster, each with its file."""

    workloads: list[tuple[str, Workload]] = field(default_factory=list)
    scalers: list[tuple[str, Scaler]] = field(default_factory=list)
    selecting: list[tuple[str, Selecting]] = field(default_factory=list)
    services: list[tuple[str, Service]] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    """`Kind/name` of each."""
    keys: dict[str, set[str]] = field(default_factory=dict)
    """Keys of each Secret that is part of it."""


def check(checked: Checked) -> Iterator[Finding]:
    """Every object of every YAML file, patches aside."""
    changing = set(patches(checked))
    cluster = Cluster()
    for file, objects in checked.objects.items():
        for value in objects if file not in changing else ():
            if isinstance(value, dict) and "kind" in value and not is_cloud_run(value):
                yield from _sorted_in(file, value, cluster, checked)
    for file, workload in cluster.workloads:
        yield from _workload(file, workload, cluster, checked)
    for file, scaler in cluster.scalers:
        target = f"{scaler.spec.scale_target_ref.kind}/{scaler.spec.scale_target_ref.name}"
        if target not in cluster.names:
            yield error(file, f"{scaler.kind}/{scaler.metadata.name}", f"scales {target}, which is not there")
    for file, each in cluster.selecting:
        selector = each.spec.pod_selector if each.spec.pod_selector is not None else each.spec.selector
        if not any(selector.selects(workload.spec.template.labels) for _, workload in cluster.workloads):
            yield error(file, f"{each.kind}/{each.metadata.name}", "selects no pod that is described here")
    for file, service in cluster.services:
        yield from _service(file, service, cluster)


def patches(checked: Checked) -> Iterator[str]:
    """Files that change objects of others and are none by themselves."""
    for file, objects in checked.objects.items():
        for value in objects:
            if isinstance(value, dict) and value.get("kind") in ("Kustomization", "Component"):
                for patch in value.get("patches") or ():
                    yield posixpath.normpath(posixpath.join(posixpath.dirname(file), str(patch.get("path", ""))))


def _sorted_in(file: str, value: dict[str, Any], cluster: Cluster, checked: Checked) -> Iterator[Finding]:
    kind, name = str(value["kind"]), str((value.get("metadata") or {}).get("name", ""))
    title = f"{kind}/{name}" if name else kind
    if kind in VERSIONS and value.get("apiVersion") != VERSIONS[kind]:
        yield error(file, title, f"apiVersion is {value.get('apiVersion')}; write {VERSIONS[kind]}")
    if title in cluster.names and kind not in ("Kustomization", "Component"):
        yield error(file, title, "is described twice")
    cluster.names.add(title)
    if kind == "Secret":
        cluster.keys[name] = {*(value.get("data") or {}), *(value.get("stringData") or {})}
        if cluster.keys[name]:
            yield error(file, title, "holds secrets in clear text; make it with kubectl, or with what seals secrets")
    if kind not in _TYPES:
        return
    try:
        typed = msgspec.convert(value, _TYPES[kind])
    except msgspec.ValidationError as problem:
        yield error(file, title, f"is not as Kubernetes has it: {problem}")
        return
    match typed:
        case Workload():
            cluster.workloads.append((file, typed))
        case Scaler():
            cluster.scalers.append((file, typed))
        case Selecting():
            cluster.selecting.append((file, typed))
        case Service():
            cluster.services.append((file, typed))
        case Kustomization():
            cluster.names |= {f"ConfigMap/{each.name}" for each in typed.config_map_generator}
            cluster.names |= {f"Secret/{each.name}" for each in typed.secret_generator}
            yield from _kustomization(file, typed, checked)


def _kustomization(file: str, value: Kustomization, checked: Checked) -> Iterator[Finding]:
    paths = [*value.resources, *value.components, *(patch.path for patch in value.patches if patch.path)]
    paths += [path.rpartition("=")[2] for each in value.config_map_generator for path in each.files]
    for path in paths:
        found = posixpath.normpath(posixpath.join(posixpath.dirname(file), path))
        if not path.startswith("http") and not checked.has(found):
            yield error(file, "Kustomization", f"names {path}, which is not there")


def _workload(file: str, workload: Workload, cluster: Cluster, checked: Checked) -> Iterator[Finding]:
    pod, title = workload.spec.template.spec, workload.title
    selector = workload.spec.selector
    if selector is not None and not selector.selects(workload.spec.template.labels):
        yield error(file, title, "its selector does not select its own pods")
    if pod.service_account_name != "default" and f"ServiceAccount/{pod.service_account_name}" not in cluster.names:
        yield error(file, title, f"there is no ServiceAccount {pod.service_account_name!r}")
    if pod.host_network:
        yield error(file, title, "hostNetwork opens every port of the pod to the node's networks")
    volumes = {volume.name for volume in pod.volumes}
    for volume in pod.volumes:
        if volume.host_path is not None:
            yield error(file, title, f"volume {volume.name!r} is a folder of the node; write emptyDir or a claim")
        if volume.config_map is not None and f"ConfigMap/{volume.config_map.name}" not in cluster.names:
            yield error(file, title, f"volume {volume.name!r}: there is no ConfigMap {volume.config_map.name!r}")
    for container in (*pod.init_containers, *pod.containers):
        where = f"{title}.{container.name}"
        yield from _container(file, where, container, checked, keys=cluster.keys)
        yield from _rights(file, where, container, workload)
        for mount in container.volume_mounts:
            if mount.name not in volumes:
                yield error(file, where, f"mounts {mount.name!r}, and the pod has no such volume")
    yield from _replicas(file, workload, cluster)


def _container(
    file: str, where: str, container: Container, checked: Checked, *, keys: dict[str, set[str]]
) -> Iterator[Finding]:
    if reason := unpinned(container.image):
        yield error(file, where, f"image {container.image} {reason}")
    for resource in ("cpu", "memory"):
        if resource not in container.resources.limits:
            yield error(file, where, f"has no {resource} limit; write resources.limits.{resource}")
        if resource not in container.resources.requests:
            yield warning(file, where, f"asks for no {resource}; write resources.requests.{resource}")
    ports = {str(port.container_port) for port in container.ports} | {port.name for port in container.ports}
    probes = {
        "livenessProbe": container.liveness_probe,
        "readinessProbe": container.readiness_probe,
        "startupProbe": container.startup_probe,
    }
    for name, probe in probes.items():
        port = _probed(probe)
        if port and port not in ports:
            yield error(file, where, f"{name} asks port {port}, which the container does not have")
    if container.ports and container.readiness_probe is None:
        yield warning(file, where, "has ports and no readinessProbe: it is sent requests before it can answer")
    for variable in container.env:
        if is_secret_in_clear(variable.name, variable.value):
            yield error(file, where, f"{variable.name} holds a secret in clear text; write valueFrom.secretKeyRef")
        reference = variable.value_from.secret_key_ref if variable.value_from else None
        if (
            reference is not None
            and not reference.optional
            and not _is_made(reference.name, reference.key, keys, checked)
        ):
            yield error(
                file,
                where,
                f"{variable.name} comes from key {reference.key!r} of secret {reference.name!r}, and nothing here "
                "makes that; add it to the `kubectl create secret` line of README.md",
            )


def _probed(probe: Probe | None) -> str:
    asked = probe and (probe.http_get or probe.tcp_socket)
    return str(asked.port) if asked else ""


def _is_made(secret: str, key: str, keys: dict[str, set[str]], checked: Checked) -> bool:
    if secret in keys:
        return key in keys[secret]
    return any(
        f"create secret generic {secret}" in text and re.search(rf"--from-(literal|file)={re.escape(key)}\b", text)
        for path, text in checked.texts.items()
        if path.endswith((".md", ".sh", ".txt"))
    )


def _rights(file: str, where: str, container: Container, workload: Workload) -> Iterator[Finding]:
    own, pods = container.security_context, workload.spec.template.spec.security_context
    is_non_root = pods.run_as_non_root if own.run_as_non_root is None else own.run_as_non_root
    user = pods.run_as_user if own.run_as_user is None else own.run_as_user
    if user == 0 or not is_non_root:
        yield error(file, where, "may run as root; write securityContext.runAsNonRoot: true and a runAsUser")
    if own.privileged:
        yield error(file, where, "is privileged, which gives it the node")
    if own.allow_privilege_escalation is not False:
        yield warning(file, where, "write securityContext.allowPrivilegeEscalation: false")
    if not own.read_only_root_filesystem:
        yield warning(file, where, "may write to its image; write securityContext.readOnlyRootFilesystem: true")


def _replicas(file: str, workload: Workload, cluster: Cluster) -> Iterator[Finding]:
    scaled = [
        max(scaler.spec.max_replicas, scaler.spec.max_replica_count)
        for _, scaler in cluster.scalers
        if scaler.spec.scale_target_ref.name == workload.metadata.name
    ]
    most = max([workload.spec.replicas, *scaled])
    for container in workload.spec.template.spec.containers:
        names = {variable.name for variable in container.env}
        is_ours = any(name.startswith("UNDERCROFT_") for name in names) or container.name == "api"
        if most > 1 and is_ours and "DATABASE_URL" not in names and not container.env_from:
            yield error(
                file,
                f"{workload.title}.{container.name}",
                f"may have {most} replicas and has no DATABASE_URL: a SQLite file serves one container",
            )


def _service(file: str, service: Service, cluster: Cluster) -> Iterator[Finding]:
    title = f"Service/{service.metadata.name}"
    pods = [
        workload.spec.template
        for _, workload in cluster.workloads
        if service.spec.selector and service.spec.selector.items() <= workload.spec.template.labels.items()
    ]
    if service.spec.selector and not pods:
        yield error(file, title, "its selector finds no pod that is described here")
    for port in service.spec.ports:
        target = str(port.target_port if port.target_port is not None else port.port)
        if pods and not any(target in _ports_of(template.spec.containers) for template in pods):
            yield error(file, title, f"port {port.port} leads to {target}, which none of its pods has")
        if service.spec.type in ("NodePort", "LoadBalancer") and port.port in DATABASE_PORTS:
            yield error(file, title, f"opens a database's port {port.port} to everybody; write type: ClusterIP")


def _ports_of(containers: Sequence[Container]) -> set[str]:
    return {name for each in containers for port in each.ports for name in (port.name, str(port.container_port))}
