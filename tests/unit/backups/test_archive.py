"""The backup's file: whole or not there, and nothing in it that was changed goes unnoticed."""

import asyncio
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from undercroft.backups.archive import Blob, Manifest, Writer, new_archive, open_archive
from undercroft.errors import InvalidRequest


async def pieces(*data: bytes) -> AsyncIterator[bytes]:
    for each in data:
        yield each


async def fill(writer: Writer) -> None:
    rows = writer.table("calls", [b"[1]", b"[2]"])
    blob = await writer.blob(Blob(organisation="default", name="file-1", entry="blobs/0"), pieces(b"by", b"tes"))
    writer.finish(
        Manifest(
            undercroft="1",
            schema="0013",
            database="sqlite",
            made_us=0,
            tables={"calls": rows},
            columns={},
            blobs=(blob,),
        )
    )


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    path = tmp_path / "a.backup"
    with new_archive(path) as writer:
        asyncio.run(fill(writer))
    return path


def test_what_was_written_is_read(backup: Path) -> None:
    with open_archive(backup) as reader:
        reader.check()

        assert list(reader.lines("calls")) == [b"[1]", b"[2]"]
        (blob,) = reader.manifest.blobs
        assert (blob.size_bytes, b"".join(reader.pieces(blob.entry))) == (5, b"bytes")
    assert backup.stat().st_mode & 0o777 == 0o600


def test_the_order_of_rows_makes_no_difference(tmp_path: Path) -> None:
    with new_archive(tmp_path / "b") as writer:
        sums = [writer.table("a", [b"[1]", b"[2]"]), writer.table("b", [b"[2]", b"[1]"]), writer.table("c", [b"[1]"])]

    assert sums[0] == sums[1] != sums[2]


def gone() -> Iterator[bytes]:
    yield b"[1]"
    raise ValueError("the database is gone")


def test_nothing_is_there_when_it_goes_wrong_in_the_middle(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the database is gone"), new_archive(tmp_path / "b") as writer:
        writer.table("calls", gone())

    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_not_replaced(backup: Path) -> None:
    with pytest.raises(InvalidRequest, match="is there already"), new_archive(backup):
        pass


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.95])
def test_one_that_was_cut_short_is_refused(backup: Path, share: float) -> None:
    data = backup.read_bytes()
    backup.write_bytes(data[: int(len(data) * share)])

    with pytest.raises(InvalidRequest, match=r"cut short.*Nothing was changed"), open_archive(backup):
        pass


@pytest.mark.parametrize(("entry", "what"), [("tables/calls.jsonl", "rows of calls"), ("blobs/0", "content of file-1")])
def test_an_entry_that_was_changed_is_noticed(backup: Path, entry: str, what: str) -> None:
    changed = backup.with_name("changed")
    with zipfile.ZipFile(backup) as source, zipfile.ZipFile(changed, "w") as target:
        for name in source.namelist():
            target.writestr(name, b"[3]\n" if name == entry else source.read(name))

    with open_archive(changed) as reader, pytest.raises(InvalidRequest, match=what):
        reader.check()


def test_another_archive_is_no_backup(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("hello.txt", "hello")

    with pytest.raises(InvalidRequest, match="no readable manifest"), open_archive(tmp_path / "other.zip"):
        pass
