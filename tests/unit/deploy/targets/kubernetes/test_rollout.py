"""Argo Rollouts: metrics that exist, and promises as they were made."""

import re
from pathlib import Path
from typing import Any

import yaml

from tests.support.checkout import ROOT
from tests.support.deploy import described, rendered
from tests.support.promql import references
from undercroft.deploy.targets.kubernetes.rollout import TEMPLATE

FOLDER = "components/argo-rollouts"


def parts(folder: Path, text: str = "") -> tuple[Any, Any]:
    files = rendered("kubernetes", described(folder, text))
    return yaml.safe_load(files[f"{FOLDER}/rollout.yaml"]), yaml.safe_load(files[f"{FOLDER}/analysis.yaml"])


def test_the_pods_are_those_of_the_deployment(tmp_path: Path) -> None:
    rollout, _ = parts(tmp_path)

    assert rollout["spec"]["workloadRef"]["name"] == "ai-api"
    assert "template" not in rollout["spec"]


def test_each_step_up_is_watched_before_the_next(tmp_path: Path) -> None:
    rollout, analysis = parts(tmp_path)
    steps = rollout["spec"]["strategy"]["canary"]["steps"]
    kinds = [next(iter(step)) for step in steps]

    assert kinds == ["setWeight", "pause", "analysis"] * 2
    assert {each["templateName"] for step in steps if "analysis" in step for each in step["analysis"]["templates"]} == {
        analysis["metadata"]["name"]
    }
    assert analysis["metadata"]["name"] == TEMPLATE


def test_the_metrics_it_watches_exist(tmp_path: Path) -> None:
    _, analysis = parts(tmp_path)
    names = {
        reference.name.removesuffix("_bucket")
        for metric in analysis["spec"]["metrics"]
        for reference in references(metric["provider"]["prometheus"]["query"])
    }

    known = re.findall(r"^\| `(ai_\w+)`", (ROOT / "docs/reference/metrics.md").read_text("utf-8"), re.MULTILINE)
    assert names == {"ai_api_faults_total", "ai_api_calls_total", "ai_api_latency_seconds"}
    assert names <= {*known}


def test_latency_may_be_what_was_promised(tmp_path: Path) -> None:
    _, analysis = parts(tmp_path, "[slo]\nlatency_s = 5\n")
    (latency,) = (each for each in analysis["spec"]["metrics"] if each["name"] == "p95")

    assert latency["successCondition"].endswith("result[0] <= 5")
