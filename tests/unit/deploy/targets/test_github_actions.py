"""The pipeline: as it was reviewed, what it pins, and when it goes back."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.deploy import compare, described, rendered
from undercroft.deploy.target import find
from undercroft.deploy.targets.github_actions import PINS, WORKFLOW

MODELS = """
[[models]]
name = "chat"
deployments = [
    { provider = "openai", model = "gpt-5-mini-2026-08-07", api_key = "env:OPENAI_API_KEY" },
    { provider = "scripted", script = "Yes." },
]
"""


@pytest.fixture
def jobs(tmp_path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(rendered("github-actions", described(tmp_path, MODELS))[WORKFLOW])["jobs"]
    return found


def test_the_files_are_the_reviewed_ones(tmp_path: Path) -> None:
    compare("github-actions", rendered("github-actions", described(tmp_path, MODELS)))


def test_nothing_is_built_before_it_is_tested_and_nothing_deployed_before_it_is_evaluated(jobs: dict[str, Any]) -> None:
    assert list(jobs) == ["test", "evaluate", "build", "deploy"]
    assert jobs["build"]["needs"] == jobs["evaluate"]["needs"] == "test"
    assert jobs["deploy"]["needs"] == ["evaluate", "build"]


def test_only_a_push_deploys_and_sees_secrets(jobs: dict[str, Any]) -> None:
    assert jobs["deploy"]["if"] == jobs["evaluate"]["if"] == "github.event_name == 'push'"
    for name in ("test", "build"):
        for step in jobs[name]["steps"]:
            assert "secrets." not in str(step.get("env")) or step["if"] == "github.event_name == 'push'"


def test_an_image_is_scanned_before_it_is_pushed(jobs: dict[str, Any]) -> None:
    names = [step.get("name") for step in jobs["build"]["steps"]]

    assert names.index("Build") < names.index("Scan") < names.index("Push")


def test_a_failure_after_the_switch_goes_back_to_the_colour_before(jobs: dict[str, Any]) -> None:
    steps = jobs["deploy"]["steps"]
    *_, smoke, switch, watch, back = steps

    assert smoke["name"].startswith("Smoke")
    assert switch["env"] == {"COLOUR": "${{ steps.green.outputs.green }}"}
    assert "watch.py" in watch["run"]
    assert back["if"] == "failure() && steps.switch.outcome == 'success'"
    assert (back["run"], back["env"]) == (switch["run"], {"COLOUR": "${{ steps.green.outputs.blue }}"})


def test_what_runs_in_a_shell_can_be_read_by_one(jobs: dict[str, Any]) -> None:
    scripts = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]

    assert len(scripts) > 10
    for script in scripts:
        read = subprocess.run(["bash", "-n", "-c", script], capture_output=True, text=True, check=False)
        assert read.returncode == 0, script + read.stderr


def test_the_selector_is_patched_with_json(jobs: dict[str, Any]) -> None:
    (switch,) = (step for step in jobs["deploy"]["steps"] if step.get("id") == "switch")
    printed = subprocess.run(
        ["bash", "-c", switch["run"].replace("kubectl patch service undercroft-api --patch", "printf %s")],
        env={"COLOUR": "green", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert json.loads(printed.stdout) == {"spec": {"selector": {"undercroft.dev/colour": "green"}}}


def test_every_action_is_pinned_by_commit(jobs: dict[str, Any]) -> None:
    used = [step["uses"] for job in jobs.values() for step in job["steps"] if "uses" in step]

    assert used
    assert all(re.search(r"@[0-9a-f]{40}$", each) for each in used)


def test_the_models_that_answer_are_pinned(tmp_path: Path) -> None:
    assert json.loads(rendered("github-actions", described(tmp_path, MODELS))[PINS]) == [
        {"model": "chat", "provider": "openai", "asks_for": "gpt-5-mini-2026-08-07"},
        {"model": "chat", "provider": "scripted", "asks_for": "chat"},
    ]


def test_a_model_that_the_provider_moves_is_refused(tmp_path: Path) -> None:
    text = MODELS.replace("gpt-5-mini-2026-08-07", "gpt-5-latest")
    (problem,) = find("github-actions").problems(described(tmp_path, text))

    assert "'gpt-5-latest', which is another model when the provider says so" in problem
