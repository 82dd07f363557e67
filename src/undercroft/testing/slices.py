"""What every store of slices owes, as claims that any implementation can be run against.

@pytest.mark.parametrize("claim", slice_claims(), ids=name_of)
def test_my_store(claim: Claim) -> None:
    asyncio.run(claim(Subject(stores=(mine, mine_again), outlast=..., numbers=numbers)))
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import msgspec

from undercroft.ledger.slices import Slice, SliceStore, Window

LIMIT = 1000


@dataclass(frozen=True, slots=True)
class Subject:
    """The stores under test."""

    stores: Sequence[SliceStore]
    """At least two on the same state, as several processes have them."""
    outlast: Callable[[], Awaitable[None]]
    """Returns when every lease that was begun before has run out."""
    numbers: "count[int]"
    """Of which windows and owners are named: the same for all claims on the same state."""

    @property
    def store(self) -> SliceStore:
        return self.stores[0]

    def window(self, **changes: Any) -> Window:
        window = Window(organisation="default", name=f"limit-{next(self.numbers)}", id="2026-01", ends_us=2**62)
        return msgspec.structs.replace(window, **changes)

    def begin(self, window: Window | None = None, *, owner: str | None = None) -> Slice:
        """An owner that has nothing yet."""
        return Slice(window=window or self.window(), owner=owner or f"owner-{next(self.numbers)}")

    async def leased(self, requested: int, window: Window | None = None, *, limit: int = LIMIT) -> Slice:
        """A new owner's first slice."""
        held = await self.store.lease(self.begin(window), requested, limit=limit)
        assert held is not None, "a new owner was told that it had lost its slice"
        return held

    async def frozen(self, held: Slice) -> Slice:
        """The slice, when its owner has let it run out."""
        await self.outlast()
        found = [one for one in await self.store.freeze() if (one.window, one.owner) == (held.window, held.owner)]
        assert len(found) == 1, f"{held} ran out, and {found} is frozen"
        return found[0]

    async def left(self, window: Window, *, limit: int = LIMIT) -> int:
        """How much a new owner could get at most."""
        low, high = 0, limit
        while low < high:
            middle = (low + high + 1) // 2
            held = await self.leased(middle, window, limit=limit)
            if held.amount:
                assert await self.store.settle(held, 0), "a slice that was just leased could not be settled"
            low, high = (middle, high) if held.amount else (low, middle - 1)
        return low


Claim = Callable[[Subject], Coroutine[Any, Any, None]]


def slice_claims() -> list[Claim]:
    """What a SliceStore owes."""
    return [
        a_slice_is_what_was_asked_for_or_a_share_of_what_is_left,
        more_than_is_left_is_not_given_and_changes_nothing,
        all_that_is_left_can_be_had,
        windows_limits_and_organisations_are_counted_apart,
        many_owners_at_once_get_no_more_than_the_limit,
        what_is_given_back_can_be_leased_again,
        more_than_was_leased_cannot_be_given_back,
        a_lost_answer_is_made_up_for,
        what_was_asked_before_the_last_answer_comes_too_late,
        an_older_slice_changes_nothing,
        a_slice_ends_with_what_was_spent,
        a_slice_ends_once,
        a_slice_that_ended_is_lost_to_its_owner,
        what_a_dead_owner_held_stays_counted_until_it_is_settled,
        a_frozen_slice_comes_back_to_its_owner_who_asks,
        a_settled_slice_does_not_come_back,
        who_asks_or_renews_is_not_frozen,
        renewing_tells_what_is_still_held,
        answers_tell_what_all_have_taken,
        two_that_settle_what_is_frozen_do_it_once,
        a_lowered_limit_gives_nothing_and_takes_nothing,
        windows_that_have_ended_are_forgotten,
        owners_are_counted_while_they_live,
    ]


async def a_slice_is_what_was_asked_for_or_a_share_of_what_is_left(subject: Subject) -> None:
    window = subject.window()
    first = await subject.leased(3, window)
    assert first.amount == LIMIT // 8, f"a lone owner asked for 3 of 1000 and got {first.amount}"
    second = await subject.leased(200, window)
    assert second.amount == 200, f"asked for 200 and got {second.amount}"
    third = await subject.leased(1, window)
    share = (LIMIT - 125 - 200) // (8 * 3)
    assert third.amount == share, f"the third of three owners got {third.amount}; its share is {share}"


async def more_than_is_left_is_not_given_and_changes_nothing(subject: Subject) -> None:
    window = subject.window()
    held = await subject.leased(900, window)
    again = await subject.store.lease(held, 101, limit=LIMIT)
    assert _amount(again) == 900, f"101 of 100 made {again} of {held}"
    other = await subject.leased(101, window)
    assert (other.amount, other.token) == (0, 0), f"101 of 100 gave {other}"
    assert await subject.left(window) == LIMIT - 900


async def all_that_is_left_can_be_had(subject: Subject) -> None:
    held = await subject.leased(LIMIT)
    assert held.amount == LIMIT
    assert await subject.left(held.window) == 0


async def windows_limits_and_organisations_are_counted_apart(subject: Subject) -> None:
    window = subject.window()
    owner = subject.begin().owner
    others = [
        msgspec.structs.replace(window, **changes)
        for changes in ({"id": "2026-02"}, {"name": f"{window.name}b"}, {"organisation": "other"})
    ]
    for one in (window, *others):
        held = await subject.store.lease(subject.begin(one, owner=owner), LIMIT, limit=LIMIT)
        assert held is not None
        assert held.amount == LIMIT, f"{one} has only {held.amount} left though nobody asked for it"


async def many_owners_at_once_get_no_more_than_the_limit(subject: Subject) -> None:
    window = subject.window()

    async def owner(store: SliceStore) -> int:
        held = subject.begin(window)
        while True:
            more = await store.lease(held, 7, limit=LIMIT)
            assert more is not None, f"{held} was lost though its lease had not run out"
            if more.amount == held.amount:
                return held.amount
            held = more

    amounts = await asyncio.gather(*(owner(store) for store in subject.stores for _ in range(4)))
    assert LIMIT - 7 < sum(amounts) <= LIMIT, f"owners got {amounts}, {sum(amounts)} of {LIMIT}"


async def what_is_given_back_can_be_leased_again(subject: Subject) -> None:
    held = await subject.leased(LIMIT)
    less = await subject.store.give_back(held, 400)
    assert less is not None
    assert (less.amount, less.token > held.token) == (600, True), f"giving 400 of 1000 back left {less}"
    assert await subject.left(held.window) == 400


async def more_than_was_leased_cannot_be_given_back(subject: Subject) -> None:
    held = await subject.leased(500)
    for unspent in (501, -1):
        try:
            await subject.store.give_back(held, unspent)
        except ValueError:
            continue
        raise AssertionError(f"{unspent} of 500 could be given back")
    assert await subject.left(held.window) == 500


async def a_lost_answer_is_made_up_for(subject: Subject) -> None:
    """Whoever did not hear the answer asks again with what he had, and is told what he has."""
    fresh = subject.begin()
    await subject.store.lease(fresh, 300, limit=LIMIT)
    held = await subject.store.lease(fresh, 300, limit=LIMIT)
    assert held is not None
    assert held.amount == 300, f"who asked for 300 twice, as the first answer was lost, has {held.amount}"
    await subject.store.give_back(held, 100)
    held = await subject.store.give_back(held, 100)
    assert _amount(held) == 200, f"who gave 100 of 300 back twice, as the first answer was lost, has {held}"
    assert await subject.left(fresh.window) == 800


async def what_was_asked_before_the_last_answer_comes_too_late(subject: Subject) -> None:
    """Its owner gave up on it, has been told since what it has, and spends that."""
    held = await subject.leased(LIMIT)
    told = await subject.store.lease(held, 1, limit=LIMIT)
    assert _amount(told) == LIMIT
    late = await subject.store.give_back(held, 400)
    assert _amount(late) == LIMIT, f"a return that its owner had given up left {late} of {told}"


async def an_older_slice_changes_nothing(subject: Subject) -> None:
    old = await subject.leased(300)
    new = await subject.store.lease(old, 100, limit=LIMIT)
    assert new is not None
    assert _amount(await subject.store.give_back(old, 300)) == new.amount, "an older slice gave something back"
    assert _amount(await subject.store.lease(old, 500, limit=LIMIT)) == new.amount, "an older slice was given more"
    assert not await subject.store.settle(old, 0), "an older slice was settled"
    assert await subject.left(new.window) == LIMIT - new.amount


async def a_slice_ends_with_what_was_spent(subject: Subject) -> None:
    held = await subject.leased(600)
    assert await subject.store.settle(held, 250)
    assert await subject.left(held.window) == 750
    more = await subject.leased(100, held.window)
    assert await subject.store.settle(more, 140), "an answer larger than was leased for it could not be counted"
    assert await subject.left(held.window) == 610


async def a_slice_ends_once(subject: Subject) -> None:
    held = await subject.leased(600)
    ended = await asyncio.gather(*(store.settle(held, 100) for store in subject.stores))
    assert sorted(ended)[-2:] == [False, True], f"settling at once said {ended}"
    assert await subject.left(held.window) == 900


async def a_slice_that_ended_is_lost_to_its_owner(subject: Subject) -> None:
    held = await subject.leased(600)
    await subject.store.settle(held, 600)
    assert await subject.store.lease(held, 1, limit=LIMIT) is None
    assert await subject.store.give_back(held, 600) is None
    assert await subject.store.renew(held.owner) == []
    assert await subject.left(held.window) == 400


async def what_a_dead_owner_held_stays_counted_until_it_is_settled(subject: Subject) -> None:
    held = await subject.leased(700)
    await subject.outlast()
    assert await subject.left(held.window) == 300, "a slice that ran out was given to others"
    frozen = await subject.frozen(held)
    assert frozen == msgspec.structs.replace(held, is_frozen=True, taken=0), f"{held} was frozen as {frozen}"
    assert await subject.frozen(held) == frozen, "a frozen slice is not told again to whoever comes next"
    assert await subject.left(held.window) == 300, "a frozen slice was given to others"
    assert await subject.store.settle(frozen, 450)
    assert await subject.left(held.window) == 550


async def a_frozen_slice_comes_back_to_its_owner_who_asks(subject: Subject) -> None:
    held = await subject.leased(700)
    frozen = await subject.frozen(held)
    assert await subject.store.renew(held.owner) == [], "a frozen slice was renewed without being asked for"
    assert not await subject.store.settle(held, 0), "its owner ended a slice that was frozen under it"
    again = await subject.store.lease(held, 100, limit=LIMIT)
    assert again is not None, "who is alive has lost its slice"
    assert (again.amount, again.is_frozen) == (800, False)
    assert not await subject.store.settle(frozen, 0), "a slice was settled as it stood before its owner came back"
    assert await subject.left(held.window) == 200
    assert await subject.store.settle(again, 700)


async def a_settled_slice_does_not_come_back(subject: Subject) -> None:
    held = await subject.leased(700)
    frozen = await subject.frozen(held)
    assert await subject.store.settle(frozen, 450)
    assert await subject.store.lease(held, 1, limit=LIMIT) is None
    assert await subject.store.give_back(held, 700) is None
    assert await subject.left(held.window) == 550


async def who_asks_or_renews_is_not_frozen(subject: Subject) -> None:
    asking, renewing, idle = [await subject.leased(10) for _ in range(3)]
    await subject.outlast()
    await subject.store.lease(asking, 2 * LIMIT, limit=LIMIT)
    await subject.store.renew(renewing.owner)
    frozen = {one.owner for one in await subject.store.freeze()}
    assert idle.owner in frozen
    assert not {asking.owner, renewing.owner} & frozen, "a slice was frozen whose lease had just begun"


async def renewing_tells_what_is_still_held(subject: Subject) -> None:
    first = await subject.leased(10)
    second = await subject.store.lease(subject.begin(owner=first.owner), 20, limit=LIMIT)
    assert second is not None
    await subject.leased(30, first.window)
    held = await subject.store.renew(first.owner)
    told = [msgspec.structs.replace(each, taken=0) for each in (first, second)]
    assert sorted(held, key=lambda one: one.window.name) == told, f"renewing told {held}"


async def answers_tell_what_all_have_taken(subject: Subject) -> None:
    window = subject.window()
    first, second = await subject.leased(300, window), await subject.leased(200, window)
    assert (first.taken, second.taken) == (300, 500)
    assert await subject.store.settle(first, 100)
    given_back = await subject.store.give_back(second, 150)
    assert given_back is not None
    assert given_back.taken == 150, f"100 spent and 50 leased made {given_back}"


async def two_that_settle_what_is_frozen_do_it_once(subject: Subject) -> None:
    held = await subject.leased(700)
    frozen = await subject.frozen(held)
    ended = await asyncio.gather(*(store.settle(frozen, 100) for store in subject.stores))
    assert ended.count(True) == 1, f"settling at once said {ended}"
    assert await subject.left(held.window) == 900


async def a_lowered_limit_gives_nothing_and_takes_nothing(subject: Subject) -> None:
    held = await subject.leased(700)
    assert _amount(await subject.store.lease(held, 1, limit=500)) == 700
    assert (await subject.leased(1, held.window, limit=500)).amount == 0


async def windows_that_have_ended_are_forgotten(subject: Subject) -> None:
    ended, lasting = subject.window(ends_us=1_000), subject.window(ends_us=2_000)
    for window in (ended, lasting):
        await subject.leased(LIMIT, window)
    assert await subject.store.forget(1_500) > 0
    assert await subject.left(ended) == LIMIT
    assert await subject.left(lasting) == 0


async def owners_are_counted_while_they_live(subject: Subject) -> None:
    await subject.outlast()
    assert await subject.store.sharers() == 0, "somebody whose lease ran out is counted"
    first = await subject.leased(10)
    await subject.store.lease(subject.begin(owner=first.owner), 10, limit=LIMIT)
    await subject.leased(10, first.window)
    assert await subject.store.sharers() == 2


def _amount(held: Slice | None) -> int | None:
    return None if held is None else held.amount
