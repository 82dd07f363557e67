"""A hook of mkdocs: puts every page of docs/decisions under "Decisions", so that a new one is one new file."""

from pathlib import Path
from typing import Any


def on_config(config: dict[str, Any]) -> None:
    pages = sorted(Path(config["docs_dir"], "decisions").glob("*.md"))
    for entry in config["nav"]:
        for section in entry.values() if isinstance(entry, dict) else ():
            for inner in section:
                if isinstance(inner, dict) and "Decisions" in inner:
                    inner["Decisions"] = [f"decisions/{page.name}" for page in pages]
