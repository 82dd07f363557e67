"""SECURITY.md: every threat has a defence, and every defence a test that there is."""

import re

import pytest

from tests.support.checkout import ROOT

PAGE = (ROOT / "SECURITY.md").read_text("utf-8")
ROWS = [line for line in PAGE.splitlines() if re.match(r"\| [STRIDE] \|", line)]


def test_every_kind_of_threat_is_thought_of() -> None:
    assert {row[2] for row in ROWS} == set("STRIDE")
    assert len(ROWS) >= 30


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[2].strip()[:60])
def test_a_row_names_a_test_that_there_is(row: str) -> None:
    _, _, threat, defence, named, _ = (cell.strip() for cell in row.split("|"))
    assert threat
    assert defence
    file, _, test = named.strip("`").partition("::")
    content = (ROOT / file).read_text("utf-8")
    assert not test or re.search(rf"^(async )?def {test}\(", content, re.MULTILINE), named
