"""Folders as they were rendered, with one thing in them changed."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.deploy import described, rendered
from undercroft.deploy.check import Report, check

Change = tuple[str, str, str]
"""A path, and what in it becomes what."""
Checker = Callable[..., Report]


@pytest.fixture
def checked(tmp_path: Path) -> Checker:
    """Renders a target, changes it, and checks it with no tool but our own."""

    def run(target: str, *changes: Change, env: str | None = "default") -> Report:
        described_folder = tmp_path / "described"
        described_folder.mkdir(exist_ok=True)
        files = rendered(target, described(described_folder))
        for path, before, after in changes:
            assert before in files.get(path, ""), f"{before!r} does not stand in {path}"
            files[path] = files[path].replace(before, after)
        folder = tmp_path / "folder"
        prefix = "image/" if "image/Dockerfile" in files else ""
        for path, text in {**files, f"{prefix}vendor/undercroft-1.2.3-py3-none-any.whl": ""}.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        if env is not None and target == "compose":
            text = "UNDERCROFT_MASTER_KEY=a\nENCRYPTION_KEY=b\nPOSTGRES_PASSWORD=c\n"
            text += "METRICS_TOKEN=d\nGRAFANA_PASSWORD=e\n"
            text = text if env == "default" else env
            (folder / ".env").write_text(text)
            (folder / ".env").chmod(0o600)
        return check(folder, find=lambda name: None)

    return run
