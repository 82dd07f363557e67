"""A price counts when somebody can look it up; a file that is wrong is refused with the place."""

from decimal import Decimal
from pathlib import Path

import pytest

from undercroft.errors import InvalidRequest
from undercroft.vectors.prices import read_prices

ENTRY = '[[price]]\nservice = "s"\nitem = "i"\n'


def test_every_shipped_figure_has_a_source_and_a_date() -> None:
    prices = read_prices()
    assert {service for service, _ in prices} == {"pinecone", "weaviate-cloud", "disk"}
    for price in prices.values():
        assert price.source.startswith("https://")
        assert price.date.year >= 2025
        assert price.usd > 0


@pytest.mark.parametrize("missing", ["usd", "source", "date"])
def test_a_figure_without_a_source_or_a_date_is_unknown(missing: str, tmp_path: Path) -> None:
    lines = {"usd": 'usd = "1"', "source": 'source = "https://x"', "date": "date = 2026-01-01"}
    whole, part = tmp_path / "whole.toml", tmp_path / "part.toml"
    whole.write_text(ENTRY + "\n".join(lines.values()))
    part.write_text(ENTRY + "\n".join(line for name, line in lines.items() if name != missing))
    assert read_prices(whole)["s", "i"].usd == Decimal(1)
    assert read_prices(part) == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[price]", "is no TOML"),
        ("price = 3", "takes [[price]] entries"),
        ("[[price]]\nservice = 's'", "price[0] has no item"),
        (ENTRY + 'cost = "1"', "price[0] has an unknown key 'cost'"),
        (ENTRY + 'usd = 1.5\nsource = "x"\ndate = 2026-01-01', "write it in quotation marks"),
        (ENTRY + 'usd = "-1"\nsource = "x"\ndate = 2026-01-01', "a price is 0 or more"),
        (ENTRY + 'usd = "much"\nsource = "x"\ndate = 2026-01-01', "which is no number"),
        (2 * (ENTRY + 'usd = "1"\nsource = "x"\ndate = 2026-01-01\n'), "has a price for i already"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(text)
    with pytest.raises(InvalidRequest) as caught:
        read_prices(path)
    assert told in str(caught.value)
    with pytest.raises(InvalidRequest, match="cannot be read"):
        read_prices(tmp_path / "none.toml")
