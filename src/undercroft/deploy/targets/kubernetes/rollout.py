"""For clusters with Argo Rollouts: a version gets a tenth of the pods, half, and all, while its metrics are good.

The tests hold it to the types of `argoproj.io/v1alpha1`, and nobody has run it.
"""

from typing import Any, Final

from undercroft.deploy.targets.kubernetes import pods
from undercroft.deploy.targets.kubernetes.pods import Object
from undercroft.deploy.topology import Topology
from undercroft.deploy.yaml import Noted

API: Final = "argoproj.io/v1alpha1"
TEMPLATE: Final = "undercroft-answers-well"
MOST_FAULTS: Final = 0.01
"""Share of calls that may fail by our or a provider's fault while a version is tried."""
PROMETHEUS: Final = "http://prometheus.monitoring:9090"


def rollout(topology: Topology) -> Object:
    """It takes its pods from the Deployment of the base, which it scales to nothing once its own are there."""
    analysis: Object = {
        "analysis": {
            "templates": [{"templateName": TEMPLATE}],
            "args": [{"name": "pods", "valueFrom": {"podTemplateHashValue": "Latest"}}],
        }
    }
    return {
        "apiVersion": API,
        "kind": "Rollout",
        "metadata": {"name": pods.app(topology, "api"), "labels": pods.labels(topology, "api")},
        "spec": {
            "replicas": topology.api.replicas,
            "revisionHistoryLimit": 5,
            "selector": {"matchLabels": {"app": pods.app(topology, "api")}},
            "workloadRef": {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "name": pods.app(topology, "api"),
                "scaleDown": "onsuccess",
            },
            "strategy": {
                "canary": {
                    "maxSurge": 1,
                    "maxUnavailable": 0,
                    "steps": Noted(
                        "Without a mesh a weight is a share of the pods. An analysis that fails goes back by itself.",
                        [
                            {"setWeight": 10},
                            {"pause": {"duration": "3m"}},
                            analysis,
                            {"setWeight": 50},
                            {"pause": {"duration": "3m"}},
                            analysis,
                        ],
                    ),
                }
            },
        },
    }


def analysis(topology: Topology) -> Object:
    """What a version has to be while it is tried: few faults, and answers as soon as `[slo]` promises them."""
    name = pods.app(topology, "api")
    which = f'{{pod=~"{name}-{{{{args.pods}}}}-.+"}}'
    faults = f"sum(rate(ai_api_faults_total{which}[2m])) / sum(rate(ai_api_calls_total{which}[2m]))"
    latency = f"histogram_quantile(0.95, sum by (le) (rate(ai_api_latency_seconds_bucket{which}[2m])))"
    return {
        "apiVersion": API,
        "kind": "AnalysisTemplate",
        "metadata": {"name": TEMPLATE, "labels": pods.labels(topology, "api")},
        "spec": {
            "args": [{"name": "pods"}],
            "metrics": [
                _metric("faults", faults, f"result[0] <= {MOST_FAULTS}"),
                _metric("p95", latency, f"result[0] <= {topology.slo.latency_s:g}"),
            ],
        },
    }


def autoscaled(topology: Topology) -> list[Object]:
    """What is scaled is the Rollout: the patch that says so."""
    name = pods.app(topology, "api")
    target = f"    apiVersion: {API}\n    kind: Rollout\n    name: {name}\n"
    return [
        {
            "patch": (
                f"apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata:\n  name: {name}\n"
                f"spec:\n  scaleTargetRef:\n{target}"
            )
        }
    ]


def _metric(name: str, query: str, condition: str) -> dict[str, Any]:
    return {
        "name": name,
        "interval": "30s",
        "count": 6,
        "failureLimit": 1,
        "successCondition": Noted(
            "Nobody asked it: nothing speaks against it.", f"len(result) == 0 || isNaN(result[0]) || {condition}"
        ),
        "provider": {
            "prometheus": {
                "address": Noted("Your Prometheus; its scrape has to add the label `pod`.", PROMETHEUS),
                "query": query,
            }
        },
    }
