"""Two versions side by side in one cluster: a Deployment of each colour, and the Service that points to one of them."""

from typing import Any, Final

from undercroft.deploy.targets.kubernetes import objects, pods
from undercroft.deploy.targets.kubernetes.pods import Object
from undercroft.deploy.topology import Topology
from undercroft.deploy.yaml import Noted

COLOURS: Final = ("blue", "green")
LABEL: Final = "undercroft.dev/colour"
SERVICE: Final = "undercroft-api"
"""What callers reach. Its selector names the colour that answers."""


def service(topology: Topology) -> Object:
    """Port 80 of the name that callers use; it begins with blue."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": SERVICE, "labels": pods.labels(topology, "api")},
        "spec": {
            "selector": Noted(
                "Switched in the cluster, not here: `undercroft deploy switch --kubernetes`.",
                {"app": pods.app(topology, "api"), LABEL: COLOURS[0]},
            ),
            "ports": _ports(),
        },
    }


def colour(topology: Topology, name: str) -> dict[str, Object]:
    """The files of one colour: its pods, a Service of their own to try them by, and how many there are."""
    return {
        "deployment.yaml": _deployment(topology, name),
        "service.yaml": _own_service(topology, name),
        "hpa.yaml": _autoscaler(topology, name),
    }


def replaced(topology: Topology) -> list[Object]:
    """What of the base is not there where there are colours: the patches that take it out."""
    app = pods.app(topology, "api")
    return [
        {"patch": f"apiVersion: {version}\nkind: {kind}\nmetadata:\n  name: {app}\n$patch: delete\n"}
        for version, kind in (
            ("apps/v1", "Deployment"),
            ("v1", "Service"),
            ("autoscaling/v2", "HorizontalPodAutoscaler"),
        )
    ]


def _named(topology: Topology, colour: str) -> str:
    return f"{pods.app(topology, 'api')}-{colour}"


def _metadata(topology: Topology, colour: str, name: str) -> Object:
    return {"name": name, "labels": {**pods.labels(topology, "api"), LABEL: colour}}


def _deployment(topology: Topology, colour: str) -> Object:
    described = pods.api(topology)
    spec: dict[str, Any] = described["spec"]
    template: dict[str, Any] = spec["template"]
    labels = {**template["metadata"]["labels"], LABEL: colour}
    return {
        **described,
        "metadata": _metadata(topology, colour, _named(topology, colour)),
        "spec": {
            **spec,
            "selector": {"matchLabels": {"app": pods.app(topology, "api"), LABEL: colour}},
            "template": {**template, "metadata": {"labels": labels}},
        },
    }


def _own_service(topology: Topology, colour: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(topology, colour, f"{SERVICE}-{colour}"),
        "spec": {
            "selector": Noted(
                "Whether this colour answers callers or not: it is tried here before it does.",
                {"app": pods.app(topology, "api"), LABEL: colour},
            ),
            "ports": _ports(),
        },
    }


def _autoscaler(topology: Topology, colour: str) -> Object:
    described = objects.autoscaler(topology)
    target = {**described["spec"]["scaleTargetRef"], "name": _named(topology, colour)}
    return {
        **described,
        "metadata": _metadata(topology, colour, _named(topology, colour)),
        "spec": {**described["spec"], "scaleTargetRef": target},
    }


def _ports() -> list[Object]:
    return [{"name": "http", "port": 80, "targetPort": "http"}]
