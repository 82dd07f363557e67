"""Answers to plain calls, by the bytes in which they are asked for."""

import asyncio

import pytest

from tests.support.clock import ManualClock
from undercroft.cache import shelf as shelves
from undercroft.cache.entry import Entry
from undercroft.cache.key import Keys, Place
from undercroft.cache.shelf import Shelf
from undercroft.cache.stores.memory import MemoryCache
from undercroft.llm.types import Source

KEYS = Keys(b"a secret")
HERE = Place(organisation="acme", endpoint="/v1/chat/completions", answers="chat\nopenai:gpt")
BODY = b'{"model": "chat", "messages": [{"role": "user", "content": "Hi"}]}'
ENTRY = Entry(chunks=(), model="chat", deployment="chat/0", cost_nano=5, created_us=0, expires_us=1 << 60)


def kept(*bodies: bytes, place: Place = HERE) -> MemoryCache:
    store = MemoryCache(max_entries=10, max_bytes=100_000, clock=ManualClock())
    for body in bodies:
        asyncio.run(store.put(place.organisation, KEYS.id_of_body(Source("openai.chat", body), place), ENTRY))
    return store


def test_the_same_question_is_found_in_any_spelling_and_again() -> None:
    shelf = Shelf(kept(BODY), KEYS, HERE)
    own = KEYS.id_of_body(Source("openai.chat", BODY), HERE)
    for body in (BODY, BODY, BODY.replace(b" ", b""), BODY):
        assert shelf.look(body) == (own, ENTRY)


ELSEWHERE = [
    Place(organisation="other", endpoint=HERE.endpoint, answers=HERE.answers),
    Place(organisation="acme", endpoint=HERE.endpoint, answers="chat\nopenai:another"),
]


@pytest.mark.parametrize("place", ELSEWHERE)
def test_what_stands_elsewhere_is_not_found(place: Place) -> None:
    shelf = Shelf(kept(BODY), KEYS, place)
    assert [shelf.look(BODY), shelf.look(BODY)] == [None, None]


def test_what_comes_or_goes_later_is_seen() -> None:
    store = kept()
    shelf = Shelf(store, KEYS, HERE)
    assert shelf.look(BODY) is None
    own = KEYS.id_of_body(Source("openai.chat", BODY), HERE)
    asyncio.run(store.put("acme", own, ENTRY))
    assert shelf.look(BODY) == (own, ENTRY)
    asyncio.run(store.remove("acme", own))
    assert shelf.look(BODY) is None


def test_it_forgets_and_still_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelves, "MOST_REMEMBERED", 2)
    bodies = [BODY.replace(b"Hi", b"Hi %d" % number) for number in range(5)]
    shelf = Shelf(kept(*bodies), KEYS, HERE)
    for body in bodies * 2:
        found = shelf.look(body)
        assert found is not None
        assert found[0] == KEYS.id_of_body(Source("openai.chat", body), HERE)
        assert len(shelf._ids) <= 2
