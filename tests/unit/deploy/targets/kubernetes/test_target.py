"""Kubernetes: as it was reviewed, and what must hold whatever is described."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.deploy import VERSION, compare, described, rendered
from undercroft.deploy.target import find
from undercroft.storage import schema


def objects(files: dict[str, str], folder: str = "base/") -> dict[str, Any]:
    return {
        path: yaml.safe_load(text) for path, text in files.items() if path.startswith(folder) and path.endswith(".yaml")
    }


@pytest.fixture
def base(tmp_path: Path) -> dict[str, Any]:
    return objects(rendered("kubernetes", described(tmp_path)))


def test_the_files_are_the_reviewed_ones(tmp_path: Path) -> None:
    compare("kubernetes", rendered("kubernetes", described(tmp_path)))


def test_each_file_holds_one_object_and_the_base_lists_them_all(base: dict[str, Any]) -> None:
    listed = base.pop("base/kustomization.yaml")["resources"]

    assert {f"base/{path}" for path in listed} == base.keys()
    assert sorted(value["kind"] for value in base.values()) == [
        "Deployment",
        "Deployment",
        "HorizontalPodAutoscaler",
        "Job",
        "NetworkPolicy",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "ScaledObject",
        "Service",
        "ServiceAccount",
    ]


def test_the_deployment_is_the_one_that_was_promised(base: dict[str, Any]) -> None:
    deployment = base["base/deployment.yaml"]
    pod = deployment["spec"]["template"]
    (container,) = pod["spec"]["containers"]

    assert (deployment["apiVersion"], deployment["metadata"]["name"]) == ("apps/v1", "ai-api")
    assert deployment["spec"]["replicas"] == 3
    assert deployment["spec"]["selector"]["matchLabels"] == {"app": "ai-api"}
    assert pod["metadata"]["labels"]["app"] == "ai-api"
    assert (container["name"], container["image"]) == ("api", f"myregistry/ai-api:{VERSION}")
    assert container["resources"] == {
        "requests": {"cpu": "500m", "memory": "512Mi"},
        "limits": {"cpu": "1000m", "memory": "1Gi"},
    }
    told = {each["name"]: each["valueFrom"]["secretKeyRef"] for each in container["env"]}
    assert told["OPENAI_API_KEY"] == {"name": "api-secrets", "key": "openai-key", "optional": True}
    assert told["UNDERCROFT_MASTER_KEY"] == {"name": "api-secrets", "key": "master-key"}
    assert told.keys() >= {"ENCRYPTION_KEY", "DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "QDRANT_URL"}


def test_no_pod_runs_as_root_or_writes_to_its_image(base: dict[str, Any]) -> None:
    pods = [value["spec"]["template"]["spec"] for value in base.values() if value["kind"] in ("Deployment", "Job")]

    assert len(pods) == 3
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["automountServiceAccountToken"] is False
        for container in pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"]
            assert container["resources"].keys() == {"requests", "limits"}


def test_selectors_find_pods(base: dict[str, Any]) -> None:
    apps = {
        value["spec"]["template"]["metadata"]["labels"]["app"]
        for value in base.values()
        if value["kind"] in ("Deployment", "Job")
    }

    assert base["base/service.yaml"]["spec"]["selector"]["app"] in apps
    assert base["base/pdb.yaml"]["spec"]["selector"]["matchLabels"]["app"] in apps
    assert set(base["base/worker-networkpolicy.yaml"]["spec"]["podSelector"]["matchExpressions"][0]["values"]) <= apps


def test_each_version_has_a_migration_of_its_own(tmp_path: Path) -> None:
    def name(tag: str) -> Any:
        files = rendered("kubernetes", described(tmp_path, f'[deploy.images]\ntag = "{tag}"\n'))
        return objects(files)["base/migrate-job.yaml"]["metadata"]["name"]

    assert name("v1.0") == "ai-api-migrate-v1-0"
    assert name("v1.1_RC.1") == "ai-api-migrate-v1-1-rc-1"


def test_each_region_has_an_overlay_that_keeps_its_pods_there(tmp_path: Path) -> None:
    text = '[deploy]\nregions = ["eu-west-1", "cellar"]\nown_regions = ["cellar"]\n'
    files = objects(rendered("kubernetes", described(tmp_path, text)), "overlays/")

    for region in ("eu-west-1", "cellar"):
        assert files[f"overlays/{region}/kustomization.yaml"]["resources"] == ["../../base"]
        assert f"'values': ['{region}']" in str(files[f"overlays/{region}/region.yaml"])


def test_without_a_database_it_is_refused(tmp_path: Path) -> None:
    topology = described(tmp_path, '[deploy]\ndatabase = "sqlite"\n[deploy.api]\nreplicas = 1\n')
    (problem,) = find("kubernetes").problems(topology)

    assert problem.startswith('deploy.database is "sqlite"')
    assert 'write database = "external"' in problem


def test_the_settings_file_is_a_config_map_that_pods_mount(tmp_path: Path) -> None:
    text = '[telemetry]\nlog_level = "debug"\n'
    files = rendered("kubernetes", described(tmp_path, text))
    base = objects(files)

    assert base["base/kustomization.yaml"]["configMapGenerator"] == [
        {"name": "undercroft-config", "files": ["undercroft.toml"]}
    ]
    assert files["base/undercroft.toml"].endswith(text)
    pod = base["base/deployment.yaml"]["spec"]["template"]["spec"]
    assert {"name": "config", "configMap": {"name": "undercroft-config"}} in pod["volumes"]


def test_models_elsewhere_are_reached_through_the_policy(tmp_path: Path) -> None:
    text = '[[models]]\nname = "chat"\n[[models.deployments]]\nprovider = "vllm"\nbase_url = "http://gpu.example:8001/v1"\n'
    policy = objects(rendered("kubernetes", described(tmp_path, text)))["base/networkpolicy.yaml"]

    assert [each["port"] for each in policy["spec"]["egress"][1]["ports"]] == [443, 5432, 6333, 6379, 8001]


def test_a_card_is_asked_for_and_only_by_the_api(tmp_path: Path) -> None:
    base = objects(rendered("kubernetes", described(tmp_path, "[deploy.gpu]\ncount = 1\n")))
    api = base["base/deployment.yaml"]["spec"]["template"]["spec"]
    worker = base["base/worker-deployment.yaml"]["spec"]["template"]["spec"]

    assert api["containers"][0]["image"] == f"myregistry/ai-api-gpu:{VERSION}"
    assert api["containers"][0]["resources"]["limits"] == {"cpu": "1000m", "memory": "24Gi", "nvidia.com/gpu": 1}
    assert api["tolerations"][0]["key"] == "nvidia.com/gpu"
    assert worker["containers"][0]["image"] == f"myregistry/ai-api:{VERSION}"
    assert "tolerations" not in worker


def test_the_secrets_command_names_every_key(tmp_path: Path) -> None:
    topology = described(tmp_path, '[deploy.secrets]\nTEAM_KEY = "team"\n')
    readme = rendered("kubernetes", topology)["README.md"]

    assert "kubectl create secret generic api-secrets" in readme
    for secret in topology.secrets:
        assert f"--from-literal={secret.key}=" in readme


def test_what_scales_the_workers_counts_in_a_table_that_exists(base: dict[str, Any]) -> None:
    jobs = getattr(schema, "jobs", None)
    if jobs is None:
        pytest.skip("not run: this version has no table of jobs yet")
    number, age = base["base/scaledobject.yaml"]["spec"]["triggers"]

    assert "FROM jobs WHERE state IN" in number["metadata"]["query"]
    assert "min(run_at_us)" in age["metadata"]["query"]
    assert {"state", "run_at_us"} <= {*jobs.c.keys()}
