"""What is rendered for clouds and for a cluster's extensions, held to what their makers publish of them.

Nothing of theirs is run. The packages are fetched by their hashes when the tests want them, and are larger than the
rest of what tests need.
"""

import copy
import json
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import hcl2
import jsonschema
import pytest
import yaml

from tests.support import azure_api, google_api, terraform_providers, typed_objects
from tests.support.deploy import IN_TWO_REGIONS, described, rendered
from undercroft.deploy import static

pytestmark = pytest.mark.system

AZURE = {"Microsoft.App/containerApps": "ContainerApp", "Microsoft.App/jobs": "Job"}
MODULE = {path: text for path, text in static.texts("terraform-aws").items() if path.endswith(".tf")}


def documents(target: str, folder: Path, text: str) -> dict[str, Any]:
    """By path and number."""
    files = rendered(target, described(folder, text))
    return {
        f"{path}:{number}": each
        for path, content in files.items()
        if path.endswith(".yaml")
        for number, each in enumerate(yaml.safe_load_all(content))
        if isinstance(each, dict)
    }


def errors(schema: Mapping[str, Any], name: str, value: Any) -> list[str]:
    found = jsonschema.Draft202012Validator({**schema, "$ref": f"#/$defs/{name}"}).iter_errors(value)
    return [f"{each.json_path}: {each.message}" for each in found]


@pytest.mark.parametrize("text", ["", IN_TWO_REGIONS])
def test_cloud_runs_files_are_what_its_api_takes(text: str, tmp_path: Path) -> None:
    schema = google_api.cloud_run()
    if schema is None:
        pytest.skip(f"not run: {google_api.PACKAGE[0]} cannot be fetched here")
    found = documents("cloud-run", tmp_path, text)

    assert {each["kind"] for each in found.values()} == {"Service", "Job", "WorkerPool"}
    assert {path: errors(schema, each["kind"], each) for path, each in found.items()} == {path: [] for path in found}
    wrong = copy.deepcopy(next(each for each in found.values() if each["kind"] == "Service"))
    wrong["spec"]["template"]["spec"]["containerConcurency"] = 5
    assert "containerConcurency" in str(errors(schema, "Service", wrong))


@pytest.mark.parametrize("text", ["", IN_TWO_REGIONS])
def test_container_apps_files_are_what_its_api_takes(text: str, tmp_path: Path) -> None:
    schema = azure_api.container_apps()
    if schema is None:
        pytest.skip(f"not run: {azure_api.PACKAGE[0]} cannot be fetched here")
    found = documents("container-apps", tmp_path, text)

    assert {each["type"] for each in found.values()} == AZURE.keys()
    assert {path: errors(schema, AZURE[each["type"]], each) for path, each in found.items()} == {
        path: [] for path in found
    }
    wrong = copy.deepcopy(next(each for each in found.values() if each["type"] == "Microsoft.App/containerApps"))
    wrong["properties"]["configuration"]["ingress"] |= {"targetPort": "8000", "transpot": "auto"}
    told = str(errors(schema, "ContainerApp", wrong))
    assert "'8000' is not of type 'integer'" in told
    assert "transpot" in told


def module(text: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Kind, name and body of everything that a provider is asked for."""
    read = hcl2.load(StringIO(text))
    return [
        (kind, name.strip('"'), body)
        for kind in ("resource", "data", "ephemeral")
        for each in read.get(kind, [])
        for name, titled in each.items()
        for body in titled.values()
    ]


def test_terraforms_module_asks_its_providers_for_what_they_have() -> None:
    types = terraform_providers.folders()
    if types is None:
        pytest.skip("not run: the types of Terraform's providers cannot be fetched here")
    asked = [each for text in MODULE.values() for each in module(text)]

    assert len(asked) > 60
    assert [wrong for each in asked for wrong in terraform_providers.complaints(types, *each)] == []
    (lb,) = module('resource "aws_lb" "this" {\n  nmae = "a"\n  subnet_mapping {\n    subnet = "b"\n  }\n}\n')
    assert list(terraform_providers.complaints(types, *lb)) == [
        "resource aws_lb: nmae is not known",
        "resource aws_lb.subnet_mapping: subnet is not known",
        "resource aws_lb.subnet_mapping: subnet_id is missing",
    ]


def test_what_argo_rollouts_and_keda_are_given_is_what_they_take(tmp_path: Path) -> None:
    folder = typed_objects.compiler()
    if folder is None:
        pytest.skip("not run: TypeScript, or the types of Argo Rollouts and KEDA, cannot be fetched here")
    found = documents("kubernetes", tmp_path, IN_TWO_REGIONS)
    objects = [
        (each["kind"], each) for each in found.values() if each.get("kind") in typed_objects.TYPES and "spec" in each
    ]

    assert {kind for kind, _ in objects} == typed_objects.TYPES.keys() - {"Dashboard"}
    assert typed_objects.complaints(folder, objects) == ""
    wrong = copy.deepcopy([(kind, each) for kind, each in objects if kind != "AnalysisTemplate"])
    for kind, each in wrong:
        if kind == "Rollout":
            each["spec"]["strategy"]["canary"]["maxSurges"] = 1
        else:
            each["spec"]["maxReplicaCount"] = "20"
    told = typed_objects.complaints(folder, wrong)
    assert "maxSurges" in told or "exist in type 'ICanaryStrategy'" in told
    assert "Type 'string' is not assignable to type 'number'" in told


def test_dashboards_are_what_grafana_takes(tmp_path: Path) -> None:
    folder = typed_objects.compiler()
    if folder is None:
        pytest.skip("not run: TypeScript, or Grafana's types, cannot be fetched here")
    files = rendered("grafana", described(tmp_path))
    dashboards = [("Dashboard", json.loads(text)) for path, text in files.items() if path.startswith("dashboards/")]

    assert len(dashboards) >= 6
    assert typed_objects.complaints(folder, dashboards) == ""
    wrong = copy.deepcopy(dashboards[:1])
    wrong[0][1]["refresch"] = "30s"
    assert "refresch" in typed_objects.complaints(folder, wrong)
