"""`prices.toml`, read whole or refused."""

from pathlib import Path

import pytest

from undercroft.errors import ConfigurationError, NotFound
from undercroft.planning.own_prices import NONE, read_prices


def test_without_a_file_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert read_prices(None) == NONE


def test_the_file_of_this_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "prices.toml").write_text('egress_usd_per_gb = 0.05\n[tokens."a/b"]\ninput = 1\noutput = 2\n', "utf-8")
    monkeypatch.chdir(tmp_path)
    prices = read_prices(None)

    assert prices.egress_usd_per_gb == 0.05
    assert prices.tokens["a/b"].output == 2


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("egres_usd_per_gb = 1", "unknown field `egres_usd_per_gb`; did you mean 'egress_usd_per_gb'"),
        ("egress_usd_per_gb = 'much'", r"Expected `float \| null`, got `str`"),
        ("egress_usd_per_gb = -1", "egress_usd_per_gb is -1: it must be from 0 to 1e9; the nearest is 0"),
        ("egress_usd_per_gb = nan", "egress_usd_per_gb is nan"),
        ("[serverless.aws]\nusd_per_gb_second = 1e30", "serverless.aws.usd_per_gb_second is 1e[+]30"),
        ("= 3", "prices.toml"),
    ],
)
def test_what_cannot_be_used_is_refused_by_field(text: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text(text, "utf-8")

    with pytest.raises(ConfigurationError, match=complaint):
        read_prices(tmp_path / "prices.toml")


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="There is no price file"):
        read_prices(tmp_path / "none.toml")
