"""The guide says of every table how long it is kept, as the code has it."""

import pytest

from tests.support.checkout import ROOT
from undercroft.storage.retention import GOVERNED

GUIDE = (ROOT / "docs" / "guides" / "upgrades.md").read_text("utf-8")
ROWS = [line for line in GUIDE.splitlines() if line.startswith("| `")]


@pytest.mark.parametrize("table", GOVERNED)
def test_the_guide_says_how_long_a_table_is_kept(table: str) -> None:
    (row,) = [line for line in ROWS if f"`{table}`" in line.split(" | ")[0]]

    assert GOVERNED[table].replace("`", "") in row.replace("`", "")
