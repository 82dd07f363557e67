"""The chart in Helm itself: it is taken, refuses bad values, and gives the objects of the target `kubernetes`."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import helm
from tests.support.deploy import described, rendered
from undercroft.deploy.targets.kubernetes.pods import CONFIG_MAP

pytestmark = pytest.mark.system

SETTINGS = '[telemetry]\nlog_level = "debug"\n'
GPU = "[deploy.gpu]\ncount = 1\n"


@pytest.fixture(scope="module")
def library() -> Iterator[Path]:
    folder = helm.library()
    if folder is None:
        pytest.skip(f"not run: {helm.PACKAGE} cannot be fetched here")
    yield folder
    shutil.rmtree(folder)


def chart(folder: Path, text: str = "") -> Path:
    for path, content in rendered("helm", described(folder, text)).items():
        (folder / "chart" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "chart" / path).write_text(content)
    return folder / "chart"


def objects(files: dict[str, str]) -> dict[str, Any]:
    """By kind and name, those that Kubernetes is given."""
    texts = [text for path, text in files.items() if path.endswith(".yaml")]
    found = [each for text in texts for each in yaml.safe_load_all(text) if isinstance(each, dict)]
    return {f"{each['kind']}/{each['metadata']['name']}": each for each in found if "kind" in each}


def comparable(value: Any) -> Any:
    """Without labels and annotations, which tell who made it, and with lists of variables in one order."""
    if isinstance(value, dict):
        kept = {key: comparable(each) for key, each in value.items() if key not in ("labels", "annotations")}
        return {key: each for key, each in kept.items() if each is not None}
    if isinstance(value, list):
        return [comparable(each) for each in value]
    return value


@pytest.mark.parametrize("text", ["", GPU])
def test_helm_gives_the_objects_of_the_target_kubernetes(text: str, library: Path, tmp_path: Path) -> None:
    texts = helm.rendered(library, chart(tmp_path, text), {}, name="ai-api")["files"]
    made = objects({path: each.replace("ai-api-config", CONFIG_MAP) for path, each in texts.items()})
    files = rendered("kubernetes", described(tmp_path, text))
    wanted = objects({path: each for path, each in files.items() if path.startswith("base/") and "kustom" not in path})

    for title, value in wanted.items():
        if title.startswith("Job/"):
            continue  # a hook: it may stand on nothing else, and has one name
        ours, theirs = comparable(value), comparable(made[title])
        if title in ("Deployment/ai-api", "Deployment/ai-api-worker"):
            ours["spec"].pop("replicas", None)  # the autoscaler's affair, and Helm would set it back
            ours["spec"]["template"].pop("metadata", None)
            theirs["spec"]["template"].pop("metadata", None)
        assert theirs == ours, title
    more = {f"ConfigMap/{CONFIG_MAP}"} if text else set()
    assert made.keys() - wanted.keys() == {"Job/ai-api-migrate", "Pod/ai-api-test", *more}


def test_helm_has_nothing_against_it(library: Path, tmp_path: Path) -> None:
    said = helm.rendered(library, chart(tmp_path, SETTINGS), {}, name="shop")

    assert said["lint"]["errors"] == []
    assert [each["error"] for each in said["lint"]["messages"]] == ["icon is recommended"]


def test_settings_become_a_config_map_and_a_change_makes_new_pods(library: Path, tmp_path: Path) -> None:
    folder = chart(tmp_path, SETTINGS)
    one, other = (
        objects(helm.rendered(library, folder, {"settings": text}, name="shop")["files"])
        for text in (SETTINGS, "[telemetry]\n")
    )

    assert one["ConfigMap/shop-config"]["data"]["undercroft.toml"] == SETTINGS
    sums = [
        each["Deployment/shop"]["spec"]["template"]["metadata"]["annotations"]["checksum/settings"]
        for each in (one, other)
    ]
    assert sums[0] != sums[1]


def test_without_autoscaling_the_number_stands_in_the_deployment(library: Path, tmp_path: Path) -> None:
    values = {"api": {"autoscaling": False, "replicas": 2}, "worker": {"autoscaling": False}}
    found = objects(helm.rendered(library, chart(tmp_path), values, name="shop")["files"])

    assert found["Deployment/shop"]["spec"]["replicas"] == 2
    assert "HorizontalPodAutoscaler/shop" not in found
    assert "ScaledObject/shop-worker" not in found


@pytest.mark.parametrize("values", [{"api": {"replicas": 0}}, {"apii": {}}, {"image": {"repository": 5}}])
def test_helm_refuses_values_that_the_schema_does_not_take(
    values: dict[str, Any], library: Path, tmp_path: Path
) -> None:
    with pytest.raises(RuntimeError, match=r"schema|validation|values"):
        helm.rendered(library, chart(tmp_path), values, name="shop")
