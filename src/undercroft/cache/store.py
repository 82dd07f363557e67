"""Where answers are kept."""

from typing import Protocol, runtime_checkable

from undercroft.cache.entry import Entry


@runtime_checkable
class NearStore(Protocol):
    """A CacheStore that need not wait for what it has."""

    def look(self, organisation: str, id: str, /) -> Entry | None:
        """As `get`."""
        ...


class CacheStore(Protocol):
    """Answers by organisation and id. None of another organisation is ever found, and none that has expired.

    Raises Unavailable when the store is away; callers take that for a miss.
    """

    async def get(self, organisation: str, id: str, /) -> Entry | None: ...

    async def put(self, organisation: str, id: str, entry: Entry, /) -> None:
        """Keeps it, in the place of an earlier one; older ones go when there is no room."""
        ...

    async def remove(self, organisation: str, id: str, /) -> bool:
        """Whether there was one."""
        ...

    async def close(self) -> None: ...
