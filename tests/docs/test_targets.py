"""The table of targets says which tools look at what is rendered: those that do."""

import re
from pathlib import Path

import pytest

from tests.support.checkout import ROOT
from tests.support.deploy import described, rendered
from undercroft.deploy.checks.folder import read
from undercroft.deploy.checks.tools import run_all
from undercroft.deploy.target import BUILT_IN

GUIDE = (ROOT / "docs/guides/cloud-deployment.md").read_text("utf-8")
ROW = re.compile(
    r"^\| `(?P<name>[a-z-]+)` \| [^|]+ \| (?P<tried>(?:run here|validated|rendered only)[^|]*)\|(?P<tools>[^|]*)\|$",
    re.MULTILINE,
)
SCHEMAS = (ROOT / "tests/system/test_schemas.py").read_text("utf-8")
ROWS = {found["name"]: found for found in ROW.finditer(GUIDE)}


def test_every_target_has_a_row() -> None:
    assert ROWS.keys() == BUILT_IN.keys()


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_tools_of_a_row_are_those_that_check_runs(name: str, tmp_path: Path) -> None:
    for path, text in rendered(name, described(tmp_path)).items():
        (tmp_path / name / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name / path).write_text(text)
    runs = run_all(read(tmp_path / name)[0], find=lambda program: None)

    assert ROWS[name]["tools"].strip().split(", ") == ([each.tool for each in runs] or [""])


@pytest.mark.parametrize("name", BUILT_IN)
def test_what_neither_a_tool_nor_a_schema_has_seen_is_not_called_validated(name: str) -> None:
    tried, tools, is_held = ROWS[name]["tried"], ROWS[name]["tools"].strip(), f'"{name}"' in SCHEMAS

    assert not tried.startswith("validated") or tools or is_held
    assert is_held or "against" not in tried
