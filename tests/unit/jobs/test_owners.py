"""Which workers live."""

import os
from pathlib import Path

import pytest

from undercroft.jobs.owners import LockedFiles


def test_a_worker_lives_as_long_as_it_holds_its_file(tmp_path: Path) -> None:
    mine, other = LockedFiles(tmp_path, "mine"), LockedFiles(tmp_path, "other")
    assert not mine.is_gone("mine")
    assert not mine.is_gone("other")
    other.close()
    assert mine.is_gone("other")
    mine.close()
    assert list(tmp_path.iterdir()) == []


def test_a_killed_workers_file_is_free(tmp_path: Path) -> None:
    mine, killed = LockedFiles(tmp_path, "mine"), LockedFiles(tmp_path, "killed")
    os.close(killed._held)
    assert mine.is_gone("killed")
    mine.forget("killed")
    assert mine.is_gone("killed")
    mine.close()


def test_two_lives_do_not_share_a_name(tmp_path: Path) -> None:
    mine = LockedFiles(tmp_path, "mine")
    with pytest.raises(OSError, match="exists"):
        LockedFiles(tmp_path, "mine")
    mine.close()
