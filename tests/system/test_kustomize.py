"""The Kustomize files in Kustomize itself, which builds every overlay, component and colour."""

import shutil
from pathlib import Path

import pytest

from tests.support import debian
from tests.support.deploy import IN_TWO_REGIONS, described, rendered
from undercroft.deploy.checks.folder import read
from undercroft.deploy.checks.tools import ToolRun, Which, run_all, which

pytestmark = pytest.mark.system

RELEASE = "trixie"
"""The release before has no package of it."""


@pytest.fixture(scope="module")
def kustomize() -> Which:
    """The machine's, that of a newer Debian, or the one in the machine's kubectl."""
    if shutil.which("kustomize") is None and (package := debian.unpacked_from(RELEASE, "kustomize")) is not None:
        program = str(package / "usr" / "bin" / "kustomize")
        return lambda name: program if name == "kustomize" else which(name)
    if shutil.which("kustomize") is None and shutil.which("kubectl") is None:
        pytest.skip(f"not run: no Kustomize is here, and Debian's package of {RELEASE} cannot be fetched")
    return which


@pytest.mark.parametrize("text", ["", IN_TWO_REGIONS])
def test_kustomize_builds_all_that_is_rendered(text: str, kustomize: Which, tmp_path: Path) -> None:
    for path, content in rendered("kubernetes", described(tmp_path, text)).items():
        (tmp_path / "out" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / path).write_text(content)

    runs = run_all(read(tmp_path / "out")[0], find=kustomize)

    assert ToolRun("kustomize", "ok") in runs, runs
    assert ToolRun("kubernetes-validate", "ok") in runs, runs
