"""Where the bytes of files are."""

from collections.abc import AsyncGenerator, AsyncIterable
from typing import Protocol


class BlobStore(Protocol):
    """Keeps bytes by organisation and name; a name is given once. Raises Unavailable while it is away.

    What was begun and not finished, because its process died, is not found by `read` or is cut short: whoever uses a
    blob has a row that says that it is whole (`cabinet.py`).
    """

    async def write(self, organisation: str, name: str, pieces: AsyncIterable[bytes], /) -> int:
        """Keeps all pieces, and returns how many bytes that were: they outlast this process from then on.

        About a megabyte is in memory at a time. What `pieces` raises is passed on; what had come by then is the
        caller's to delete.
        """
        ...

    def read(self, organisation: str, name: str, /) -> AsyncGenerator[bytes, None]:
        """The bytes in pieces of at most a megabyte. Raises NotFound before the first."""
        ...

    async def delete(self, organisation: str, name: str, /) -> None:
        """Forgets them. What is not there is no error."""
        ...
