"""A folder has one holder, and none once it is gone."""

import errno
import fcntl
from pathlib import Path

import pytest

from undercroft.ledger.disk import SystemDisk

DISK = SystemDisk()


def test_a_made_folder_is_held_until_released(tmp_path: Path) -> None:
    folder = tmp_path / "spool" / "spool_1"
    held = DISK.make_folder(folder)
    assert DISK.claim(folder) is None
    DISK.release(held)
    claim = DISK.claim(folder)
    assert claim is not None
    DISK.release(claim)
    assert DISK.names(folder.parent) == ["spool_1"]


def test_making_a_folder_is_tried_again_after_it_broke_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "spool" / "spool_1"

    def full(path: Path, target: Path) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(Path, "rename", full)
        with pytest.raises(OSError, match="No space"):
            DISK.make_folder(folder)
    DISK.release(DISK.make_folder(folder))
    assert DISK.names(folder.parent) == ["spool_1"]


def test_a_folder_that_is_not_there_cannot_be_held(tmp_path: Path) -> None:
    assert DISK.claim(tmp_path / "gone") is None
    assert DISK.names(tmp_path / "gone") == []


def test_a_folder_removed_between_opening_and_locking_is_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "spool_1"
    folder.mkdir()
    lock = fcntl.flock

    def removed_first(descriptor: int, operation: int) -> None:
        folder.rmdir()
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", removed_first)
    assert DISK.claim(folder) is None


def test_a_folder_is_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "spool" / "spool_1"
    held = DISK.make_folder(folder)
    DISK.close(DISK.create(folder / "00000001.led"))
    modes = [path.stat().st_mode & 0o077 for path in (folder.parent, folder, folder / "00000001.led")]
    assert modes == [0, 0, 0]
    DISK.release(held)
