"""How many API pods there are, by the calls that are under way: CPU says little about a process that mostly waits."""

from typing import Final

from undercroft.deploy.targets.kubernetes import pods
from undercroft.deploy.targets.kubernetes.pods import Object
from undercroft.deploy.topology import Topology
from undercroft.deploy.yaml import Noted

PROMETHEUS: Final = "http://prometheus.monitoring:9090"


def by_calls(topology: Topology) -> Object:
    """KEDA's, in place of the HorizontalPodAutoscaler: two that scale one thing fight each other."""
    name = pods.app(topology, "api")
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": name, "labels": pods.labels(topology, "api")},
        "spec": {
            "scaleTargetRef": {"name": name},
            "minReplicaCount": topology.api.replicas,
            "maxReplicaCount": topology.api.max_replicas,
            "fallback": Noted(
                "When Prometheus is away: as many as there were at least.",
                {"failureThreshold": 3, "replicas": topology.api.replicas},
            ),
            "advanced": {
                "horizontalPodAutoscalerConfig": {
                    "behavior": {
                        "scaleDown": {
                            "stabilizationWindowSeconds": 300,
                            "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}],
                        }
                    }
                }
            },
            "triggers": [
                {
                    "type": "prometheus",
                    "metadata": {
                        "serverAddress": Noted("Your Prometheus.", PROMETHEUS),
                        "query": "sum(ai_active_requests)",
                        "threshold": str(topology.in_flight),
                    },
                },
                {"type": "cpu", "metricType": "Utilization", "metadata": {"value": "70"}},
            ],
        },
    }


def replaced(topology: Topology) -> list[Object]:
    """The patch that takes the other one out."""
    name = pods.app(topology, "api")
    text = f"apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata:\n  name: {name}\n$patch: delete\n"
    return [{"patch": text}]
