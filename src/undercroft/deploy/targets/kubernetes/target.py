"""`kubernetes`: a Kustomize base, a file per object, and an overlay per region."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from undercroft.deploy.bundle import Bundle, made_by
from undercroft.deploy.targets.docker import gpu_files, image_files
from undercroft.deploy.targets.kubernetes import colours, objects, pods, regions, rollout, scaling
from undercroft.deploy.targets.kubernetes.pods import CONFIG_MAP
from undercroft.deploy.targets.kubernetes.secret import creation
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
        yield from regions.problems(topology)

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
            files |= _files_in(f"overlays/{region}", _overlay_files(topology, region))
        files |= _files_in("blue-green", _coloured(topology))
        files |= _files_in("components", _components(topology))
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


def _files_in(folder: str, described: Mapping[str, Any]) -> dict[str, str]:
    return {f"{folder}/{path}": made_by(Kubernetes.name) + document(value) for path, value in described.items()}


def _overlay_files(topology: Topology, region: str) -> dict[str, Any]:
    found: dict[str, Any] = {"kustomization.yaml": _overlay(topology, region), "region.yaml": _in_region(region)}
    if region in topology.preferences:
        models = regions.preferring(regions.models_of(topology), topology.preferences[region])
        found["models.yaml"] = regions.patch(models)
    return found


def _coloured(topology: Topology) -> dict[str, Any]:
    """The Service, which is applied once; what both colours share; and a folder for each colour."""
    shared = _kustomization(["../../base"], patches=colours.replaced(topology))
    found: dict[str, Any] = {"service.yaml": colours.service(topology), "shared/kustomization.yaml": shared}
    for name in colours.COLOURS:
        own = colours.colour(topology, name)
        found |= {f"{name}/{path}": value for path, value in own.items()}
        found[f"{name}/kustomization.yaml"] = _kustomization(list(own))
    return found


def _components(topology: Topology) -> dict[str, Any]:
    """What an overlay may add: a line `components: [../../components/NAME]`."""
    api = "kustomize.config.k8s.io/v1alpha1"
    return {
        "argo-rollouts/kustomization.yaml": _kustomization(
            ["rollout.yaml", "analysis.yaml"], patches=rollout.autoscaled(topology), api=api, kind="Component"
        ),
        "argo-rollouts/rollout.yaml": rollout.rollout(topology),
        "argo-rollouts/analysis.yaml": rollout.analysis(topology),
        "calls-under-way/kustomization.yaml": _kustomization(
            ["scaledobject.yaml"], patches=scaling.replaced(topology), api=api, kind="Component"
        ),
        "calls-under-way/scaledobject.yaml": scaling.by_calls(topology),
    }


def _kustomization(
    resources: list[str], *, patches: list[Any] | None = None, api: str = KUSTOMIZATION, kind: str = "Kustomization"
) -> dict[str, Any]:
    described: dict[str, Any] = {"apiVersion": api, "kind": kind, "resources": resources}
    return {**described, "patches": patches} if patches else described


def _overlay(topology: Topology, region: str) -> dict[str, Any]:
    images = [topology.images.application, *([topology.images.gpu] if topology.gpu.count else [])]
    return {
        "apiVersion": KUSTOMIZATION,
        "kind": "Kustomization",
        "resources": ["../../base"],
        "images": [{"name": name, "newTag": tag} for name, _, tag in (image.rpartition(":") for image in images)],
        "labels": [{"pairs": {"undercroft/region": region}}],
        "patches": [
            {"path": path, "target": {"kind": "Deployment"}}
            for path in ("region.yaml", *(["models.yaml"] if region in topology.preferences else []))
        ],
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
    gpu = (
        f"    docker build --file image/Dockerfile.gpu --tag {topology.images.gpu} image\n"
        f"    docker push {topology.images.gpu}\n"
        if topology.gpu.count
        else ""
    )
    optional = ", ".join(f"`{secret.key}`" for secret in topology.secrets if not secret.required)
    return f"""\
# {topology.name} in Kubernetes

{made_by("kubernetes", comment="").strip()}

Build the image and push it to where the cluster gets its images:

    docker build --tag {image} {".." if topology.build.code else "image"}
    docker push {image}
{gpu}
Give the cluster its secrets, once ({optional} may be left out):

{creation(topology)}

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

## The next version

`kubectl apply -k overlays/{region}` again: pods are replaced one by one, each when its successor is ready. Or:

- **Blue and green**: both versions run, and the Service `{colours.SERVICE}` points to one of them. Once, `kubectl apply
  --filename blue-green/service.yaml`, which a later `apply` would point back to blue. Then, for each version, render
  it, apply what both share (the migration is in it) and the colour that does not answer, and switch:

      kubectl apply -k blue-green/shared
      kubectl wait --for=condition=complete --timeout=5m job/{pods.migration(topology)["metadata"]["name"].value}
      kubectl apply -k blue-green/green
      kubectl rollout status deployment/{topology.name}-green
      undercroft deploy switch --kubernetes --to green

- **Argo Rollouts**: `components: [../../components/argo-rollouts]` in an overlay. A version gets a tenth of the pods,
  then half, then all of them, while its faults and its p95 in Prometheus are good; otherwise it goes back by itself.

`components: [../../components/calls-under-way]` lets KEDA scale the API by the calls under way (`in_flight` under
`[deploy.api]`) in place of CPU. Both components take the address of your Prometheus.
"""
