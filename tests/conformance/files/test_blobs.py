"""Both blob stores, the one in the database on both databases, by the suite that is shipped for others."""

import asyncio
from itertools import count
from pathlib import Path

import pytest

from undercroft.files.blobs.database import DatabaseBlobs
from undercroft.files.blobs.disk import Disk
from undercroft.storage.engine import Database
from undercroft.testing.blobs import Claim, blob_claims, pieces_of
from undercroft.testing.providers import name_of

NUMBERS = count()


@pytest.mark.parametrize("claim", blob_claims(), ids=name_of)
def test_blobs_in_the_database(claim: Claim, database: Database) -> None:
    asyncio.run(claim(DatabaseBlobs(database), f"organisation-{next(NUMBERS)}"))


@pytest.mark.parametrize("claim", blob_claims(), ids=name_of)
def test_blobs_on_disk(claim: Claim, tmp_path: Path) -> None:
    asyncio.run(claim(Disk(tmp_path / "blobs"), "acme"))


def test_on_disk_everything_is_below_the_folder_and_for_its_owner_alone(tmp_path: Path) -> None:
    async def write() -> None:
        store = Disk(tmp_path / "blobs")
        await store.write("../../etc", "file-1", pieces_of([b"x"]))
        await store.write("ö" * 100, "file-1", pieces_of([b"x"]))

    asyncio.run(write())
    found = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(found) == 2
    assert all(path.is_relative_to(tmp_path / "blobs") and path.stat().st_mode & 0o077 == 0 for path in found)
