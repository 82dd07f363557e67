"""Files on both databases, with their bytes on disk."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete

from tests.support.clock import ManualClock
from undercroft.errors import InvalidRequest, NotFound, Unavailable
from undercroft.files import repository
from undercroft.files.blobs.disk import Disk
from undercroft.files.cabinet import Cabinet
from undercroft.files.types import Cursor, Label, StoredFile
from undercroft.ids import Ids
from undercroft.record import Who
from undercroft.storage.engine import Database
from undercroft.storage.schema import files
from undercroft.testing.blobs import pieces_of

MINE = Who(organisation="mine")
HOUR_S = 3600


def on_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @wraps(test)
    def run(**fixtures: Any) -> None:
        asyncio.run(test(**fixtures))

    return run


@pytest.fixture(autouse=True)
def no_files(database: Database) -> None:
    database.write_sync(lambda connection: connection.execute(delete(files)))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def cabinet(database: Database, tmp_path: Path, clock: ManualClock) -> Cabinet:
    return Cabinet(database, Disk(tmp_path / "blobs"), ids=Ids(clock), clock=clock)


def blobs_in(folder: Path) -> int:
    return sum(path.is_file() for path in (folder / "blobs").rglob("*"))


async def put(
    cabinet: Cabinet, clock: ManualClock, name: str, *, who: Who = MINE, after_s: int | None = None
) -> StoredFile:
    clock.advance(1)
    label = Label(filename=name, purpose="assistants" if name.startswith("a") else "batch", expires_after_s=after_s)
    return await cabinet.create(MINE, label, pieces_of([name.encode()]))


async def content(cabinet: Cabinet, file: StoredFile) -> bytes:
    return b"".join([piece async for piece in cabinet.content(file)])


@on_a_loop
async def test_a_file_comes_back_as_it_was(cabinet: Cabinet, clock: ManualClock) -> None:
    file = await put(cabinet, clock, "a.txt")
    assert await cabinet.find("mine", file.id) == file
    assert (file.size_bytes, file.created_us, file.expires_us) == (5, clock.now_us(), 0)
    assert file.id.startswith("file-")
    assert await content(cabinet, file) == b"a.txt"


@on_a_loop
async def test_files_are_listed_by_time_and_page_by_page(cabinet: Cabinet, clock: ManualClock) -> None:
    made = [await put(cabinet, clock, name) for name in ("a1", "b1", "a2", "b2")]
    assert await cabinet.page("mine", Cursor(limit=10)) == made[::-1]
    assert await cabinet.page("mine", Cursor(limit=2, order="asc")) == made[:2]
    assert await cabinet.page("mine", Cursor(limit=2, order="asc", after=made[1].id)) == made[2:]
    assert await cabinet.page("mine", Cursor(limit=2, after=made[1].id)) == made[:1]
    assert await cabinet.page("mine", Cursor(limit=9, purpose="batch")) == [made[3], made[1]]
    with pytest.raises(InvalidRequest, match="no file 'file-none'"):
        await cabinet.page("mine", Cursor(limit=1, after="file-none"))


@on_a_loop
async def test_another_organisation_never_sees_or_deletes_a_file(cabinet: Cabinet, clock: ManualClock) -> None:
    file = await put(cabinet, clock, "a")
    assert await cabinet.page("theirs", Cursor(limit=9)) == []
    for attempt in (cabinet.find("theirs", file.id), cabinet.delete("theirs", file.id)):
        with pytest.raises(NotFound):
            await attempt
    with pytest.raises(InvalidRequest):
        await cabinet.page("theirs", Cursor(limit=1, after=file.id))
    assert await content(cabinet, file) == b"a"


@on_a_loop
async def test_a_deleted_file_leaves_nothing(cabinet: Cabinet, clock: ManualClock, tmp_path: Path) -> None:
    file = await put(cabinet, clock, "a")
    await cabinet.delete("mine", file.id)
    assert blobs_in(tmp_path) == 0
    with pytest.raises(NotFound):
        await cabinet.find("mine", file.id)
    with pytest.raises(NotFound):
        await cabinet.delete("mine", file.id)


@on_a_loop
async def test_what_has_expired_is_gone_at_once_and_swept_later(
    cabinet: Cabinet, clock: ManualClock, tmp_path: Path
) -> None:
    short, long = await put(cabinet, clock, "a", after_s=HOUR_S), await put(cabinet, clock, "b")
    assert await cabinet.sweep() == 0
    clock.advance(HOUR_S)
    with pytest.raises(NotFound):
        await cabinet.find("mine", short.id)
    assert await cabinet.page("mine", Cursor(limit=9)) == [long]
    assert blobs_in(tmp_path) == 2
    assert await cabinet.sweep() == 1
    assert blobs_in(tmp_path) == 1


@on_a_loop
async def test_an_upload_that_breaks_off_leaves_nothing(cabinet: Cabinet, tmp_path: Path) -> None:
    async def broken() -> AsyncGenerator[bytes, None]:
        yield b"some"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await cabinet.receive(MINE, broken())
    assert blobs_in(tmp_path) == 0
    assert await cabinet.page("mine", Cursor(limit=9)) == []
    assert await cabinet.sweep() == 0


@on_a_loop
async def test_what_has_arrived_is_no_file_before_it_is_kept(
    cabinet: Cabinet, clock: ManualClock, tmp_path: Path
) -> None:
    arrived = await cabinet.receive(MINE, pieces_of([b"some"]))
    with pytest.raises(NotFound):
        await cabinet.find("mine", arrived.id)
    assert await cabinet.page("mine", Cursor(limit=9)) == []
    clock.advance(25 * HOUR_S)  # whoever received it died
    assert await cabinet.sweep() == 1
    assert blobs_in(tmp_path) == 0
    with pytest.raises(Unavailable):
        await cabinet.keep(arrived, Label(filename="late", purpose="batch"))


@on_a_loop
async def test_a_deletion_that_broke_off_is_finished_by_a_sweep(
    cabinet: Cabinet, clock: ManualClock, database: Database, tmp_path: Path
) -> None:
    file = await put(cabinet, clock, "a")
    await database.write(lambda c: repository.leave(c, organisation="mine", id=file.id, now_us=clock.now_us()))
    assert blobs_in(tmp_path) == 1
    assert await cabinet.sweep() == 1
    assert blobs_in(tmp_path) == 0
