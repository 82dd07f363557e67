"""Texts that are compared as a whole with what was reviewed; `UNDERCROFT_GOLDEN=write` rewrites them."""

import os
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "golden"


def compare(name: str, text: str) -> None:
    """Fails where `text` is not what stands in `tests/golden/<name>`."""
    compare_file(FOLDER / name, text)


def compare_file(path: Path, text: str) -> None:
    """The same for a reviewed file that lies where its readers look for it."""
    if os.environ.get("UNDERCROFT_GOLDEN") == "write":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.exists(), f"{path} does not exist: type make golden, and review it"
    assert text == path.read_text(encoding="utf-8"), f"{path} differs: type make golden, and review the change"
