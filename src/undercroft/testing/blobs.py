"""What every `BlobStore` owes (`files/blob.py`), as claims that any implementation can be run against.

@pytest.mark.parametrize("claim", blob_claims(), ids=name_of)
def test_my_store(claim: Claim) -> None:
    asyncio.run(claim(store, "an organisation of its own"))
"""

from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from typing import Any, Final

from undercroft.errors import NotFound
from undercroft.files.blob import BlobStore

MEGABYTE: Final = 1024 * 1024
SHAPES: Final[tuple[tuple[bytes, ...], ...]] = (
    (),
    (b"",),
    (b"a",),
    (b"ab", b"", b"c"),
    (bytes(range(256)) * 4096,),
    (b"x" * (MEGABYTE - 1), b"yz" * MEGABYTE, b"end"),
)
"""How senders cut what they send."""

Claim = Callable[[BlobStore, str], Coroutine[Any, Any, None]]


async def pieces_of(data: Iterable[bytes]) -> AsyncGenerator[bytes, None]:
    """Pieces as a client sends them."""
    for piece in data:
        yield piece


async def content(store: BlobStore, organisation: str, name: str) -> bytes:
    """All of a blob."""
    return b"".join([piece async for piece in store.read(organisation, name)])


async def is_there(store: BlobStore, organisation: str, name: str) -> bool:
    """Whether it is found."""
    try:
        await content(store, organisation, name)
    except NotFound:
        return False
    return True


async def what_was_written_comes_back(store: BlobStore, mine: str) -> None:
    for number, pieces in enumerate(SHAPES):
        whole = b"".join(pieces)
        assert await store.write(mine, f"file-{number}", pieces_of(pieces)) == len(whole), "the size is wrong"
        assert await content(store, mine, f"file-{number}") == whole, f"other bytes came back of shape {number}"


async def pieces_are_at_most_a_megabyte(store: BlobStore, mine: str) -> None:
    await store.write(mine, "file-1", pieces_of([b"x" * (3 * MEGABYTE + 5)]))
    sizes = [len(piece) async for piece in store.read(mine, "file-1")]
    assert max(sizes) <= MEGABYTE, f"a piece of {max(sizes)} bytes"


async def what_is_not_there_is_not_found(store: BlobStore, mine: str) -> None:
    assert not await is_there(store, mine, "file-1"), "a blob that nobody wrote is found"
    await store.delete(mine, "file-1")


async def what_is_deleted_is_gone(store: BlobStore, mine: str) -> None:
    await store.write(mine, "file-1", pieces_of([b"x" * (2 * MEGABYTE)]))
    await store.delete(mine, "file-1")
    assert not await is_there(store, mine, "file-1"), "a deleted blob is found"


async def organisations_and_names_do_not_meet(store: BlobStore, mine: str) -> None:
    places = [(mine, "file-1"), (mine, "file-2"), (f"{mine}2", "file-1"), (f"../{mine}", "file-1"), (f"{mine}/a", "f")]
    for number, place in enumerate(places):
        await store.write(*place, pieces_of([b"%d" % number]))
    await store.delete(mine, "file-1")
    kept = [await content(store, *place) for place in places[1:]]
    assert kept == [b"1", b"2", b"3", b"4"], f"one has touched another: {kept}"


async def an_error_of_the_sender_is_passed_on(store: BlobStore, mine: str) -> None:
    async def broken() -> AsyncGenerator[bytes, None]:
        yield b"x" * (MEGABYTE + 1)
        raise ConnectionResetError

    try:
        await store.write(mine, "file-1", broken())
    except ConnectionResetError:
        await store.delete(mine, "file-1")
    else:
        raise AssertionError("a write that its sender broke off has succeeded")
    assert not await is_there(store, mine, "file-1"), "something of it is left"


def blob_claims() -> list[Claim]:
    """All of them."""
    return [
        what_was_written_comes_back,
        pieces_are_at_most_a_megabyte,
        what_is_not_there_is_not_found,
        what_is_deleted_is_gone,
        organisations_and_names_do_not_meet,
        an_error_of_the_sender_is_passed_on,
    ]
