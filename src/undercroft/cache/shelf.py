"""Where the answers to one caller's plain calls of a model are looked for, again and again."""

from hashlib import blake2b
from typing import Final

from undercroft.cache.entry import Entry
from undercroft.cache.key import Keys, Place
from undercroft.cache.store import NearStore
from undercroft.llm.types import Source

MOST_REMEMBERED: Final = 4096
"""Bodies whose ids are kept."""


class Shelf:
    """Who asks the same again mostly sends the same bytes: their id is remembered by a hash of them, since making it
    out of the body takes five times as long."""

    def __init__(self, near: NearStore, keys: Keys, place: Place) -> None:
        self._near = near
        self._keys = keys
        self._place = place
        self._ids: dict[bytes, str] = {}

    def look(self, body: bytes) -> tuple[str, Entry] | None:
        """What there is for a body in OpenAI's format, and under which id."""
        seen = blake2b(body, digest_size=32).digest()
        own = self._ids.get(seen)
        if own is None:
            own = self._keys.id_of_body(Source("openai.chat", body), self._place)
            if len(self._ids) >= MOST_REMEMBERED:
                self._ids.clear()
            self._ids[seen] = own
        entry = self._near.look(self._place.organisation, own)
        return None if entry is None else (own, entry)
