"""`kubernetes`: a Kustomize base, a file per object, and an overlay per region."""

from collections.abc import Iterator
from typing import Any, Final

from undercroft.deploy.bundle import Bundle, made_by
from undercroft.deploy.targets.docker import gpu_files, image_files
from undercroft.deploy.targets.kubernetes import objects, pods
from undercroft.deploy.targets.kubernetes.pods import CONFIG_MAP, SECRET
from undercroft.deploy.topology import Topology
from undercroft.deploy.yaml import Noted, document

KUSTOMIZATION: Final = "kustomize.config.k8s.io/v1beta1"


class Kubernetes:
    name = "kubernetes"
    summary = "a Kustomize base and an overlay per region"

    def problems(self, topology: Topology, /) -> Iterator[str]:
        if topology.database == "sqlite":
            yield (
                'deploy.database is "sqlite", and what a pod writes to its disk is gone with it; '
                'write database = "external", and the address under database-url of the secret'
            )

    def render(self, topology: Topology, /) -> Bundle:
        made = made_by(self.name)
        base = {
            "serviceaccount.yaml": objects.service_account(topology),
            "migrate-job.yaml": pods.migration(topology),
            "deployment.yaml": pods.api(topology),
            "service.yaml": objects.service(topology),
            "hpa.yaml": objects.autoscaler(topology),
            "pdb.yaml": objects.disruption_budget(topology),
            "networkpolicy.yaml": objects.network_policy(topology),
            "worker-deployment.yaml": pods.worker(topology),
            "worker-networkpolicy.yaml": objects.worker_network_policy(topology),
            "scaledobject.yaml": objects.worker_autoscaler(topology),
        }
        files = {f"base/{path}": made + document(value) for path, value in base.items()}
        files["base/kustomization.yaml"] = made + document(_base(topology, list(base)))
        if topology.settings_file is not None:
            files["base/undercroft.toml"] = made + topology.settings_file
        for region in topology.regions:
            files[f"overlays/{region}/kustomization.yaml"] = made + document(_overlay(topology, region))
            files[f"overlays/{region}/region.yaml"] = made + document(_in_region(region))
        built = image_files(topology, target=self.name)
        built |= gpu_files(topology, target=self.name) if topology.gpu.count else {}
        if topology.build.code:  # it lies beside a Dockerfile that is there already
            return Bundle({**files, "README.md": _readme(topology)}, vendored_at=None)
        image = {f"image/{path}": text for path, text in built.items()}
        return Bundle({**files, **image, "README.md": _readme(topology)}, vendored_at="image/vendor")


def _base(topology: Topology, resources: list[str]) -> dict[str, Any]:
    listed: list[Any] = [
        Noted("Its kind is KEDA's: without KEDA in the cluster, take this line out.", path)
        if path == "scaledobject.yaml"
        else path
        for path in resources
    ]
    base: dict[str, Any] = {"apiVersion": KUSTOMIZATION, "kind": "Kustomization", "resources": listed}
    if topology.settings_file is not None:
        base["configMapGenerator"] = [{"name": CONFIG_MAP, "files": ["undercroft.toml"]}]
    return base


def _overlay(topology: Topology, region: str) -> dict[str, Any]:
    images = [topology.images.application, *([topology.images.gpu] if topology.gpu.count else [])]
    return {
        "apiVersion": KUSTOMIZATION,
        "kind": "Kustomization",
        "resources": ["../../base"],
        "images": [{"name": name, "newTag": tag} for name, _, tag in (image.rpartition(":") for image in images)],
        "labels": [{"pairs": {"undercroft/region": region}}],
        "patches": [{"path": "region.yaml", "target": {"kind": "Deployment"}}],
    }


def _in_region(region: str) -> dict[str, Any]:
    """A patch for every Deployment, whatever its name."""
    expression = {"key": "topology.kubernetes.io/region", "operator": "In", "values": [region]}
    required = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "any"},
        "spec": {"template": {"spec": {"affinity": affinity}}},
    }


def _readme(topology: Topology) -> str:
    image = topology.images.application
    region = topology.regions[0]
    literal = {
        "UNDERCROFT_MASTER_KEY": "\"$(python3 -c 'import secrets; print(secrets.token_urlsafe(32))')\"",
        "ENCRYPTION_KEY": '"$(head -c 32 /dev/urandom | base64 | tr +/ -_)"',
        "DATABASE_URL": "'postgresql://USER:PASSWORD@HOST:5432/NAME'",
        "REDIS_URL": "'redis://HOST:6379/0'",
        "CELERY_BROKER_URL": "'redis://HOST:6379/1'",
        "QDRANT_URL": "'http://HOST:6333'",
    }
    gpu = (
        f"    docker build --file image/Dockerfile.gpu --tag {topology.images.gpu} image\n"
        f"    docker push {topology.images.gpu}\n"
        if topology.gpu.count
        else ""
    )
    lines = [
        f"        --from-literal={secret.key}={literal.get(secret.variable, 'sk-…')}" for secret in topology.secrets
    ]
    secrets = " \\\n".join(lines)
    optional = ", ".join(f"`{secret.key}`" for secret in topology.secrets if not secret.required)
    return f"""\
# {topology.name} in Kubernetes

{made_by("kubernetes", comment="").strip()}

Build the image and push it to where the cluster gets its images:

    docker build --tag {image} {".." if topology.build.code else "image"}
    docker push {image}
{gpu}
Give the cluster its secrets, once ({optional} may be left out):

    kubectl create secret generic {SECRET} \\
{secrets}

Put it there. The Job migrates the database; the API's pods are not ready before it has.

    kubectl apply -k overlays/{region}
    kubectl wait --for=condition=complete --timeout=5m job/{pods.migration(topology)["metadata"]["name"].value}
    kubectl rollout status deployment/{topology.name}

Ask it:

    kubectl port-forward service/{topology.name} 8000:80
    curl localhost:8000/health

The workers are scaled by [KEDA](https://keda.sh), which counts the jobs that wait in the database; a cluster without it
does without `scaledobject.yaml` (see `base/kustomization.yaml`), and the number of workers is that of `kubectl scale`.
PostgreSQL, Redis and Qdrant are not part of this: their addresses stand in the secret.
"""
