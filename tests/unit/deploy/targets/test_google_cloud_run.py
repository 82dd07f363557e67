"""Cloud Run: as it was reviewed, and what must hold whatever is described."""

from pathlib import Path
from typing import Any

import yaml

from tests.support.deploy import compare, described, rendered
from undercroft.deploy.target import find


def objects(folder: Path, text: str = "") -> dict[str, Any]:
    files = rendered("cloud-run", described(folder, text))
    return {path: yaml.safe_load(text) for path, text in files.items() if path.endswith(".yaml")}


def test_the_files_are_the_reviewed_ones(tmp_path: Path) -> None:
    compare("cloud-run", rendered("cloud-run", described(tmp_path)))


def test_an_instance_gets_as_many_calls_as_it_is_meant_for(tmp_path: Path) -> None:
    text = '[deploy.api]\nin_flight = 20\nmax_replicas = 7\ncpu_limit = "2000m"\nmemory_limit = "2Gi"\n'
    template = objects(tmp_path, text)["service.yaml"]["spec"]["template"]

    assert template["spec"]["containerConcurrency"] == 20
    assert template["metadata"]["annotations"]["autoscaling.knative.dev/maxScale"] == "7"
    assert template["spec"]["containers"][0]["resources"]["limits"] == {"cpu": "2000m", "memory": "2Gi"}


def test_each_runs_its_own_command_of_the_same_image(tmp_path: Path) -> None:
    found = objects(tmp_path)
    worker = found["worker-pool.yaml"]["spec"]["template"]["spec"]["containers"][0]
    migrate = found["migrate-job.yaml"]["spec"]["template"]["spec"]["template"]["spec"]["containers"][0]

    assert worker["args"] == ["undercroft", "worker", "--concurrency", "8"]
    assert migrate["args"] == ["python", "manage.py", "migrate"]
    assert worker["image"] == migrate["image"]
    assert {each["name"] for each in migrate["env"]} >= {"DATABASE_URL", "ENCRYPTION_KEY", "UNDERCROFT_MASTER_KEY"}
    assert "OPENAI_API_KEY" not in {each["name"] for each in migrate["env"]}


def test_secrets_are_those_that_the_readme_makes(tmp_path: Path) -> None:
    topology = described(tmp_path, '[deploy.secrets]\nTEAM_KEY = "team"\n')
    files = rendered("cloud-run", topology)
    container = yaml.safe_load(files["service.yaml"])["spec"]["template"]["spec"]["containers"][0]
    names = [each["valueFrom"]["secretKeyRef"]["name"] for each in container["env"] if "valueFrom" in each]

    assert "ai-api-team" in names
    for name in names:
        assert f"gcloud secrets create {name} " in files["README.md"]


def test_more_calls_than_cloud_run_sends_are_refused(tmp_path: Path) -> None:
    (problem,) = find("cloud-run").problems(described(tmp_path, "[deploy.api]\nin_flight = 2000\n"))

    assert problem.startswith("deploy.api.in_flight is 2000")
