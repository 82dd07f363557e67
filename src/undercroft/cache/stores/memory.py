"""Answers in this process's memory."""

from collections import OrderedDict

from undercroft.cache.entry import Entry, size_of
from undercroft.clock import Clock


class MemoryCache:
    """A CacheStore that drops what was not asked for the longest when it is full."""

    def __init__(self, *, max_entries: int, max_bytes: int, clock: Clock) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._clock = clock
        self._entries: OrderedDict[tuple[str, str], Entry] = OrderedDict()
        self._sizes: dict[tuple[str, str], int] = {}
        self._bytes = 0

    @property
    def size_bytes(self) -> int:
        """About what the answers take."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._entries)

    async def get(self, organisation: str, id: str, /) -> Entry | None:
        return self.look(organisation, id)

    def look(self, organisation: str, id: str, /) -> Entry | None:
        key = (organisation, id)
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.expires_us <= self._clock.now_us():
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return entry

    async def put(self, organisation: str, id: str, entry: Entry, /) -> None:
        key = (organisation, id)
        self._drop(key)
        size = sum(map(size_of, entry.chunks))
        if size > self._max_bytes:
            return
        self._entries[key] = entry
        self._sizes[key] = size
        self._bytes += size
        while len(self._entries) > self._max_entries or self._bytes > self._max_bytes:
            self._drop(next(iter(self._entries)))

    async def remove(self, organisation: str, id: str, /) -> bool:
        return self._drop((organisation, id))

    async def close(self) -> None:
        self._entries.clear()
        self._sizes.clear()
        self._bytes = 0

    def _drop(self, key: tuple[str, str]) -> bool:
        if self._entries.pop(key, None) is None:
            return False
        self._bytes -= self._sizes.pop(key)
        return True
