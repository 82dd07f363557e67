"""`container-apps`: two apps and the migration on Azure Container Apps, as `az containerapp --yaml` takes them."""

from collections.abc import Iterator
from typing import Any, Final

from undercroft.deploy.bundle import Bundle, made_by
from undercroft.deploy.targets import managed
from undercroft.deploy.targets.docker import PORT
from undercroft.deploy.targets.kubernetes import objects
from undercroft.deploy.topology import Process, Topology
from undercroft.deploy.yaml import Noted, document

Object = dict[str, Any]
QUARTER_MILLI: Final = 250
MEMORY_OF_A_QUARTER_MIB: Final = 512
MOST_QUARTERS: Final = 16
"""Consumption gives up to 4 cores, in quarters, with 0.5 Gi for each quarter and no other amount."""
GRACE_S: Final = 45


class ContainerApps:
    name = "container-apps"
    summary = "apps on Azure Container Apps"

    def problems(self, topology: Topology, /) -> Iterator[str]:
        yield from managed.problems(topology)
        for role, process in (("api", topology.api), ("worker", topology.worker)):
            if _quarters(process) > MOST_QUARTERS:
                yield (
                    f"deploy.{role} asks for {process.cpu_limit_milli / 1000:g} cores and {process.memory_limit_mib} "
                    "Mi, and the Consumption plan gives at most 4 cores and 8 Gi; write less under cpu_limit and "
                    "memory_limit"
                )

    def render(self, topology: Topology, /) -> Bundle:
        made = made_by(self.name)
        described = {
            "api.yaml": _api(topology),
            "worker.yaml": _worker(topology),
            "migrate-job.yaml": _migration(topology),
        }
        files = {path: made + document(value) for path, value in described.items()}
        files["README.md"] = _readme(topology)
        return managed.bundle(topology, files, target=self.name)


def _api(topology: Topology) -> Object:
    container = {
        **_container(topology, topology.api, "api"),
        "probes": [
            _probe("Startup", "/health/live", period_s=6, failures=10),
            _probe("Liveness", "/health/live", period_s=10, failures=3),
            _probe("Readiness", "/health/ready", period_s=2, failures=2),
        ],
    }
    rule = {"name": "calls-under-way", "http": {"metadata": {"concurrentRequests": str(topology.in_flight)}}}
    return {
        **_resource("Microsoft.App/containerApps", topology),
        "properties": {
            "environmentId": _environment(topology),
            "configuration": {
                "activeRevisionsMode": Noted(
                    "A new version takes over when it is ready; the one before goes.", "Single"
                ),
                "ingress": {"external": True, "targetPort": PORT, "transport": "auto", "allowInsecure": False},
                **_access(topology),
            },
            "template": {
                "terminationGracePeriodSeconds": GRACE_S,
                "containers": [container],
                "scale": {
                    "minReplicas": topology.api.replicas,
                    "maxReplicas": topology.api.max_replicas,
                    "rules": [rule],
                },
            },
        },
    }


def _worker(topology: Topology) -> Object:
    command = ["undercroft", "worker", "--concurrency", str(topology.worker_concurrency)]
    waiting = objects.worker_triggers(topology)[0]
    metadata = {key: value for key, value in waiting["metadata"].items() if key != "connectionFromEnv"}
    rule = {
        "name": "jobs",
        "custom": {
            "type": "postgresql",
            "metadata": metadata,
            "auth": [{"secretRef": "database-url", "triggerParameter": "connection"}],
        },
    }
    return {
        **_resource("Microsoft.App/containerApps", topology),
        "properties": {
            "environmentId": _environment(topology),
            "configuration": {"activeRevisionsMode": "Single", **_access(topology)},
            "template": {
                "terminationGracePeriodSeconds": GRACE_S,
                "containers": [{**_container(topology, topology.worker, "worker"), "args": command}],
                "scale": {
                    "minReplicas": topology.worker.replicas,
                    "maxReplicas": topology.worker.max_replicas,
                    "rules": [rule],
                },
            },
        },
    }


def _migration(topology: Topology) -> Object:
    container = _container(topology, topology.worker, "migrate", wanted=managed.MIGRATION)
    return {
        **_resource("Microsoft.App/jobs", topology),
        "properties": {
            "environmentId": _environment(topology),
            "configuration": {
                "triggerType": "Manual",
                "replicaTimeout": 900,
                "replicaRetryLimit": 3,
                "manualTriggerConfig": {"parallelism": 1, "replicaCompletionCount": 1},
                **_access(topology, wanted=managed.MIGRATION),
            },
            "template": {"containers": [{**container, "args": ["python", "manage.py", "migrate"]}]},
        },
    }


def _resource(kind: str, topology: Topology) -> Object:
    identity = f"{_group()}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{topology.name}"
    return {
        "location": _location(topology),
        "type": kind,
        "identity": {"type": "UserAssigned", "userAssignedIdentities": {identity: {}}},
    }


def _group() -> str:
    return "/subscriptions/SUBSCRIPTION_ID/resourceGroups/RESOURCE_GROUP"


def _environment(topology: Topology) -> str:
    return f"{_group()}/providers/Microsoft.App/managedEnvironments/{topology.name}"


def _location(topology: Topology) -> str:
    return topology.regions[0]


def _access(topology: Topology, *, wanted: frozenset[str] | None = None) -> Object:
    """The registry and the vault, both by the identity: no password stands anywhere."""
    identity = f"{_group()}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{topology.name}"
    return {
        "registries": [{"server": topology.images.application.partition("/")[0], "identity": identity}],
        "secrets": [
            {"name": key, "keyVaultUrl": f"https://VAULT.vault.azure.net/secrets/{key}", "identity": identity}
            for variable, key in managed.secrets_of(topology).items()
            if wanted is None or variable in wanted
        ],
    }


def _container(topology: Topology, process: Process, name: str, *, wanted: frozenset[str] | None = None) -> Object:
    quarters = _quarters(process)
    secrets = [
        {"name": variable, "secretRef": key}
        for variable, key in managed.secrets_of(topology).items()
        if wanted is None or variable in wanted
    ]
    plain = [{"name": variable, "value": value} for variable, value in managed.variables(topology).items()]
    return {
        "name": name,
        "image": topology.images.application,
        "env": [*plain, *secrets],
        "resources": {
            "cpu": quarters * QUARTER_MILLI / 1000,
            "memory": f"{quarters * MEMORY_OF_A_QUARTER_MIB / 1024:g}Gi",
        },
    }


def _quarters(process: Process) -> int:
    """The fewest quarters of a core that hold both what is asked of CPU and what is asked of memory."""
    cpu = -(-process.cpu_limit_milli // QUARTER_MILLI)
    memory = -(-process.memory_limit_mib // MEMORY_OF_A_QUARTER_MIB)
    return max(cpu, memory)


def _probe(kind: str, path: str, *, period_s: int, failures: int) -> Object:
    return {
        "type": kind,
        "httpGet": {"path": path, "port": PORT},
        "periodSeconds": period_s,
        "timeoutSeconds": 2,
        "failureThreshold": failures,
    }


def _readme(topology: Topology) -> str:
    name, location = topology.name, _location(topology)
    secrets = "\n".join(
        f'    az keyvault secret set --vault-name VAULT --name {key} --value "${variable}" --output none'
        for variable, key in managed.secrets_of(topology).items()
    )
    return f"""\
# {name} on Azure Container Apps

{made_by("container-apps", comment="").strip()}

Replace `SUBSCRIPTION_ID`, `RESOURCE_GROUP` and `VAULT` in the three files. `application` under `[deploy.images]` is a
repository of your container registry, and the first of `regions` under `[deploy]` the location (now `{location}`).
Once:

    az identity create --resource-group RESOURCE_GROUP --name {name}
    az containerapp env create --resource-group RESOURCE_GROUP --name {name} --location {location}
{secrets}

The identity gets the role `AcrPull` on the registry and `Key Vault Secrets User` on the vault; the environment's
network reaches PostgreSQL (Flexible Server) and Redis. Each version: build it, migrate, and update both apps.

{managed.build_commands(topology)}
    az containerapp job create --resource-group RESOURCE_GROUP --name {name}-migrate --yaml migrate-job.yaml
    az containerapp job start --resource-group RESOURCE_GROUP --name {name}-migrate
    az containerapp create --resource-group RESOURCE_GROUP --name {name} --yaml api.yaml
    az containerapp create --resource-group RESOURCE_GROUP --name {name}-worker --yaml worker.yaml

(`update` in place of `create` from the second version on.) The address:

    az containerapp show --resource-group RESOURCE_GROUP --name {name} --query properties.configuration.ingress.fqdn

Azure gives CPU and memory in fixed pairs: what is written here is the smallest pair that holds what `[deploy]` asks
for.

{managed.WHAT_IT_IS}"""
