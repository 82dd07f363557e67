"""Two versions side by side: who is selected by what."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.deploy import described, rendered
from undercroft.deploy.targets.kubernetes.colours import COLOURS, LABEL, SERVICE


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Any]:
    found = rendered("kubernetes", described(tmp_path))
    return {
        path.removeprefix("blue-green/"): yaml.safe_load(text)
        for path, text in found.items()
        if path.startswith("blue-green/")
    }


def test_the_service_of_callers_points_to_one_colour(files: dict[str, Any]) -> None:
    service = files["service.yaml"]

    assert service["metadata"]["name"] == SERVICE
    assert service["spec"]["selector"] == {"app": "ai-api", LABEL: "blue"}


@pytest.mark.parametrize("colour", COLOURS)
def test_a_colour_selects_its_own_pods_and_no_others(colour: str, files: dict[str, Any]) -> None:
    deployment = files[f"{colour}/deployment.yaml"]
    own = {"app": "ai-api", LABEL: colour}

    assert deployment["spec"]["selector"]["matchLabels"] == own
    assert own.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    assert files[f"{colour}/service.yaml"]["spec"]["selector"] == own
    assert files[f"{colour}/service.yaml"]["metadata"]["name"] == f"{SERVICE}-{colour}"
    assert files[f"{colour}/hpa.yaml"]["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]


def test_colours_differ_in_nothing_but_the_colour(files: dict[str, Any]) -> None:
    for path in ("deployment.yaml", "service.yaml", "hpa.yaml"):
        assert str(files[f"blue/{path}"]).replace("blue", "green") == str(files[f"green/{path}"])


def test_what_both_share_has_no_api_of_its_own(files: dict[str, Any]) -> None:
    patches = [yaml.safe_load(each["patch"]) for each in files["shared/kustomization.yaml"]["patches"]]

    assert [(each["kind"], each["metadata"]["name"], each["$patch"]) for each in patches] == [
        ("Deployment", "ai-api", "delete"),
        ("Service", "ai-api", "delete"),
        ("HorizontalPodAutoscaler", "ai-api", "delete"),
    ]
    assert "service.yaml" not in files["shared/kustomization.yaml"]["resources"], "a version would point it to blue"
