"""mkdocs.yml leads to every page: `make docs` is strict about it and takes a minute to say so."""

import yaml

from tests.support.checkout import ROOT

DOCS = ROOT / "docs"
BY_HOOK = "decisions/"
"""Filled in by scripts/docs_nav.py."""


def test_every_page_is_in_the_navigation() -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"]
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}

    assert _named(nav) == {page for page in pages if not page.startswith(BY_HOOK)}


def _named(entry: object) -> set[str]:
    if isinstance(entry, str):
        return {entry}
    children = entry.values() if isinstance(entry, dict) else entry if isinstance(entry, list) else ()
    return {page for child in children for page in _named(child)}
