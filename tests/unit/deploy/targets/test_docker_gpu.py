"""The GPU image: vLLM and undercroft in one container, which ends with the first of them."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.deploy import described, rendered


def files(folder: Path, text: str = "") -> dict[str, str]:
    return rendered("docker", described(folder, text))


def test_the_model_and_the_cards_are_those_described(tmp_path: Path) -> None:
    dockerfile = files(tmp_path, '[deploy.gpu]\ncount = 2\nmodel = "org/model"\n')["Dockerfile.gpu"]

    assert 'ENV VLLM_MODEL="org/model" VLLM_CARDS=2\n' in dockerfile
    assert '"base_url": "http://127.0.0.1:8001/v1"' in dockerfile


def test_models_of_ones_own_are_left_as_they_are(tmp_path: Path) -> None:
    text = '[[models]]\nname = "a"\n[[models.deployments]]\nprovider = "vllm"\nbase_url = "http://127.0.0.1:8001/v1"\n'

    assert "UNDERCROFT_MODELS" not in files(tmp_path, text)["Dockerfile.gpu"]


def test_it_runs_as_the_same_user_without_root(tmp_path: Path) -> None:
    assert "\nUSER 10001:10001\n" in files(tmp_path)["Dockerfile.gpu"]


PROGRAM = "import sys, time; time.sleep({wait}); sys.exit({code})"


def start(folder: Path, *programs: str) -> subprocess.CompletedProcess[bytes]:
    """gpu.py with other programs in the places of vLLM and undercroft."""
    (folder / "gpu.py").write_text(files(folder)["gpu.py"])
    commands = [[sys.executable, "-c", program] for program in programs]
    script = f"import sys, gpu; sys.exit(gpu.main({commands}))"
    environment = {"VLLM_MODEL": "unused", "VLLM_CARDS": "1"}
    return subprocess.run([sys.executable, "-c", script], cwd=folder, env=environment, check=False, timeout=60)


@pytest.mark.parametrize(("first", "second", "code"), [((0, 3), (600, 0), 3), ((600, 0), (0, 4), 4)])
def test_when_one_ends_the_other_is_ended_and_its_code_is_the_containers(
    first: tuple[int, int], second: tuple[int, int], code: int, tmp_path: Path
) -> None:
    programs = [PROGRAM.format(wait=wait, code=ended) for wait, ended in (first, second)]

    assert start(tmp_path, *programs).returncode == code


def test_one_that_is_killed_is_reported_as_a_shell_would(tmp_path: Path) -> None:
    killed = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"

    assert start(tmp_path, killed, PROGRAM.format(wait=600, code=0)).returncode == 137
