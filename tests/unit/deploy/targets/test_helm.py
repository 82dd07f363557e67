"""The chart: as it was reviewed, and what must hold whatever is described."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.support.deploy import compare, described, rendered
from undercroft.deploy.target import find

GPU = "[deploy.gpu]\ncount = 2\n"


def values(folder: Path, text: str = "") -> Any:
    return yaml.safe_load(rendered("helm", described(folder, text))["values.yaml"])


def test_the_files_are_the_reviewed_ones(tmp_path: Path) -> None:
    compare("helm", rendered("helm", described(tmp_path)))


@pytest.mark.parametrize("text", ["", GPU, '[deploy]\nqdrant = false\n[telemetry]\nlog_level = "debug"\n'])
def test_the_values_are_what_their_schema_takes(text: str, tmp_path: Path) -> None:
    files = rendered("helm", described(tmp_path, text))

    jsonschema.Draft7Validator(json.loads(files["values.schema.json"])).validate(yaml.safe_load(files["values.yaml"]))


@pytest.mark.parametrize(
    ("place", "value"),
    [("api.replicas", 0), ("api.replicsa", 3), ("image.repository", ""), ("worker.autoscaling", "yes"), ("spool", 5)],
)
def test_the_schema_refuses_what_is_misspelt_or_of_the_wrong_type(place: str, value: object, tmp_path: Path) -> None:
    files = rendered("helm", described(tmp_path))
    given = yaml.safe_load(files["values.yaml"])
    inner = given
    *folders, last = place.split(".")
    for each in folders:
        inner = inner[each]
    inner[last] = value

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(json.loads(files["values.schema.json"])).validate(given)


def test_what_is_described_stands_in_the_values(tmp_path: Path) -> None:
    text = '[deploy.images]\napplication = "registry.example/shop"\ntag = "2.0"\n[deploy.api]\nreplicas = 5\n'
    found = values(tmp_path, text)

    assert found["image"] == {"repository": "registry.example/shop", "tag": "2.0"}
    assert found["api"]["replicas"] == 5
    assert found["settings"] == text


def test_containers_are_told_what_those_of_the_target_kubernetes_are(tmp_path: Path) -> None:
    topology = described(tmp_path)
    told = {each["name"]: each["key"] for each in values(tmp_path)["secret"]["variables"]}

    assert told == {secret.variable: secret.key for secret in topology.secrets}


def test_the_migration_is_a_hook_that_stands_on_nothing_of_the_release(tmp_path: Path) -> None:
    job = rendered("helm", described(tmp_path))["templates/migrate-job.yaml"]

    assert "helm.sh/hook: pre-install,pre-upgrade" in job
    assert "serviceAccountName" not in job
    assert "configMap" not in job


def test_no_template_holds_what_is_described(tmp_path: Path) -> None:
    one, other = (
        rendered("helm", described(tmp_path, f'[deploy]\nname = "{name}"\n[deploy.api]\nreplicas = {replicas}\n'))
        for name, replicas in (("shop", 2), ("bank", 4))
    )

    assert [path for path in one if re.match("templates/", path) and one[path] != other[path]] == []


def test_without_a_database_it_is_refused(tmp_path: Path) -> None:
    topology = described(tmp_path, '[deploy]\ndatabase = "sqlite"\n[deploy.api]\nreplicas = 1\n')

    assert [problem[:15] for problem in find("helm").problems(topology)] == ["deploy.database"]
