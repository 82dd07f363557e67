"""Texts that are compared as a whole with what was reviewed; `UNDERCROFT_GOLDEN=write` rewrites them."""

import os
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "golden"


def compare(name: str, text: str) -> None:
    """Fails where `text` is not what stands in `tests/golden/<name>`."""
    path = FOLDER / name
    if os.environ.get("UNDERCROFT_GOLDEN") == "write":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.exists(), f"{path} does not exist: type make golden, and review it"
    assert text == path.read_text(encoding="utf-8"), f"{path} differs: type make golden, and review the change"
