"""A folder has one holder, and none once it is gone."""

import errno
import fcntl
import resource
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
    DISK.close(DISK.create(folder / "00000001.led", 1000))
    modes = [path.stat().st_mode & 0o077 for path in (folder.parent, folder, folder / "00000001.led")]
    assert modes == [0, 0, 0]
    DISK.release(held)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "00000001.led"


def test_what_was_written_can_be_read_at_once_and_the_file_ends_there_when_it_is_closed(path: Path) -> None:
    written = DISK.create(path, 100_000)
    for piece in (b"one", b"two" * 9000, b"three"):
        assert DISK.write(written, piece) == len(piece)
    whole = b"one" + b"two" * 9000 + b"three"
    assert DISK.read(path, 0, 100_000).rstrip(b"\0") == whole
    DISK.close(written)
    assert path.read_bytes() == whole


def test_a_truncated_file_is_written_on_from_there(path: Path) -> None:
    written = DISK.create(path, 100_000)
    DISK.write(written, b"one and a half")
    DISK.truncate(written, 3)
    DISK.write(written, b" two")
    assert path.read_bytes() == b"one two"
    DISK.close(written)
    assert path.read_bytes() == b"one two"


def test_a_file_that_becomes_larger_than_was_said_is_written_to_from_there(path: Path) -> None:
    written = DISK.create(path, 1000)
    for piece in (b"x" * 600, b"y" * 600, b"z"):
        assert DISK.write(written, piece) == len(piece)
    assert path.read_bytes() == b"x" * 600 + b"y" * 600 + b"z"
    DISK.close(written)


def test_where_files_cannot_be_mapped_they_are_written_to(path: Path) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, most))
    try:
        written = DISK.create(path, 100_000)
        DISK.write(written, b"one")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    assert path.read_bytes() == b"one"
    DISK.close(written)
