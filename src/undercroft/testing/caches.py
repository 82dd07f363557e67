"""What every store of cached answers owes, as claims that any implementation can be run against.

@pytest.mark.parametrize("claim", cache_claims(), ids=name_of)
def test_my_store(claim: Claim) -> None:
    asyncio.run(claim(Subject(store=mine, clock=clock)))
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from undercroft.cache.entry import Entry
from undercroft.cache.store import CacheStore
from undercroft.clock import Clock
from undercroft.llm.types import Choice, Chunk

DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Subject:
    """The store under test, empty, and the clock it goes by."""

    store: CacheStore
    clock: Clock

    def entry(self, text: str = "Hello", *, lasts_us: int = DAY_US) -> Entry:
        now_us = self.clock.now_us()
        chunk = Chunk(choices=(Choice(text=text, finish_reason="stop"),), source=text.encode(), whole=True)
        return Entry(
            chunks=(chunk,), model="m", deployment="m/0", cost_nano=5, created_us=now_us, expires_us=now_us + lasts_us
        )


Claim = Callable[[Subject], Awaitable[None]]


def cache_claims() -> list[Claim]:
    """All of them."""
    return [
        what_was_put_comes_back_as_it_was,
        the_later_answer_takes_the_place_of_the_earlier,
        nothing_is_found_under_another_organisation,
        nothing_is_removed_of_another_organisation,
        what_was_removed_is_gone_and_was_there_once,
        what_has_expired_is_not_found,
    ]


async def what_was_put_comes_back_as_it_was(subject: Subject) -> None:
    entry = subject.entry()
    assert await subject.store.get("default", "cache_1") is None
    await subject.store.put("default", "cache_1", entry)
    assert await subject.store.get("default", "cache_1") == entry


async def the_later_answer_takes_the_place_of_the_earlier(subject: Subject) -> None:
    for text in ("first", "second"):
        await subject.store.put("default", "cache_1", subject.entry(text))
    found = await subject.store.get("default", "cache_1")
    assert found is not None
    assert found.chunks[0].text() == "second"


async def nothing_is_found_under_another_organisation(subject: Subject) -> None:
    await subject.store.put("one", "cache_1", subject.entry())
    assert await subject.store.get("two", "cache_1") is None


async def nothing_is_removed_of_another_organisation(subject: Subject) -> None:
    await subject.store.put("one", "cache_1", subject.entry())
    assert not await subject.store.remove("two", "cache_1")
    assert await subject.store.get("one", "cache_1") is not None


async def what_was_removed_is_gone_and_was_there_once(subject: Subject) -> None:
    await subject.store.put("default", "cache_1", subject.entry())
    assert await subject.store.remove("default", "cache_1")
    assert await subject.store.get("default", "cache_1") is None
    assert not await subject.store.remove("default", "cache_1")


async def what_has_expired_is_not_found(subject: Subject) -> None:
    await subject.store.put("default", "cache_1", subject.entry(lasts_us=-1))
    assert await subject.store.get("default", "cache_1") is None
