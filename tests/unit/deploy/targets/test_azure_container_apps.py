"""Azure Container Apps: as it was reviewed, and what must hold whatever is described."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.deploy import compare, described, rendered
from undercroft.deploy.target import find


def objects(folder: Path, text: str = "") -> dict[str, Any]:
    files = rendered("container-apps", described(folder, text))
    return {path: yaml.safe_load(text)["properties"] for path, text in files.items() if path.endswith(".yaml")}


def test_the_files_are_the_reviewed_ones(tmp_path: Path) -> None:
    compare("container-apps", rendered("container-apps", described(tmp_path)))


@pytest.mark.parametrize(
    ("cpu", "memory", "cores", "gibibytes"),
    [("1000m", "1Gi", 1.0, "2Gi"), ("250m", "512Mi", 0.25, "0.5Gi"), ("500m", "3Gi", 1.5, "3Gi")],
)
def test_the_smallest_pair_that_holds_both_is_taken(
    cpu: str, memory: str, cores: float, gibibytes: str, tmp_path: Path
) -> None:
    text = f'[deploy.api]\ncpu = "100m"\nmemory = "256Mi"\ncpu_limit = "{cpu}"\nmemory_limit = "{memory}"\n'
    (container,) = objects(tmp_path, text)["api.yaml"]["template"]["containers"]

    assert container["resources"] == {"cpu": cores, "memory": gibibytes}


def test_what_no_plan_gives_is_refused(tmp_path: Path) -> None:
    topology = described(tmp_path, '[deploy.worker]\nmemory_limit = "16Gi"\n')

    assert [problem.split()[0] for problem in find("container-apps").problems(topology)] == ["deploy.worker"]


def test_each_is_scaled_by_what_it_has_to_do(tmp_path: Path) -> None:
    found = objects(tmp_path, "[deploy.api]\nin_flight = 20\n")
    (calls,) = found["api.yaml"]["template"]["scale"]["rules"]
    (jobs,) = found["worker.yaml"]["template"]["scale"]["rules"]

    assert calls["http"]["metadata"] == {"concurrentRequests": "20"}
    assert "FROM jobs WHERE state IN" in jobs["custom"]["metadata"]["query"]
    assert jobs["custom"]["auth"] == [{"secretRef": "database-url", "triggerParameter": "connection"}]


def test_every_secret_that_a_container_is_told_is_there(tmp_path: Path) -> None:
    for path, app in objects(tmp_path).items():
        there = {each["name"] for each in app["configuration"]["secrets"]}
        told = {each["secretRef"] for each in app["template"]["containers"][0]["env"] if "secretRef" in each}
        assert told == there, path


def test_no_probe_is_more_patient_than_azure_takes(tmp_path: Path) -> None:
    for probe in objects(tmp_path)["api.yaml"]["template"]["containers"][0]["probes"]:
        assert 1 <= probe["failureThreshold"] <= 10
        assert 1 <= probe["periodSeconds"] <= 240
