"""A file that cannot be used is told in one line."""

import os
from pathlib import Path

import pytest

from undercroft.settings.files import FileProblem, read_secret, read_text


def test_a_mark_at_the_start_that_windows_editors_leave_is_no_part_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"\xef\xbb\xbfa = 1")
    assert read_text(path) == "a = 1"


def test_what_is_not_utf_8_is_told_by_line(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"a\nb\n\xff")
    with pytest.raises(FileProblem, match="line 3 is not UTF-8"):
        read_text(path)


def test_a_large_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x" * 11)
    with pytest.raises(FileProblem, match="larger than 10 bytes"):
        read_text(path, largest_bytes=10)


def test_a_missing_file_a_folder_and_a_pipe_are_told_apart_from_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, reason in ((tmp_path / "x", "no such file"), (tmp_path, "not a file"), (tmp_path / "pipe", "not a file")):
        with pytest.raises(FileProblem, match=reason):
            read_text(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_rights_is_told(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.touch(mode=0o000)
    with pytest.raises(FileProblem, match="Permission denied"):
        read_text(path)


def test_a_secret_comes_without_its_line_end_and_an_empty_one_is_none(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("s3cret\r\n")
    assert read_secret(path) == "s3cret"
    path.write_text("\n")
    with pytest.raises(FileProblem, match="it is empty"):
        read_secret(path)
