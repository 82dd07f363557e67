"""What stands around the pods: how they are reached, how many there are, what they may reach."""

from typing import Any

from undercroft.deploy.targets.docker import PORT
from undercroft.deploy.targets.kubernetes.pods import Object, app, labels
from undercroft.deploy.topology import Topology
from undercroft.deploy.yaml import Noted


def service_account(topology: Topology) -> Object:
    """An identity of its own that may do nothing: cloud roles can be bound to it."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": topology.name, "labels": {"app.kubernetes.io/name": topology.name}},
        "automountServiceAccountToken": False,
    }


def service(topology: Topology) -> Object:
    """Port 80 of the name `ai-api` inside the cluster."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": app(topology, "api"), "labels": labels(topology, "api")},
        "spec": {
            "selector": {"app": app(topology, "api")},
            "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
        },
    }


def autoscaler(topology: Topology) -> Object:
    """More API pods under load."""
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": app(topology, "api"), "labels": labels(topology, "api")},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": app(topology, "api")},
            "minReplicas": topology.api.replicas,
            "maxReplicas": topology.api.max_replicas,
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}},
                }
            ],
            "behavior": {
                "scaleUp": {
                    "stabilizationWindowSeconds": 0,
                    "policies": [{"type": "Percent", "value": 100, "periodSeconds": 30}],
                },
                "scaleDown": Noted(
                    "Slowly: long streams end with a pod that is taken away.",
                    {
                        "stabilizationWindowSeconds": 300,
                        "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}],
                    },
                ),
            },
        },
    }


def worker_autoscaler(topology: Topology) -> Object:
    """More workers while jobs wait: KEDA counts them where they live."""
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": app(topology, "worker"), "labels": labels(topology, "worker")},
        "spec": {
            "scaleTargetRef": {"name": app(topology, "worker")},
            "minReplicaCount": topology.worker.replicas,
            "maxReplicaCount": topology.worker.max_replicas,
            "cooldownPeriod": 300,
            "triggers": worker_triggers(topology),
        },
    }


def worker_triggers(topology: Topology) -> list[Any]:
    """How many jobs there are for each worker, and how long the oldest has waited: the larger answer holds."""
    return [
        {
            "type": "postgresql",
            "metadata": {
                "connectionFromEnv": "DATABASE_URL",
                "query": "SELECT count(*) FROM jobs WHERE state IN ('queued', 'running')",
                "targetQueryValue": str(topology.worker_concurrency),
            },
        },
        Noted(
            "Seconds for which the oldest job has waited: twice what it may makes twice the workers.",
            {
                "type": "postgresql",
                "metricType": "Value",
                "metadata": {
                    "connectionFromEnv": "DATABASE_URL",
                    "query": (
                        "SELECT coalesce(greatest(extract(epoch FROM now()) - min(run_at_us) / 1000000.0, 0), 0) "
                        "FROM jobs WHERE state = 'queued'"
                    ),
                    "targetQueryValue": str(topology.queue_age_s),
                },
            },
        ),
    ]


def disruption_budget(topology: Topology) -> Object:
    """At most one API pod at a time is taken away on purpose."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": app(topology, "api"), "labels": labels(topology, "api")},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": app(topology, "api")}}},
    }


def network_policy(topology: Topology) -> Object:
    """What the API's pods may be reached by, and what they may reach."""
    return _policy(topology, "api", [{"ports": [{"protocol": "TCP", "port": PORT}]}])


def worker_network_policy(topology: Topology) -> Object:
    """Workers, and the migration, are reached by nobody."""
    return _policy(topology, "worker", [])


def _policy(topology: Topology, role: str, ingress: list[Any]) -> Object:
    roles = ["worker", "migrate"] if role == "worker" else [role]
    selector: Object = (
        {"matchLabels": {"app": app(topology, role)}}
        if len(roles) == 1
        else {
            "matchExpressions": [
                {"key": "app", "operator": "In", "values": [app(topology, each) for each in roles]},
            ]
        }
    )
    ports = [443, 5432]
    ports += [6379] if topology.has_redis else []
    ports += [6333] if topology.has_qdrant else []
    ports += [port for port in topology.egress_ports if port not in ports]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": app(topology, role), "labels": labels(topology, role)},
        "spec": {
            "podSelector": selector,
            "policyTypes": ["Ingress", "Egress"],
            "ingress": ingress,
            "egress": [
                {"ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]},
                Noted(
                    "Providers, the database and the stores beside it.",
                    {"ports": [{"protocol": "TCP", "port": port} for port in sorted(ports)]},
                ),
            ],
        },
    }
