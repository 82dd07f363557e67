"""README: links that lead somewhere."""

import re
from pathlib import Path

import pytest

from tests.support.checkout import ROOT

README = (ROOT / "README.md").read_text("utf-8")


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)]+)\)", README))
def test_a_link_leads_somewhere(link: str) -> None:
    file, _, _ = link.partition("#")

    assert (ROOT / Path(file)).is_file()
