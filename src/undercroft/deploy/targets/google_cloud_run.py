"""`cloud-run`: a service, a pool of workers and the migration on Google Cloud Run."""

from collections.abc import Iterator
from typing import Any, Final

from undercroft.deploy.bundle import Bundle, made_by
from undercroft.deploy.targets import managed
from undercroft.deploy.targets.docker import PORT
from undercroft.deploy.targets.kubernetes.pods import mebibytes
from undercroft.deploy.topology import Process, Topology
from undercroft.deploy.yaml import Noted, document

Object = dict[str, Any]
LONGEST_CALL_S: Final = 600
MOST_CONCURRENCY: Final = 1000
"""Cloud Run sends no instance more requests at once."""


class CloudRun:
    name = "cloud-run"
    summary = "services on Google Cloud Run"

    def problems(self, topology: Topology, /) -> Iterator[str]:
        yield from managed.problems(topology)
        if topology.in_flight > MOST_CONCURRENCY:
            yield (
                f"deploy.api.in_flight is {topology.in_flight}, and Cloud Run sends an instance at most "
                f"{MOST_CONCURRENCY} requests at once; write {MOST_CONCURRENCY} or less"
            )

    def render(self, topology: Topology, /) -> Bundle:
        made = made_by(self.name)
        described = {
            "service.yaml": _service(topology),
            "worker-pool.yaml": _worker_pool(topology),
            "migrate-job.yaml": _migration(topology),
        }
        files = {path: made + document(value) for path, value in described.items()}
        files["README.md"] = _readme(topology)
        return managed.bundle(topology, files, target=self.name)


def _service(topology: Topology) -> Object:
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {
            "name": topology.name,
            "annotations": {
                "run.googleapis.com/ingress": "all",
                "run.googleapis.com/invoker-iam-disabled": Noted(
                    "undercroft asks for a key itself; IAM in front of it would lock SDKs out.", "true"
                ),
            },
        },
        "spec": {
            "template": {
                "metadata": {
                    "annotations": {
                        "autoscaling.knative.dev/minScale": Noted(
                            "One is always warm; more come with requests, up to the other number.", "1"
                        ),
                        "autoscaling.knative.dev/maxScale": str(topology.api.max_replicas),
                        "run.googleapis.com/cpu-throttling": Noted(
                            "Between requests it ships its records and keeps connections open.", "false"
                        ),
                        "run.googleapis.com/startup-cpu-boost": "true",
                        "run.googleapis.com/execution-environment": "gen2",
                        **_network(),
                    }
                },
                "spec": {
                    "serviceAccountName": _account(topology),
                    "containerConcurrency": topology.in_flight,
                    "timeoutSeconds": LONGEST_CALL_S,
                    "containers": [
                        {
                            **_container(topology, topology.api),
                            "ports": [{"name": "http1", "containerPort": PORT}],
                            "startupProbe": _probe("/health/live", period_s=1, failures=60),
                            "livenessProbe": _probe("/health/live", period_s=10, failures=3),
                        }
                    ],
                },
            },
            "traffic": [{"latestRevision": True, "percent": 100}],
        },
    }


def _worker_pool(topology: Topology) -> Object:
    command = ["undercroft", "worker", "--concurrency", str(topology.worker_concurrency)]
    return {
        "apiVersion": "run.googleapis.com/v1",
        "kind": "WorkerPool",
        "metadata": {
            "name": f"{topology.name}-worker",
            "annotations": {
                "run.googleapis.com/scalingMode": Noted(
                    "Cloud Run does not count jobs: their number is yours to say.", "manual"
                ),
                "run.googleapis.com/manualInstanceCount": str(topology.worker.replicas),
            },
        },
        "spec": {
            "template": {
                "metadata": {"annotations": {"run.googleapis.com/execution-environment": "gen2", **_network()}},
                "spec": {
                    "serviceAccountName": _account(topology),
                    "containers": [{**_container(topology, topology.worker), "args": command}],
                },
            }
        },
    }


def _migration(topology: Topology) -> Object:
    """Run once for each version, before its service is."""
    container = _container(topology, topology.worker, variables=managed.MIGRATION)
    task: Object = {
        "serviceAccountName": _account(topology),
        "maxRetries": 3,
        "timeoutSeconds": 900,
        "containers": [{**container, "args": ["python", "manage.py", "migrate"]}],
    }
    execution: Object = {
        "metadata": {"annotations": {"run.googleapis.com/execution-environment": "gen2", **_network()}},
        "spec": {"taskCount": 1, "template": {"spec": task}},
    }
    return {
        "apiVersion": "run.googleapis.com/v1",
        "kind": "Job",
        "metadata": {"name": f"{topology.name}-migrate"},
        "spec": {"template": execution},
    }


def _container(topology: Topology, process: Process, *, variables: frozenset[str] | None = None) -> Object:
    """The image with its variables: plain ones, and those that Secret Manager has."""
    secrets = [
        {"name": variable, "valueFrom": {"secretKeyRef": {"name": f"{topology.name}-{key}", "key": "latest"}}}
        for variable, key in managed.secrets_of(topology).items()
        if variables is None or variable in variables
    ]
    plain = [{"name": name, "value": value} for name, value in managed.variables(topology).items()]
    return {
        "image": topology.images.application,
        "env": [*plain, *secrets],
        "resources": {"limits": {"cpu": f"{process.cpu_limit_milli}m", "memory": mebibytes(process.memory_limit_mib)}},
    }


def _network() -> Object:
    """Direct egress into the network in which PostgreSQL and Redis have their private addresses."""
    return {
        "run.googleapis.com/network-interfaces": Noted(
            "Where PostgreSQL and Redis have private addresses; providers are reached directly.",
            '[{"network":"default","subnetwork":"default"}]',
        ),
        "run.googleapis.com/vpc-access-egress": "private-ranges-only",
    }


def _account(topology: Topology) -> str:
    return f"{topology.name}@PROJECT_ID.iam.gserviceaccount.com"


def _probe(path: str, *, period_s: int, failures: int) -> Object:
    return {
        "httpGet": {"path": path, "port": PORT},
        "periodSeconds": period_s,
        "timeoutSeconds": 1,
        "failureThreshold": failures,
    }


def _readme(topology: Topology) -> str:
    name, region = topology.name, topology.regions[0]
    made = "\n".join(
        f'    printf %s "${variable}" | gcloud secrets create {name}-{key} --data-file=-'
        for variable, key in managed.secrets_of(topology).items()
    )
    bound = " ".join(managed.secrets_of(topology).values())
    return f"""\
# {name} on Cloud Run

{made_by("cloud-run", comment="").strip()}

Replace `PROJECT_ID` in the three files, and set `application` under `[deploy.images]` to a repository of Artifact
Registry. `{region}` stands for your region. The network `default` is where PostgreSQL (Cloud SQL) and Redis
(Memorystore) have their private addresses. Once: an account that may do nothing but read its secrets, and the secrets.

    gcloud iam service-accounts create {name}
{made}
    for secret in {bound}; do
        gcloud secrets add-iam-policy-binding {name}-$secret --role=roles/secretmanager.secretAccessor \\
            --member=serviceAccount:{name}@PROJECT_ID.iam.gserviceaccount.com
    done

Each version: build it, migrate, replace what runs. The service takes calls over when its new instances live.

{managed.build_commands(topology)}
    gcloud run jobs replace migrate-job.yaml --region {region}
    gcloud run jobs execute {name}-migrate --region {region} --wait
    gcloud run services replace service.yaml --region {region}
    gcloud run worker-pools replace worker-pool.yaml --region {region}

Then:

    curl "$(gcloud run services describe {name} --region {region} --format='value(status.url)')/health"

Back to the version before: `gcloud run services update-traffic {name} --region {region} --to-revisions REVISION=100`.

{managed.WHAT_IT_IS}"""
