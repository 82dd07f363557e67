"""Functions on Vercel and AWS Lambda: as they were reviewed, and what must hold whatever is described."""

import ast
import json
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.support.deploy import compare, described, rendered
from undercroft.deploy.target import find
from undercroft.deploy.topology import Options

TARGETS = ("lambda", "vercel")
EVERYTHING = """
[[models]]
name = "chat"
[[models.deployments]]
provider = "groq"
model = "llama-3.3-70b-versatile"
[deploy]
name = "shop"
[deploy.secrets]
GROQ_API_KEY = "groq-key"
[deploy.function]
memory = "2Gi"
timeout_s = 300
[deploy.build]
index_url = "https://packages.example/root"
ca_file = "ca.pem"
"""


@pytest.mark.parametrize("target", TARGETS)
def test_the_files_are_the_reviewed_ones(target: str, tmp_path: Path) -> None:
    compare(target, rendered(target, described(tmp_path)))


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_described_is_what_is_rendered(target: str, tmp_path: Path) -> None:
    files = rendered(target, described(tmp_path, EVERYTHING))

    assert tomllib.loads(files["undercroft.toml"])["models"][0]["name"] == "chat"
    for path, text in files.items():
        if path.endswith(".py"):
            ast.parse(text, path)
        if path.endswith(".toml"):
            tomllib.loads(text)


def test_a_lambda_function_is_given_its_memory_time_and_secrets(tmp_path: Path) -> None:
    files = rendered("lambda", described(tmp_path, EVERYTHING))

    for name in ("template-zip.yaml", "template-image.yaml"):
        properties = yaml.safe_load(files[name])["Resources"]["Function"]["Properties"]
        variables = properties["Environment"]["Variables"]
        assert (properties["MemorySize"], properties["Timeout"]) == (2048, 300)
        assert "timeout_s=300)" in files["handler.py"]
        assert variables["GROQ_API_KEY"] == {
            "Fn::Sub": "{{resolve:secretsmanager:${SecretName}:SecretString:groq-key}}"
        }
        assert variables.keys().isdisjoint({"REDIS_URL", "QDRANT_URL", "CELERY_BROKER_URL"})
    assert "ARG PIP_INDEX_URL=https://packages.example/root\n" in files["Dockerfile"]
    assert "COPY vendor/ca.pem" in files["Dockerfile"]


def test_vercel_sends_every_path_to_the_function(tmp_path: Path) -> None:
    files = rendered("vercel", described(tmp_path, EVERYTHING))
    configuration = json.loads(files["vercel.json"])
    assert configuration["build"]["env"]["SOURCE_DATE_EPOCH"].isdecimal()

    assert configuration["rewrites"] == [{"source": "/(.*)", "destination": "/api/index"}]
    assert configuration["functions"]["api/index.py"]["maxDuration"] == 300
    assert "timeout_s=300)" in files["api/index.py"]
    assert "    vercel env add GROQ_API_KEY production\n" in files["README.md"]
    assert ".env\n" in files[".vercelignore"]


@pytest.mark.parametrize("target", TARGETS)
def test_a_release_needs_no_wheel(target: str, tmp_path: Path) -> None:
    files = rendered(target, described(tmp_path, options=Options(source="2.0.0")))

    assert files["requirements.txt"].splitlines()[-1].endswith("==2.0.0")
    assert "vendor/" not in files.get("Dockerfile", "")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[deploy]\ndatabase = "sqlite"\n[deploy.api]\nreplicas = 1', 'write database = "external"'),
        ("[deploy.build]\nwith_model = true", "may not have more than 250 MB"),
        ('[[models]]\nname = "m"\n[[models.deployments]]\nprovider = "local"', "models[0] is answered by local"),
    ],
)
def test_what_a_function_cannot_be_is_refused_with_what_to_write(
    target: str, text: str, reason: str, tmp_path: Path
) -> None:
    (problem,) = find(target).problems(described(tmp_path, text))

    assert reason in problem


@pytest.mark.parametrize("target", TARGETS)
def test_every_file_that_can_says_how_it_was_made(target: str, tmp_path: Path) -> None:
    for path, text in rendered(target, described(tmp_path)).items():
        if path not in ("vercel.json", ".python-version"):
            assert f"Made by `undercroft deploy render {target}`" in "\n".join(text.splitlines()[:4]), path
