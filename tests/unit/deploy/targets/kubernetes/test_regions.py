"""Which providers answer in a region."""

import json
from pathlib import Path
from typing import Any

import yaml

from tests.support.deploy import described, rendered
from undercroft.deploy.target import find
from undercroft.deploy.targets.kubernetes.regions import preferring
from undercroft.settings.sources import load

TEXT = """
[[models]]
name = "chat"
fallbacks = ["small"]
deployments = [
    { provider = "openai", api_key = "env:OPENAI_API_KEY" },
    { provider = "azure", api_key = "env:AZURE_KEY", base_url = "https://eu.example" },
]
[[models]]
name = "small"
deployments = [{ provider = "openai", model = "gpt-5-mini", api_key = "env:OPENAI_API_KEY" }]
[deploy]
regions = ["us-east-1", "eu-west-1"]
[deploy.secrets]
AZURE_KEY = "azure-key"
[deploy.preferences]
eu-west-1 = ["azure", "openai"]
"""


def model(name: str, *providers: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "deployments": [{"provider": each} for each in providers], **more}


def answers(models: list[dict[str, Any]]) -> dict[str, list[str]]:
    return {each["name"]: [deployment["provider"] for deployment in each["deployments"]] for each in models}


def test_the_preferred_provider_answers_and_the_others_when_it_cannot() -> None:
    made = preferring([model("chat", "openai", "azure", "openai")], ["azure", "openai"])

    assert answers(made) == {"chat": ["azure"], "chat-openai": ["openai", "openai"]}
    assert made[0]["fallbacks"] == ["chat-openai"]
    assert "fallbacks" not in made[1]


def test_a_deployment_is_asked_for_the_name_that_it_was_asked_for_before() -> None:
    _, other = preferring([model("chat", "openai", "azure")], ["azure"])

    assert other["deployments"] == [{"model": "chat", "provider": "openai"}]


def test_a_model_of_one_provider_stays_as_it_is() -> None:
    assert preferring([model("chat", "openai")], ["azure"]) == [model("chat", "openai")]


def test_own_fallbacks_come_last_and_no_model_gets_more_than_three() -> None:
    made = preferring([model("chat", "a", "b", "c", "d", "e", fallbacks=["small"])], ["c", "a"])

    assert made[0]["fallbacks"] == ["chat-a", "chat-b", "chat-d"]
    assert answers(made) == {"chat": ["c"], "chat-a": ["a"], "chat-b": ["b"], "chat-d": ["d", "e"]}


def test_a_name_that_is_taken_is_not_taken_again() -> None:
    made = preferring([model("chat", "a", "b"), model("chat-b", "c")], ["a"])

    assert [each["name"] for each in made] == ["chat", "chat-b-next", "chat-b"]


def test_only_the_region_that_prefers_something_has_models_of_its_own(tmp_path: Path) -> None:
    files = rendered("kubernetes", described(tmp_path, TEXT))
    (patch,) = yaml.safe_load(files["overlays/eu-west-1/models.yaml"])
    models = json.loads(patch["value"]["value"])

    assert "overlays/us-east-1/models.yaml" not in files
    assert (patch["op"], patch["value"]["name"]) == ("add", "UNDERCROFT_MODELS")
    assert answers(models) == {"chat": ["azure"], "chat-openai": ["openai"], "small": ["openai"]}
    assert "env:AZURE_KEY" in patch["value"]["value"], "a secret is a name there"


def test_the_server_takes_what_the_region_tells_it(tmp_path: Path) -> None:
    files = rendered("kubernetes", described(tmp_path, TEXT))
    (patch,) = yaml.safe_load(files["overlays/eu-west-1/models.yaml"])
    environment = {patch["value"]["name"]: patch["value"]["value"], "AZURE_KEY": "a", "OPENAI_API_KEY": "b"}
    settings = load(config=None, environment=environment, directory=tmp_path).settings

    assert [each.name for each in settings.models] == ["chat", "chat-openai", "small"]
    assert settings.models[0].fallbacks == ("chat-openai", "small")
    assert settings.models[1].deployments[0].model == "chat"


def test_a_provider_that_answers_nothing_is_refused(tmp_path: Path) -> None:
    topology = described(tmp_path, TEXT.replace('["azure", "openai"]', '["bedrock"]'))

    assert list(find("kubernetes").problems(topology)) == [
        (
            "deploy.preferences.eu-west-1 names 'bedrock', which no deployment under [[models]] has; "
            "there are azure, openai"
        )
    ]
