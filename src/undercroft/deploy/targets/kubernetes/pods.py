"""What runs in Kubernetes: the API's pods, the workers', and the job that migrates the database."""

import re
from typing import Any, Final

from undercroft.deploy.targets.docker import DATA, PORT, USER
from undercroft.deploy.topology import Process, Topology
from undercroft.deploy.yaml import Noted

SECRET: Final = "api-secrets"  # noqa: S105 - a name
CONFIG_MAP: Final = "undercroft-config"
SETTINGS_FOLDER: Final = "/etc/undercroft"
MODELS_FOLDER: Final = "/models"

Object = dict[str, Any]


def labels(topology: Topology, role: str) -> Object:
    """`app` is what selectors go by; the others are for people and dashboards."""
    return {
        "app": app(topology, role),
        "app.kubernetes.io/name": topology.name,
        "app.kubernetes.io/component": role,
        "app.kubernetes.io/managed-by": "kustomize",
    }


def app(topology: Topology, role: str) -> str:
    """`ai-api`, `ai-api-worker`, `ai-api-migrate`."""
    return topology.name if role == "api" else f"{topology.name}-{role}"


def api(topology: Topology) -> Object:
    """The Deployment that answers."""
    is_gpu = topology.gpu.count > 0
    container: Object = {
        "name": "api",
        "image": topology.images.gpu if is_gpu else topology.images.application,
        "ports": [{"name": "http", "containerPort": PORT}],
        "env": environment(topology),
        "resources": _resources(topology.api, topology if is_gpu else None),
        "startupProbe": _probe("/health/live", period_s=1, failures=60),
        "livenessProbe": _probe("/health/live", period_s=10, failures=3),
        "readinessProbe": Noted(
            "Not ready while the schema waits for the migration, or while it drains.",
            _probe("/health/ready", period_s=2, failures=2),
        ),
        "lifecycle": Noted(
            "Time for load balancers to hear that it leaves; then open answers have 30 s to finish.",
            {"preStop": {"exec": {"command": ["sleep", "5"]}}},
        ),
        "securityContext": _confined(),
        "volumeMounts": _mounts(topology, is_gpu=is_gpu),
    }
    template = _template(topology, "api", container, is_gpu=is_gpu, grace_s=45)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": app(topology, "api"), "labels": labels(topology, "api")},
        "spec": {
            "replicas": topology.api.replicas,
            "revisionHistoryLimit": 5,
            "selector": {"matchLabels": {"app": app(topology, "api")}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": template,
        },
    }


def worker(topology: Topology) -> Object:
    """The Deployment that does jobs."""
    container: Object = {
        "name": "worker",
        "image": topology.images.application,
        "args": ["undercroft", "worker", "--concurrency", str(topology.worker_concurrency)],
        "env": environment(topology),
        "resources": _resources(topology.worker),
        "securityContext": _confined(),
        "volumeMounts": _mounts(topology),
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": app(topology, "worker"), "labels": labels(topology, "worker")},
        "spec": Noted(
            "scaledobject.yaml says how many. No probe: a worker that dies is started again, and its jobs go\n"
            "to others when their leases end.",
            {
                "revisionHistoryLimit": 5,
                "selector": {"matchLabels": {"app": app(topology, "worker")}},
                "template": _template(topology, "worker", container, grace_s=60),
            },
        ),
    }


def migration(topology: Topology) -> Object:
    """The Job that brings the database to the schema of this version."""
    tag = re.sub(r"[^a-z0-9]+", "-", topology.images.application.rpartition(":")[2].lower()).strip("-")[:20]
    wanted = ("DATABASE_URL", "ENCRYPTION_KEY", "UNDERCROFT_MASTER_KEY")
    container: Object = {
        "name": "migrate",
        "image": topology.images.application,
        "args": ["python", "manage.py", "migrate"],
        "env": [each for each in environment(topology) if each["name"] in wanted],
        "resources": {
            "requests": {"cpu": "100m", "memory": "128Mi"},
            "limits": {"cpu": "500m", "memory": "256Mi"},
        },
        "securityContext": _confined(),
        "volumeMounts": [
            {"name": "data", "mountPath": DATA},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the container's own
        ],
    }
    template = _template(topology, "migrate", container, grace_s=30, restart="OnFailure")
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": Noted(
                "A Job cannot be changed: each version has one of its own.", f"{app(topology, 'migrate')}-{tag}"
            ),
            "labels": labels(topology, "migrate"),
        },
        "spec": {
            "backoffLimit": 10,
            "activeDeadlineSeconds": 900,
            "ttlSecondsAfterFinished": 86400,
            "template": template,
        },
    }


def environment(topology: Topology) -> list[Object]:
    """The variables that containers get: all from the one secret, but where the settings file lies."""
    told: list[Object] = []
    if topology.settings_file is not None:
        told.append({"name": "UNDERCROFT_CONFIG", "value": f"{SETTINGS_FOLDER}/undercroft.toml"})
    for secret in topology.secrets:
        reference: Object = {"name": SECRET, "key": secret.key}
        if not secret.required:
            reference["optional"] = True
        told.append({"name": secret.variable, "valueFrom": {"secretKeyRef": reference}})
    return told


def _template(
    topology: Topology, role: str, container: Object, *, grace_s: int, is_gpu: bool = False, restart: str | None = None
) -> Object:
    spec: Object = {
        "serviceAccountName": topology.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": grace_s,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    if restart is not None:
        spec["restartPolicy"] = restart
    else:
        spec["topologySpreadConstraints"] = [_spread(topology, role, "kubernetes.io/hostname")]
        spec["topologySpreadConstraints"].append(_spread(topology, role, "topology.kubernetes.io/zone"))
    if is_gpu:
        spec["tolerations"] = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    spec["containers"] = [container]
    spec["volumes"] = _volumes(topology, with_settings=role != "migrate", is_gpu=is_gpu)
    return {"metadata": {"labels": labels(topology, role)}, "spec": spec}


def _spread(topology: Topology, role: str, key: str) -> Object:
    return {
        "maxSkew": 1,
        "topologyKey": key,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {"app": app(topology, role)}},
    }


def _volumes(topology: Topology, *, with_settings: bool, is_gpu: bool) -> list[Any]:
    volumes: list[Any] = [
        Noted(
            "Call records on their way to the database: less than a second's, and what a dying node takes with it.",
            {"name": "data", "emptyDir": {"sizeLimit": mebibytes(topology.spool_mib)}},
        ),
        {"name": "tmp", "emptyDir": {"sizeLimit": "256Mi"}},
    ]
    if with_settings and topology.settings_file is not None:
        volumes.append({"name": "config", "configMap": {"name": CONFIG_MAP}})
    if is_gpu:
        volumes.append({"name": "models", "emptyDir": {}})
        volumes.append({"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": "2Gi"}})
    return volumes


def _mounts(topology: Topology, *, is_gpu: bool = False) -> list[Object]:
    mounts: list[Object] = [
        {"name": "data", "mountPath": DATA},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the container's own
    ]
    if topology.settings_file is not None:
        mounts.append({"name": "config", "mountPath": SETTINGS_FOLDER, "readOnly": True})
    if is_gpu:
        mounts.append({"name": "models", "mountPath": MODELS_FOLDER})
        mounts.append({"name": "shared-memory", "mountPath": "/dev/shm"})  # noqa: S108 - the same
    return mounts


def _resources(process: Process, with_gpu: Topology | None = None) -> Object:
    memory_limit = process.memory_limit_mib if with_gpu is None else with_gpu.gpu.memory_limit_mib
    limits: Object = {"cpu": f"{process.cpu_limit_milli}m", "memory": mebibytes(memory_limit)}
    if with_gpu is not None:
        limits["nvidia.com/gpu"] = with_gpu.gpu.count
    return {"requests": {"cpu": f"{process.cpu_milli}m", "memory": mebibytes(process.memory_mib)}, "limits": limits}


def mebibytes(amount: int) -> str:
    """1024 is `1Gi`."""
    return f"{amount // 1024}Gi" if amount % 1024 == 0 else f"{amount}Mi"


def _probe(path: str, *, period_s: int, failures: int) -> Object:
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": period_s,
        "timeoutSeconds": 2,
        "failureThreshold": failures,
    }


def _confined() -> Object:
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
