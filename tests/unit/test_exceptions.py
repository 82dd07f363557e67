"""The linter's rules on security hold everywhere; where one does not, the line says why."""

import re
import tomllib

import pytest

from tests.support.checkout import ROOT

EXCEPTION = re.compile(r"# noqa: (?:[A-Z]+[0-9]+, ?)*S[0-9]+")
REASON = re.compile(r"# noqa: [A-Z0-9, ]+ - \S+")


def test_the_rules_are_switched_on() -> None:
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["ruff"]["lint"]
    assert "S" in lint["select"]
    assert {rule for rule in lint["ignore"] if re.fullmatch(r"S[0-9]+", rule)} == {"S101"}


@pytest.mark.parametrize("folder", ["src", "scripts"])
def test_every_exception_has_a_reason(folder: str) -> None:
    bare = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if EXCEPTION.search(line) and not REASON.search(line)
    ]
    assert bare == []


def test_every_rule_that_is_off_for_some_files_has_a_reason_beside_it() -> None:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    section = text.partition("[tool.ruff.lint.per-file-ignores]")[2].partition("\n[")[0]
    ours = [line for line in section.splitlines() if line.startswith('"src/') and "starters" not in line]
    assert ours
    assert all("#" in line for line in ours), ours
