"""A container's quota counts, not the machine's cores."""

from pathlib import Path

import pytest

from undercroft.providers.local.cores import MOST, usable_cores


@pytest.mark.parametrize(
    ("quota", "at_most"), [("100000 100000", 1), ("50000 100000", 1), ("max 100000", MOST), ("", MOST)]
)
def test_a_quota_bounds_the_cores(quota: str, at_most: int, tmp_path: Path) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(quota)
    assert 1 <= usable_cores(file) <= at_most


def test_without_a_quota_there_is_at_least_one(tmp_path: Path) -> None:
    assert 1 <= usable_cores(tmp_path / "missing") <= MOST
