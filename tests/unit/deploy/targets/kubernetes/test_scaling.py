"""Scaling by what is under way, and by what waits."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.deploy import described, rendered

TEXT = (
    "[deploy.api]\nin_flight = 20\nreplicas = 2\nmax_replicas = 8\n[deploy.worker]\nqueue_age_s = 30\nconcurrency = 4\n"
)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Any]:
    found = rendered("kubernetes", described(tmp_path, TEXT))
    return {path: yaml.safe_load(text) for path, text in found.items() if path.endswith(".yaml")}


def test_the_api_is_scaled_by_calls_under_way_in_place_of_the_other_autoscaler(files: dict[str, Any]) -> None:
    scaled = files["components/calls-under-way/scaledobject.yaml"]["spec"]
    (patch,) = files["components/calls-under-way/kustomization.yaml"]["patches"]
    (calls, _) = scaled["triggers"]

    assert scaled["scaleTargetRef"]["name"] == "ai-api"
    assert (scaled["minReplicaCount"], scaled["maxReplicaCount"]) == (2, 8)
    assert calls["metadata"]["query"] == "sum(ai_active_requests)"
    assert calls["metadata"]["threshold"] == "20"
    assert "kind: HorizontalPodAutoscaler\nmetadata:\n  name: ai-api\n$patch: delete\n" in patch["patch"]


def test_workers_are_scaled_by_how_many_jobs_there_are_and_by_how_long_they_wait(files: dict[str, Any]) -> None:
    number, age = files["base/scaledobject.yaml"]["spec"]["triggers"]

    assert number["metadata"]["targetQueryValue"] == "4"
    assert (age["metricType"], age["metadata"]["targetQueryValue"]) == ("Value", "30")
