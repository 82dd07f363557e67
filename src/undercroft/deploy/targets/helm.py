"""`helm`: a chart. Its templates are fixed; what is described stands in `values.yaml`."""

import json
from collections.abc import Iterator
from typing import Any, Final

from undercroft.deploy import static
from undercroft.deploy.bundle import Bundle, made_by
from undercroft.deploy.targets.docker import gpu_files, image_files
from undercroft.deploy.targets.kubernetes import objects, pods
from undercroft.deploy.targets.kubernetes.secret import creation
from undercroft.deploy.targets.kubernetes.target import Kubernetes
from undercroft.deploy.topology import Process, Topology
from undercroft.deploy.yaml import Noted, document

CHART_VERSION: Final = "1.0.0"
"""Of the templates; it changes when they do."""


class Helm:
    name = "helm"
    summary = "a Helm chart, with the migration as a hook"

    def problems(self, topology: Topology, /) -> Iterator[str]:
        yield from Kubernetes().problems(topology)

    def render(self, topology: Topology, /) -> Bundle:
        made = made_by(self.name)
        files = {
            "Chart.yaml": made + document(_chart(topology)),
            "values.yaml": made + document(values(topology)),
            "values.schema.json": json.dumps(schema(), indent=2) + "\n",
            **{path: _made(path, text) for path, text in static.texts("helm").items()},
            "README.md": _readme(topology),
        }
        if topology.build.code:  # it lies beside a Dockerfile that is there already
            return Bundle(files, vendored_at=None)
        built = image_files(topology, target=self.name)
        built |= gpu_files(topology, target=self.name) if topology.gpu.count else {}
        image = {f"image/{path}": text for path, text in built.items()}
        return Bundle({**files, **image}, vendored_at="image/vendor")


def _made(path: str, text: str) -> str:
    """NOTES.txt is shown to people as it is, and a template's first line must be none of its output."""
    if path.endswith(".txt"):
        return text
    return (
        made_by(Helm.name) if path == ".helmignore" else "{{- /* " + made_by(Helm.name, comment="").strip() + " */}}\n"
    ) + text


def _chart(topology: Topology) -> dict[str, Any]:
    return {
        "apiVersion": "v2",
        "name": topology.name,
        "description": f"{topology.name}: one API in front of AI models, with its workers",
        "type": "application",
        "version": CHART_VERSION,
        "appVersion": topology.images.application.rpartition(":")[2],
        "kubeVersion": ">=1.27.0-0",
    }


def values(topology: Topology) -> dict[str, Any]:
    """`values.yaml` as data."""
    repository, _, tag = topology.images.application.rpartition(":")
    egress = objects.network_policy(topology)["spec"]["egress"][1].value["ports"]
    return {
        "image": {"repository": repository, "tag": Noted("Default: the chart's appVersion.", tag)},
        "imagePullSecrets": [],
        "secret": Noted(
            "The secret that you make (README.md has the command), and what containers are told from it.",
            {
                "name": pods.SECRET,
                "variables": [
                    {"name": each.variable, "key": each.key, "optional": not each.required} for each in topology.secrets
                ],
            },
        ),
        "settings": Noted("Text of undercroft.toml; no secret belongs in it.", topology.settings_file or ""),
        "serviceAccount": {"annotations": Noted("What binds a cloud's role to it.", {})},
        "api": {
            "replicas": topology.api.replicas,
            "maxReplicas": topology.api.max_replicas,
            "autoscaling": Noted("By CPU, with a HorizontalPodAutoscaler.", value=True),
            "command": Noted("In place of the image's own.", []),
            "resources": _resources(topology.api),
        },
        "worker": {
            "replicas": topology.worker.replicas,
            "maxReplicas": topology.worker.max_replicas,
            "concurrency": topology.worker_concurrency,
            "autoscaling": Noted("By the jobs that wait; takes KEDA in the cluster.", value=True),
            "triggers": objects.worker_triggers(topology),
            "resources": _resources(topology.worker),
        },
        "gpu": Noted(
            "From one card on, the API's image is this one, with vLLM in it.",
            {
                "count": topology.gpu.count,
                "repository": topology.images.gpu.rpartition(":")[0],
                "memoryLimit": pods.mebibytes(topology.gpu.memory_limit_mib),
            },
        ),
        "spool": Noted(
            "Room on the node for call records on their way to the database.", pods.mebibytes(topology.spool_mib)
        ),
        "egressPorts": Noted(
            "What pods may reach besides names: providers, the database and the stores beside it.",
            [each["port"] for each in egress],
        ),
    }


def _resources(process: Process) -> dict[str, Any]:
    return {
        "requests": {"cpu": f"{process.cpu_milli}m", "memory": pods.mebibytes(process.memory_mib)},
        "limits": {"cpu": f"{process.cpu_limit_milli}m", "memory": pods.mebibytes(process.memory_limit_mib)},
    }


def schema() -> dict[str, Any]:
    """`values.schema.json`: Helm refuses values that are not of this shape before it renders anything."""
    text: dict[str, Any] = {"type": "string", "minLength": 1}
    count: dict[str, Any] = {"type": "integer", "minimum": 1}
    quantity = {"type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?(m|Ki|Mi|Gi|Ti)?$"}
    pair = _shape({"cpu": quantity, "memory": quantity})
    resources = _shape({"requests": pair, "limits": pair})
    scaled = {"replicas": count, "maxReplicas": count, "autoscaling": {"type": "boolean"}, "resources": resources}
    variable = _shape(
        {"name": {"type": "string", "pattern": "^[A-Z][A-Z0-9_]*$"}, "key": text},
        optional={"optional": {"type": "boolean"}},
    )
    shape = _shape(
        {
            "image": _shape({"repository": text}, optional={"tag": {"type": "string"}}),
            "secret": _shape({"name": text, "variables": {"type": "array", "items": variable}}),
            "api": _shape(scaled, optional={"command": {"type": "array", "items": text}}),
            "worker": _shape(
                {**scaled, "concurrency": count},
                optional={"triggers": {"type": "array", "items": {"type": "object", "required": ["type", "metadata"]}}},
            ),
            "gpu": _shape({"count": {"type": "integer", "minimum": 0}, "repository": text, "memoryLimit": quantity}),
            "spool": quantity,
            "egressPorts": {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 65535}},
        },
        optional={
            "imagePullSecrets": {"type": "array", "items": _shape({"name": text})},
            "settings": {"type": "string"},
            "serviceAccount": _shape({"annotations": {"type": "object", "additionalProperties": {"type": "string"}}}),
            "global": {"type": "object"},
        },
    )
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": "values of this chart", **shape}


def _shape(required: dict[str, Any], *, optional: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(required),
        "properties": {**required, **(optional or {})},
    }


def _readme(topology: Topology) -> str:
    name, image = topology.name, topology.images.application
    gpu = (
        f"    docker build --file image/Dockerfile.gpu --tag {topology.images.gpu} image\n"
        f"    docker push {topology.images.gpu}\n"
        if topology.gpu.count
        else ""
    )
    return f"""\
# {name} as a Helm chart

{made_by("helm", comment="").strip()}

Build the image and push it to where the cluster gets its images:

    docker build --tag {image} {".." if topology.build.code else "image"}
    docker push {image}
{gpu}
Give the cluster its secrets, once:

{creation(topology)}

Install it, and install the next version the same way:

    helm upgrade --install {name} . --atomic --timeout 10m
    helm test {name}

A hook migrates the database before anything of the new version is there; the pods of the version before go on serving
meanwhile. `--atomic` goes back to that version when the new one does not become ready. By hand: `helm rollback {name}`.

Values stand in `values.yaml`; `values.schema.json` refuses what is misspelt or of the wrong type. The workers are
scaled by [KEDA](https://keda.sh); without it, add `--set worker.autoscaling=false`.
"""
