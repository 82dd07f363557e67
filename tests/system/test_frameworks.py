"""LangChain and LlamaIndex, as the gateway guide connects them, against a served undercroft."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.checkout import clean_environment
from tests.support.documents import Block, blocks_of
from tests.support.server import serving

pytestmark = pytest.mark.system

GUIDE = Path("docs/guides/gateway.md")
PACKAGES = {"langchain_openai": "langchain-openai", "llama_index": "llama-index-llms-openai-like"}
SETTINGS = '[[models]]\nname = "chat"\n[[models.deployments]]\nprovider = "scripted"\nscript = "Paris."\n'


@pytest.mark.parametrize("module", PACKAGES)
def test_a_framework_answers_as_the_guide_connects_it(module: str, tmp_path: Path) -> None:
    python = installed(PACKAGES[module], tmp_path / "venv")
    with serving(tmp_path / "server", toml=SETTINGS) as server:
        program = block_about(module).text.replace(":8000/", f":{server.port}/")
        ended = subprocess.run(
            [python, "-c", program],
            cwd=tmp_path,
            env=clean_environment(HOME=str(tmp_path), NO_PROXY="127.0.0.1", no_proxy="127.0.0.1"),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert ended.stdout.split() == ["Paris.", "Paris."]


def block_about(module: str) -> Block:
    (block,) = [each for each in blocks_of(GUIDE) if each.language == "python" and f"from {module}" in each.text]
    return block


def installed(package: str, folder: Path) -> Path:
    """The Python of an environment that holds the package and nothing of ours."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", package]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        pytest.skip(f"not run: {package} could not be installed: {ended.stderr.strip().splitlines()[-1:]}")
    return python
