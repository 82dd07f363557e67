"""The part of Kubernetes' objects that is checked: a schema as types, with every key that a container may have."""

from typing import Any

import msgspec


class Metadata(msgspec.Struct, frozen=True):
    name: str
    labels: dict[str, str] = {}


class KeyReference(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key of a Secret or a ConfigMap."""

    key: str
    name: str = ""
    optional: bool = False


class ValueFrom(msgspec.Struct, frozen=True, rename="camel"):
    secret_key_ref: KeyReference | None = None
    config_map_key_ref: KeyReference | None = None


class Variable(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    name: str
    value: str = ""
    value_from: ValueFrom | None = None


class ContainerPort(msgspec.Struct, frozen=True, rename="camel"):
    container_port: int
    name: str = ""


class HttpGet(msgspec.Struct, frozen=True):
    port: int | str
    path: str = "/"


class Probe(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    http_get: HttpGet | None = None
    tcp_socket: HttpGet | None = None
    grpc: Any = None
    exec: Any = None
    initial_delay_seconds: int = 0
    period_seconds: int = 10
    timeout_seconds: int = 1
    success_threshold: int = 1
    failure_threshold: int = 3
    termination_grace_period_seconds: int | None = None


class Resources(msgspec.Struct, frozen=True):
    limits: dict[str, str | int | float] = {}
    requests: dict[str, str | int | float] = {}


class SecurityContext(msgspec.Struct, frozen=True, rename="camel"):
    privileged: bool = False
    run_as_user: int | None = None
    run_as_non_root: bool | None = None
    allow_privilege_escalation: bool | None = None
    read_only_root_filesystem: bool = False


class Mount(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    mount_path: str


class Container(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """One container. What is not looked into is `Any`."""

    name: str
    image: str
    command: list[str] = []
    args: list[str] = []
    env: list[Variable] = []
    env_from: list[Any] = []
    ports: list[ContainerPort] = []
    resources: Resources = Resources()
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None
    startup_probe: Probe | None = None
    security_context: SecurityContext = SecurityContext()
    volume_mounts: list[Mount] = []
    image_pull_policy: Any = None
    lifecycle: Any = None
    resize_policy: Any = None
    restart_policy: Any = None
    stdin: Any = None
    stdin_once: Any = None
    termination_message_path: Any = None
    termination_message_policy: Any = None
    tty: Any = None
    volume_devices: Any = None
    working_dir: Any = None


class ConfigMapVolume(msgspec.Struct, frozen=True):
    name: str = ""


class Volume(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    host_path: Any = None
    config_map: ConfigMapVolume | None = None


class PodSpec(msgspec.Struct, frozen=True, rename="camel"):
    containers: list[Container]
    init_containers: list[Container] = []
    volumes: list[Volume] = []
    security_context: SecurityContext = SecurityContext()
    service_account_name: str = "default"
    host_network: bool = False


class Template(msgspec.Struct, frozen=True):
    metadata: Any
    spec: PodSpec

    @property
    def labels(self) -> dict[str, str]:
        labels: dict[str, str] = (self.metadata or {}).get("labels") or {}
        return labels


class Selector(msgspec.Struct, frozen=True, rename="camel"):
    match_labels: dict[str, str] = {}
    match_expressions: list[Any] = []

    def selects(self, labels: dict[str, str]) -> bool:
        """Whether a pod with these labels is meant."""
        return self.match_labels.items() <= labels.items() and all(
            _holds(expression, labels) for expression in self.match_expressions
        )


def _holds(expression: dict[str, Any], labels: dict[str, str]) -> bool:
    value, values = labels.get(expression["key"]), expression.get("values", ())
    match expression["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case _:
            return value is None


class WorkloadSpec(msgspec.Struct, frozen=True):
    template: Template
    replicas: int = 1
    selector: Selector | None = None


class Workload(msgspec.Struct, frozen=True):
    """A Deployment, StatefulSet, DaemonSet or Job."""

    kind: str
    metadata: Metadata
    spec: WorkloadSpec

    @property
    def title(self) -> str:
        return f"{self.kind}/{self.metadata.name}"


class ServicePort(msgspec.Struct, frozen=True, rename="camel"):
    port: int
    target_port: int | str | None = None


class ServiceSpec(msgspec.Struct, frozen=True):
    selector: dict[str, str] = {}
    ports: list[ServicePort] = []
    type: str = "ClusterIP"


class Service(msgspec.Struct, frozen=True):
    metadata: Metadata
    spec: ServiceSpec


class Target(msgspec.Struct, frozen=True):
    name: str
    kind: str = "Deployment"


class ScalerSpec(msgspec.Struct, frozen=True, rename="camel"):
    scale_target_ref: Target
    max_replicas: int = 0
    max_replica_count: int = 0


class Scaler(msgspec.Struct, frozen=True):
    """A HorizontalPodAutoscaler or KEDA's ScaledObject."""

    kind: str
    metadata: Metadata
    spec: ScalerSpec


class SelectingSpec(msgspec.Struct, frozen=True, rename="camel"):
    selector: Selector = Selector()
    pod_selector: Selector | None = None


class Selecting(msgspec.Struct, frozen=True):
    """A PodDisruptionBudget or a NetworkPolicy."""

    kind: str
    metadata: Metadata
    spec: SelectingSpec


class Patch(msgspec.Struct, frozen=True):
    path: str = ""


class Generator(msgspec.Struct, frozen=True):
    name: str
    files: list[str] = []


class Kustomization(msgspec.Struct, frozen=True, rename="camel"):
    resources: list[str] = []
    patches: list[Patch] = []
    components: list[str] = []
    config_map_generator: list[Generator] = []
    secret_generator: list[Generator] = []
