"""Configurations as people write them become files that `config check` accepts, and nothing is lost unsaid."""

import tomllib
from pathlib import Path

import pytest

from tests.support.golden import compare_file
from undercroft.errors import ConfigurationError
from undercroft.imports.litellm.convert import Imported, convert
from undercroft.settings.sources import load

CONFIGS = sorted((Path(__file__).parent / "configs").glob("*.yaml"))
ENVIRONMENT = {"AZURE_US_BASE": "https://contoso-us.openai.azure.com"}
MODEL = "model_list:\n  - model_name: m\n    litellm_params: {model: gpt-4o}\n"
VALUES = {"REDIS_URL": "redis://127.0.0.1:6379/0"}


def told(imported: Imported) -> str:
    """The report as the golden files have it."""
    lines = [f"# set {variable}" for variable in imported.variables]
    lines += [f"# differs: {change.where}: {change.why}" for change in imported.changed]
    lines += [f"# not carried over: {left.where}: {left.why}" for left in imported.left]
    return "\n".join([*lines, "", imported.toml])


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.stem)
def test_a_configuration_becomes_the_reviewed_file(config: Path) -> None:
    imported = convert(config.read_text(), environment=ENVIRONMENT)
    compare_file(config.with_suffix(".toml"), told(imported))


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.stem)
def test_config_check_accepts_it_without_a_warning_of_secrets(config: Path, tmp_path: Path) -> None:
    imported = convert(config.read_text(), environment=ENVIRONMENT)
    (tmp_path / "undercroft.toml").write_text(imported.toml)
    environment = {name: VALUES.get(name, f"a-value-long-enough-for-{name}") for name in imported.variables}
    loaded = load(config=None, environment=environment, directory=tmp_path)
    assert len(loaded.settings.models) == imported.models
    assert not any("secret" in warning for warning in loaded.warnings)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.stem)
def test_no_secret_of_the_file_is_written_anywhere(config: Path) -> None:
    everything = told(convert(config.read_text(), environment=ENVIRONMENT))
    for secret in ("sk-proj-written", "sk-master-in", "sk-1234"):
        assert secret not in everything


def test_every_field_is_carried_over_or_told() -> None:
    text = MODEL.replace("gpt-4o}", "gpt-4o, an_option_of_tomorrow: 1}") + "new_section: {a: 1}\n"
    places = [left.where for left in convert(text, environment={}).left]
    assert places == ["model_list[0].litellm_params.an_option_of_tomorrow", "new_section", "virtual keys"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a: [", "This is no YAML"),
        ("just text", "no configuration of LiteLLM"),
        ("1: 2", "no configuration of LiteLLM"),
        ("model_list: []", "No model of this configuration"),
        ("model_list: {a: b}", "is no list"),
        ("model_list:\n  - model_name: m\n    litellm_params: {model: bedrock/x}", "'bedrock' is not known here"),
        ("model_list:\n  - model_name: m\n    litellm_params: {model: azure/x}", "needs api_base"),
    ],
)
def test_what_cannot_be_read_is_refused_and_says_why(text: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        convert(text, environment={})


@pytest.mark.parametrize(
    ("written", "means"),
    [("0.0000025", "2.5"), ("1e-05", "10"), ("'0.000002'", "2"), ("0", "0"), ("3.0e-08", "0.03")],
)
def test_a_price_per_token_is_exact_per_million(written: str, means: str) -> None:
    text = MODEL.replace("gpt-4o}", f"gpt-4o, input_cost_per_token: {written}}}")
    settings = tomllib.loads(convert(text, environment={}).toml)
    assert settings["models"][0]["deployments"][0]["price"] == {"input": means}


def test_texts_are_escaped() -> None:
    text = MODEL.replace("model_name: m", 'model_name: "a \\"b\\" \\u007f\\n"')
    assert tomllib.loads(convert(text, environment={}).toml)["models"][0]["name"] == 'a "b" \x7f\n'
